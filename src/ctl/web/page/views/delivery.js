// One delivery inside its event: what can be done with it, and every attempt.

import { get, named, send } from "../api.js";
import { bodyView, decode } from "../body.js";
import { copy, curl } from "../curl.js";
import { confirm, perform, tell } from "../dialog.js";
import { badge, button, facts, failure, h, replace } from "../dom.js";
import { number, span, stamp, visible, words } from "../format.js";
import { header, headersView } from "../headers.js";

/** Bytes of a response that the log keeps. */
const KEPT = 1024;
const bytesOf = (response) => decode(response.body_base64).length;

/** A panel that is filled when it is opened. */
export function deliveryPanel(known, event, signal) {
  const content = h("div");
  const state = h("span", {}, badge(known.state));
  const element = h("details", { class: "delivery", id: known.id },
    h("summary", {}, h("strong", {}, visible(known.endpoint)), " ", state, " ", h("code", {}, known.id)),
    content);
  let isRead = false;

  async function refresh() {
    try {
      const delivery = await get(named("deliveries", known.id), signal);
      isRead = true;
      replace(state, badge(delivery.state));
      replace(content, details(delivery, event, refresh));
    } catch (error) {
      if (!signal.aborted) replace(content, failure(error));
    }
  }

  element.addEventListener("toggle", () => {
    if (element.open && !isRead) refresh();
  });
  return {
    element,
    open: async () => {
      await refresh();
      element.open = true;
    },
    refresh: () => (isRead ? refresh() : undefined),
  };
}

function details(delivery, event, refresh) {
  return [
    facts([
      ["Endpoint", h("a", { href: `#/endpoint/${encodeURIComponent(delivery.endpoint)}` },
        visible(delivery.endpoint))],
      ["Attempts that counted", number(delivery.attempts)],
      ["Created", stamp(delivery.created_at)],
      ["Due", delivery.due_at && stamp(delivery.due_at)],
      ["Died", delivery.died_at && stamp(delivery.died_at)],
      ["Reason", delivery.reason && words(delivery.reason)],
      ["Operator", delivery.operator.map(({ what, at }) => [what, " ", stamp(at), "; "])],
    ].filter(([, value]) => !Array.isArray(value) || value.length)),
    h("div", { class: "actions" }, actions(delivery, refresh)),
    delivery.history.length === 0 && h("p", { class: "quiet" }, "No attempt yet."),
    delivery.history.map((attempt, at) => attemptView(attempt, delivery, event,
      at === delivery.history.length - 1)),
  ];
}

function actions(delivery, refresh) {
  const one = { ids: [delivery.id] };
  const isDead = delivery.state === "dead";
  const waits = ["pending", "held"].includes(delivery.state);
  return [
    button("Why?", () => explain(delivery.id)),
    (isDead || delivery.state === "pending") && button("Retry now", (event) => perform(async () => {
      const done = await send("POST", isDead ? "/v1/dlq/retry" : "/v1/deliveries/retry", one);
      await refresh();
      return `${done.queued} of ${done.matched} queued.`;
    }, event.currentTarget)),
    waits && button("Cancel", () => confirm({
      title: "Cancel this delivery?", action: "Cancel the delivery", danger: true,
      count: () => ({ lines: [`1 delivery to ${delivery.endpoint} will not be attempted again.`] }),
      act: async () => `${(await send("POST", "/v1/deliveries/cancel", one)).cancelled} cancelled.`,
    }).then(refresh), { class: "danger" }),
    isDead && button("Discard", () => confirm({
      title: "Discard this dead letter?", action: "Discard", danger: true,
      count: async () => {
        const { matched } = await send("POST", "/v1/dlq/discard", { ...one, dry_run: true });
        return { lines: [`${matched} dead letter is given up for good.`], none: matched === 0 };
      },
      act: async () => `${(await send("POST", "/v1/dlq/discard", one)).discarded} discarded.`,
    }).then(refresh), { class: "danger" }),
  ];
}

async function explain(id) {
  try {
    const found = await get(named("deliveries", id, "/explain"));
    tell("Why?", h("p", {}, words(found.summary)),
      h("ul", {}, found.reasons.map((reason) => h("li", {}, words(reason.text)))));
  } catch (error) {
    tell("Why?", failure(error));
  }
}

function attemptView(attempt, delivery, event, isLast) {
  const { request, response } = attempt;
  const result = [attempt.status, attempt.error && words(attempt.error)].filter(Boolean);
  const identity = ["webhook-id", "hookbox-attempt", "webhook-timestamp"]
    .map((name) => header(request.headers, name)).filter(Boolean).join(" · ");
  return h("details", { class: "attempt", open: isLast },
    h("summary", {}, `Attempt ${attempt.number} `, badge(attempt.outcome), " ",
      result.flatMap((part) => [part, " "]), span(attempt.duration_ms), " ", stamp(attempt.started_at)),
    facts([
      ["Outcome", `${attempt.outcome}, then ${attempt.next}`],
      ["Error", attempt.error && words(attempt.error)],
      ["Reason", attempt.reason && words(attempt.reason)],
      ["Next attempt", attempt.next_at && stamp(attempt.next_at)],
      ["Took", `${span(attempt.duration_ms)}` +
        (attempt.connect_ms === null ? ", on an existing connection"
          : `, of which ${span(attempt.connect_ms)} to connect`)],
      ["Identity", identity && h("code", {}, visible(identity))],
      ["Signature", header(request.headers, "webhook-signature") &&
        h("code", {}, visible(header(request.headers, "webhook-signature")))],
      ["Counts", attempt.counted ? undefined : "no: the network was down"],
      ["Batch", attempt.batch],
      ["Exit code", attempt.exit],
    ]),
    h("h3", {}, "Request"),
    h("p", {}, h("code", {}, visible(`${request.method} ${request.url}`))),
    headersView(request.headers, "Headers that were sent"),
    sentBody(attempt, delivery, event),
    h("h3", {}, "Response"),
    response?.trimmed ? [
      h("p", {}, h("code", {}, `${response.status}`)),
      h("p", { class: "quiet" }, "Nothing else of it was kept, nor the headers that were sent: disk space was scarce."),
    ] : response ? [
      h("p", {}, h("code", {}, `${response.status}`), ` ${visible(header(response.headers, "content-type"))}`),
      headersView(response.headers, "Headers of the response"),
      bodyView({ base64: response.body_base64, label: "Body of the response", note: "its beginning",
        isBeginning: bytesOf(response) >= KEPT,
        contentType: header(response.headers, "content-type"), name: `${delivery.id}-${attempt.number}` }),
    ] : h("p", { class: "quiet" }, attempt.output === null ? "None." : "Output of the command:"),
    attempt.output && h("pre", { class: "body", tabindex: 0 }, visible(attempt.output)));
}

/**
 * What was sent. The log has the event's body once; a template or a batch makes another one of it,
 * which can be made again.
 */
function sentBody(attempt, delivery, event) {
  const bytes = decode(event.body_base64);
  const length = header(attempt.request.headers, "content-length");
  // Without the headers nobody knows.
  const isTrimmed = attempt.response?.trimmed;
  const isSame = !attempt.batch && !isTrimmed && (length === undefined || Number(length) === event.size);
  return h("div", { class: "actions" },
    h("span", { class: "quiet" }, isSame ? "Body: that of the event, above."
      : isTrimmed ? "Body: that of the event, or what a template made of it."
        : "The body was made from the event by a batch or a template; the log does not keep it."),
    button("Copy as cURL", () => perform(async () => {
      await copy(curl({ ...attempt.request, bytes: isSame ? bytes : undefined, name: `${event.id}.body` }));
      return "Copied, without secrets.";
    })),
    button("What would be sent now", () => preview(delivery, event)));
}

async function preview(delivery, event) {
  try {
    const made = await send("POST", named("endpoints", delivery.endpoint, "/test"),
      { event: event.id, dry_run: true });
    tell(`What ${delivery.endpoint} would get now`,
      made.why_not && failure(`It does not select this event: ${made.why_not}`),
      h("p", {}, h("code", {}, visible(`${made.method ?? ""} ${made.url ?? ""}`))),
      headersView(made.headers, "Headers"),
      made.body_base64 ? bodyView({ base64: made.body_base64, name: event.id,
        contentType: header(made.headers, "content-type") })
        : h("p", { class: "quiet" }, "The body is not shown to this user."));
  } catch (error) {
    tell("It cannot be shown", failure(error));
  }
}
