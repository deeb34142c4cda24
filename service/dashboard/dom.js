// Elements. Whatever a model says about itself is foreign text: it goes through textContent, never through markup.
import { ago, moment, size } from "./format.js";

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

const SVG = "http://www.w3.org/2000/svg";

/** A new element of a drawing, as `el` makes those of text. @returns {SVGElement} */
export function drawn(tag, attributes = {}, ...children) {
  const made = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...children);
  return made;
}

/** One of the symbols of index.html, beside words that say the same. @param {string} name */
export const icon = (name) => drawn("svg", { class: "icon", "aria-hidden": "true" }, drawn("use", { href: `#${name}` }));

/** The places of a cloned template that are filled in, by their names. @returns {Record<string, any>} */
export const slotsOf = (root) => Object.fromEntries([...root.querySelectorAll("[data-slot]")].map((node) => [node.dataset.slot, node]));

/** A time, in the reader's own zone, and how long ago that is. @param {string} at RFC 3339 */
export const time = (at) => el("time", { datetime: at, title: moment(at) }, `${moment(at)} (${ago(at)})`);

/** Text of a model, a database or a person; null where there is none. */
export const foreign = (text) => (text === null || text === undefined || text === "" ? null : el("span", { class: "foreign" }, String(text)));

/** Memory at the peak against what is allowed. @param {number} peak @param {number | null} cap */
export function peakOf(peak, cap) {
  if (!cap) return size(peak);
  return el("span", {}, el("meter", { min: 0, max: cap, value: peak, "aria-label": "Peak against the cap" }), `${size(peak)} of ${size(cap)} allowed`);
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
