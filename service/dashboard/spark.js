// The last two minutes of calls of a model, a bar a second: how long they took, and where some failed.
import { sayParts } from "./dom.js";
import { count, counted, millis } from "./format.js";

const WINDOW_S = 120;
const TOP = 2;
const BASE = 29;

/** One vertical stroke a second, between two heights. */
const stroke = (x, from, to) => `M${x} ${from.toFixed(2)}V${to.toFixed(2)}`;

/**
 * Draw GET /models/{model}/calls into a figure of the card.
 *
 * @param {{window_s: number, totals: Record<string, number>, in_flight: number, seconds: {at: string, calls: number, failed: number,
 *   p50_ms: number | null, p99_ms: number | null}[]}} calls
 * @param {number} now when the server said so, in milliseconds
 */
export function drawCalls(slots, calls, now) {
  const seconds = calls.seconds
    .map((second) => ({ ...second, x: WINDOW_S - 0.5 - Math.floor((now - Date.parse(second.at)) / 1000) }))
    .filter(({ x }) => x >= 0 && x <= WINDOW_S);
  const highest = Math.max(...seconds.map(({ p99_ms }) => p99_ms ?? 0));
  const height = (ms) => BASE - Math.sqrt(ms / (highest || 1)) * (BASE - TOP); // the root, or one slow call makes all others invisible
  const bars = (value) => seconds.filter((second) => second[value] !== null).map((second) => stroke(second.x, BASE, height(second[value]))).join("");
  const [, p99, p50, failed] = slots.spark.children;
  p99.setAttribute("d", bars("p99_ms"));
  p50.setAttribute("d", bars("p50_ms"));
  failed.setAttribute("d", seconds.filter((second) => second.failed > 0).map((second) => stroke(second.x, 30, 24)).join(""));
  const words = inWords(seconds, calls.in_flight, highest);
  sayParts(slots["calls-words"], words);
  slots.spark.setAttribute("aria-label", `Calls of the last two minutes: ${words.join(", ")}`);
  slots.calls.hidden = false;
}

/** How long, and how many. @returns {string[]} */
function inWords(seconds, inFlight, highest) {
  const calls = seconds.reduce((sum, second) => sum + second.calls, 0);
  const failed = seconds.reduce((sum, second) => sum + second.failed, 0);
  const running = inFlight ? `, ${count(inFlight)} in flight` : "";
  if (!calls) return [`no calls in the last 2 min${running}`];
  const many = `${counted(calls, "call")} in 2 min${failed ? `, ${count(failed)} failed` : ""}${running}`;
  const timed = seconds.filter((second) => second.p50_ms !== null).sort((a, b) => a.p50_ms - b.p50_ms);
  if (!timed.length) return [many];
  // The median of the seconds' medians, and a bound: no second's p99 was above it.
  return [`typically ${millis(timed[Math.floor(timed.length / 2)].p50_ms)}, 99% in ${millis(highest)}`, many];
}
