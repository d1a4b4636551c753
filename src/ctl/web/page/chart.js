// Lines over time as SVG, with what they say in words for whoever does not see them.

import { h, s } from "./dom.js";
import { time } from "./format.js";

const WIDTH = 380;
const HEIGHT = 150;
const LEFT = 52;
const BOTTOM = 22;
const TOP = 8;

/**
 * A figure. `lines` are `{ name, values }`, values beside `times` (milliseconds); null where there
 * is none. `show` writes a value.
 */
export function chart({ title, times, lines, show }) {
  const known = lines.filter(({ values }) => values?.some((value) => value !== null));
  const legend = h("figcaption", {}, h("strong", {}, title), known.map(({ name, values }, at) =>
    h("span", { class: `legend line${at}` }, `${name} ${show(lastOf(values))}`)));
  if (known.length === 0 || times.length < 2) {
    return h("figure", { class: "chart" }, legend, h("p", { class: "quiet" }, "Nothing yet."));
  }

  const most = Math.max(...known.flatMap(({ values }) => values.map((value) => value ?? 0)), 0) || 1;
  const [first, last] = [times[0], times[times.length - 1]];
  const x = (at) => LEFT + ((WIDTH - LEFT - 4) * (times[at] - first)) / Math.max(last - first, 1);
  const y = (value) => TOP + (HEIGHT - TOP - BOTTOM) * (1 - value / most);
  // Of whole numbers the middle may be written like an end.
  const marks = [0, 0.5, 1].filter((part) => part !== 0.5 || ![0, most].map(show).includes(show(most / 2)));
  const drawing = s("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img",
    "aria-label": sentence(title, known, show, first, last) },
    marks.map((part) => [
      s("line", { class: "grid", x1: LEFT, x2: WIDTH - 4, y1: y(most * part), y2: y(most * part) }),
      s("text", { x: LEFT - 6, y: y(most * part) + 4, "text-anchor": "end" }, show(most * part)),
    ]),
    s("text", { x: LEFT, y: HEIGHT - 5 }, time(first)),
    s("text", { x: WIDTH - 4, y: HEIGHT - 5, "text-anchor": "end" }, time(last)),
    known.map(({ values }, at) => s("path", { class: `line line${at}`, d: course(values, x, y) })));
  return h("figure", { class: "chart" }, legend, drawing, numbers(times, known, show));
}

/** A path that is broken where there is no value. */
function course(values, x, y) {
  let isDrawing = false;
  return values.map((value, at) => {
    const step = value === null ? "" : `${isDrawing ? "L" : "M"}${x(at).toFixed(1)} ${y(value).toFixed(1)}`;
    isDrawing = value !== null;
    return step;
  }).join("");
}

function lastOf(values) {
  return values.findLast((value) => value !== null);
}

function sentence(title, lines, show, first, last) {
  const parts = lines.map(({ name, values }) => {
    const there = values.filter((value) => value !== null);
    return `${name}: at most ${show(Math.max(...there))}, last ${show(there.at(-1))}`;
  });
  return `${title} from ${time(first)} to ${time(last)}. ${parts.join(". ")}.`;
}

/** The last values as a table. */
function numbers(times, lines, show) {
  const shown = times.map((_, at) => at).slice(-20).reverse();
  return h("details", {}, h("summary", {}, "As a table"), h("div", { class: "scroll" },
    h("table", {}, h("thead", {}, h("tr", {}, h("th", { scope: "col" }, "Time"),
      lines.map(({ name }) => h("th", { scope: "col", class: "right" }, name)))),
    h("tbody", {}, shown.map((at) => h("tr", {}, h("th", { scope: "row" }, time(times[at])),
      lines.map(({ values }) => h("td", { class: "right" },
        values[at] === null ? "-" : show(values[at])))))))));
}
