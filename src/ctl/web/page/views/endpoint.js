// One endpoint: its condition, what waits, its settings; hold, release and test.

import { get, named, path, rows, send } from "../api.js";
import { bodyView } from "../body.js";
import { confirm, perform, tell } from "../dialog.js";
import { badge, button, facts, failure, h, heading, replace } from "../dom.js";
import { count, number, probe, span, stamp, visible, when, words } from "../format.js";
import { follow } from "../live.js";
import { latest } from "./events.js";
import { header, headersView } from "../headers.js";

/** What is shown above, or is no setting. */
const NOT_SETTINGS = new Set(["name", "state", "held_reason", "held_at", "secrets", "created_at",
  "applied_set", "warnings", "waiting", "in_flight", "retrying", "delivered", "dead", "last_error",
  "last_answer", "last_success_at", "filter_too_expensive", "filter_too_expensive_event", "condition",
  "window", "failures_in_row", "failing_ms", "troubled_since", "breaker_opened_at", "next_probe_at",
  "offline", "lagging_since", "paused_until", "rate_next_at", "lanes", "parked_lanes", "batches_waiting", "catching_up",
  "requests_succeeded", "requests_failed", "success_ratio", "oldest_waiting_at", "lag_ms"]);
const AGAIN_MS = 2000;
/** Deliveries that one request may name. */
const IDS = 256;

export async function show({ main, id, signal }) {
  const state = h("div");
  const tail = latest();
  const again = () => draw(state, id, signal, again);
  replace(main, heading(id), state, h("h2", {}, "Attempts"), tail.element);
  await again();

  let last = 0;
  follow({ endpoint: id }, (lines) => {
    lines.forEach(tail.add);
    if (lines.length === 0 || performance.now() - last < AGAIN_MS) return;
    last = performance.now();
    again().catch(() => undefined);
  }, () => {}, signal);
}

async function draw(state, name, signal, again) {
  const one = await get(named("endpoints", name), signal);
  if (signal.aborted) return;
  const filter = (more) => encodeURIComponent(`endpoint:${name}${more}`);
  replace(state,
    h("p", { class: "state" }, badge(one.condition), " ",
      one.held_reason && `(${String(one.held_reason)}) since `, one.held_at && when(one.held_at)),
    h("div", { class: "actions" }, actions(one, again),
      h("a", { class: "button", href: `#/events?q=${filter("")}` }, "Deliveries"),
      h("a", { class: "button", href: `#/dead?q=${filter("")}` }, `Dead letters (${number(one.dead)})`)),
    one.warnings?.map(failure),
    facts([
      ["Waiting", number(one.waiting)],
      ["Lag", one.oldest_waiting_at ? [span(one.lag_ms), ", since ", stamp(one.oldest_waiting_at)] : "none"],
      ["In flight", `${number(one.in_flight)} in a window of ${number(one.window)}`],
      ["For a retry", number(one.retrying)],
      ["Delivered", number(one.delivered)],
      ["Dead letters", number(one.dead)],
      ["Something is wrong since", one.troubled_since && when(one.troubled_since)],
      ["Breaker", one.breaker_opened_at ? ["open since ", when(one.breaker_opened_at)] : "closed"],
      ["Next probe", one.next_probe_at && probe(one)],
      ["Failures in a row", one.failures_in_row || undefined],
      ["Without a success for", one.failing_ms ? span(one.failing_ms) : undefined],
      ["Rate", one.rate],
      ["Rate allows the next", one.rate_next_at && when(one.rate_next_at)],
      ["Receiver asked to wait until", one.paused_until && when(one.paused_until)],
      ["Lanes", one.lanes ? `${number(one.lanes)}, ${number(one.parked_lanes)} wait for you` : undefined],
      ["Lags since", one.lagging_since && when(one.lagging_since)],
      ["Catching up", one.catching_up],
      ["Batches that wait", one.batches_waiting || undefined],
      ["Success", one.success_ratio === null ? undefined
        : `${Math.round(one.success_ratio * 1000) / 10} % of ${number(one.requests_succeeded +
          one.requests_failed)} requests`],
      ["Last success", one.last_success_at && when(one.last_success_at)],
      ["Last error", one.last_error && words(one.last_error)],
      ["Last answer", one.last_answer && words(one.last_answer)],
      ["Filter too expensive for", one.filter_too_expensive || undefined],
    ]),
    h("details", {}, h("summary", {}, "Settings"), facts([
      ...Object.entries(one).filter(([key]) => !NOT_SETTINGS.has(key)).map(([key, value]) =>
        [key, value === null || value.length === 0 ? undefined
          : h("code", {}, visible(typeof value === "string" ? value : JSON.stringify(value)))]),
      ["secrets", count(one.secrets?.length ?? 0, "secret")],
      ["created", stamp(one.created_at)],
      ["applied from the set", one.applied_set],
    ])));
}

function actions(one, again) {
  const isHeld = one.state === "held";
  const verb = isHeld ? "release" : "hold";
  const does = isHeld ? "Deliveries to it are attempted again."
    : "Nothing is sent to it until it is released. New deliveries wait and do not expire.";
  return [
    button(isHeld ? "Release" : "Hold", () => confirm({
      title: `${isHeld ? "Release" : "Hold"} ${one.name}?`, action: isHeld ? "Release" : "Hold",
      count: async () => {
        const { waiting } = await get(named("endpoints", one.name));
        return { lines: [`${count(waiting, "delivery waits", "deliveries wait")} for it. ${does}`] };
      },
      act: async () => {
        await send("POST", named("endpoints", one.name, `/${verb}`));
        return `${one.name} is ${isHeld ? "released" : "on hold"}.`;
      },
    }).then(again), { class: isHeld ? "primary" : "danger" }),
    button("Test", () => test(one.name, true)),
    one.retrying > 0 && button("Retry all now", (event) => perform(async () => {
      const { queued, matched } = await retryAll(one.name);
      again();
      return `${number(queued)} of ${number(matched)} queued.`;
    }, event.currentTarget)),
  ];
}

/** Has everything that waits for a retry attempted now, page by page. */
async function retryAll(name) {
  const all = { queued: 0, matched: 0 };
  for (let after; ;) {
    const page = [];
    await rows(path("/v1/deliveries", { endpoint: name, state: "pending", limit: IDS, after }),
      (row) => page.push(row));
    const ids = page.filter((row) => row.attempts > 0).map((row) => row.id);
    if (ids.length) {
      // One alone may have been delivered since it was listed.
      const done = await send("POST", "/v1/deliveries/retry", { ids }).catch((error) => {
        if (error.status === 409) return { queued: 0, matched: ids.length };
        throw error;
      });
      all.queued += done.queued;
      all.matched += done.matched;
    }
    if (page.length < IDS) return all;
    after = page.at(-1).id;
  }
}

/** What would be sent, and after that, when it is asked for, sending it. */
async function test(name, isDry) {
  try {
    const made = await send("POST", named("endpoints", name, "/test"), { dry_run: isDry });
    const close = () => document.querySelector("dialog[open]")?.close();
    tell(isDry ? `A test of ${name} would send` : `${name} was sent a test`,
      !isDry && facts([
        ["Outcome", badge(made.outcome)], ["Status", made.status], ["Took", span(made.duration_ms)],
        ["Error", made.error && words(made.error)], ["Answer", made.answer && words(made.answer)],
        ["Exit code", made.exit], ["Output", made.output && h("pre", {}, visible(made.output))],
      ]),
      made.warning && failure(made.warning),
      isDry && [
        h("p", {}, h("code", {}, visible(`${made.method ?? ""} ${made.url ?? ""}`))),
        headersView(made.headers, "Headers"),
        made.body_base64 && bodyView({ base64: made.body_base64, name: "test",
          contentType: header(made.headers, "content-type") }),
        button("Send it once", () => {
          close();
          test(name, false);
        }, { class: "primary" }),
      ]);
  } catch (error) {
    tell(`${name} cannot be tested`, failure(error));
  }
}
