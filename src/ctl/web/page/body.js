// A body as text, in lines, or as bytes. It is shown as text and as nothing else, whatever its
// content type says.

import { get, named, path } from "./api.js";
import { perform } from "./dialog.js";
import { button, h, replace } from "./dom.js";
import { number, size, visible } from "./format.js";
import { pretty } from "./json.js";

/** Bytes of a body that a view reads and decodes: a longer one is saved. */
const BEGINNING = 1 << 20;
/** Characters, and bytes, that are shown before somebody asks for more. */
const TEXT = 100_000;
const HEX = 8192;
/** Characters of a form that is shown in lines. */
const FORM = 1 << 20;
const KINDS = { "application/json": "json", "text/plain": "txt", "text/html": "html.txt",
  "application/xml": "xml.txt", "text/xml": "xml.txt", "application/x-www-form-urlencoded": "txt" };

/** Four letters of base64 are three bytes: of a long body only its beginning. */
const beginningOf = (base64) => (base64 ?? "").slice(0, Math.ceil(BEGINNING / 3) * 4);

function sizeOf(base64) {
  const padding = /=*$/.exec((base64 ?? "").slice(-2))[0].length;
  return Math.floor((base64 ?? "").length / 4) * 3 - padding;
}

export function decode(base64) {
  if (Uint8Array.fromBase64) return Uint8Array.fromBase64(base64 ?? "");
  return Uint8Array.from(atob(base64 ?? ""), (c) => c.charCodeAt(0));
}

/** An event with the beginning of its body, which is all of most. */
export const getEvent = (id, signal) => get(path(named("events", id), { body_bytes: BEGINNING }), signal);

/** What `bodyView` takes for the body of such an event. */
export const eventBody = ({ id, size: total, body_base64: base64 }) => ({ base64, total, name: id,
  whole: async () => decode((await get(named("events", id))).body_base64) });

/** The text that some bytes are, byte for byte; `undefined` when they are none. */
export function textOf(bytes) {
  try {
    const text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
    return text.includes("\0") ? undefined : text;
  } catch {
    return undefined;
  }
}

/**
 * The text that most of some bytes are, with a mark for each that is none; `undefined` when more
 * than a quarter of it would be such marks. Of the beginning of a body the last character may be
 * incomplete: it is left out.
 */
export function readable(bytes, isBeginning = false) {
  const decoder = new TextDecoder("utf-8", { ignoreBOM: true });
  const text = decoder.decode(bytes, { stream: isBeginning });
  const strange = text.match(/[\ufffd\u0000-\u0008\u000b\u000c\u000e-\u001a\u001c-\u001f\u007f]/g) ?? [];
  return strange.length * 4 <= text.length ? text : undefined;
}

/** Saves bytes as a file, always as bytes: no browser opens them. */
export function save(bytes, name, contentType) {
  const kind = KINDS[(contentType ?? "").split(";")[0].trim().toLowerCase()] ?? "bin";
  const url = URL.createObjectURL(new Blob([bytes], { type: "application/octet-stream" }));
  const safe = `${name}.${kind}`.replace(/[^A-Za-z0-9._-]/g, "_");
  const link = h("a", { href: url, download: safe });
  link.click();
  setTimeout(() => URL.revokeObjectURL(url), 10_000);
}

/**
 * A view of a body: raw, pretty, hex, and a button that saves it. Of a long one only the beginning is
 * decoded. `total` is its size and `whole` gets all of its bytes, where `base64` has its beginning.
 */
export function bodyView({ base64, contentType, name, label = "Body", note, total, whole,
  isBeginning: isKeptInPart = false }) {
  const bytes = decode(beginningOf(base64));
  const all = total ?? sizeOf(base64);
  const left = Math.max(0, all - bytes.length);
  const isBeginning = isKeptInPart || left > 0;
  if (bytes.length === 0) return h("p", { class: "quiet" }, `${label}: empty`);
  const text = readable(bytes, isBeginning);
  // Neither a form nor JSON ends where the beginning does.
  const isWhole = text !== undefined && left === 0;
  const lines = isWhole ? form(text, contentType) ?? pretty(text) : undefined;
  const shown = h("pre", { tabindex: 0, class: "body", "aria-label": label });
  const ways = [
    ["pretty", lines !== undefined, () => cut(lines, shown)],
    ["raw", true, () => cut(text ?? new TextDecoder().decode(bytes), shown)],
    ["hex", true, () => hex(bytes, shown, HEX)],
  ];
  const controls = ways.map(([way, can, show]) => button(way, (event) => {
    for (const control of controls) control.setAttribute("aria-pressed", "false");
    event.currentTarget.setAttribute("aria-pressed", "true");
    show();
  }, { disabled: !can, "aria-pressed": "false" }));
  const first = lines !== undefined ? 0 : text !== undefined ? 1 : 2;
  controls[first].setAttribute("aria-pressed", "true");
  ways[first][2]();

  const about = [label, contentType, size(all), note].filter(Boolean).map(visible);
  const keep = () => perform(async () => {
    save(left > 0 && whole ? await whole() : decode(base64), name, contentType);
    return "Saved.";
  });
  return h("section", { class: "body-view" },
    h("div", { class: "bar" },
      h("span", { class: "grow" }, about.join(" · ")),
      h("span", { role: "group", "aria-label": `${label} as` }, controls),
      button("Save", keep, { title: "Save the body, byte for byte" })),
    shown,
    left > 0 && h("p", { class: "quiet" }, `… ${number(left)} more bytes: `, button("Save body", keep)));
}

/** A form as one field a line. */
function form(text, contentType) {
  if (text.length > FORM) return undefined;
  if (!/^application\/x-www-form-urlencoded/i.test(contentType ?? "")) return undefined;
  return [...new URLSearchParams(text)].map(([name, value]) => `${name} = ${value}`).join("\n");
}

function cut(text, into, most = TEXT) {
  replace(into, visible(text.slice(0, most)));
  if (text.length > most) {
    const left = `Show more (${number(text.length - most)} characters)`;
    into.append("\n", button(left, () => cut(text, into, most * 4)));
  }
}

function hex(bytes, into, most) {
  const lines = [];
  const end = Math.min(bytes.length, most);
  for (let at = 0; at < end; at += 16) {
    const row = bytes.subarray(at, Math.min(at + 16, end));
    const codes = Array.from(row, (byte) => byte.toString(16).padStart(2, "0"));
    const text = Array.from(row, (b) => (b >= 32 && b < 127 ? String.fromCharCode(b) : "."));
    const left = codes.slice(0, 8).join(" ").padEnd(23);
    const right = codes.slice(8).join(" ").padEnd(23);
    lines.push(`${at.toString(16).padStart(8, "0")}  ${left}  ${right}  ${text.join("")}`);
  }
  replace(into, lines.join("\n"));
  if (bytes.length > most) {
    const left = `Show more (${number(bytes.length - most)} bytes)`;
    into.append("\n", button(left, () => hex(bytes, into, most * 4)));
  }
}
