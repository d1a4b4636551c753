// The overview: whether all is well, what is not, and the last hour.

import { get } from "../api.js";
import { chart } from "../chart.js";
import { badge, failure, facts, h, heading, replace } from "../dom.js";
import { count, number, probe, size, span, visible, when, words } from "../format.js";
import { history } from "../history.js";
import { follow } from "../live.js";
import { latest } from "./events.js";

const AGAIN_MS = 5000;

export async function show({ main, signal }) {
  const state = h("div");
  const plots = h("div", { class: "charts" });
  const tail = latest();
  replace(main, heading("Overview"), state, plots,
    h("h2", {}, "What happens"), tail.element);
  await draw(state, plots, signal);
  follow({}, (lines) => lines.forEach(tail.add), () => {}, signal);

  const timer = setInterval(() => {
    if (!document.hidden) draw(state, plots, signal).catch((error) => replace(state, failure(error)));
  }, AGAIN_MS);
  signal.addEventListener("abort", () => clearInterval(timer));
}

// What was acknowledged is shown, and asks for nobody.
function damage(ranges) {
  if (!ranges.length) return "";
  const fresh = ranges.filter((range) => !range.acknowledged_at).length;
  return fresh ? `${count(fresh, "range")}: hookboxctl log verify`
    : `${count(ranges.length, "range")}, acknowledged`;
}

/** What needs somebody beside the endpoints: a sentence each, with the command where one helps. */
function concerns(status) {
  const { log, link, clock, applied, certificate } = status;
  const fresh = log.damage.filter((range) => !range.acknowledged_at).length;
  const others = status.unusable - status.unusable_sources.length;
  const all = [
    fresh > 0 && [`The log has ${count(fresh, "damaged range")}: `, command("hookboxctl log verify")],
    log.level !== "open" && `Disk space is scarce: ${size(log.left_bytes)} left of ${size(log.quota_bytes)}.`,
    certificate?.warning && words(certificate.warning),
    ...status.unusable_sources.map(({ source, reason }) => [h("a", { href:
      `#/source/${encodeURIComponent(source)}` }, source), " refuses every request: ", words(reason)]),
    others > 0 && `So do ${count(others, "more source")}.`,
    log.over_share.length > 0 && ["Refused for lack of space: ", words(log.over_share.join(", "))],
    !link.online && ["The network is down, since ", when(link.offline_since)],
    clock.suspect && "The clock is not trusted.",
    applied?.error && ["Nothing of apply.d was applied at the start: ", words(applied.error)],
    applied?.drift?.length > 0 && ["Not as the files of apply.d say: ", words(applied.drift.join(", "))],
    ...status.deleted_with_dead.map((one) => [h("bdi", {}, visible(one.endpoint)),
      ` was deleted, and has ${count(one.dead, "dead letter")}: `, command(one.command)]),
  ].filter(Boolean);
  return all.length > 0 && h("ul", { class: "needs", "aria-label": "What is wrong" },
    all.map((one) => h("li", {}, one)));
}

const command = (text) => h("code", {}, visible(text));

async function draw(state, plots, signal) {
  const [status, past] = await Promise.all([get("/v1/status", signal), history("1h", signal)]);
  if (signal.aborted) return;
  const { deliveries, log } = status;
  replace(state,
    h("p", { class: "state" }, badge(status.accepting ? "accepting" : "refused"), " ",
      status.accepting ? "Events are accepted" : `No events are accepted: ${status.reason}`,
      ` · hookbox ${status.version} · up ${span(status.uptime_s * 1000)}`),
    h("div", { class: "tiles" },
      tile("Events", status.events, "#/events"),
      tile("Delivered", deliveries.delivered, "#/events?q=state:delivered"),
      tile("Pending", deliveries.pending, "#/events?q=state:pending",
        deliveries.retrying && `${number(deliveries.retrying)} for a retry`),
      tile("In flight", deliveries.in_flight),
      tile("Held", deliveries.held, "#/endpoints?state=held"),
      tile("Dead letters", deliveries.dead, "#/dead", "", deliveries.dead > 0)),
    concerns(status), worst(status), facts([
      ["Refused", refused(status.refused)],
      ["Listening", status.listen.join(", ")],
      ["Disk", `${log.level}: ${size(log.left_bytes)} left of ${size(log.quota_bytes)}, ` +
        `${count(log.segments, "segment")}`],
      ["Link", status.link.online ? undefined : ["offline since ", when(status.link.offline_since)]],
      ["Clock", status.clock.suspect ? "not plausible" : undefined],
      ["Breakers open", status.breakers_open || undefined],
      ["Lanes that wait for you", status.parked_lanes || undefined],
      ["Replays", status.replays ? h("a", { href: "#/replay" }, number(status.replays)) : undefined],
      ["Shares used up", status.shares.map((share) => `${share.of}: ${share.what}`).join("; ")],
      ["Damage", damage(log.damage)],
    ]));
  replace(plots, [
    ["Events in a minute", [["accepted", "accepted"], ["refused", "refused"]], rate],
    ["Attempts in a minute", [["delivered", "delivered"], ["failed", "failed"], ["dead", "dead"]], rate],
    ["Waiting", [["pending", "pending"]], whole],
  ].map(([title, lines, show]) => chart({ title, show, times: past.times,
    lines: lines.map(([name, key]) => ({ name, values: past.values[key] })) })));
}

const rate = (value) => number(Math.round((value ?? 0) * 10) / 10);
const whole = (value) => number(Math.round(value ?? 0));

function tile(name, value, href, note, isBad) {
  const content = [h("span", { class: "name" }, name),
    h("span", { class: isBad ? "value bad" : "value" }, number(value)), note ? h("small", {}, note) : ""];
  return href ? h("a", { class: "tile", href }, content) : h("div", { class: "tile" }, content);
}

function refused(counts) {
  return Object.entries(counts ?? {}).map(([reason, times]) => `${reason} ${number(times)}`).join(", ");
}

/** The endpoints that need somebody, the worst first. */
function worst(status) {
  if (status.worst.length === 0) return h("p", { class: "quiet" }, "No endpoint needs you.");
  const rows = status.worst.map((one) => h("tr", {},
    h("th", { scope: "row" }, h("a", { href: `#/endpoint/${encodeURIComponent(one.endpoint)}` },
      one.endpoint)),
    h("td", {}, badge(one.condition), " ", one.held_reason ? `(${one.held_reason})` : ""),
    h("td", {}, when(one.since)),
    h("td", { class: "right" }, number(one.waiting), one.oldest_waiting_at && [", oldest ",
      when(one.oldest_waiting_at)]),
    h("td", { class: "right" }, one.dead ? h("a", { href:
      `#/dead?q=${encodeURIComponent(`endpoint:${one.endpoint}`)}` }, number(one.dead)) : "0"),
    h("td", { class: "wide" }, words(one.last_error), one.last_answer &&
      h("div", { class: "quote" }, words(one.last_answer))),
    h("td", { class: "minor" }, probe(one)),
    h("td", { class: "minor" }, h("code", {}, one.command))));
  const more = status.troubled - status.worst.length;
  return [h("h2", {}, "What needs you"), h("div", { class: "scroll", tabindex: 0, role: "region",
    "aria-label": "Endpoints that need you" }, h("table", {}, h("caption", {}, "Endpoints that need you"),
    h("thead", {}, h("tr", {}, ["Endpoint", "Condition", "Since", "Waiting", "Dead", "Last error"]
      .map((name) => h("th", { scope: "col" }, name)),
      ["Next probe", "Command"].map((name) => h("th", { scope: "col", class: "minor" }, name)))),
    h("tbody", {}, rows))),
  more > 0 && h("p", {}, h("a", { href: "#/endpoints?state=troubled" }, `and ${number(more)} more`))];
}
