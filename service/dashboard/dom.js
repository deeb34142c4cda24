// Elements. Whatever a model says about itself is foreign text: it goes through textContent, never through markup.

/** The element of an id that index.html has. @returns {any} */
export const byId = (id) => document.getElementById(id);

/** A new element. Attributes that are null or false are left out; children are elements or text. @returns {HTMLElement} */
export function el(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value !== null && value !== false) made.setAttribute(name, value === true ? "" : value);
  }
  made.append(...children.filter((child) => child !== null));
  return made;
}

/** Change a text only where it differs, so that nothing is spoken or selected away for nothing. */
export function say(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/** Words beside each other, each in a span of its own; the style sheet puts dots between them. @param {string[]} words */
export function sayParts(element, words) {
  if (element.dataset.said === words.join("\n")) return;
  element.dataset.said = words.join("\n");
  element.replaceChildren(...words.map((word) => el("span", { class: "part" }, word)));
}

/** A list of terms: [term, text or element][]; terms without a value are left out. */
export function terms(list, rows) {
  const known = rows.filter(([, value]) => value !== null && value !== undefined && value !== "");
  list.replaceChildren(...known.flatMap(([term, value]) => [el("dt", {}, term), el("dd", {}, value)]));
}
