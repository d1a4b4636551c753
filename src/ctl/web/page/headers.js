// Headers of requests and responses.

import { h } from "./dom.js";
import { visible } from "./format.js";

/** The value of a header, whatever the case of its name. */
export function header(headers, name) {
  const found = Object.entries(headers ?? {}).find(([key]) => key.toLowerCase() === name);
  return found?.[1];
}

const SIGNATURE = /signature/i;

/** Headers as a table; those of signatures stand out. */
export function headersView(headers, caption) {
  const all = Object.entries(headers ?? {});
  if (all.length === 0) return undefined;
  return h("details", { open: all.length <= 12 }, h("summary", {}, `${caption} (${all.length})`),
    h("div", { class: "scroll" }, h("table", { class: "headers" }, h("caption", {}, caption),
      h("thead", { class: "unseen" }, h("tr", {}, h("th", { scope: "col" }, "Name"),
        h("th", { scope: "col" }, "Value"))),
      h("tbody", {}, all.map(([key, value]) => h("tr", { class: SIGNATURE.test(key) ? "signature" : "" },
        h("th", { scope: "row" }, visible(key)), h("td", {}, h("code", {}, visible(value)))))))));
}
