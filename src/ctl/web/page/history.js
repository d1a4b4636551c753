// The past in numbers: the daemon's history, or, of a daemon that keeps none, what the page has
// seen of its status. Nothing else knows where the numbers come from.

import { get, path } from "./api.js";

const STEPS = { "1h": "1m", "24h": "10m", "7d": "2h", "30d": "6h" };
const RATES = ["accepted", "refused", "delivered", "failed", "dead"];
/** Looks at the status that are kept: an hour of them. */
const LOOKS = 720;

let hasHistory = true;
const seen = [];

/**
 * `{ times, values, isPolled }`: times in milliseconds, and beside them the values by name, null
 * where there is none. What is counted is by the minute.
 */
export async function history(since, signal) {
  if (hasHistory) {
    try {
      return read(await get(path("/v1/history", { since, step: STEPS[since] }), signal));
    } catch (error) {
      if (error.status !== 404) throw error;
      hasHistory = false;
    }
  }
  look(await get("/v1/status", signal));
  return polled();
}

/** The daemon's answer as columns; null where it did not run, or keeps nothing any more. */
function read({ rows, step_ms: step }) {
  const column = (name) => rows.map((row) => row[name] ?? null);
  const values = Object.fromEntries(["pending", "latency_p50_ms", "latency_p99_ms", "commit_p50_ms",
    "commit_p99_ms", "disk_bytes"].map((name) => [name, column(name)]));
  values.oldest_ms = column("oldest_s").map((age) => (age === null ? null : age * 1000));
  for (const name of RATES) {
    values[name] = column(name).map((count) => (count === null ? null : count / (step / 60_000)));
  }
  return { times: rows.map((row) => Date.parse(row.at)), values, isPolled: false };
}

function look(status) {
  const { deliveries } = status;
  const refused = Object.values(status.refused ?? {}).reduce((sum, count) => sum + count, 0);
  seen.push({ at: Date.now(), started: status.started_at, accepted: status.events, refused,
    delivered: deliveries.delivered, failed: status.failed_attempts, dead: deliveries.dead,
    pending: deliveries.pending, disk_bytes: status.log.bytes,
    oldest_ms: oldest(status) });
  if (seen.length > LOOKS) seen.shift();
}

function oldest(status) {
  const times = status.worst.map((one) => Date.parse(one.oldest_waiting_at)).filter(Number.isFinite);
  return times.length ? Date.now() - Math.min(...times) : 0;
}

/** Differences between looks; none over a start of the daemon. */
function polled() {
  const values = {};
  for (const name of RATES) {
    values[name] = seen.map((look, at) => {
      const before = seen[at - 1];
      if (!before || before.started !== look.started) return null;
      const minutes = (look.at - before.at) / 60_000;
      return minutes > 0 ? Math.max(0, look[name] - before[name]) / minutes : null;
    });
  }
  for (const name of ["pending", "oldest_ms", "disk_bytes"]) values[name] = seen.map((look) => look[name]);
  return { times: seen.map((look) => look.at), values, isPolled: true };
}
