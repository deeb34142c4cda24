// What a card shows when it is opened: facts and the story.
import { el, foreign, peakOf, terms, time } from "./dom.js";
import { clock, count, duration, moment, number, size } from "./format.js";

const EVENTS = {
  start: "Start",
  request: "Asked for by a request",
  load: "Load commanded",
  reload: "Reload commanded",
  unload: "Unload commanded",
  poll: "Source asked for changes",
  watch: "Source changed",
  fallback_watch: "Its training published",
  fallback: "Source failed: falls back",
  withdrawn: "Version taken back",
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

const range = (scores) => `${number(scores.min)} to ${number(scores.max)}, half below ${number(scores.p50)}, 99% below ${number(scores.p99)}`;
const listed = (values) => (Array.isArray(values) ? values.map((value) => (Array.isArray(value) ? `[${value.join(", ")}]` : String(value))).join(", ") : null);

/** @param {any} model the status object */
export function showFacts(list, model) {
  const { details, load } = model;
  const parts = details?.parts ? Object.entries(details.parts).map(([role, part]) => `${role}: ${part}`).join(", ") : null;
  terms(list, [
    ["Source", foreign(model.source)],
    ["Serves instead", foreign(load?.fallback?.source)],
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
    ["Memory while loading", load?.peak_bytes ? peakOf(load.peak_bytes, load.cap_bytes) : null],
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
