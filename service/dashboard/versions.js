// The versions of a model that are kept: which serves, which is pinned, how each was judged, and how they follow each other in quality.
import { el, foreign } from "./dom.js";
import { ago, moment, size } from "./format.js";
import { showQuality } from "./quality.js";
import { figure, valuesOf, verdictOf, verdictWord } from "./verdict.js";

const cell = (content) => el("td", {}, content ?? "–");
const when = (at) => (at ? el("time", { datetime: at, title: moment(at) }, ago(at)) : null);
const bytes = (value) => (value === null ? null : size(value));

/** What is to be known of a version besides its name, each as a word. */
function marksOf(version, current) {
  const marks = [
    [version.live, "serves", "live"],
    [!version.live && version.version === current, "to serve", "next"],
    [version.pinned, "pinned", "pinned"],
    [version.withdrawn, "withdrawn", "withdrawn"],
  ];
  const held = marks.filter(([holds]) => holds).map(([, word, kind]) => el("span", { class: "badge", "data-mark": kind }, word));
  return held.length ? held : [el("span", { class: "note" }, "kept")];
}

export class Versions {
  /** @param {Record<string, any>} slots of the card @param {(version: string) => void} activate */
  constructor(slots, name, activate) {
    this.slots = slots;
    this.name = name;
    this.activate = activate;
    this.opened = new Set();
    this.isLocked = true;
    this.isPinned = false;
    this.turn = 0;
  }

  /** Ask for them, and show them. @param {string | null} training that stands behind the model */
  async refresh(training) {
    const turn = ++this.turn;
    const paths = [`models/${this.name}/versions`, ...(training ? [`training/runs?training=${training}&limit=50`] : [])];
    const answers = await Promise.all(paths.map((path) => fetch(path, { cache: "no-store" }).catch(() => null)));
    if (turn !== this.turn) return; // another one that was asked later
    const [kept, told] = await Promise.all(answers.map((response) => (response?.ok ? response.json() : null)));
    this.slots["versions-section"].hidden = !kept;
    this.slots["quality-section"].hidden = !kept || !training || !showQuality(this.slots.quality, kept.versions, told?.runs ?? []);
    if (kept) this.show(kept, training);
  }

  show(kept, training) {
    this.isPinned = kept.pinned !== null;
    this.slots.unpin.hidden = !training || !this.isPinned;
    const said = JSON.stringify([kept, training]);
    if (this.said === said) return;
    this.said = said;
    const { versions } = this.slots;
    if (!kept.versions.length) return versions.replaceChildren(el("p", { class: "note" }, "None is kept."));
    const isJudged = kept.versions.some(({ verdict }) => verdict);
    const names = ["Version", "State", training ? "Published" : "Loaded", ...(isJudged ? ["Quality"] : []), "Artifact", training ? "Command" : "In memory"];
    const head = names.map((name) => el("th", { scope: "col" }, name));
    const rows = kept.versions.flatMap((version) => this.rowsOf(version, kept, { training, isJudged, columns: names.length }));
    versions.replaceChildren(el("table", { class: "versions" }, el("thead", {}, el("tr", {}, ...head)), el("tbody", {}, ...rows)));
  }

  rowsOf(version, kept, { training, isJudged, columns }) {
    const { verdict } = version;
    const quality = verdict?.users ? `${verdict.metric} ${figure(verdict.value)}` : null;
    const cells = [
      el("td", { class: "marks" }, ...marksOf(version, kept.current)),
      cell(when(training ? (version.published_at ?? version.loaded_at) : version.loaded_at)),
      ...(isJudged ? [cell(quality)] : []),
      cell(bytes(version.artifact_bytes)),
      training ? el("td", {}, this.button(version, kept)) : cell(bytes(version.segment_bytes)),
    ];
    const row = el("tr", { "data-version": version.version }, el("th", { scope: "row" }, foreign(version.version)), ...cells);
    return version.published_at ? [row, el("tr", { class: "opened" }, el("td", { colspan: columns }, this.inside(version)))] : [row];
  }

  button(version, kept) {
    // The one that serves is activated to take the pin from it: `Unpin` says that better.
    if (!version.published_at || (version.live && version.version === kept.current)) return "";
    const made = el("button", { type: "button", "data-activate": version.version, "aria-label": `Activate: ${version.version} of ${this.name}` }, "Activate");
    this.lock(made);
    made.addEventListener("click", () => this.activate(version.version));
    return made;
  }

  /** How it was judged, and with what it was made: what the row opens to. */
  inside(version) {
    const { withdrawn, verdict } = version;
    const why = withdrawn ? el("p", { class: "withdrawn" }, el("b", {}, "Taken back: "), foreign(withdrawn.message), " ", el("code", {}, withdrawn.type)) : null;
    const [parameters, metrics] = [valuesOf(version.parameters), valuesOf(version.metrics)];
    const titled = (title, list) => (list ? el("section", {}, el("h5", {}, title), list) : null);
    const word = `${version.algorithm}: ${verdict ? verdictWord(verdict).toLowerCase() : "not judged"}`;
    const made = el(
      "details",
      { open: this.opened.has(version.version) },
      el("summary", {}, word, el("span", { class: "spoken" }, `, version ${version.version}`)),
      el("div", { class: "version-body" }, why, verdict ? verdictOf(verdict) : null, titled("Parameters", parameters), titled("Measured on the holdout", metrics)),
    );
    made.addEventListener("toggle", () => (made.open ? this.opened.add(version.version) : this.opened.delete(version.version)));
    return made;
  }

  lock(button) {
    button.toggleAttribute("data-locked", this.isLocked);
    button.title = this.isLocked ? "Asks for the admin token first" : "";
  }

  setLocked(isLocked) {
    this.isLocked = isLocked;
    for (const button of this.slots.versions.querySelectorAll("[data-activate]")) this.lock(button);
  }
}
