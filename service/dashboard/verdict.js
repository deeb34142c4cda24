// What the gate said of a version, with its figures. Marked by a word and a sign, never by a colour alone.
import { el, foreign, icon, terms, time } from "./dom.js";
import { counted, number } from "./format.js";

const RULES = { minimum: "Minimum", popular: "Most popular items", champion: "What serves" };
const PASSED = { true: ["ready", "Passed"], false: ["refused", "Refused"], null: ["not_started", "Not asked"] };

/** A figure of quality: to four decimals, as the gate tells it. @param {number} value */
export const figure = (value) => value.toFixed(4);

/** The verdict in a few words. */
export function verdictWord(verdict) {
  if (verdict.forced_by) return "Published against the gate";
  return verdict.accepted ? "Passed the gate" : "Refused by the gate";
}

/** What each rule says. @param {{rule: string, passed: boolean | null, message: string}[]} rules */
export function rulesOf(rules) {
  const lines = rules.map(({ rule, passed, message }) => {
    const [sign, word] = PASSED[passed];
    return el("li", { "data-passed": String(passed) }, icon(sign), el("b", {}, `${RULES[rule] ?? rule}: ${word.toLowerCase()}.`), " ", el("span", { class: "says" }, message));
  });
  return el("ul", { class: "rules" }, ...lines);
}

/** How it was measured. */
function measured(verdict) {
  if (!verdict.users) return null;
  const how = verdict.split === "time" ? "the latest interactions" : "interactions drawn at random";
  return `${verdict.metric} ${figure(verdict.value)} on ${counted(verdict.users, "user")}, of whom ${how} were held out; the most popular items reach ${figure(verdict.popular)}`;
}

/** All of it. @returns {HTMLElement} */
export function verdictOf(verdict) {
  const sign = verdict.accepted && !verdict.forced_by ? "ready" : "refused";
  const title = el("p", { class: "verdict-word", "data-accepted": String(sign === "ready") }, icon(sign), el("b", {}, verdictWord(verdict)));
  if (verdict.forced_by) title.append(", as ", foreign(verdict.forced_by), " wanted it");
  const how = measured(verdict);
  const cut = verdict.cut_at ? el("p", { class: "note" }, "Trained on what happened until ", time(verdict.cut_at), ".") : null;
  return el("div", { class: "verdict" }, title, how ? el("p", {}, `${how}.`) : null, cut, rulesOf(verdict.rules));
}

/** Names and values of parameters or metrics. @param {Record<string, any>} values @returns {HTMLElement | null} */
export function valuesOf(values) {
  const rows = Object.entries(values ?? {});
  if (!rows.length) return null;
  const list = el("dl", { class: "facts values" });
  terms(list, rows.map(([name, value]) => [el("span", { class: "foreign" }, name), foreign(shown(value))]));
  return list;
}

function shown(value) {
  if (typeof value === "number") return number(value);
  return typeof value === "string" ? value : JSON.stringify(value);
}
