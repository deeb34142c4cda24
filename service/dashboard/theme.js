// Which theme: the system's, or the one that was chosen here. Not a module: it runs before the page is drawn, so that nothing flashes.
(() => {
  "use strict";
  const THEMES = ["auto", "light", "dark"];
  const stored = () => {
    try {
      return localStorage.getItem("holdfast-theme");
    } catch {
      return null; // storage is forbidden here: the choice lasts as long as the page
    }
  };
  let theme = THEMES.includes(stored()) ? stored() : "auto";

  function show() {
    if (theme === "auto") delete document.documentElement.dataset.theme;
    else document.documentElement.dataset.theme = theme;
    const word = document.getElementById("theme-word");
    if (word) word.textContent = theme;
  }

  show();
  document.addEventListener("DOMContentLoaded", () => {
    show();
    document.getElementById("theme-button").addEventListener("click", () => {
      theme = THEMES[(THEMES.indexOf(theme) + 1) % THEMES.length];
      try {
        localStorage.setItem("holdfast-theme", theme);
      } catch {
        // as above
      }
      show();
    });
  });
})();
