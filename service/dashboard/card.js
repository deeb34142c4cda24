// One model's card: made once, then kept up to date in place, so that focus, selection and what is open stay as they are.
import { ADVICE, UNKNOWN } from "./advice.js";
import { byId, el, say, sayParts } from "./dom.js";
import { ago, counted, duration, moment, serverNow, size } from "./format.js";
import { showFacts, showStory, showVersions } from "./inside.js";

export const STATES = { ready: "Ready", loading: "Loading", error: "Failed", unloaded: "Unloaded", not_started: "Not started" };
const PHASES = ["queued", "downloading", "verifying", "loading", "warming", "live"];
const RELOADING = { queued: "waiting to reload", downloading: "downloading a new version", verifying: "verifying a new version", training: "training a new version", loading: "loading a new version", warming: "warming a new version" };

/** What ends a command, by the event of the story. */
const OUTCOMES = {
  published: (model) => `Done: version ${model.version} serves.`,
  unchanged: () => "Done: the source has nothing new, the same version serves on.",
  unload: () => "Unloaded.",
  failed: null,
};

/** Slots of a cloned template by name. */
const slotsOf = (root) => Object.fromEntries([...root.querySelectorAll("[data-slot]")].map((node) => [node.dataset.slot, node]));

/** What a model is, in a few words. */
function summary(model) {
  const { details, family } = model;
  const words = [];
  if (family) words.push(family);
  if (details?.users !== undefined) words.push(counted(details.users, "user"));
  if (details?.items !== undefined) words.push(counted(details.items, "item"));
  if (details?.features) words.push(counted(details.features, "feature"));
  if (Array.isArray(details?.classes)) words.push(counted(details.classes.length, "class", "classes"));
  if (model.segment_bytes) words.push(`${size(model.segment_bytes)} in memory`);
  if (model.loaded_at) words.push(`loaded ${ago(model.loaded_at)}`);
  if (!words.length) words.push(model.source);
  return words;
}

function stateWords(model) {
  if (model.status === "ready" && model.phase) return `Ready, ${RELOADING[model.phase] ?? model.phase}`;
  if (model.status === "loading" && model.phase) return `Loading: ${model.phase}`;
  if (model.phase === "draining") return `${STATES[model.status]}: last calls end`;
  return STATES[model.status] ?? model.status;
}

function attemptWords(model) {
  const { bytes_done: done, bytes_total: total, eta_s: eta } = model;
  const words = [];
  if (done !== null) words.push(total !== null ? `${size(done)} of ${size(total)}` : size(done));
  if (model.progress !== null) words.push(`${Math.floor(model.progress * 100)}%`);
  if (eta > 0 && total !== null && done !== null) words.push(`${size((total - done) / eta)}/s`, `${duration(Math.ceil(eta))} left`);
  return words;
}

function nextAttempt(failure) {
  const tried = failure.attempts > 1 ? `Failed ${failure.attempts} times in a row. ` : "";
  if (failure.type === "part_unavailable") return "It serves again as soon as its parts do.";
  if (!failure.next_attempt_at) return `${tried}It is not tried again by itself: not before the source changes, or somebody asks.`;
  const seconds = Math.ceil((Date.parse(failure.next_attempt_at) - serverNow()) / 1000);
  return tried + (seconds > 0 ? `Next attempt in ${duration(seconds)}.` : "Next attempt now.");
}

/** A card; `act(name, action)` is called for its buttons. */
export class Card {
  constructor(name, act) {
    const fragment = byId("card").content.cloneNode(true);
    this.root = fragment.firstElementChild;
    this.slots = slotsOf(this.root);
    this.model = null;
    this.awaited = null;
    this.root.dataset.model = name;
    const title = `model-${name}`;
    this.slots.name.id = title;
    this.slots.name.textContent = name;
    this.slots["inside-name"].textContent = name;
    this.slots.article.setAttribute("aria-labelledby", title);
    this.slots.progress.setAttribute("aria-label", `Download of ${name}`);
    this.slots.actions.setAttribute("aria-label", `Actions for ${name}`);
    this.slots.operate.setAttribute("aria-label", `Commands for ${name}`);
    this.buttons = [...this.root.querySelectorAll("[data-action]")];
    for (const button of this.buttons) {
      button.setAttribute("aria-label", `${button.textContent}: ${name}`);
      button.addEventListener("click", () => act(name, button.dataset.action));
    }
    this.slots.inside.addEventListener("toggle", () => this.showInside());
  }

  get isOpen() {
    return this.slots.inside.open;
  }

  /** Show the model's status object. */
  show(model) {
    this.model = model;
    const { slots } = this;
    this.root.dataset.state = model.status;
    slots.icon.setAttribute("href", `#${model.status}`);
    say(slots.state, stateWords(model));
    slots.serves.hidden = model.status !== "ready";
    say(slots.version, model.version ?? "");
    slots.stale.hidden = !model.stale;
    slots.optional.hidden = model.required;
    sayParts(slots.summary, summary(model));
    this.showAttempt(model);
    this.showFailure(model);
    slots.calls.hidden = slots.calls.hidden || model.status !== "ready";
    const isLetGo = model.status === "unloaded" || model.status === "not_started";
    const shown = { load: isLetGo, reload: !isLetGo, unload: !isLetGo };
    for (const button of this.buttons) {
      const wanted = shown[button.dataset.action] ?? true;
      if (!wanted && document.activeElement === button) slots.inside.firstElementChild.focus(); // else the place in the page is lost
      button.hidden = !wanted;
    }
    this.settle(model);
    this.showInside();
  }

  showAttempt(model) {
    const { slots } = this;
    const isRunning = model.phase !== null && model.phase !== "draining";
    slots.attempt.hidden = !isRunning;
    if (!isRunning) return;
    const phases = model.phase === "training" ? ["training", ...PHASES.slice(3)] : PHASES;
    const now = phases.indexOf(model.phase);
    if (slots.line.dataset.phase !== model.phase) {
      slots.line.dataset.phase = model.phase;
      const steps = phases.map((phase, at) => el("li", { "data-step": at < now ? "done" : at === now ? "now" : "next", "aria-current": at === now ? "step" : null }, phase));
      slots.line.replaceChildren(...steps);
    }
    const { progress } = slots;
    progress.hidden = model.progress === null && model.phase !== "downloading";
    if (model.progress === null) progress.removeAttribute("value");
    else progress.value = model.progress;
    const words = attemptWords(model);
    progress.setAttribute("aria-valuetext", words.join(", ") || model.phase);
    sayParts(slots["attempt-words"], words);
    say(slots["attempt-reason"], model.reason ?? "");
  }

  showFailure(model) {
    const { slots } = this;
    const { failure } = model;
    slots.failure.hidden = !failure;
    if (!failure) return;
    const [title, advice] = ADVICE[failure.type] ?? UNKNOWN;
    say(slots["failure-title"], model.stale ? `${title}. The version before serves on.` : title);
    say(slots["failure-type"], failure.type);
    say(slots["failure-message"], failure.message);
    say(slots["failure-advice"], advice);
    slots["failure-next"].title = `Failed at ${moment(failure.at)}`;
    this.tick();
  }

  /** Times that run by themselves. */
  tick() {
    if (this.model?.failure) say(this.slots["failure-next"], nextAttempt(this.model.failure));
    if (this.model) sayParts(this.slots.summary, summary(this.model));
  }

  showInside() {
    if (!this.isOpen || !this.model) return;
    const shown = JSON.stringify({ ...this.model, bytes_done: 0, progress: 0, eta_s: 0 });
    if (this.shownInside === shown) return;
    this.shownInside = shown;
    showFacts(this.slots.facts, this.model);
    showStory(this.slots.story, this.model.story);
    this.fetchVersions();
  }

  async fetchVersions() {
    const response = await fetch(`models/${this.root.dataset.model}/versions`, { cache: "no-store" }).catch(() => null);
    this.slots["versions-section"].hidden = !response?.ok;
    if (response?.ok) showVersions(this.slots.versions, await response.json());
  }

  /** A command is about to be sent: what comes of it is told when the model is at rest again. */
  expect() {
    this.awaited = this.model.story.at(-1)?.at ?? "";
  }

  expectNothing() {
    this.awaited = null;
  }

  get isExpecting() {
    return this.awaited !== null;
  }

  /** What came of the command that was sent last, once that is known. */
  settle(model) {
    if (!this.isExpecting || (model.phase !== null && model.phase !== "draining")) return;
    const since = model.story.filter((line) => line.at > this.awaited);
    const outcome = since.findLast((line) => line.event in OUTCOMES);
    if (!outcome) return;
    this.awaited = null;
    const isGood = outcome.event !== "failed";
    this.tell(isGood ? OUTCOMES[outcome.event](model) : "It failed: the reason stands above.", isGood ? "good" : "bad");
  }

  /** Say what came of a command. @param {"good" | "bad" | "busy"} kind */
  tell(words, kind) {
    this.slots.outcome.dataset.kind = kind;
    say(this.slots.outcome, words);
  }

  /** Whether commands can be sent; without a token the buttons look so, say so, and ask for it. */
  setLocked(isLocked) {
    this.slots.locked.hidden = !isLocked;
    for (const button of this.buttons) {
      if (button.dataset.admin === undefined) continue;
      button.toggleAttribute("data-locked", isLocked);
      button.title = isLocked ? "Asks for the admin token first" : ""; // also what is read aloud after its name
    }
  }

  setBusy(isBusy) {
    for (const button of this.buttons) button.setAttribute("aria-busy", String(isBusy));
  }
}
