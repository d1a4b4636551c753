// Events, newest first. With `state:` or `endpoint:` the list is of deliveries, one row each.

import { badge, button, h, heading, replace } from "../dom.js";
import { STATES, glob, help, parse } from "../filter.js";
import { count, number, size, span, stamp, time, words } from "../format.js";
import { fill, search, table } from "../list.js";
import { follow } from "../live.js";

const KEYS = ["source", "type", "state", "endpoint", "event", "since", "until"];
const TAIL = 20;

const link = (row) => h("a", { href: `#/event/${row.event ?? row.id}` +
  (row.event ? `?delivery=${row.id}` : "") }, row.event ?? row.id);
const sourceLink = (row) => (row.source
  ? h("a", { href: `#/source/${encodeURIComponent(row.source)}` }, row.source) : "-");
const endpointLink = (row) =>
  h("a", { href: `#/endpoint/${encodeURIComponent(row.endpoint)}` }, row.endpoint);

const EVENTS = [
  { name: "Event", cell: link },
  { name: "Received", cell: (row) => stamp(row.received_at ?? row.at) },
  { name: "Source", cell: sourceLink },
  { name: "Type", cell: (row) => words(row.type), wide: true },
  { name: "Size", cell: (row) => size(row.size), right: true, minor: true },
  { name: "Deliveries", cell: (row) => number(row.deliveries), right: true, minor: true },
  { name: "Duplicates", cell: (row) => number(row.duplicates ?? 0), right: true, minor: true },
];
export const DELIVERIES = [
  { name: "Event", cell: link },
  { name: "Endpoint", cell: endpointLink },
  { name: "State", cell: (row) => badge(row.state) },
  { name: "Attempts", cell: (row) => number(row.attempts), right: true },
  { name: "Source", cell: sourceLink, minor: true },
  { name: "Type", cell: (row) => words(row.type), wide: true },
  { name: "Created or died", cell: (row) => stamp(row.died_at ?? row.created_at), minor: true },
  { name: "Due", cell: (row) => stamp(row.due_at), minor: true },
];

export function address(q, after) {
  const query = [q && `q=${encodeURIComponent(q).replaceAll("%3A", ":").replaceAll("%20", "+")}`,
    after && `after=${after}`].filter(Boolean).join("&");
  return `#/events${query ? `?${query}` : ""}`;
}

export async function show({ main, params, signal }) {
  const q = params.get("q") ?? "";
  const after = params.get("after") ?? undefined;
  const { id, error, fields = {} } = parse(q, KEYS);
  if (id) {
    location.replace(`#/${id.startsWith("evt_") ? "event" : "delivery"}/${id}`);
    return;
  }
  const go = (text) => {
    location.hash = address(text);
  };
  const into = h("div");
  const news = h("div", { class: "news", role: "status" });
  const examples = STATES.filter((state) => ["dead", "pending", "held"].includes(state))
    .map((state) => [state, `state:${state}`]);
  replace(main, heading("Events"),
    search({ text: q, error, keys: KEYS, help: help(KEYS), examples, onsubmit: go }), news, into);
  if (error) return;

  const ofDeliveries = Boolean(fields.state || fields.endpoint || fields.event);
  const view = table({ caption: ofDeliveries ? "Deliveries" : "Events", key: (row) => row.id,
    columns: ofDeliveries ? DELIVERIES : EVENTS });
  const { state, ...others } = fields;
  // Dead letters have an index of their own; other states are looked for in the log.
  const target = !ofDeliveries ? "/v1/events" : state === "dead" ? "/v1/dlq" : "/v1/deliveries";
  const asked = state && state !== "dead" ? { ...others, state } : others;
  if (!after && !fields.until) live({ fields, ofDeliveries, view, into, news, signal });
  await fill({ into, view, target, params: asked, after, signal, here: (id) => address(q, id),
    cursor: (row) => row.id, empty: q ? "Nothing matches." : "No events yet." });
}

/** New events stand at the top; of deliveries only that there is something new is said. */
function live({ fields, ofDeliveries, view, into, news, signal }) {
  const again = (text) => replace(news, button(text, () => {
    window.dispatchEvent(new HashChangeEvent("hashchange"));
  }));
  const filter = { source: fields.source };
  const follower = follow(filter, (lines, waiting) => {
    if (waiting) {
      return replace(news, button(`${count(waiting, "line")} more: show`, () => {
        window.scrollTo(0, 0);
        document.activeElement?.blur();
        follower.flush(true);
        replace(news);
      }));
    }
    if (ofDeliveries) {
      return lines.length && again("Something happened since: reload");
    }
    replace(news);
    for (const line of lines.filter((line) => line.what === "event")) {
      if (fields.type && !glob(fields.type, line.type)) continue;
      view.addAbove(line);
      if (into.dataset.done === "0") into.querySelector("p").replaceChildren();
    }
  }, () => again("Some events were left out: reload"), signal);
}

/** The last lines of the tail, as a list that moves. */
export function latest() {
  const list = h("ol", { class: "tail", reversed: true, "aria-label": "What happened last" },
    h("li", { class: "quiet" }, "Waiting for something to happen."));
  const add = (line) => {
    const item = said(line);
    if (!item) return;
    if (list.firstElementChild?.classList.contains("quiet")) list.replaceChildren();
    list.prepend(item);
    while (list.childElementCount > TAIL) list.lastElementChild.remove();
  };
  return { element: list, add };
}

export function said(line) {
  const at = h("time", { datetime: line.at }, time(line.at).slice(11));
  if (line.what === "event") {
    return h("li", {}, at, " in ", words(line.source), " ", words(line.type), " ", size(line.size), " ",
      h("a", { href: `#/event/${line.id}` }, line.id), ` to ${count(line.deliveries, "endpoint")}`);
  }
  if (line.what === "attempt") {
    return h("li", {}, at, " out ", words(line.endpoint), " ", badge(line.outcome), " ",
      [line.status, line.error && words(line.error)].filter(Boolean).flatMap((part) => [part, " "]),
      span(line.duration_ms), ` attempt ${line.number} `,
      h("a", { href: `#/delivery/${line.delivery}` }, line.delivery));
  }
  if (line.what !== "duplicate") return false;
  const first = line.id ? h("a", { href: `#/event/${line.id}` }, line.id) : `record ${line.event_seq}`;
  const source = line.source ? [" in ", words(line.source)] : [];
  return h("li", {}, at, ...source, " duplicate of ", first);
}
