// A request that was answered "not yet": how far it is, and asking again when the server said to.
import { byId, say } from "./dom.js";
import { duration, size } from "./format.js";

export class Waiting {
  /** @param {() => void} again */
  constructor(again) {
    this.again = again;
    this.timer = 0;
    this.tries = 0;
    byId("answer-stop").addEventListener("click", () => this.stop());
    byId("ask-again").addEventListener("change", () => {
      if (!byId("ask-again").checked) this.stop();
    });
  }

  stop() {
    clearInterval(this.timer);
    this.tries = 0;
    byId("answer-stop").hidden = true;
    say(byId("answer-waiting-words"), "Not asked again.");
  }

  /** After each answer: a 202, a 429 or a 503 with Retry-After is asked again at the time it names, if that is wanted. */
  follow(response, body) {
    clearInterval(this.timer);
    const after = Number(response.headers.get("Retry-After"));
    const isWaiting = [202, 429, 503].includes(response.status) && after > 0;
    byId("answer-waiting").hidden = !isWaiting;
    if (!isWaiting) {
      this.tries = 0;
      return;
    }
    const progress = byId("answer-progress");
    progress.hidden = response.status !== 202;
    if (typeof body?.progress === "number") progress.value = body.progress;
    else progress.removeAttribute("value");
    const how = this.inWords(response.status, body);
    if (!byId("ask-again").checked) {
      byId("answer-stop").hidden = true;
      say(byId("answer-waiting-words"), `${how} The server says to come back in ${duration(after)}.`);
      return;
    }
    this.tries += 1;
    byId("answer-stop").hidden = false;
    this.countDown(how, Date.now() + after * 1000);
  }

  countDown(how, at) {
    const tick = () => {
      const left = Math.ceil((at - Date.now()) / 1000);
      say(byId("answer-waiting-words"), `${how} Asked ${this.tries === 1 ? "once" : `${this.tries} times`}; again in ${Math.max(left, 0)} s.`);
      if (left > 0) return;
      clearInterval(this.timer);
      this.again();
    };
    this.timer = setInterval(tick, 250);
    tick();
  }

  inWords(status, body) {
    if (status !== 202) return "It may be answered later.";
    const far = typeof body?.bytes_done === "number" && typeof body?.bytes_total === "number" ? `, ${size(body.bytes_done)} of ${size(body.bytes_total)}` : "";
    const left = typeof body?.eta_s === "number" ? `, about ${duration(Math.ceil(body.eta_s))} left` : "";
    return `The model is ${body?.phase ?? "loading"}${far}${left}.`;
  }
}
