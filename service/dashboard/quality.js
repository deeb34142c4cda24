// How good the versions of a model are, over time: a drawing, and the same as a table.
import { drawn, el, foreign } from "./dom.js";
import { counted, moment } from "./format.js";
import { figure } from "./verdict.js";

const WIDTH = 600;
const HEIGHT = 130;
const LEFT = 12;
const TOP = 14;
const BOTTOM = 116;

/**
 * The points: versions that are kept, and runs that the gate refused. Oldest first.
 *
 * @param {any[]} versions of GET /models/{model}/versions @param {any[]} runs of GET /training/runs
 */
export function pointsOf(versions, runs) {
  const kept = versions.filter(({ verdict }) => verdict?.users).map((each) => ({ ...each, at: each.trained_at, isRefused: false }));
  const refused = runs.filter((run) => run.status === "refused" && run.verdict?.users).map((run) => ({ version: run.id, at: run.ended_at, verdict: run.verdict, isRefused: true }));
  const metric = kept[0]?.verdict.metric ?? refused[0]?.verdict.metric;
  // Figures of another metric, from before the gate was changed, are on no common scale.
  const points = [...kept, ...refused].filter(({ verdict }) => verdict.metric === metric).sort((a, b) => (a.version < b.version ? -1 : 1));
  return { metric, points };
}

/** What a point is, in words. */
function marksOf(point) {
  const marks = [point.isRefused && "refused", point.live && "serves", point.pinned && "pinned", point.withdrawn && "withdrawn"].filter(Boolean);
  return marks.join(", ") || "kept";
}

function inWords(metric, points) {
  const kept = points.filter(({ isRefused }) => !isRefused);
  const live = points.find((point) => point.live);
  const words = [`${metric} of ${counted(kept.length, "version")}`];
  if (points.length > kept.length) words.push(`${counted(points.length - kept.length, "refused run")}`);
  if (kept.length) words.push(`from ${figure(kept[0].verdict.value)} to ${figure(kept.at(-1).verdict.value)}`);
  if (live) words.push(`${figure(live.verdict.value)} of the one that serves`);
  return words.join(", ");
}

/** A sign of its own for each kind of point, at its place. */
function sign(point, x, y) {
  const parts = [drawn("title", {}, `${point.version}: ${figure(point.verdict.value)}, ${marksOf(point)}`)];
  if (point.isRefused) parts.push(drawn("path", { class: "no", d: `M${x - 4} ${y - 4}l8 8m0 -8l-8 8` }));
  else parts.push(drawn("circle", { class: point.withdrawn ? "withdrawn" : "kept", cx: x, cy: y, r: 3.5 }));
  if (point.live) parts.push(drawn("circle", { class: "live", cx: x, cy: y, r: 7.5 }));
  if (point.pinned) parts.push(drawn("rect", { class: "pinned", x: x - 10, y: y - 10, width: 20, height: 20, rx: 2 }));
  return drawn("g", {}, ...parts);
}

function drawing(metric, points, low, high) {
  const x = (at) => Math.round(points.length === 1 ? WIDTH / 2 : LEFT + (at * (WIDTH - 2 * LEFT)) / (points.length - 1));
  const y = (value) => Math.round(high === low ? (TOP + BOTTOM) / 2 : BOTTOM - ((value - low) / (high - low)) * (BOTTOM - TOP));
  const path = (each, value) => each.map((point, at) => `${at ? "L" : "M"}${x(points.indexOf(point))} ${y(value(point))}`).join("");
  const kept = points.filter(({ isRefused }) => !isRefused);
  return drawn(
    "svg",
    { class: "quality", viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img", "aria-label": `Quality over time: ${inWords(metric, points)}` },
    drawn("path", { class: "popular", d: path(points, ({ verdict }) => verdict.popular) }),
    drawn("path", { class: "way", d: path(kept, ({ verdict }) => verdict.value) }),
    ...points.map((point, at) => sign(point, x(at), y(point.verdict.value))),
  );
}

const KEY = [
  ["kept", "● kept"],
  ["live", "◎ serves"],
  ["pinned", "▣ pinned"],
  ["withdrawn", "○ withdrawn"],
  ["refused", "× refused"],
];

/** What the signs mean, as far as they are there. */
function key(points) {
  const there = new Set(points.flatMap((point) => marksOf(point).replace("serves", "live").split(", ")));
  const signs = KEY.filter(([name]) => there.has(name) || (name === "kept" && points.some(({ isRefused }) => !isRefused)));
  return el("p", { class: "note key" }, ...signs.map(([, word]) => el("span", { class: "part" }, word)), el("span", { class: "part" }, "┄ most popular items"));
}

function table(metric, points) {
  const head = ["Version", "Trained", metric, "Most popular items", "State"].map((name) => el("th", { scope: "col" }, name));
  const rows = points.toReversed().map((point) => {
    const cells = [moment(point.at), figure(point.verdict.value), figure(point.verdict.popular), marksOf(point)];
    return el("tr", {}, el("th", { scope: "row" }, foreign(point.version)), ...cells.map((cell) => el("td", {}, cell)));
  });
  return el("table", { class: "versions" }, el("caption", { class: "spoken" }, "Quality over time"), el("thead", {}, el("tr", {}, ...head)), el("tbody", {}, ...rows));
}

/** Draw it into a place; false where there is nothing to draw. */
export function showQuality(place, versions, runs) {
  const { metric, points } = pointsOf(versions, runs);
  if (!points.length) return false;
  const said = JSON.stringify(points);
  if (place.dataset.said === said) return true;
  place.dataset.said = said;
  const isOpen = place.querySelector("details")?.open ?? false;
  const scroll = el("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "Quality over time, as a table" }, table(metric, points));
  const values = points.flatMap(({ verdict }) => [verdict.value, verdict.popular]);
  const [low, high] = [Math.min(...values), Math.max(...values)];
  const axis = el("p", { class: "axis", "aria-hidden": "true" }, el("span", {}, figure(high)), el("span", {}, figure(low)));
  const words = el("p", { class: "note" }, `${inWords(metric, points)}.`);
  place.replaceChildren(el("div", { class: "chart" }, axis, drawing(metric, points, low, high)), key(points), words, el("details", { class: "as-table", open: isOpen }, el("summary", {}, "As a table"), scroll));
  return true;
}
