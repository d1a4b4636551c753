// Endpoints, and what matters most about each.

import { each, get, named } from "../api.js";
import { badge, h, heading, replace } from "../dom.js";
import { number, span, words } from "../format.js";
import { fill, table } from "../list.js";

const STATES = ["", "troubled", "failing", "held", "parked", "offline", "lagging", "catching_up", "active"];

export async function show({ main, params, signal }) {
  const state = params.get("state") ?? "";
  const after = params.get("after") ?? undefined;
  const into = h("div");
  const here = (after) => `#/endpoints?${state ? `state=${state}` : ""}` +
    (after ? `&after=${encodeURIComponent(after)}` : "");
  replace(main, heading("Endpoints"),
    h("nav", { class: "chips", "aria-label": "Conditions" }, STATES.map((one) =>
      h("a", { href: one ? `#/endpoints?state=${one}` : "#/endpoints", class: "chip",
        "aria-current": one === state ? "true" : false }, one.replace("_", " ") || "all"))),
    into);

  const behind = new Map();
  const view = table({ caption: "Endpoints", key: (row) => row.name, columns: [
    { name: "Endpoint", cell: (row) => h("a", { href: `#/endpoint/${encodeURIComponent(row.name)}` },
      row.name) },
    { name: "Condition", cell: (row) => badge(row.condition ?? row.state) },
    { name: "Waiting", cell: (row) => number(row.waiting), right: true },
    { name: "Lag", right: true, cell: (row) => {
      const cell = h("span", {}, row.waiting ? "…" : "-");
      if (row.waiting) behind.set(row.name, cell);
      return cell;
    } },
    { name: "In flight", cell: (row) => number(row.in_flight), right: true, minor: true },
    { name: "Window", cell: (row) => number(row.window), right: true, minor: true },
    { name: "Rate", cell: (row) => row.rate ?? "-", right: true, minor: true },
    { name: "Delivered", cell: (row) => number(row.delivered), right: true, minor: true },
    { name: "Dead", cell: (row) => number(row.dead), right: true },
    { name: "Success", right: true, minor: true, cell: (row) =>
      (row.success_ratio === null ? "-" : `${Math.round(row.success_ratio * 1000) / 10} %`) },
    { name: "Last error", wide: true, cell: (row) => [words(row.last_error), row.last_answer &&
      h("div", { class: "quote" }, words(row.last_answer))] },
  ] });
  await fill({ into, view, target: "/v1/endpoints", params: { state }, after, here, signal,
    cursor: (row) => row.name, empty: "No endpoint." });
  lags(behind, signal);
}

/** How old the oldest waiting delivery is has to be looked for in the log, one after the other. */
async function lags(behind, signal) {
  await each(behind, async ([name, cell]) => {
    if (signal.aborted) return;
    const shown = await get(named("endpoints", name), signal).catch(() => undefined);
    cell.textContent = shown?.lag_ms === undefined ? "-" : span(shown.lag_ms);
  });
}
