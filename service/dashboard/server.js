// The top bar: what the server says about itself.
import { byId, say } from "./dom.js";
import { duration, size } from "./format.js";

const HEALTH = { ok: "All serving", loading: "Loading", degraded: "Degraded" };
const CONNECTION = { live: "Live", polling: "Asking every 2 s", offline: "Server unreachable", connecting: "Connecting" };

let startedAt = 0;

/** GET /status. */
export function showServer(status) {
  startedAt = Date.now() - status.uptime_s * 1000;
  const { memory } = status;
  const total = memory.container_limit_bytes ?? memory.host_total_bytes;
  const used = memory.host_total_bytes - memory.host_available_bytes;
  say(byId("server-version"), status.version);
  say(byId("server-private"), size(status.workers.reduce((sum, worker) => sum + worker.private_bytes, 0)));
  say(byId("server-host"), `${size(used)} of ${size(memory.host_total_bytes)}`);
  byId("server-meter").value = used / memory.host_total_bytes;
  byId("server-host").title = memory.container_limit_bytes ? `Limit of the container: ${size(total)}` : "";
  showUptime();
}

/** How long it runs: counted here between two answers. */
export function showUptime() {
  if (startedAt) say(byId("server-uptime"), duration(Math.floor((Date.now() - startedAt) / 1000)));
}

/** The health of the whole, as GET /health says it. @param {"ok" | "loading" | "degraded"} health */
export function showHealth(health) {
  byId("health").dataset.health = health;
  say(byId("health-word"), HEALTH[health] ?? health);
}

/** @param {"live" | "polling" | "offline"} connection */
export function showConnection(connection) {
  byId("connection").dataset.connection = connection;
  say(byId("connection-word"), CONNECTION[connection]);
  const banner = byId("banner");
  banner.hidden = connection !== "offline";
  say(banner, connection === "offline" ? "The server does not answer. What is shown is how it was; it is asked again every 2 s." : "");
}
