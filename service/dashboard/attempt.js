// How far the attempt of a model is: its phases as a line, a bar, and words.
import { el, say, sayParts } from "./dom.js";
import { duration, size } from "./format.js";

const PHASES = ["queued", "downloading", "verifying", "loading", "warming", "live"];
/** Of a model that trains for want of anything else: what it then loads is what it has published. */
const TRAINED_PHASES = ["queued", "training", "downloading", "verifying", "loading", "warming", "live"];

/** Phases as steps of a line, one of them now. */
export function showLine(line, phases, phase) {
  const said = `${phases.join()} ${phase}`;
  if (line.dataset.said === said) return;
  line.dataset.said = said;
  const now = phases.indexOf(phase);
  const steps = phases.map((each, at) => el("li", { "data-step": at < now ? "done" : at === now ? "now" : "next", "aria-current": at === now ? "step" : null }, each));
  line.replaceChildren(...steps);
}

/** A bar, moving where nobody knows how far it is. @param {number | null} share 0 to 1 */
export function showBar(bar, share, words) {
  if (share === null) bar.removeAttribute("value");
  else bar.value = share;
  bar.setAttribute("aria-valuetext", words);
}

function inWords(model) {
  const { bytes_done: done, bytes_total: total, eta_s: eta } = model;
  const words = [];
  if (done !== null) words.push(total !== null ? `${size(done)} of ${size(total)}` : size(done));
  if (model.progress !== null) words.push(`${Math.floor(model.progress * 100)}%`);
  if (eta > 0 && total !== null && done !== null) words.push(`${size((total - done) / eta)}/s`, `${duration(Math.ceil(eta))} left`);
  return words;
}

export class Attempt {
  /** @param {Record<string, any>} slots of the card */
  constructor(slots) {
    this.slots = slots;
    this.hasTrained = false;
  }

  show(model) {
    const { slots } = this;
    const isRunning = model.phase !== null && model.phase !== "draining";
    slots.attempt.hidden = !isRunning;
    this.hasTrained = isRunning && (this.hasTrained || model.phase === "training");
    if (!isRunning) return;
    showLine(slots.line, this.hasTrained ? TRAINED_PHASES : PHASES, model.phase);
    const isTraining = model.phase === "training";
    slots.progress.hidden = model.progress === null && model.phase !== "downloading" && !isTraining;
    slots.progress.setAttribute("aria-label", `${isTraining ? "Training" : "Download"} of ${model.name}`);
    const words = inWords(model);
    showBar(slots.progress, model.progress, words.join(", ") || model.phase);
    sayParts(slots["attempt-words"], words);
    say(slots["attempt-reason"], model.reason ?? "");
  }
}
