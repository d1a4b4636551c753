// Lists: tables whose rows come one by one, in pages by cursor. A page is never longer than it was
// asked for, however many there are.

import { Refusal, isAway, later, path, rows } from "./api.js";
import { append, button, failure, h, replace } from "./dom.js";
import { count, number, time } from "./format.js";

export const PAGE = 50;
/** Rows that may stand in a table to which new ones come. */
const LIVE_ROWS = 200;

/**
 * A table. A column is `{ name, cell(row), minor, right }`; minor ones are left out where there is
 * little room. `key(row)` names a row; with `selectable` it can be chosen.
 */
export function table({ caption, columns, key, selectable, onselect }) {
  const body = h("tbody");
  const chosen = new Map();
  const every = h("input", { type: "checkbox", "aria-label": "Select all rows on this page",
    onchange: () => choose([...body.rows], every.checked) });
  const classes = (column) => [column.minor && "minor", column.right && "right",
    column.wide && "wide"].filter(Boolean).join(" ");
  const head = columns.map((column) => h("th", { scope: "col", class: classes(column) }, column.name));
  const element = h("div", { class: "scroll", role: "region", tabindex: 0, "aria-label": caption },
    h("table", {}, h("caption", {}, caption),
      h("thead", {}, h("tr", {}, selectable && h("th", { scope: "col", class: "pick" }, every), head)),
      body));

  function choose(lines, isChosen) {
    for (const line of lines) {
      line.querySelector("input").checked = isChosen;
      if (isChosen) chosen.set(line.dataset.key, line);
      else chosen.delete(line.dataset.key);
    }
    onselect?.(chosen.size);
  }

  function line(row) {
    const made = h("tr", { "data-key": key(row) });
    if (selectable) {
      const pick = h("input", { type: "checkbox", "aria-label": `Select ${key(row)}`,
        onchange: () => choose([made], pick.checked) });
      made.append(h("td", { class: "pick" }, pick));
    }
    columns.forEach((column, at) => made.append(h(at === 0 ? "th" : "td",
      { scope: at === 0 && "row", class: classes(column) }, column.cell(row))));
    return made;
  }

  const find = (name) => [...body.rows].find((old) => old.dataset.key === name);

  return {
    element,
    add(row) {
      if (!find(key(row))) body.append(line(row));
    },
    /** Puts new rows above the others, and lets the last ones go. */
    addAbove(row) {
      const known = find(key(row));
      if (known) known.replaceWith(line(row));
      else body.prepend(line(row));
      while (body.rows.length > LIVE_ROWS) body.lastElementChild.remove();
    },
    chosen: () => [...chosen.keys()],
  };
}

/**
 * Fills a table with a page of a list, and says how it goes on. `here(after)` is the address of a
 * page; `cursor(row)` what the next page continues after. A daemon that is away is asked again.
 */
export async function fill(given) {
  const { into, view, target, params, after, here, cursor, empty, signal } = given;
  const stop = new AbortController();
  signal.addEventListener("abort", () => stop.abort());
  const status = h("p", { class: "quiet", role: "status" }, "Searching… ");
  append(status, button("Stop", () => stop.abort()));
  replace(into, view.element, status);
  const started = performance.now();
  let last;
  let found = 0;
  let total;
  let stopped = "";
  try {
    ({ total } = await rows(path(target, { ...params, limit: PAGE, after }), (row) => {
      if (found === 0) into.dataset.firstRowMs = String(Math.round(performance.now() - started));
      found += 1;
      last = cursor(row);
      view.add(row);
    }, stop.signal, (more) => {
      last = more.after;
      const to = more.looked_back_to ? `, looked back to ${time(more.looked_back_to)}` : "";
      status.firstChild.replaceWith(`Searching…${to} `);
    }));
  } catch (error) {
    if (signal.aborted) return;
    if (error.name === "AbortError") stopped = "Stopped: ";
    else if (error instanceof Refusal) {
      if (isAway(error)) later(() => fill(given).catch(() => {}), signal);
      return replace(into, view.element, failure(error));
    } else throw error;
  }

  const isFull = found === PAGE;
  const links = h("nav", { class: "pages", "aria-label": "Pages" },
    after && h("a", { href: here() }, "Newest"),
    (isFull || (stopped && last)) && h("a", { href: here(last), rel: "next" }, "Older"));
  const of = total > found ? ` of ${number(total)}` : isFull ? ", there may be more" : "";
  const shown = found === 0 && !stopped ? empty : `${count(found, "row")}${of}`;
  status.replaceChildren(`${stopped}${shown}`);
  into.append(links);
  into.dataset.done = String(found);
}

/** The field with a filter in words. */
export function search({ text, error, keys, help, onsubmit, examples = [] }) {
  const input = h("input", { id: "filter", type: "search", value: text, name: "q", spellcheck: "false",
    autocomplete: "off", autocapitalize: "off", placeholder: keys.map((key) => `${key}:`).join(" "),
    "aria-describedby": "filter-help", "aria-invalid": error ? "true" : false });
  const form = h("form", { class: "search", role: "search", onsubmit: (event) => {
    event.preventDefault();
    onsubmit(input.value.trim());
  } },
    h("label", { for: "filter" }, "Filter"), input, h("button", {}, "Apply"),
    h("details", { class: "grow", id: "filter-help" }, h("summary", {}, "How to filter"),
      h("dl", { class: "facts" }, help.map(([key, what]) =>
        h("div", {}, h("dt", {}, `${key}:`), h("dd", {}, what))))),
    examples.map(([name, value]) => button(name, () => onsubmit(value), { class: "chip" })),
    error && failure(error));
  return form;
}
