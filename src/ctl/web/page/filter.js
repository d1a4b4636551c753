// The filter that people type: source:github type:push state:dead since:2h. It stands in the URL
// as it was typed.

import { now } from "./api.js";

export const STATES = ["pending", "in_flight", "delivered", "dead", "held", "cancelled"];

const KEYS = {
  source: "the name of a source",
  type: "an event type; * and ? stand for any characters",
  state: STATES.join(", "),
  endpoint: "the name of an endpoint",
  event: "the id of an event",
  since: "2h, 3d, 2026-11-23 or 2026-11-23T13:20:00Z",
  until: "as since",
};

/** The keys with what they take, for those that a view knows. */
export function help(keys) {
  return keys.map((key) => [key, KEYS[key]]);
}

/**
 * Reads a filter: `{ fields }`, or `{ error }`, or `{ id }` when it is just an id.
 */
export function parse(text, keys) {
  const fields = {};
  const words = text.match(/(?:[^\s"]|"[^"]*")+/g) ?? [];
  if (words.length === 1 && /^(evt|dlv)_[0-9a-z]+$/.test(words[0])) return { id: words[0] };
  for (const word of words) {
    const at = word.indexOf(":");
    const key = at > 0 ? word.slice(0, at) : "";
    const value = word.slice(at + 1).replaceAll('"', "");
    const known = keys.join(":, ") + ":";
    if (!key) return { error: `'${word}' has no key: write type:${word}, source:${word} … (${known})` };
    if (!keys.includes(key)) return { error: `'${key}:' is not a key here: ${meant(key, keys) ?? known}` };
    if (fields[key] !== undefined) return { error: `'${key}:' is given twice` };
    if (!value) return { error: `'${key}:' needs a value: ${KEYS[key]}` };
    if (key === "state" && !STATES.includes(value.replace("-", "_"))) {
      return { error: `'${value}' is no state: ${STATES.join(", ")}` };
    }
    fields[key] = key === "state" ? value.replace("-", "_") : value;
  }
  return { fields };
}

function meant(key, keys) {
  const near = keys.find((known) => known.startsWith(key.slice(0, 2)));
  return near && `did you mean '${near}:'?`;
}

/** A filter as text. */
export function written(fields) {
  const word = ([key, value]) => (/\s/.test(value) ? `${key}:"${value}"` : `${key}:${value}`);
  return Object.entries(fields).filter(([, value]) => value).map(word).join(" ");
}

/**
 * The same filter with times that do not move: what was counted is what is done. `until` is now
 * where none is given.
 */
export function fixed(fields) {
  const at = (text) => {
    const ago = /^(\d+)(s|m|h|d)$/.exec(text);
    const unit = { s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 };
    return ago ? new Date(now() - ago[1] * unit[ago[2]]).toISOString() : text;
  };
  const until = fields.until ? at(fields.until) : new Date(now()).toISOString();
  return { ...fields, ...(fields.since ? { since: at(fields.since) } : {}), until };
}

/**
 * Whether a type passes a pattern with * and ?, as the daemon has it: both are tested with the
 * table tests/fixtures/globs.json. Only the last * that was met is tried again, so a
 * pattern of many costs no more than its length for each character.
 */
export function glob(pattern, text) {
  const [wanted, given] = [[...pattern], [...text]];
  let [at, from, star, tried] = [0, 0, -1, 0];
  while (from < given.length) {
    if (wanted[at] === "*") {
      star = at;
      tried = from;
      at += 1;
    } else if (at < wanted.length && (wanted[at] === "?" || wanted[at] === given[from])) {
      at += 1;
      from += 1;
    } else if (star >= 0) {
      tried += 1;
      from = tried;
      at = star + 1;
    } else {
      return false;
    }
  }
  return wanted.slice(at).every((c) => c === "*");
}
