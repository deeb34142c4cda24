// The runs that trained models: words that are the same wherever a run is shown, and one run of the list, which opens.
import { ADVICE, RUN_ADVICE, UNKNOWN } from "./advice.js";
import { el, foreign, icon, peakOf, say, sayParts, terms, time } from "./dom.js";
import { ago, count, duration } from "./format.js";
import { figure, valuesOf, verdictOf } from "./verdict.js";

/** [symbol, word] by the status of a run. */
const STATUSES = {
  queued: ["not_started", "Waiting"],
  running: ["loading", "Training"],
  published: ["ready", "Published"],
  refused: ["refused", "Refused by the gate"],
  skipped: ["unloaded", "Nothing new"],
  failed: ["error", "Failed"],
  cancelled: ["unloaded", "Cancelled"],
  crashed: ["error", "Crashed"],
};
const CAUSES = { command: "on command", schedule: "on schedule", interactions: "after new interactions", fallback: "for want of anything to serve" };
const PHASES = { reading: "reading data", splitting: "splitting", fitting: "fitting", evaluating: "measuring", publishing: "publishing" };

export const isOver = (run) => run.status !== "queued" && run.status !== "running";
export const statusWord = (run) => STATUSES[run.status]?.[1] ?? run.status;
export const phaseWord = (run) => PHASES[run.phase] ?? run.phase;

/** What it means that a run failed, and what to do. @returns {[string, string]} */
export const adviceOf = (failure) => RUN_ADVICE[failure.type] ?? ADVICE[failure.type] ?? UNKNOWN;

/** A run in a few words, beside its status. @returns {string[]} */
export function runWords(run) {
  const words = [ago(run.ended_at ?? run.started_at ?? run.created_at)];
  if (!isOver(run)) words[0] = run.started_at ? `began ${words[0]}` : `asked for ${words[0]}`;
  if (run.seconds !== null) words.push(`took ${duration(run.seconds)}`);
  if (run.verdict?.users) words.push(`${run.verdict.metric} ${figure(run.verdict.value)}`);
  words.push(CAUSES[run.cause] ?? run.cause);
  return words;
}

const origin = (run) => run.requested_by.replace(/^schedule /, "");

/** Who asked for it; or more of why it was begun, where nobody did. */
export function askedBy(run) {
  if (run.cause === "command") return `asked for by ${run.requested_by}`;
  return run.cause === "fallback" ? `because ${origin(run)}` : origin(run);
}

/** The sign and the word of a status, in place. */
export function showStatus(place, run) {
  if (place.dataset.status === run.status) return;
  place.dataset.status = run.status;
  place.replaceChildren(icon(STATUSES[run.status]?.[0] ?? "not_started"), statusWord(run));
}

/** Why a run did not come to an end, and what to do about it. @returns {HTMLElement} */
export function failureOf(run) {
  const [title, advice] = adviceOf(run.failure);
  return el(
    "div",
    { class: "failure" },
    el("p", { class: "failure-title" }, el("strong", {}, title), " ", el("code", {}, run.failure.type)),
    el("p", { class: "failure-message foreign" }, run.failure.message),
    el("p", { class: "failure-advice" }, el("b", {}, "What to do: "), advice),
  );
}

function factsOf(run) {
  const { fingerprint } = run;
  const list = el("dl", { class: "facts" });
  terms(list, [
    ["Run", foreign(run.id)],
    ["Algorithm", run.algorithm],
    ["Begun", CAUSES[run.cause] ?? run.cause],
    [run.cause === "command" ? "Asked for by" : "Because", foreign(run.cause === "command" ? run.requested_by : origin(run))],
    ["Gate", run.forced ? "to be published whatever it says" : null],
    ["Asked for", time(run.created_at)],
    ["Ended", run.ended_at ? time(run.ended_at) : null],
    ["Took", run.seconds === null ? null : duration(run.seconds)],
    ["Memory at its peak", run.peak_bytes === null ? null : peakOf(run.peak_bytes, run.cap_bytes)],
    ["Interactions", fingerprint ? count(fingerprint.interactions) : null],
    ["The latest of them", fingerprint?.latest_at ? time(fingerprint.latest_at) : null],
    ["Version", foreign(run.version)],
    ["Note", foreign(run.reason)],
  ]);
  return list;
}

const part = (title, ...content) => el("section", {}, el("h4", {}, title), ...content);

/** One run of the list, made once and kept up to date in place. */
export class RunRow {
  constructor(run) {
    this.status = el("span", { class: "run-status" });
    this.words = el("span", { class: "run-words" });
    this.body = el("div", { class: "run-body" });
    this.details = el("details", { class: "run" }, el("summary", {}, el("b", {}, run.training), this.status, this.words), this.body);
    this.root = el("li", { "data-run": run.id }, this.details);
    this.details.addEventListener("toggle", () => this.open());
    this.show(run);
  }

  show(run) {
    this.run = run;
    this.root.dataset.status = run.status;
    showStatus(this.status, run);
    this.tick();
    this.open();
  }

  tick() {
    sayParts(this.words, runWords(this.run));
  }

  /** What it shows inside; its log is asked for whenever the run has come a step further. */
  async open() {
    const place = `${this.run.status} ${this.run.phase} ${this.run.step}`;
    if (!this.details.open || this.place === place) return;
    this.place = place;
    const response = await fetch(`training/runs/${this.run.id}`, { cache: "no-store" }).catch(() => null);
    if (!response?.ok) {
      this.place = "";
      if (!this.body.childElementCount) this.body.replaceChildren(el("p", { class: "note" }, "It cannot be shown now."));
      return;
    }
    this.fill(await response.json());
  }

  fill(run) {
    const parameters = valuesOf(run.parameters);
    const metrics = valuesOf(run.metrics);
    const log = el("pre", { class: "log", tabindex: "0", "aria-label": `The last lines of the log of ${run.id}` });
    say(log, run.log.join("\n"));
    const parts = [
      part("Facts", factsOf(run)),
      run.failure ? part("Failure", failureOf(run)) : null,
      run.verdict ? part("Verdict", verdictOf(run.verdict)) : null,
      parameters ? part("Parameters", parameters) : null,
      metrics ? part("Measured on the holdout", metrics) : null,
      run.log.length ? part("Log", log) : null,
    ];
    this.body.replaceChildren(...parts.filter(Boolean));
  }
}
