// A request as a command for a shell, with no credentials in it: of the headers only
// those that are known to hold no secret, no signature, and of the URL only where it leads. What is
// left out is named.

import { textOf } from "./body.js";
import { tell } from "./dialog.js";
import { h } from "./dom.js";

const PLAIN = new RegExp("^(accept|content-type|content-encoding|user-agent|webhook-id|" +
  "webhook-timestamp|hookbox-[a-z-]+|ce-(id|type|source|specversion|time)|" +
  "x-[a-z]+(-[a-z]+)*-(event|event-type|delivery|topic|webhook-id))$");
/** Names of parameters of a query that may be credentials; and what stands for one in the log. */
const OPENS = /auth|code|cred|hmac|key|pass|pwd|secret|session|sig|token/i;
const REDACTED = "…";
/** Bytes of a body that stand in the command itself. */
const INLINE = 16 << 10;

// Between these quotes every shell takes all as it stands, but for fish, which reads a backslash:
// a text with one is not put here.
const quoted = (text) => `'${text.replaceAll("'", "'\\''")}'`;

/** The command for a request with these bytes as its body; `query` is added to the URL. */
export function curl({ method, url, query, headers, bytes, name }) {
  const [target, rest] = reduced(url);
  const [asked, unasked] = plainQuery(query);
  const left = [];
  const verb = /^[A-Z]+$/.test(method) ? method : "POST";
  const lines = [`curl --request ${verb} ${quoted(target + asked)}`];
  for (const [header, value] of Object.entries(headers ?? {})) {
    const lower = header.toLowerCase();
    if (["host", "content-length", "connection", "accept-encoding"].includes(lower)) continue;
    const isPlain = PLAIN.test(lower) && !/[\\\u0000-\u001f\u007f-\u009f]/.test(value);
    if (isPlain) lines.push(`--header ${quoted(`${lower}: ${value}`)}`);
    else left.push(lower.replace(/[^a-z0-9-]/g, "?"));
  }

  const [before, body] = bodyPart(bytes, name);
  if (body) lines.push(body);
  const notes = [];
  if (rest) notes.push("# of the URL, path and query: they may hold a key");
  if (unasked.length) notes.push(`# of the query: ${unasked.join(", ")}`);
  if (left.length) notes.push(`# of the headers: ${left.join(", ")}`);
  const left_out = notes.length ? ["# left out:", ...notes] : [];
  return [...left_out, before + lines.join(" \\\n  ")].join("\n") + "\n";
}

/** Where a URL leads, and whether more of it was left out. */
function reduced(url) {
  try {
    const { protocol, host, pathname, search, username } = new URL(url);
    const isWeb = protocol === "http:" || protocol === "https:";
    if (!isWeb) return ["http://127.0.0.1:3000/", true];
    return [`${protocol}//${host}/`, pathname !== "/" || search !== "" || username !== ""];
  } catch {
    return ["http://127.0.0.1:3000/", true];
  }
}

/** The parameters whose names do not say that they are credentials, and the names of the others. */
function plainQuery(query) {
  const kept = new URLSearchParams();
  const left = [];
  for (const [name, value] of new URLSearchParams(query ?? "")) {
    const isPlain = !OPENS.test(name) && !value.includes(REDACTED);
    if (isPlain) kept.append(name, value);
    else left.push(name.replace(/[^A-Za-z0-9_.-]/g, "?"));
  }
  return [`${kept}` ? `?${kept}` : "", left];
}

function bodyPart(bytes, name) {
  if (!bytes || bytes.length === 0) return ["", ""];
  if (bytes.length > INLINE) return ["", `--data-binary ${quoted(`@${name}`)}`];
  const text = textOf(bytes);
  // What a terminal acts on is not pasted into one, nor what shells read in different ways.
  const isPlain = text !== undefined && !/[\\\u0000-\u0008\u000b-\u001f\u007f-\u009f]/.test(text);
  if (isPlain) return ["", `--data-raw ${quoted(text)}`];
  const base64 = btoa(Array.from(bytes, (byte) => String.fromCharCode(byte)).join(""));
  return [`printf %s ${base64} | base64 -d | `, "--data-binary @-"];
}

/** Into the clipboard; where there is none, for copying by hand. */
export async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    tell("Copy this", h("pre", { class: "body", tabindex: 0 }, text));
  }
}
