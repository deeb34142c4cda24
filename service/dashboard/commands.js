// What the buttons of a card do.
import { askForToken, command, confirmed, hasToken } from "./admin.js";
import { size } from "./format.js";

const COMMANDS = {
  load: { method: "POST", path: "load", done: "Accepted: it is loaded." },
  unload: {
    method: "POST",
    path: "unload",
    done: "Accepted: it is unloaded.",
    ask: ["Unload", "Requests for it are answered with 503 until it is loaded again. Calls that run now are finished.", "Unload"],
  },
  reload: { method: "POST", path: "reload", done: "Accepted: the source is asked." },
  force: { method: "POST", path: "reload?force=true", done: "Accepted: it is loaded again." },
  rollback: {
    method: "POST",
    path: "rollback",
    done: "Accepted: the version before is loaded.",
    ask: ["Roll back", "The version before is loaded and serves, pinned: training goes on, but nothing replaces it before it is unpinned or another one is activated.", "Roll back"],
  },
  unpin: { method: "POST", path: "rollback?unpin=true", done: "Unpinned: the next version that is published serves.", isAtOnce: true },
  clear: { method: "DELETE", path: "cache", done: "Cache cleared.", isAtOnce: true },
};

/** To serve one of the versions that are kept. @param {string} version */
const activation = (version) => ({
  method: "POST",
  path: `activate?version=${encodeURIComponent(version)}`,
  done: `Accepted: version ${version} is loaded.`,
  ask: ["Activate", `Version ${version} is loaded and serves. Nothing is pinned afterwards: the next version that is published follows it.`, "Activate"],
});

/** Carry a command out for a card: ask for the token or a confirmation where that is needed, and say what came of it. */
export async function carryOut(card, name, action, version = "") {
  const wanted = action === "activate" ? activation(version) : COMMANDS[action];
  if (!hasToken()) return askForToken("Commands need the admin token. Enter it, and try again.");
  if (wanted.ask) {
    const [title, words, yes] = wanted.ask;
    if (!(await confirmed(`${title} ${name}?`, words, yes))) return;
  }
  const isAttempt = !wanted.isAtOnce;
  if (isAttempt) card.expect();
  card.setBusy(true);
  card.tell("Sending…", "busy");
  const { ok, words, body } = await command(wanted.method, `models/${name}/${wanted.path}`);
  card.setBusy(false);
  if (["rollback", "unpin", "activate"].includes(action)) card.refreshVersions();
  const freed = ok && typeof body.freed_bytes === "number" ? ` ${size(body.freed_bytes)} freed.` : "";
  // Where the model is at rest already, events have told what came of it before this answer was read.
  if (ok && isAttempt && !card.isExpecting) return;
  if (!ok) card.expectNothing();
  card.tell(ok ? wanted.done + freed : words, ok ? "good" : "bad");
}
