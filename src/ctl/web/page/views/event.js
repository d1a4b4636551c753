// One event: the request as it came in, and every delivery with every attempt.

import { get, named } from "../api.js";
import { bodyView, decode, eventBody, getEvent } from "../body.js";
import { copy, curl } from "../curl.js";
import { notice, perform } from "../dialog.js";
import { button, facts, failure, h, heading, replace } from "../dom.js";
import { count, number, size, stamp, visible, words } from "../format.js";
import { header, headersView } from "../headers.js";
import { follow } from "../live.js";
import { deliveryPanel } from "./delivery.js";

/** Deliveries that are read at once; the others when they are opened. */
const OPEN = 3;
/** Where somebody who copies a request tries it. */
const LOCAL = "http://127.0.0.1:3000/";

export async function show({ main, name, id, params, signal }) {
  if (name === "delivery") {
    const delivery = await get(named("deliveries", id), signal);
    location.replace(`#/event/${delivery.event}?delivery=${delivery.id}`);
    return;
  }

  const event = await getEvent(id, signal);
  if (signal.aborted) return;
  const type = header(event.headers, "content-type");
  const bytes = decode(event.body_base64);
  const [method, target = ""] = event.request_line.split(" ");
  const query = target.split("?").slice(1).join("?");
  const shell = () => curl({ method, url: LOCAL, query, bytes, headers: event.headers,
    name: `${event.id}.body` });
  const wanted = params.get("delivery");
  const panels = new Map(event.deliveries.map((one) => [one.id, deliveryPanel(one, event, signal)]));

  replace(main,
    heading(event.id,
      button("Copy as cURL", () => perform(async () => {
        await copy(shell());
        return "Copied, without secrets.";
      })),
      h("a", { class: "button", href: `#/replay?q=${encodeURIComponent(`event:${event.id}`)}` }, "Replay")),
    event.remark && failure(event.remark),
    facts([
      ["Source", h("a", { href: `#/source/${encodeURIComponent(event.source)}` }, event.source)],
      ["Type", words(event.type)],
      ["Received", stamp(event.received_at)],
      ["From", event.remote],
      ["Size", size(event.size)],
      ["Duplicates", number(event.duplicates)],
      ["Dedupe key", event.dedupe_key && h("code", {}, visible(event.dedupe_key))],
      ["First id", event.first_id],
      ["Conflicts with", event.conflicts_with &&
        h("a", { href: `#/event/${event.conflicts_with}` }, event.conflicts_with)],
      ["Filters too expensive", event.filter_too_expensive.join(", ")],
    ]),
    h("h2", {}, "Request"),
    h("p", {}, h("code", {}, visible(event.request_line))),
    headersView(event.headers, "Headers as they came in"),
    bodyView({ ...eventBody(event), contentType: type }),
    h("h2", {}, count(event.deliveries.length, "delivery", "deliveries")),
    event.deliveries.length === 0 && h("p", { class: "quiet" }, "No endpoint selected this event."),
    [...panels.values()].map((panel) => panel.element));

  const first = [...panels.keys()].slice(0, OPEN);
  const opened = wanted && panels.has(wanted) ? [wanted] : first;
  await Promise.all(opened.map((one) => panels.get(one).open()));
  if (wanted) panels.get(wanted)?.element.scrollIntoView({ block: "nearest" });

  follow({}, (lines) => {
    const changed = new Set(lines.map((line) => line.delivery).filter((one) => panels.has(one)));
    for (const one of changed) panels.get(one).refresh();
  }, () => notice("Some attempts were left out: reload to see them."), signal);
}
