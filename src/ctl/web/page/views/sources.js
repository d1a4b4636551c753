// Sources and bins, and what was refused at each.

import { send } from "../api.js";
import { perform } from "../dialog.js";
import { badge, button, h, heading, replace } from "../dom.js";
import { number, visible, when, words } from "../format.js";
import { fill, table } from "../list.js";

export async function show({ main, params, signal }) {
  const bins = params.get("verify") === "bin";
  const after = params.get("after") ?? undefined;
  const into = h("div");
  const here = (after) => `#/sources?${bins ? "verify=bin" : ""}` +
    (after ? `&after=${encodeURIComponent(after)}` : "");
  replace(main,
    heading("Sources", button("New bin", (event) => perform(async () => {
      const made = await send("POST", "/v1/sources", { verify: "bin" });
      location.hash = `#/source/${encodeURIComponent(made.name)}`;
      return `The bin ${made.name} accepts what is sent to it.`;
    }, event.currentTarget), { title: "A temporary source for looking at what somebody sends" })),
    h("nav", { class: "chips", "aria-label": "Kinds" },
      h("a", { class: "chip", href: "#/sources", "aria-current": bins ? false : "true" }, "all"),
      h("a", { class: "chip", href: "#/sources?verify=bin", "aria-current": bins && "true" }, "bins")),
    into);

  const view = table({ caption: "Sources", key: (row) => row.name, columns: [
    { name: "Source", cell: (row) => h("a", { href: `#/source/${encodeURIComponent(row.name)}` },
      row.name) },
    { name: "Proof", cell: (row) => row.verify },
    { name: "URL", cell: (row) => h("code", {}, visible(row.url)), minor: true, wide: true },
    { name: "Refused", cell: (row) => row.unusable
      ? [badge("every request", "bad"), " ", words(row.unusable)] : reasons(row.refused), wide: true },
    { name: "Last refusal", cell: (row) => row.last_refusal
      ? [words(row.last_refusal), " ", when(row.last_refused_at)] : "-", wide: true, minor: true },
    { name: "Ends", cell: (row) => when(row.expires_at), minor: true },
  ] });
  await fill({ into, view, target: "/v1/sources", params: { verify: bins ? "bin" : "" }, after, here,
    signal, cursor: (row) => row.name, empty: "No source." });
}

/** Counts by reason, the most frequent first. */
export function reasons(counts) {
  const all = Object.entries(counts ?? {}).sort(([, a], [, b]) => b - a);
  return all.length ? all.map(([reason, times]) => `${reason} ${number(times)}`).join(", ") : "-";
}
