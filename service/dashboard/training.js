// The section on training: each training with its run of this moment or the last one, and the list of recent runs.
import { byId, el, say } from "./dom.js";
import { RunRow, isOver, statusWord } from "./runs.js";
import { Trained } from "./trained.js";

const RUNS = 20;
const MORE = 40;
const MOST = 1000; // as many as the server tells at once

async function asked(path) {
  const response = await fetch(path, { cache: "no-store" }).catch(() => null);
  return response?.ok ? response.json() : null;
}

export class Training {
  /** @param {{changed(): void, ended(run: any): void}} hears changed: what stands behind which model; ended: a run that was seen to run */
  constructor(hears) {
    this.hears = hears;
    /** Model -> the training that stands behind it. @type {Map<string, string>} */
    this.behind = new Map();
    /** @type {Map<string, Trained>} */
    this.trained = new Map();
    /** Id -> run, as it was told last. @type {Map<string, any>} */
    this.runs = new Map();
    /** @type {Map<string, RunRow>} */
    this.rows = new Map();
    this.heardAt = new Map();
    this.lookedFor = new Set();
    this.heard = 0;
    this.filter = "";
    this.limit = RUNS;
    this.isLocked = true;
    byId("runs-of").addEventListener("change", () => {
      this.filter = byId("runs-of").value;
      this.limit = RUNS;
      this.show();
      this.refresh();
    });
    byId("runs-more").addEventListener("click", () => {
      this.limit = Math.min(this.limit + MORE, MOST);
      this.refresh();
    });
  }

  /** Ask for everything anew. */
  async refresh() {
    const heardBefore = this.heard;
    const status = await asked("api/ml/status");
    if (!status) return;
    this.arrange(Object.values(status));
    if (!this.trained.size) return;
    const paths = [`training/runs?limit=${this.limit}`, ...(this.filter ? [`training/runs?limit=${this.limit}&training=${this.filter}`] : [])];
    const lists = await Promise.all(paths.map(asked));
    const lasts = await Promise.all(this.unknown(lists[0]).map((name) => asked(`training/runs?limit=1&training=${name}`)));
    const shown = lists.at(-1);
    this.hasMore = shown !== null && shown.runs.length === this.limit && this.limit < MOST;
    // What an event told after these were asked for is newer.
    const runs = [...lists, ...lasts].flatMap((each) => each?.runs ?? []).filter(({ id }) => (this.heardAt.get(id) ?? 0) <= heardBefore);
    for (const run of runs) this.put(run);
    this.show();
  }

  /** The trainings whose last run is older than the list, each asked for once. */
  unknown(list) {
    const listed = new Set(list?.runs.map(({ training }) => training));
    const names = [...this.trained.keys()].filter((name) => list && !listed.has(name) && !this.lookedFor.has(name));
    for (const name of names) this.lookedFor.add(name);
    return names;
  }

  /** A `run` event. */
  take(run) {
    this.heard += 1;
    this.heardAt.set(run.id, this.heard);
    if (!this.trained.has(run.training)) this.refresh();
    this.put(run);
    this.show();
  }

  put(run) {
    const before = this.runs.get(run.id);
    this.runs.set(run.id, run);
    if (!isOver(run) || !before || isOver(before)) return;
    say(byId("announcer"), `Training of ${run.training}: ${statusWord(run)}`);
    this.hears.ended(run);
  }

  /** @param {{model: string | null, training?: string}[]} statuses */
  arrange(statuses) {
    const behind = new Map(statuses.filter(({ training }) => training).map(({ model, training }) => [model, training]));
    const said = JSON.stringify([...behind]);
    if (this.said === said) return;
    this.said = said;
    this.behind = behind;
    for (const known of [this.runs, this.heardAt, this.lookedFor]) known.clear(); // of a server before, with other trainings
    const names = new Set(behind.values());
    for (const [name, { root }] of this.trained) {
      if (names.has(name)) continue;
      root.remove();
      this.trained.delete(name);
    }
    for (const name of names) if (!this.trained.has(name)) this.add(name);
    byId("training").hidden = !names.size;
    if (this.filter && !names.has(this.filter)) this.filter = "";
    const choices = [el("option", { value: "" }, "All trainings"), ...[...names].map((name) => el("option", { value: name }, name))];
    byId("runs-of").replaceChildren(...choices);
    byId("runs-of").value = this.filter;
    this.hears.changed();
  }

  add(name) {
    const made = new Trained(name, () => [...this.behind].find(([, training]) => training === name)?.[0] ?? name);
    made.setLocked(this.isLocked);
    this.trained.set(name, made);
    byId("trainings").append(made.root);
  }

  newest(name) {
    return this.sorted().find((run) => run.training === name) ?? null;
  }

  /** Newest first. */
  sorted() {
    return [...this.runs.values()].sort((a, b) => (a.created_at < b.created_at ? 1 : a.created_at > b.created_at ? -1 : a.id < b.id ? 1 : -1));
  }

  show() {
    for (const { id } of this.sorted().slice(MOST)) this.runs.delete(id);
    for (const [name, trained] of this.trained) trained.show(this.newest(name));
    const shown = this.sorted().filter((run) => !this.filter || run.training === this.filter).slice(0, this.limit);
    const ids = new Set(shown.map(({ id }) => id));
    for (const [id, row] of this.rows) {
      if (ids.has(id)) continue;
      row.root.remove();
      this.rows.delete(id);
    }
    shown.forEach((run, at) => this.place(run, at));
    byId("runs-none").hidden = shown.length > 0;
    byId("runs-more").hidden = !this.hasMore;
  }

  /** A run at its place in the list; what is there already is not moved, or it would lose the focus. */
  place(run, at) {
    const known = this.rows.get(run.id);
    if (known) known.show(run);
    else this.rows.set(run.id, new RunRow(run));
    const { root } = this.rows.get(run.id);
    const list = byId("runs");
    if (list.children[at] !== root) list.insertBefore(root, list.children[at] ?? null);
  }

  tick() {
    for (const trained of this.trained.values()) trained.tick();
    for (const row of this.rows.values()) row.tick();
  }

  setLocked(isLocked) {
    this.isLocked = isLocked;
    for (const trained of this.trained.values()) trained.setLocked(isLocked);
  }
}
