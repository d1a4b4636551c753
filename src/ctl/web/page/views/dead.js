// Dead letters: retry or discard those that are chosen, or all that a filter selects. First they
// are counted, then it is asked.

import { send } from "../api.js";
import { confirm } from "../dialog.js";
import { badge, button, h, heading, replace } from "../dom.js";
import { fixed, help, parse, written } from "../filter.js";
import { count, number, stamp, words } from "../format.js";
import { fill, search, table } from "../list.js";

const KEYS = ["endpoint", "source", "type", "event", "since", "until"];
const VERBS = {
  retry: { name: "Retry", danger: false, done: (answer) => `${answer.queued} of ${answer.matched} queued`,
    does: "attempted again" },
  discard: { name: "Discard", danger: true,
    done: (answer) => `${answer.discarded} of ${answer.matched} discarded`, does: "given up for good" },
};

export async function show({ main, params, signal }) {
  const q = params.get("q") ?? "";
  const after = params.get("after") ?? undefined;
  const { id, error, fields = {} } = parse(q, KEYS);
  if (id) {
    location.replace(`#/${id.startsWith("evt_") ? "event" : "delivery"}/${id}`);
    return;
  }
  const here = (after) => `#/dead?${q ? `q=${encodeURIComponent(q)}` : ""}${after ? `&after=${after}` : ""}`;
  const go = (text) => {
    location.hash = text ? `#/dead?q=${encodeURIComponent(text)}` : "#/dead";
  };
  const again = () => window.dispatchEvent(new HashChangeEvent("hashchange"));
  const into = h("div");
  const bar = h("div", { class: "actions sticky" });
  replace(main, heading("Dead letters"),
    search({ text: q, error, keys: KEYS, help: help(KEYS), onsubmit: go }), bar, into);
  if (error) return;

  const view = table({ caption: "Dead letters", key: (row) => row.id, selectable: true,
    onselect: (size) => drawBar(size), columns: [
      { name: "Delivery", cell: (row) => h("a", { href: `#/event/${row.event}?delivery=${row.id}` }, row.id) },
      { name: "Endpoint", cell: (row) => h("a", { href: `#/endpoint/${encodeURIComponent(row.endpoint)}` },
        row.endpoint) },
      { name: "Reason", cell: (row) => words(row.reason), wide: true },
      { name: "Attempts", cell: (row) => number(row.attempts), right: true, minor: true },
      { name: "Source", cell: (row) => words(row.source), minor: true },
      { name: "Type", cell: (row) => words(row.type), minor: true },
      { name: "Died", cell: (row) => stamp(row.died_at) },
    ] });

  function drawBar(size) {
    const which = q ? `All that match ${q}` : "All there are";
    replace(bar, Object.entries(VERBS).flatMap(([verb, { name, danger }]) => [
      button(`${name} selected (${size})`, () => ask(verb, { ids: view.chosen() }, "Selected").then(done),
        { disabled: size === 0, class: danger ? "danger" : "primary" }),
      button(`${name} ${q ? "matching" : "all"}…`, () => ask(verb, fixed(fields), which).then(done),
        { class: danger ? "danger" : "" }),
    ]));
  }
  const done = (isDone) => isDone && again();
  drawBar(0);
  await fill({ into, view, target: "/v1/dlq", params: fields, after, here, signal,
    cursor: (row) => row.id, empty: q ? "Nothing matches." : ["No dead letters. ", badge("delivered")] });
}

/** Counts what the verb would do, and asks. */
function ask(verb, which, words) {
  const { name, danger, done, does } = VERBS[verb];
  const target = `/v1/dlq/${verb}`;
  return confirm({
    title: `${name} dead letters?`, action: name, danger,
    count: async () => {
      const counted = await send("POST", target, { ...which, dry_run: true });
      const selected = which.ids ? "as selected" : written(which);
      return {
        none: counted.matched === 0,
        lines: [h("strong", { class: "count" }, count(counted.matched, "dead letter")),
          counted.matched ? `${words}: will be ${does}.` : "Nothing matches any more.",
          counted.matched > 0 && !which.ids && h("code", {}, selected),
          ...leftOut(counted)],
      };
    },
    act: async () => {
      const answer = await send("POST", target, which);
      return [`${done(answer)}.`, ...leftOut(answer)].join(" ");
    },
  });
}

function leftOut(answer) {
  return (answer.left_out ?? []).map(({ why, count: number }) => `${number} left out: ${why}.`);
}
