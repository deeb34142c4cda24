// Commands: the token, which stays in this tab's session storage, and what came of each command in words.
import { byId, say } from "./dom.js";

const KEY = "holdfast-admin-token";

/** Told whenever there is a token or none any more. @type {Set<() => void>} */
const listeners = new Set();

export const onToken = (listener) => listeners.add(listener);
export const hasToken = () => Boolean(sessionStorage.getItem(KEY));

function keep(token) {
  if (token) sessionStorage.setItem(KEY, token);
  else sessionStorage.removeItem(KEY);
  say(byId("token-word"), token ? "Token set" : "Admin token");
  byId("token-forget").hidden = !token;
  for (const listener of listeners) listener();
}

/** Open the panel; `complaint` says why it is asked for, where it is. */
export function askForToken(complaint = "") {
  byId("token-panel").hidden = false;
  byId("token-button").setAttribute("aria-expanded", "true");
  byId("token-complaint").hidden = !complaint;
  byId("token-complaint").textContent = complaint;
  byId("token").focus();
}

function closePanel() {
  byId("token-panel").hidden = true;
  byId("token-button").setAttribute("aria-expanded", "false");
}

/** Wire the panel at the top of the page. */
export function startToken() {
  byId("token-button").addEventListener("click", () => (byId("token-panel").hidden ? askForToken() : closePanel()));
  byId("token-panel").addEventListener("submit", (event) => {
    event.preventDefault();
    const token = byId("token").value.trim();
    if (!token) return askForToken("Enter the token that the server was started with (ADMIN_LOAD_TOKEN).");
    keep(token);
    byId("token").value = "";
    closePanel();
    byId("token-button").focus();
  });
  byId("token-forget").addEventListener("click", () => {
    keep("");
    closePanel();
    byId("token-button").focus();
  });
  byId("token-panel").addEventListener("keydown", (event) => {
    if (event.key !== "Escape") return;
    closePanel();
    byId("token-button").focus();
  });
  keep(sessionStorage.getItem(KEY) ?? "");
}

/** A question before something that hurts. @returns {Promise<boolean>} */
export function confirmed(title, words, yes) {
  const dialog = byId("confirm");
  byId("confirm-title").textContent = title;
  byId("confirm-words").textContent = words;
  byId("confirm-yes").textContent = yes;
  dialog.returnValue = "";
  dialog.showModal();
  byId("confirm-no").focus();
  return new Promise((resolve) => {
    byId("confirm-no").onclick = () => dialog.close("no");
    byId("confirm-yes").onclick = () => dialog.close("yes");
    dialog.onclose = () => resolve(dialog.returnValue === "yes");
  });
}

/** What a refusal means, for a person. @param {Response} response */
function refusal(response, problem) {
  const wait = response.headers.get("Retry-After");
  if (response.status === 401) return "The server does not accept this token.";
  if (response.status === 403) return `This server takes no commands: ${problem.detail}`;
  if (response.status === 429) return `Too many attempts with a wrong token from here. ${wait ? `Try again in ${wait} s.` : "Try again later."}`;
  return problem.detail || problem.title || `The server answered ${response.status}.`;
}

/** A header is made of bytes, here those of UTF-8: else a letter that no header has would look like a server that is gone. */
const bytesOf = (text) => String.fromCharCode(...new TextEncoder().encode(text));

/**
 * Send one command. @returns {Promise<{ok: boolean, words: string, body: any}>} `words` are empty where it was accepted.
 */
export async function command(method, path) {
  let response;
  try {
    response = await fetch(path, { method, headers: { "X-ADMIN-TOKEN": bytesOf(sessionStorage.getItem(KEY) ?? "") }, cache: "no-store" });
  } catch {
    return { ok: false, words: "The server cannot be reached.", body: null };
  }
  const body = await response.json().catch(() => ({}));
  if (response.ok) return { ok: true, words: "", body };
  const words = refusal(response, body);
  if (response.status === 401) {
    keep("");
    askForToken(words);
  }
  return { ok: false, words, body };
}
