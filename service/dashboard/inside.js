// What a card shows when it is opened: facts, kept versions, the story.
import { el, terms } from "./dom.js";
import { ago, clock, count, duration, moment, number, size } from "./format.js";

const EVENTS = {
  start: "Start",
  request: "Asked for by a request",
  load: "Load commanded",
  reload: "Reload commanded",
  unload: "Unload commanded",
  poll: "Source asked for changes",
  watch: "Source changed",
  retry: "Tried again",
  fetch_began: "Download began",
  fetched: "Download done",
  unchanged: "Unchanged at the source",
  waiting: "Waiting",
  restored: "Kept version mapped",
  published: "Went live",
  failed: "Failed",
  died: "Its process died",
  drain: "Old version drains",
  released: "Old version released",
};

/** Why an attempt runs: the story says so where the attempt begins, not again on every line of it. */
const CAUSES = ["start", "request", "reload", "retry", "poll", "watch", "operator"];

const time = (at) => el("time", { datetime: at, title: moment(at) }, `${moment(at)} (${ago(at)})`);

function cap(load) {
  if (!load.cap_bytes) return size(load.peak_bytes);
  const meter = el("meter", { min: 0, max: load.cap_bytes, value: load.peak_bytes, "aria-label": "Peak against the cap" });
  return el("span", {}, meter, `${size(load.peak_bytes)} of ${size(load.cap_bytes)} allowed`);
}

const range = (scores) => `${number(scores.min)} to ${number(scores.max)}, half below ${number(scores.p50)}, 99% below ${number(scores.p99)}`;
const listed = (values) => (Array.isArray(values) ? values.map((value) => (Array.isArray(value) ? `[${value.join(", ")}]` : String(value))).join(", ") : null);
const foreign = (text) => (text === null || text === undefined || text === "" ? null : el("span", { class: "foreign" }, String(text)));

/** @param {any} model the status object */
export function showFacts(list, model) {
  const { details, load } = model;
  const parts = details?.parts ? Object.entries(details.parts).map(([role, part]) => `${role}: ${part}`).join(", ") : null;
  terms(list, [
    ["Source", foreign(model.source)],
    ["Version", foreign(model.version)],
    ["Revision", foreign(model.revision)],
    ["Family", model.family && load?.family_reason ? `${model.family}: ${load.family_reason}` : model.family],
    ["Made with", foreign(details?.model)],
    ["Trained", details?.trained_at ? time(details.trained_at) : null],
    ["Made of", parts],
    ["Users", details?.users === undefined ? null : count(details.users)],
    ["Items", details?.items === undefined ? null : count(details.items)],
    ["Factors", details?.factors === undefined ? null : count(details.factors)],
    ["Item fields", foreign(listed(details?.columns))],
    ["Features", foreign(details?.feature_names ? listed(details.feature_names) : details?.features === undefined ? null : count(details.features))],
    ["Classes", foreign(listed(details?.classes))],
    ["Scores", details?.score_range ? range(details.score_range) : null],
    ["Artifact", model.artifact_bytes === null ? null : size(model.artifact_bytes)],
    ["In memory, shared", model.segment_bytes === null ? null : size(model.segment_bytes)],
    ["Memory while loading", load?.peak_bytes ? cap(load) : null],
    ["Load", load ? (load.from_segment ? `${duration(load.seconds)}, mapped from what was kept` : duration(load.seconds)) : null],
    ["Walls around it", listed(load?.walls)],
    ["Warnings", foreign(listed(load?.warnings))],
    ["Loaded", model.loaded_at ? time(model.loaded_at) : null],
  ]);
}

/** @param {{at: string, event: string, from: string, to: string, cause: string}[]} story oldest first */
export function showStory(list, story) {
  const lines = story.toReversed().map((line) => {
    const words = line.event === "phase" ? `${line.to[0].toUpperCase()}${line.to.slice(1)}` : (EVENTS[line.event] ?? line.event);
    const says = CAUSES.includes(line.cause) ? null : el("span", { class: "cause foreign" }, line.cause);
    return el("li", { "data-event": line.event }, el("time", { datetime: line.at, title: moment(line.at) }, clock(line.at)), el("b", {}, words), says);
  });
  list.replaceChildren(...(lines.length ? lines : [el("li", {}, "Nothing has happened so far.")]));
}

/** @param {{versions: any[], pinned: string | null}} kept the answer of GET /models/{model}/versions */
export function showVersions(place, kept) {
  if (!kept.versions.length) {
    place.replaceChildren(el("p", { class: "note" }, "None is kept."));
    return;
  }
  const names = [...new Set(kept.versions.flatMap((version) => Object.keys(version.metrics ?? {})))];
  const head = ["Version", "", "Loaded", "Artifact", "In memory", ...names].map((name) => el("th", { scope: "col" }, name));
  const rows = kept.versions.map((version) => {
    const marks = [version.live ? "serves" : null, version.pinned ? "pinned" : null].filter(Boolean).join(", ");
    const sizes = [version.artifact_bytes, version.segment_bytes].map((bytes) => (bytes === null ? "–" : size(bytes)));
    const metrics = names.map((name) => (typeof version.metrics?.[name] === "number" ? number(version.metrics[name]) : "–"));
    const cells = [marks, version.loaded_at ? ago(version.loaded_at) : "–", ...sizes, ...metrics];
    return el("tr", {}, el("td", {}, el("span", { class: "foreign" }, version.version)), ...cells.map((cell) => el("td", {}, cell)));
  });
  place.replaceChildren(el("table", { class: "versions" }, el("thead", {}, el("tr", {}, ...head)), el("tbody", {}, ...rows)));
}
