// Replay: deliver stored events again. First a dry run counts, then it is asked.

import { all, remove, send } from "../api.js";
import { confirm, perform } from "../dialog.js";
import { button, failure, h, heading, replace } from "../dom.js";
import { fixed, help, parse, written } from "../filter.js";
import { count, number, stamp } from "../format.js";

const KEYS = ["source", "type", "event", "since", "until"];
const AGAIN_MS = 2000;

export async function show({ main, params, signal }) {
  const q = params.get("q") ?? "";
  const endpoints = (await all("/v1/endpoints?limit=500", signal)).map(({ name }) => name);
  const under = h("div");
  const wrong = h("div");
  const filter = h("input", { id: "filter", value: q, spellcheck: "false", autocomplete: "off",
    "aria-describedby": "replay-help", placeholder: KEYS.map((key) => `${key}:`).join(" ") });
  const to = h("input", { id: "to", list: "endpoints", autocomplete: "off",
    placeholder: "where each event went before" });
  const rate = h("input", { id: "rate", autocomplete: "off", placeholder: "no limit", size: 8 });
  const start = async (event) => {
    event.preventDefault();
    const { fields, id, error } = parse(filter.value.trim(), KEYS);
    const given = id?.startsWith("evt_") ? { event: id } : fields;
    replace(wrong, error && failure(error), !error && !given && failure("That is not the id of an event."));
    if (given) await ask({ ...fixed(given), to: to.value || undefined, rate: rate.value || undefined });
    draw(under, signal).catch(() => undefined);
  };

  replace(main, heading("Replay"),
    h("p", {}, "New deliveries are made from stored events. Receivers see the same webhook-id again."),
    h("form", { class: "stack", onsubmit: start },
      h("label", { for: "filter" }, "Events"), filter,
      h("dl", { class: "facts", id: "replay-help" }, help(KEYS).map(([key, what]) =>
        h("div", {}, h("dt", {}, `${key}:`), h("dd", {}, what)))),
      h("label", { for: "to" }, "To the endpoint"), to,
      h("datalist", { id: "endpoints" }, endpoints.map((name) => h("option", { value: name }))),
      h("label", { for: "rate" }, "Deliveries per second, such as 50/s"), rate,
      h("div", { class: "actions" }, h("button", { class: "primary" }, "Count (dry run)")), wrong),
    h("h2", {}, "Under way"), under);
  await draw(under, signal);
  const timer = setInterval(() => {
    if (!document.hidden) draw(under, signal).catch(() => undefined);
  }, AGAIN_MS);
  signal.addEventListener("abort", () => clearInterval(timer));
}

function ask(which) {
  const { to, rate, ...filter } = which;
  return confirm({
    title: "Replay events?", action: "Replay",
    count: async () => {
      const counted = await send("POST", "/v1/replays", { ...which, dry_run: true });
      return {
        none: !counted.would_queue,
        lines: [
          h("strong", { class: "count" }, count(counted.matched, "event")),
          `${count(counted.would_queue ?? 0, "delivery", "deliveries")} would be queued` +
            `${to ? ` to ${to}` : ""}${rate ? ` at ${rate}` : ""}. Nothing was queued so far.`,
          h("code", {}, written(filter)),
        ],
      };
    },
    act: async () => {
      const done = await send("POST", "/v1/replays", which);
      return `${count(done.queued, "delivery", "deliveries")} queued.`;
    },
  });
}

async function draw(under, signal) {
  const replays = await all("/v1/replays", signal);
  if (signal.aborted) return;
  if (replays.length === 0) return replace(under, h("p", { class: "quiet" }, "No replay is in progress."));
  const names = ["Replay", "Events", "To", "Rate", "Started", "At record", ""];
  replace(under, h("div", { class: "scroll" }, h("table", {}, h("caption", {}, "Replays under way"),
    h("thead", {}, h("tr", {}, names.map((name) => h("th", { scope: "col" }, name || "Stop")))),
    h("tbody", {}, replays.map((one) => h("tr", {},
      h("th", { scope: "row" }, number(one.id)),
      h("td", {}, written({ source: one.source, type: one.type, event: one.event, since: one.since,
        until: one.until }) || "all"),
      h("td", {}, one.to ?? "-"), h("td", {}, one.rate ?? "-"), h("td", {}, stamp(one.started_at)),
      h("td", {}, `${number(one.next)} of ${number(one.end)}`),
      h("td", {}, one.ended ? `ended: ${one.ended}` : button("Stop", (event) => perform(async () => {
        await remove(`/v1/replays/${one.id}`);
        await draw(under, signal);
        return `Replay ${one.id} is stopped; what it has queued stays queued.`;
      }, event.currentTarget), { class: "danger" }))))))));
}
