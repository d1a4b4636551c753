// Plots of the daemon's history.

import { chart } from "../chart.js";
import { failure, h, heading, replace } from "../dom.js";
import { number, size, span } from "../format.js";
import { history } from "../history.js";

const RANGES = ["1h", "24h", "7d", "30d"];
const AGAIN_MS = 10_000;

const rate = (value) => number(Math.round((value ?? 0) * 10) / 10);
const whole = (value) => number(Math.round(value ?? 0));
const FIGURES = [
  ["Events in a minute", ["accepted", "refused"], rate],
  ["Deliveries in a minute", ["delivered", "failed", "dead"], rate],
  ["Waiting", ["pending"], whole],
  ["Age of the oldest that waits", ["oldest_ms"], span],
  ["From acceptance to delivery", ["latency_p50_ms", "latency_p99_ms"], span],
  ["Commit", ["commit_p50_ms", "commit_p99_ms"], span],
  ["Log on disk", ["disk_bytes"], size],
];
const NAMES = { oldest_ms: "oldest", latency_p50_ms: "half within", latency_p99_ms: "99 % within",
  commit_p50_ms: "half within", commit_p99_ms: "99 % within", disk_bytes: "log" };

export async function show({ main, params, signal }) {
  const since = RANGES.includes(params.get("since")) ? params.get("since") : "1h";
  const note = h("p", { class: "quiet" });
  const charts = h("div", { class: "charts" });
  const draw = async () => {
    const past = await history(since, signal);
    if (signal.aborted) return;
    replace(note, past.isPolled
      ? "This daemon keeps no history: what the page has seen since it was opened." : "");
    replace(charts, FIGURES.map(([title, keys, show]) => chart({ title, show, times: past.times,
      lines: keys.map((key) => ({ name: NAMES[key] ?? key, values: past.values[key] })) })));
  };
  replace(main, heading("Plots"), h("nav", { class: "chips", "aria-label": "Range" },
    RANGES.map((range) => h("a", { class: "chip", href: `#/plots?since=${range}`,
      "aria-current": range === since ? "true" : false }, range))), note, charts);
  await draw();
  const timer = setInterval(() => {
    if (!document.hidden) draw().catch((error) => replace(note, failure(error)));
  }, AGAIN_MS);
  signal.addEventListener("abort", () => clearInterval(timer));
}
