// One model's card: made once, then kept up to date in place, so that focus, selection and what is open stay as they are.
import { ADVICE, UNKNOWN } from "./advice.js";
import { Attempt } from "./attempt.js";
import { byId, say, sayParts, slotsOf } from "./dom.js";
import { ago, counted, duration, moment, serverNow, size } from "./format.js";
import { showFacts, showStory } from "./inside.js";
import { Versions } from "./versions.js";

export const STATES = { ready: "Ready", loading: "Loading", error: "Failed", unloaded: "Unloaded", not_started: "Not started" };
const RELOADING = { queued: "waiting to reload", downloading: "downloading a new version", verifying: "verifying a new version", training: "training a new version", loading: "loading a new version", warming: "warming a new version" };

/** What ends a command, by the event of the story. */
const OUTCOMES = {
  published: (model) => `Done: version ${model.version} serves.`,
  unchanged: () => "Done: the source has nothing new, the same version serves on.",
  unload: () => "Unloaded.",
  failed: null,
};

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

/** Whose version serves instead, and why, as far as that is known. @param {{source: string, because: {message: string} | null}} fallback */
function fallbackWords({ source, because }) {
  const made = `Serves what ${source.replace(":", " ")} made`;
  return because ? `${made}, because the source failed: ${because.message}` : `${made}: its own source could not be had.`;
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
    this.training = null;
    this.awaited = null;
    this.root.dataset.model = name;
    const title = `model-${name}`;
    this.slots.name.id = title;
    this.slots.name.textContent = name;
    this.slots["inside-name"].textContent = name;
    this.slots.article.setAttribute("aria-labelledby", title);
    this.slots.actions.setAttribute("aria-label", `Actions for ${name}`);
    this.slots.operate.setAttribute("aria-label", `Commands for ${name}`);
    this.attempt = new Attempt(this.slots);
    this.versions = new Versions(this.slots, name, (version) => act(name, "activate", version));
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
    this.attempt.show(model);
    slots.fallback.hidden = !model.load?.fallback;
    if (model.load?.fallback) say(slots.fallback, fallbackWords(model.load.fallback));
    this.showFailure(model);
    slots.calls.hidden = slots.calls.hidden || model.status !== "ready";
    const isLetGo = model.status === "unloaded" || model.status === "not_started";
    const shown = { load: isLetGo, reload: !isLetGo, unload: !isLetGo, rollback: Boolean(this.training), unpin: Boolean(this.training) && this.versions.isPinned };
    for (const button of this.buttons) {
      const wanted = shown[button.dataset.action] ?? true;
      if (!wanted && document.activeElement === button) slots.inside.firstElementChild.focus(); // else the place in the page is lost
      button.hidden = !wanted;
    }
    this.settle(model);
    this.showInside();
  }

  showFailure(model) {
    const { slots } = this;
    const { failure } = model;
    slots.failure.hidden = !failure;
    if (!failure) return;
    const [title, advice] = ADVICE[failure.type] ?? UNKNOWN;
    const isBefore = model.stale && !model.load?.fallback;
    say(slots["failure-title"], isBefore ? `${title}. The version before serves on.` : title);
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
    const shown = JSON.stringify({ ...this.model, bytes_done: 0, progress: 0, eta_s: 0, reason: null });
    if (this.shownInside === shown) return;
    this.shownInside = shown;
    showFacts(this.slots.facts, this.model);
    showStory(this.slots.story, this.model.story);
    this.refreshVersions();
  }

  /** Versions change without a word of the model: another run is published, or one is pinned. */
  refreshVersions() {
    if (this.isOpen) this.versions.refresh(this.training);
  }

  /** @param {string | null} training that stands behind the model */
  setTraining(training) {
    if (this.training === training) return;
    this.training = training;
    if (this.model) this.show(this.model);
    this.refreshVersions();
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
    const outcomes = since.filter((line) => line.event in OUTCOMES);
    // A watched source is asked once more right after: that this finds nothing new is not what came of the command.
    const outcome = outcomes.findLast((line) => line.event !== "unchanged") ?? outcomes.at(-1);
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
    this.versions.setLocked(isLocked);
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
