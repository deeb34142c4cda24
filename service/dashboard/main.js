// Where the parts of the page meet: the models as the server tells of them, and a card for each.
import { hasToken, onToken, startToken } from "./admin.js";
import { Ask } from "./ask.js";
import { Card, STATES } from "./card.js";
import { carryOut } from "./commands.js";
import { byId, say } from "./dom.js";
import { Filters } from "./filters.js";
import { follow } from "./live.js";
import { showConnection, showHealth, showServer, showUptime } from "./server.js";
import { drawCalls } from "./spark.js";
import { Training } from "./training.js";

const CALLS_MS = 4000;
const FIRST_MS = 500;
const SETTLED_MS = 200;

/** @type {Map<string, any>} name -> status object */
const models = new Map();
/** @type {Map<string, Card>} */
const cards = new Map();
/** Names of the cards that can be seen now: calls are asked for these alone. @type {Set<string>} */
const visible = new Set();
let healthTimer = 0;

const ask = new Ask(() => models);
const filters = new Filters(() => models, cards);
const watcher = new IntersectionObserver((entries) => {
  for (const { target, isIntersecting } of entries) {
    if (isIntersecting) visible.add(target.dataset.model);
    else visible.delete(target.dataset.model);
  }
});

const training = new Training({
  changed() {
    for (const [name, card] of cards) card.setTraining(training.behind.get(name) ?? null);
  },
  ended(run) {
    for (const [name, card] of cards) if (training.behind.get(name) === run.training) card.refreshVersions();
  },
});

function act(name, action, version) {
  if (action === "try") ask.choose(name);
  else carryOut(cards.get(name), name, action, version);
}

function cardOf(name) {
  if (!cards.has(name)) {
    const card = new Card(name, act);
    cards.set(name, card);
    card.setLocked(!hasToken());
    card.setTraining(training.behind.get(name) ?? null);
    byId("cards").append(card.root);
    watcher.observe(card.root);
  }
  return cards.get(name);
}

function forget(name) {
  watcher.unobserve(cards.get(name).root);
  cards.get(name).root.remove();
  cards.delete(name);
  models.delete(name);
  visible.delete(name);
}

/** One model, as it is now. */
function put(model) {
  const before = models.get(model.name);
  models.set(model.name, model);
  cardOf(model.name).show(model);
  if (before && (before.status !== model.status || before.version !== model.version)) announce(model);
}

function announce(model) {
  const why = model.failure ? `: ${model.failure.type.replaceAll("_", " ")}` : "";
  say(byId("announcer"), `${model.name}: ${STATES[model.status] ?? model.status}${why}`);
}

/** After any change of a state: what is about all of them. */
function settle() {
  filters.apply();
  ask.offer([...models.keys()]);
  byId("empty").hidden = models.size > 0;
  byId("cards").hidden = models.size === 0;
  healthTimer ||= setTimeout(askHealth, SETTLED_MS); // many models change at once when a server starts
}

async function askHealth() {
  healthTimer = 0;
  const response = await fetch("health", { cache: "no-store" }).catch(() => null);
  if (response?.ok) showHealth((await response.json()).status);
}

/** The calls of every model that can be seen now, one after the other; then again after a while. */
async function askCalls() {
  const names = document.hidden ? [] : [...visible].filter((name) => models.get(name)?.status === "ready");
  for (const name of names) {
    const response = await fetch(`models/${name}/calls`, { cache: "no-store" }).catch(() => null);
    if (!response?.ok) break; // the server is away: what asks for everything says so
    const calls = await response.json();
    if (cards.has(name)) drawCalls(cards.get(name).slots, calls, Date.parse(response.headers.get("Date")) || Date.now());
  }
  setTimeout(askCalls, names.length ? CALLS_MS : FIRST_MS);
}

startToken();
onToken(() => {
  for (const card of cards.values()) card.setLocked(!hasToken());
  training.setLocked(!hasToken());
});
follow({
  models(list) {
    const names = new Set(list.map((model) => model.name));
    for (const name of [...models.keys()]) if (!names.has(name)) forget(name);
    list.forEach(put);
    settle();
  },
  model(status) {
    put(status);
    settle();
  },
  progress({ model, ...patch }) {
    const known = models.get(model);
    if (known) put({ ...known, ...patch });
  },
  run: (run) => training.take(run),
  status(document) {
    showServer(document);
    training.refresh();
  },
  connection: showConnection,
});
setInterval(() => {
  showUptime();
  for (const card of cards.values()) card.tick();
  training.tick();
}, 1000);
askCalls();
