// Numbers and times in words, the same everywhere on the page.

const UNITS = ["B", "KiB", "MiB", "GiB", "TiB"];

const CLOCK_JITTER_MS = 2000; // a Date header has whole seconds, and was on its way

let serverIsAheadMs = 0;

/** Take the server's clock for what is told relative to now: a reader's own may be minutes off. @param {string | null} date a Date header */
export function setClock(date) {
  const ahead = Date.parse(date ?? "") - Date.now();
  if (!Number.isNaN(ahead)) serverIsAheadMs = Math.abs(ahead) > CLOCK_JITTER_MS ? ahead : 0;
}

/** Now by the server's clock, in milliseconds. */
export const serverNow = () => Date.now() + serverIsAheadMs;

/** 1536 -> "1.5 KiB" @param {number} bytes */
export function size(bytes) {
  let value = bytes;
  let unit = 0;
  while (value >= 1023.5 && unit < UNITS.length - 1) {
    value /= 1024;
    unit += 1;
  }
  return `${unit === 0 || value >= 99.95 ? Math.round(value) : value.toFixed(1)} ${UNITS[unit]}`;
}

/** 93 -> "1 min 33 s" @param {number} seconds */
export function duration(seconds) {
  if (seconds < 1) return `${Math.round(seconds * 1000)} ms`;
  if (seconds < 10 && !Number.isInteger(seconds)) return `${seconds.toFixed(1)} s`;
  const whole = Math.round(seconds);
  if (whole < 60) return `${whole} s`;
  if (whole < 3600) return whole % 60 ? `${Math.floor(whole / 60)} min ${whole % 60} s` : `${whole / 60} min`;
  const minutes = Math.round(whole / 60);
  if (minutes < 1440) return minutes % 60 ? `${Math.floor(minutes / 60)} h ${minutes % 60} min` : `${minutes / 60} h`;
  return `${Math.floor(minutes / 1440)} d ${Math.floor((minutes % 1440) / 60)} h`;
}

/** Milliseconds with as many digits as mean something. @param {number} ms */
export function millis(ms) {
  if (ms >= 10_000) return `${(ms / 1000).toFixed(1)} s`;
  return `${ms >= 100 ? Math.round(ms) : ms >= 10 ? ms.toFixed(1) : ms.toFixed(2)} ms`;
}

/** "just now", "4 min ago" @param {string} at RFC 3339 */
export function ago(at) {
  const seconds = (serverNow() - Date.parse(at)) / 1000;
  if (seconds < 5) return "just now";
  if (seconds < 60) return `${Math.floor(seconds)} s ago`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ago`;
  if (seconds < 86_400) return `${Math.floor(seconds / 3600)} h ago`;
  return `${Math.floor(seconds / 86_400)} d ago`;
}

/** The time of day, in the reader's own zone. @param {string} at RFC 3339 */
export const clock = (at) => new Date(at).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit", second: "2-digit", hour12: false });

/** Date and time, in the reader's own zone. @param {string} at RFC 3339 */
export const moment = (at) => new Date(at).toLocaleString([], { dateStyle: "medium", timeStyle: "medium" });

/** 12345 -> "12,345" @param {number} value */
export const count = (value) => value.toLocaleString("en");

/** A count and its noun. @param {number} value */
export const counted = (value, one, many = `${one}s`) => `${count(value)} ${value === 1 ? one : many}`;

/** A number of a model with as many digits as can be read. @param {number} value */
export const number = (value) => (Number.isInteger(value) ? count(value) : String(Number(value.toPrecision(4))));
