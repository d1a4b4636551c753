// The page: which view stands at which address, the keys, and what is the same in all views.

import { hasKey, isAway, later, takeKey } from "./api.js";
import { badge, button, failure, h, heading, replace } from "./dom.js";
import { tell } from "./dialog.js";
import { visible } from "./format.js";
import { toggle } from "./live.js";
import * as dead from "./views/dead.js";
import * as endpoint from "./views/endpoint.js";
import * as endpoints from "./views/endpoints.js";
import * as event from "./views/event.js";
import * as events from "./views/events.js";
import * as overview from "./views/overview.js";
import * as plots from "./views/plots.js";
import * as replay from "./views/replay.js";
import * as source from "./views/source.js";
import * as sources from "./views/sources.js";

// The name in the address, the view, its name and key in the navigation.
const VIEWS = [
  ["", overview, "Overview", "o"],
  ["events", events, "Events", "e"],
  ["endpoints", endpoints, "Endpoints", "n"],
  ["sources", sources, "Sources", "s"],
  ["dead", dead, "Dead letters", "d"],
  ["replay", replay, "Replay", "r"],
  ["plots", plots, "Plots", "p"],
  ["event", event, "", ""],
  ["delivery", event, "", ""],
  ["endpoint", endpoint, "", ""],
  ["source", source, "", ""],
];
/** What stands at an address that is none of these. */
const NOWHERE = ["", { show: nowhere }, "No such view", ""];
const WITHIN = { event: "events", delivery: "events", endpoint: "endpoints", source: "sources" };

const main = document.getElementById("main");
const nav = document.getElementById("nav");
let leave = new AbortController();

/** The address behind `#`: `/event/ID?a=b`. */
function address() {
  const [where, query] = location.hash.replace(/^#\/?/, "").split("?");
  const [name, ...rest] = where.split("/");
  let id;
  try {
    id = decodeURIComponent(rest.join("/"));
  } catch {
    id = rest.join("/");
  }
  return { name, id, params: new URLSearchParams(query ?? "") };
}

async function show() {
  leave.abort();
  leave = new AbortController();
  const { signal } = leave;
  const { name, id, params } = address();
  const found = VIEWS.find(([known]) => known === name);
  // A view of one thing needs its name.
  const [, view, title] = found && (found[2] || id) ? found : NOWHERE;
  drawNav(WITHIN[name] ?? name);
  document.title = `${title || id} · hookbox`;
  main.dataset.view = name || "overview";
  delete main.dataset.ready;
  try {
    await view.show({ main, name, id, params, signal });
  } catch (error) {
    if (signal.aborted) return;
    replace(main, h("h1", { tabindex: -1 }, title || id), failure(error),
      error.status === 401 || !hasKey() ? undefined : button("Try again", show));
    if (isAway(error)) later(show, signal);
  }
  if (signal.aborted) return;
  main.dataset.ready = "true";
  const isTyping = document.activeElement?.matches?.("input, textarea, select");
  if (!isTyping) main.querySelector("h1")?.focus({ preventScroll: true });
}

async function nowhere({ name }) {
  replace(main, heading("No such view"), h("p", {}, "There is no view ", h("code", {}, visible(name)),
    ": see the ", h("a", { href: "#/" }, "overview"), "."));
}

function drawNav(current) {
  const links = VIEWS.filter(([, , title]) => title).map(([name, , title, key]) =>
    h("a", { href: `#/${name}`, "aria-current": name === current ? "page" : false,
      title: `${title} (g ${key})` }, title));
  replace(nav, links);
}

// --- keys ---

const KEYS = [
  ["/", "to the filter"],
  ["j, k", "to the next row, to the one before"],
  ["Enter", "opens the row"],
  ["space", "pauses or resumes live updates"],
  ["Escape", "leaves a field or a list"],
  ...VIEWS.filter(([, , title]) => title).map(([, , title, key]) => [`g ${key}`, title]),
  ["Ctrl or middle click", "opens a link in another tab"],
  ["?", "these keys"],
];

function showKeys() {
  tell("Keys", h("dl", { class: "facts" }, KEYS.map(([key, what]) =>
    h("div", {}, h("dt", {}, h("kbd", {}, key)), h("dd", {}, what)))),
    h("p", {}, "States: ", ["delivered", "pending", "held", "dead", "cancelled"].map((state) =>
      [badge(state), " "])));
}

let isGoing = false;

function onKey(event) {
  if (event.ctrlKey || event.metaKey || event.altKey || document.querySelector("dialog[open]")) return;
  const isField = event.target.matches("input:not([type=checkbox]), textarea, select");
  if (event.key === "Escape") return document.activeElement?.blur();
  if (isField) return;
  const goes = isGoing && VIEWS.find(([, , title, key]) => title && key === event.key);
  isGoing = event.key === "g" && !isGoing;
  if (goes) location.hash = `#/${goes[0]}`;
  else if (event.key === "/") document.getElementById("filter")?.focus();
  else if (event.key === "?") showKeys();
  else if (event.key === "j") step(1);
  else if (event.key === "k") step(-1);
  else if (event.key === " " && event.target === document.body || event.key === " " &&
    event.target.matches("h1, main")) toggle();
  else return;
  event.preventDefault();
}

/** To the link of the next row. */
function step(by) {
  const links = [...main.querySelectorAll("tbody th a, .requests a, .delivery summary")];
  const at = links.indexOf(document.activeElement);
  links[Math.max(0, Math.min(links.length - 1, at + by))]?.focus();
}

// --- other tabs ---

/**
 * A tab that this page opens gets a copy of what it keeps, and so the session's key; one that the
 * browser opens for a link gets none, and would be refused.
 */
function onOtherTab(event) {
  const link = event.target.closest?.("a[href^='#']");
  const isOther = event.button === 1 ||
    event.button === 0 && (event.ctrlKey || event.metaKey || event.shiftKey);
  if (!link || !isOther) return;
  event.preventDefault();
  window.open(link.href);
}

document.addEventListener("click", onOtherTab);
document.addEventListener("auxclick", onOtherTab);
document.addEventListener("keydown", onKey);
document.getElementById("help").addEventListener("click", showKeys);
window.addEventListener("hashchange", show);
takeKey();
show();
