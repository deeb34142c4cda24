// The form that tries a request: which fields a model takes, what is sent, what is answered.
import { byId, el, say } from "./dom.js";
import { millis } from "./format.js";
import { idOf, listOf, parsed, shownId, written } from "./json.js";
import { curlLine } from "./shell.js";
import { Waiting } from "./waiting.js";

const SHOWN_HEADERS = ["Retry-After", "Preference-Applied", "Content-Type"];
const MEANINGS = { 200: "Answered", 202: "On its way: not ready yet", 400: "The body is not JSON", 404: "Not found", 413: "Too large", 422: "A field cannot be used", 429: "Too many calls at once", 503: "Not available", 504: "The answer took too long" };
const SUBJECTS = {
  user_id: ["User id", "Digits are a number; write \"1\" in quotes for a text."],
  users: ["User ids", "Separated by commas; an answer each."],
  liked: ["Items that somebody likes", "Ids separated by commas; for somebody whom the model does not know."],
  similar: ["Item id", "Items like this one."],
};
const SHOWN_CHARACTERS = 200_000;

const subject = () => document.querySelector("input[name=subject]:checked").value;

/** Whether the model predicts rows; null where that is not known before it is loaded. */
function predictsRows(model) {
  if (model?.details) return model.details.features !== undefined || model.family === "hosted";
  return { trees: true, linear: true, hosted: true, factors: false, neighbours: false, hybrid: false }[model?.family] ?? false;
}

/** Rows of zeros that have the right shape, from what the status says. */
function exampleRows(model) {
  const names = model?.details?.feature_names;
  if (Array.isArray(names) && !names.includes("...")) return [Object.fromEntries(names.map((name) => [name, 0]))];
  return [Array(Math.min(model?.details?.features ?? 3, 500)).fill(0)];
}

/** JSON of rows, to be changed by hand: a list a line, or a name a line. */
function writtenRows(rows) {
  const lines = rows.map((row) => (Array.isArray(row) ? written(row) : written(row, 2)));
  return `[${lines.join(",\n")}]`;
}

export class Ask {
  /** @param {() => Map<string, any>} models the status objects as they are now */
  constructor(models) {
    this.models = models;
    this.examples = new Map();
    this.filledFor = "";
    this.isTyped = this.isKindChosen = false; // by a person, for this model: what it proposes must not replace that
    this.waiting = new Waiting(() => this.send());
    byId("ask-form").addEventListener("submit", (event) => {
      event.preventDefault();
      this.waiting.stop();
      this.send();
    });
    byId("ask-form").addEventListener("input", (event) => {
      if (event.target.matches("#ask-subject, #ask-instances")) this.isTyped = true;
      this.showCurl();
    });
    byId("ask-model").addEventListener("change", () => this.start());
    for (const choice of document.querySelectorAll("input[name=subject]")) {
      choice.addEventListener("change", () => {
        this.isKindChosen = true;
        this.isTyped = false;
        this.fillSubject();
      });
    }
    byId("curl-copy").addEventListener("click", () => this.copy());
  }

  get model() {
    return this.models().get(byId("ask-model").value);
  }

  /** The models to choose from. */
  offer(names) {
    const select = byId("ask-model");
    if (select.dataset.names === names.join()) return this.refill();
    const chosen = select.value;
    select.dataset.names = names.join();
    select.replaceChildren(...names.map((name) => el("option", { value: name }, name)));
    const ready = names.find((name) => this.models().get(name).status === "ready");
    select.value = names.includes(chosen) ? chosen : (ready ?? names[0] ?? "");
    byId("ask").hidden = names.length === 0;
    return select.value === chosen ? this.refill() : this.start();
  }

  choose(name) {
    byId("ask-model").value = name;
    this.start();
    byId("ask-title").scrollIntoView({ block: "nearest" });
    byId("ask-send").focus();
  }

  /** The form for a model that was chosen just now; what was asked of another one is not asked again. */
  start() {
    this.isTyped = this.isKindChosen = false;
    this.waiting.stop();
    return this.fill();
  }

  /** Once more where the model has become another one since: what it takes is known only when it is loaded. */
  refill() {
    if (this.filledFor !== `${this.model?.name} ${this.model?.version}`) this.fill();
  }

  async fill() {
    const { model } = this;
    if (!model) return;
    this.filledFor = `${model.name} ${model.version}`;
    const rows = predictsRows(model);
    if (byId("ask-estimator").hidden === rows) this.isTyped = false; // the fields are others now
    byId("ask-recommender").hidden = rows;
    byId("ask-estimator").hidden = !rows;
    const example = await this.exampleOf(model);
    if (this.model?.name !== model.name || this.isTyped) return;
    if (rows) {
      const text = writtenRows(example?.body?.instances ?? exampleRows(model));
      byId("ask-instances").value = text;
      byId("ask-instances").rows = Math.min(14, Math.max(4, text.split("\n").length));
    } else {
      const kind = example?.body?.liked ? "liked" : "user_id";
      if (!this.isKindChosen) document.querySelector(`input[name=subject][value=${kind}]`).checked = true;
      this.fillSubject();
    }
    this.showCurl();
  }

  /** A request that the model itself proposes. */
  async exampleOf(model) {
    if (model.status !== "ready") return null;
    const key = this.filledFor; // another model may be chosen before the answer is there
    if (!this.examples.has(key)) {
      const response = await fetch(`models/${model.name}/example`, { cache: "no-store" }).catch(() => null);
      this.examples.set(key, response?.status === 200 ? parsed(await response.text()) : null);
    }
    return this.examples.get(key);
  }

  fillSubject() {
    const example = this.examples.get(this.filledFor);
    const kind = subject();
    const user = shownId(example?.body?.user_id ?? 1);
    const item = shownId(example?.item_id ?? 1);
    const [label, hint] = SUBJECTS[kind];
    byId("ask-subject").value = { user_id: user, users: user, liked: item, similar: item }[kind];
    say(byId("ask-subject-label"), label);
    say(byId("ask-subject-hint"), hint);
    this.showCurl();
  }

  /** What would be sent now. Throws an Error for a person where that cannot be said. */
  request() {
    const name = byId("ask-model").value;
    const post = (body) => ({ method: "POST", path: `models/${name}/predict`, body: written(body) });
    if (!byId("ask-estimator").hidden) {
      try {
        return post({ instances: parsed(byId("ask-instances").value) });
      } catch (error) {
        throw new Error(`The rows are not JSON: ${error.message}`, { cause: error });
      }
    }
    const text = byId("ask-subject").value;
    const kind = subject();
    if (!text.trim()) throw new Error(`${SUBJECTS[kind][0]}: give at least one.`);
    const fields = this.fields();
    if (kind === "similar") {
      const query = new URLSearchParams();
      for (const [field, value] of Object.entries(fields)) for (const one of [value].flat()) query.append(field, one);
      for (const field of ["exclude_seen", "explain"]) query.delete(field);
      return { method: "GET", path: `models/${name}/similar/${encodeURIComponent(idOf(text))}?${query}`, body: null };
    }
    return post({ [kind]: kind === "user_id" ? idOf(text) : listOf(text), ...fields });
  }

  fields() {
    const fields = {};
    const numbers = { k: "ask-k", diversity: "ask-diversity" };
    for (const [field, id] of Object.entries(numbers)) if (byId(id).value !== "") fields[field] = Number(byId(id).value);
    const ids = { exclude: "ask-exclude", only: "ask-only" };
    for (const [field, id] of Object.entries(ids)) if (byId(id).value.trim()) fields[field] = listOf(byId(id).value);
    const words = { categories: "ask-categories", fields: "ask-fields" };
    for (const [field, id] of Object.entries(words)) if (byId(id).value.trim()) fields[field] = listOf(byId(id).value, (word) => word);
    if (byId("ask-seen").value) fields.exclude_seen = byId("ask-seen").value === "true";
    if (byId("ask-explain").checked) fields.explain = true;
    return fields;
  }

  showCurl() {
    try {
      const { method, path, body } = this.request();
      say(byId("curl"), curlLine({ method, url: new URL(path, document.baseURI).href, body }));
    } catch (error) {
      say(byId("curl"), error.message);
    }
    say(byId("curl-copied"), "");
  }

  async copy() {
    try {
      await navigator.clipboard.writeText(byId("curl").textContent);
      say(byId("curl-copied"), "Copied");
    } catch {
      getSelection().selectAllChildren(byId("curl")); // no clipboard without https: it is selected, to be copied by hand
      say(byId("curl-copied"), "Selected: copy it with the keyboard");
    }
  }

  async send() {
    const complaint = byId("ask-complaint");
    complaint.hidden = true;
    let request;
    try {
      request = this.request();
    } catch (error) {
      complaint.textContent = error.message;
      complaint.hidden = false;
      return;
    }
    byId("ask-send").setAttribute("aria-busy", "true");
    const began = performance.now();
    try {
      const headers = request.body === null ? {} : { "Content-Type": "application/json" };
      const response = await fetch(request.path, { method: request.method, headers, body: request.body, cache: "no-store" });
      const text = await response.text();
      this.show(response, text, performance.now() - began);
    } catch {
      complaint.textContent = "The server cannot be reached.";
      complaint.hidden = false;
    }
    byId("ask-send").removeAttribute("aria-busy");
  }

  show(response, text, took) {
    const { status } = response;
    byId("answer").hidden = false;
    byId("answer").dataset.kind = status === 202 ? "wait" : response.ok ? "ok" : "bad";
    say(byId("answer-status"), String(status));
    let body = null;
    try {
      body = parsed(text);
    } catch {
      body = null; // shown as it is
    }
    say(byId("answer-meaning"), body?.title ?? MEANINGS[status] ?? response.statusText);
    say(byId("answer-time"), `in ${millis(took)}`);
    const sent = SHOWN_HEADERS.filter((name) => response.headers.has(name));
    byId("answer-headers").replaceChildren(...sent.flatMap((name) => [el("dt", {}, name), el("dd", {}, response.headers.get(name))]));
    const pretty = body === null ? text : written(body, 2);
    say(byId("answer-body"), pretty.length > SHOWN_CHARACTERS ? `${pretty.slice(0, SHOWN_CHARACTERS)}\n… ${pretty.length} characters in all` : pretty);
    this.waiting.follow(response, body);
  }
}
