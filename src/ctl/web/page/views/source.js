// One source: what was refused and why, and what comes in, live: the list on one side, the request
// on the other.

import { all, get, named, path, remove } from "../api.js";
import { bodyView, eventBody, getEvent } from "../body.js";
import { copy } from "../curl.js";
import { confirm, perform } from "../dialog.js";
import { badge, button, facts, failure, h, heading, replace } from "../dom.js";
import { count, number, size, stamp, time, visible, when, words } from "../format.js";
import { follow } from "../live.js";
import { header, headersView } from "../headers.js";

const SHOWN = 50;
const KEPT = 20;
const AGAIN_MS = 5000;

export async function show({ main, id, params, signal }) {
  const about = h("div");
  const list = h("ol", { class: "requests", "aria-label": "Requests, newest first" });
  const news = h("div", { class: "news", role: "status" });
  const detail = h("div", { class: "detail", "aria-live": "polite" });
  const kept = h("div");
  replace(main, heading(id), about, kept, h("h2", {}, "What comes in"), news,
    h("div", { class: "split" }, list, detail));
  await Promise.all([draw(about, id, signal), drawKept(kept, id, signal)]);

  const open = async (event) => {
    for (const link of list.querySelectorAll("a")) {
      link.setAttribute("aria-current", String(link.dataset.id === event));
    }
    try {
      replace(detail, request(await getEvent(event, signal)));
    } catch (error) {
      if (!signal.aborted) replace(detail, failure(error));
    }
  };
  const item = (event) => h("li", {}, h("a", { href: `#/event/${event.id}`, "data-id": event.id,
    onclick: (click) => {
      if (click.ctrlKey || click.metaKey || click.shiftKey) return;
      click.preventDefault();
      open(event.id);
    } }, time(event.received_at ?? event.at), " ", words(event.type), " ", size(event.size)));

  const reload = async () => {
    const found = await all(path("/v1/events", { source: id, limit: SHOWN }), signal);
    replace(list, found.map(item));
    if (found.length === 0) replace(detail, h("p", { class: "quiet" }, "Nothing has come in yet."));
    return found;
  };
  const [first] = await reload();
  const wanted = params.get("event") ?? first?.id;
  if (wanted) await open(wanted);

  const follower = follow({ source: id }, (lines, waiting) => {
    if (waiting) {
      return replace(news, button(`${count(waiting, "request")} more: show`, () => {
        window.scrollTo(0, 0);
        document.activeElement?.blur();
        follower.flush(true);
      }));
    }
    replace(news);
    const came = lines.filter((line) => line.what === "event");
    for (const line of came) list.prepend(item(line));
    while (list.childElementCount > SHOWN) list.lastElementChild.remove();
    if (came.length) open(came.at(-1).id);
  }, () => reload().catch(() => undefined), signal);

  const timer = setInterval(() => {
    if (!document.hidden) draw(about, id, signal).catch(() => undefined);
  }, AGAIN_MS);
  signal.addEventListener("abort", () => clearInterval(timer));
}

async function draw(about, name, signal) {
  const one = await get(named("sources", name), signal);
  if (signal.aborted) return;
  const isBin = one.verify === "bin";
  const refused = Object.entries(one.refused ?? {}).sort(([, a], [, b]) => b - a);
  const end = () => confirm({
    title: `Delete the bin ${name}?`, action: "Delete", danger: true,
    count: () => ({ lines: ["Its events stay in the log; no more are accepted."] }),
    act: async () => {
      await remove(`${named("sources", name)}?verify=bin`);
      return `${name} is deleted.`;
    },
  }).then((isDone) => {
    if (isDone) location.hash = "#/sources";
  });
  replace(about,
    h("p", { class: "state" }, badge(isBin ? "bin" : one.verify, "waiting"), " ",
      h("code", { class: "url" }, visible(one.url)), " ",
      button("Copy", () => perform(async () => {
        await copy(one.url);
        return "Copied.";
      })), isBin && button("Delete", end, { class: "danger" })),
    one.unusable && failure(new Error(`Every request is refused: ${one.unusable}`)),
    one.warnings?.map(failure),
    facts([
      ["Ends", one.expires_at && when(one.expires_at)],
      ["Created", stamp(one.created_at)],
      ["Bodies of up to", one.max_body],
      ["Rate", one.rate],
      ["Allowed", one.allow?.join(", ")],
      ["Bodies that could not be read", one.unreadable_bodies || undefined],
      ["Last refusal", one.last_refusal && [words(one.last_refusal), " ", when(one.last_refused_at)]],
    ]),
    refused.length > 0 && h("div", { class: "scroll" }, h("table", { class: "narrow" },
      h("caption", {}, "Refused since the start, by reason"),
      h("thead", {}, h("tr", {}, h("th", { scope: "col" }, "Reason"),
        h("th", { scope: "col", class: "right" }, "Requests"))),
      h("tbody", {}, refused.map(([reason, times]) => h("tr", {}, h("th", { scope: "row" }, reason),
        h("td", { class: "right" }, number(times))))))));
}

/** The last refused requests, of a source that keeps them. */
async function drawKept(into, name, signal) {
  let found;
  try {
    found = await all(path(named("sources", name, "/refused"), { limit: KEPT }), signal);
  } catch {
    // A daemon that keeps none, or a user who may not see them.
    return;
  }
  if (signal.aborted || found.length === 0) return;
  replace(into, h("h2", {}, "Refused requests that were kept"), found.map((one) =>
    h("details", {}, h("summary", {}, badge(one.kind, "bad"), " ", words(one.reason), " ", when(one.at)),
      h("p", {}, h("code", {}, visible(`${one.method} ${one.url}`))),
      facts([["From", one.remote], ["At", stamp(one.at)], ["Size", size(one.size)]]),
      headersView(one.headers, "Headers"),
      bodyView({ base64: one.body_base64, name: `${name}-refused-${one.number}`,
        contentType: header(one.headers, "content-type") }))),
  button("Look again", () => drawKept(into, name, signal)));
}

/** A request as it came in. */
function request(event) {
  return [
    h("h3", {}, h("a", { href: `#/event/${event.id}` }, event.id)),
    h("p", {}, h("code", {}, visible(event.request_line))),
    facts([["Received", stamp(event.received_at)], ["From", event.remote], ["Type", words(event.type)],
      ["Size", size(event.size)]]),
    headersView(event.headers, "Headers"),
    bodyView({ ...eventBody(event), contentType: header(event.headers, "content-type") }),
  ];
}
