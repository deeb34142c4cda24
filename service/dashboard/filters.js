// Which of many models are shown: by state, by a word.
import { byId, el } from "./dom.js";
import { STATES } from "./card.js";

export class Filters {
  /** @param {() => Map<string, any>} models @param {Map<string, {root: HTMLElement}>} cards */
  constructor(models, cards) {
    this.models = models;
    this.cards = cards;
    this.state = "";
    byId("search").addEventListener("input", () => this.apply());
    byId("show-all").addEventListener("click", () => {
      this.state = "";
      byId("search").value = "";
      this.apply();
      byId("search").focus();
    });
  }

  apply() {
    const words = byId("search").value.trim().toLowerCase().split(/\s+/).filter(Boolean);
    let shown = 0;
    for (const [name, { root }] of this.cards) {
      const model = this.models().get(name);
      const text = [name, model.family, model.source, model.version, STATES[model.status], model.failure?.type].join(" ").toLowerCase();
      const isShown = (!this.state || model.status === this.state) && words.every((word) => text.includes(word));
      root.hidden = !isShown;
      shown += Number(isShown);
    }
    byId("no-match").hidden = shown > 0 || this.cards.size === 0;
    this.showCounts();
  }

  showCounts() {
    const counts = new Map([["", this.cards.size], ...Object.keys(STATES).map((state) => [state, 0])]);
    for (const { status } of this.models().values()) counts.set(status, (counts.get(status) ?? 0) + 1);
    const wanted = [...counts].filter(([state, number]) => number > 0 || state === "" || state === this.state);
    const group = byId("filters");
    const said = JSON.stringify([wanted, this.state]);
    if (group.dataset.said === said) return;
    group.dataset.said = said;
    const focused = document.activeElement?.dataset?.state;
    group.replaceChildren(...wanted.map(([state, number]) => this.button(state, number)));
    if (focused !== undefined) group.querySelector(`[data-state="${focused}"]`)?.focus();
  }

  button(state, number) {
    const made = el("button", { type: "button", "data-state": state, "aria-pressed": String(state === this.state) }, state ? STATES[state] : "All", " ", el("b", {}, String(number)));
    made.addEventListener("click", () => {
      this.state = state;
      this.apply();
    });
    return made;
  }
}
