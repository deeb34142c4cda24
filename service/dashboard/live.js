// What happens on the server, as it happens: server-sent events, and asking again and again where they do not come through.
import { setClock } from "./format.js";

const POLL_MS = 2000;
const RECONCILE_MS = 10_000;
const REOPEN_MS = 10_000;

/**
 * Follow the server until the page is closed. A page that nobody looks at follows nothing: a browser has six connections to a
 * server for all its tabs, and a stream takes one.
 *
 * hears.run(run): a training run came along. hears.models(list): every model, anew. hears.model(status, transition): one model changed. hears.progress(patch).
 * hears.status(document): GET /status, now and then. hears.connection("live" | "polling" | "offline").
 */
export function follow(hears) {
  let events = null;
  let isLive = false;
  let heard = 0; // events so far: an answer that was asked for before the last of them is old news
  let timer = 0;
  let openedAt = 0;

  async function poll() {
    clearTimeout(timer);
    const heardBefore = heard;
    try {
      const response = await fetch("status", { cache: "no-store", signal: AbortSignal.timeout(8000) });
      if (!response.ok) throw new Error(`GET /status: ${response.status}`);
      setClock(response.headers.get("Date"));
      const status = await response.json();
      hears.status(status);
      if (heard === heardBefore) hears.models(status.models);
      hears.connection(isLive ? "live" : "polling");
    } catch {
      if (!isLive) hears.connection("offline");
      // A stream whose other end is gone without a word (sleep, a proxy) looks open, and would for hours.
      else if (heard === heardBefore) isLive = false;
    }
    // A browser comes back by itself from a cut, but not from an answer that is no stream, nor from one that never comes.
    if (!isLive && !document.hidden && Date.now() - openedAt > REOPEN_MS) open();
    clearTimeout(timer); // of another one that was asked at the same time
    if (!document.hidden) timer = setTimeout(poll, isLive ? RECONCILE_MS : POLL_MS);
  }

  function close() {
    events?.close();
    isLive = false;
  }

  function open() {
    close();
    openedAt = Date.now();
    events = new EventSource("events");
    const listen = (name, tell) =>
      events.addEventListener(name, (event) => {
        heard += 1;
        tell(JSON.parse(event.data));
      });
    listen("snapshot", ({ models }) => hears.models(models));
    listen("transition", (transition) => hears.model(transition.status, transition));
    listen("progress", (patch) => hears.progress(patch));
    listen("run", (run) => hears.run(run));
    events.onopen = () => {
      isLive = true;
      hears.connection("live");
    };
    events.onerror = () => {
      const wasLive = isLive;
      isLive = false;
      if (wasLive) poll();
    };
  }

  function look() {
    if (document.hidden) {
      clearTimeout(timer);
      close();
    } else {
      open();
      poll();
    }
  }

  look();
  document.addEventListener("visibilitychange", look);
}
