// One training: its last run or the one of this moment, and the buttons that train and cancel.
import { askForToken, command, confirmed, hasToken } from "./admin.js";
import { showBar, showLine } from "./attempt.js";
import { byId, el, peakOf, say, sayParts, slotsOf } from "./dom.js";
import { askedBy, failureOf, isOver, phaseWord, runWords, showStatus } from "./runs.js";
import { rulesOf, verdictWord } from "./verdict.js";

const PHASES = ["reading data", "splitting", "fitting", "measuring", "publishing"];
const NO_TOKEN = "Commands need the admin token. Enter it, and try again.";

/** What came of a run that was asked for here: [words, kind]. */
function outcomeOf(run) {
  if (run.status === "published") return [run.reason ? `Version ${run.version}: ${run.reason}.` : `Done: version ${run.version} is published.`, "good"];
  if (run.status === "skipped") return [`Nothing to do: ${run.reason}.`, "good"];
  if (run.status === "cancelled") return ["Cancelled. What serves goes on.", "good"];
  if (run.status === "refused") return ["Refused by the gate: nothing changed. The figures stand above.", "bad"];
  return ["It failed: the reason stands above.", "bad"];
}

export class Trained {
  /** @param {string} name of the training @param {() => string} asked whom a run is asked of: the model or the training */
  constructor(name, asked) {
    this.name = name;
    this.asked = asked;
    this.run = null;
    this.awaited = null;
    this.root = byId("trained").content.cloneNode(true).firstElementChild;
    this.slots = slotsOf(this.root);
    this.root.dataset.training = name;
    const title = `training-${name}`;
    this.slots.name.id = title;
    this.slots.name.textContent = name;
    this.slots.group.setAttribute("aria-labelledby", title);
    this.slots.progress.setAttribute("aria-label", `Training of ${name}`);
    this.slots.line.setAttribute("aria-label", `Phases of the run of ${name}`);
    this.buttons = [...this.root.querySelectorAll("[data-action]")];
    const actions = { train: () => this.train(false), force: () => this.train(true), cancel: () => this.cancel() };
    for (const button of this.buttons) {
      button.setAttribute("aria-label", `${button.textContent}: ${name}`);
      button.addEventListener("click", actions[button.dataset.action]);
    }
  }

  /** @param {any} run the newest of it; null where there is none */
  show(run) {
    this.run = run;
    const { slots } = this;
    this.root.dataset.status = run?.status ?? "none";
    slots.live.hidden = !run || isOver(run);
    const shown = { train: !run || isOver(run), force: run?.status === "refused", cancel: run && !isOver(run) };
    for (const button of this.buttons) {
      const wanted = Boolean(shown[button.dataset.action]);
      if (!wanted && document.activeElement === button) slots.name.focus(); // else the place in the page is lost
      button.hidden = !wanted;
    }
    if (!run) {
      sayParts(slots.summary, ["no run so far"]);
      return;
    }
    showStatus(slots.state, run);
    this.tick();
    if (!isOver(run)) this.showLive(run);
    this.showEnd(run);
    if (run.id === this.awaited && isOver(run)) {
      this.awaited = null;
      this.tell(...outcomeOf(run));
    }
  }

  showLive(run) {
    const { slots } = this;
    showLine(slots.line, PHASES, phaseWord(run));
    slots.progress.hidden = run.status === "queued";
    const share = run.progress === null ? [] : [`${Math.floor(run.progress * 100)}%`];
    const words = [run.step ?? run.reason, ...share].filter(Boolean);
    showBar(slots.progress, run.progress, words.join(", "));
    sayParts(slots["live-words"], words);
  }

  /** What its end was, where that needs more than a word. */
  showEnd(run) {
    const said = `${run.id} ${run.status} ${run.peak_bytes}`;
    if (this.said === said) return;
    this.said = said;
    const end = [];
    if (run.failure) end.push(failureOf(run));
    if (run.status === "refused" && run.verdict) {
      const no = run.verdict.rules.filter(({ passed }) => passed === false);
      end.push(el("div", { class: "failure" }, el("p", { class: "failure-title" }, el("strong", {}, `${verdictWord(run.verdict)}: nothing changed`)), rulesOf(no)));
    }
    if (run.peak_bytes !== null && isOver(run)) end.push(el("p", { class: "note peak" }, "Memory at its peak: ", peakOf(run.peak_bytes, run.cap_bytes)));
    this.slots.end.replaceChildren(...end);
  }

  /** Times that run by themselves. */
  tick() {
    const { run } = this;
    if (!run) return;
    const words = [run.algorithm, ...runWords(run)];
    if (run.requested_by) words.push(askedBy(run));
    sayParts(this.slots.summary, words);
  }

  async train(force) {
    if (!hasToken()) return askForToken(NO_TOKEN);
    if (force && !(await this.insists())) return;
    const answer = await this.send(`models/${this.asked()}/train${force ? "?force=true" : ""}`);
    if (!answer.ok) return this.tell(answer.words, "bad");
    this.awaited = answer.body.run.id;
    if (this.run?.id === this.awaited && isOver(this.run)) this.show(this.run); // its end was told before this answer was read
    else this.tell("Accepted: it is trained.", "busy");
  }

  insists() {
    const rules = this.run.verdict?.rules.filter(({ passed }) => passed === false).map(({ message }) => message) ?? [];
    const because = rules.length ? ` The gate refused the last one: ${rules.join("; ")}.` : "";
    const words = `It is trained again, and what comes of it is published and serves, whatever the gate says.${because} The run records who wanted it.`;
    return confirmed(`Train ${this.name}, and publish it anyway?`, words, "Publish it anyway");
  }

  async cancel() {
    if (!hasToken()) return askForToken(NO_TOKEN);
    const { id } = this.run;
    const answer = await this.send(`training/runs/${id}/cancel`);
    if (!answer.ok) return this.tell(answer.words, "bad");
    this.awaited = id;
    if (this.run.id === id && isOver(this.run)) this.show(this.run);
    else this.tell("Accepted: it is cancelled.", "busy");
  }

  async send(path) {
    for (const button of this.buttons) button.setAttribute("aria-busy", "true");
    this.tell("Sending…", "busy");
    const answer = await command("POST", path);
    for (const button of this.buttons) button.setAttribute("aria-busy", "false");
    return answer;
  }

  /** @param {"good" | "bad" | "busy"} kind */
  tell(words, kind) {
    this.slots.outcome.dataset.kind = kind;
    say(this.slots.outcome, words);
  }

  setLocked(isLocked) {
    for (const button of this.buttons) {
      button.toggleAttribute("data-locked", isLocked);
      button.title = isLocked ? "Asks for the admin token first" : "";
    }
  }
}
