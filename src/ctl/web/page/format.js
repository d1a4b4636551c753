// Times, sizes and numbers for people. Times are those of the browser's zone; JSON has UTC.

import { h } from "./dom.js";
import { now } from "./api.js";

const two = (number) => String(number).padStart(2, "0");

export function time(text) {
  if (!text) return "-";
  const at = new Date(text);
  const date = `${at.getFullYear()}-${two(at.getMonth() + 1)}-${two(at.getDate())}`;
  return `${date} ${two(at.getHours())}:${two(at.getMinutes())}:${two(at.getSeconds())}`;
}

/** Milliseconds in words: 340 ms, 2.4 s, 5 min, 3 h, 2 d. */
export function span(ms) {
  if (ms === undefined || ms === null) return "-";
  if (ms < 1000) return `${Math.round(ms)} ms`;
  const units = [["d", 86_400_000], ["h", 3_600_000], ["min", 60_000], ["s", 1000]];
  const [unit, size] = units.find(([, size]) => ms >= size);
  const value = ms / size;
  return `${value < 10 ? value.toFixed(1).replace(/\.0$/, "") : Math.floor(value)} ${unit}`;
}

/** A time with how long ago it was, or how soon it will be. */
export function when(text) {
  if (!text) return "-";
  const distance = now() - Date.parse(text);
  const words = distance >= 0 ? `${span(distance)} ago` : `in ${span(-distance)}`;
  return h("time", { datetime: text, title: `${time(text)} (${zone()})` }, words);
}

/** When a receiver is probed: with the next event, when that time has passed and nothing waits. */
export function probe({ next_probe_at: at, waiting }) {
  if (at && !waiting && Date.parse(at) <= now()) return "with the next event";
  return when(at);
}

/** A time in a list: to the second, with the date and zone for whoever asks. */
export function stamp(text) {
  if (!text) return "-";
  return h("time", { datetime: text, title: `${text}, here ${zone()}` }, time(text));
}

function zone() {
  return Intl.DateTimeFormat().resolvedOptions().timeZone ?? "local time";
}

export function size(bytes) {
  if (bytes === undefined || bytes === null) return "-";
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let at = 0;
  while (bytes >= 1024 && at < units.length - 1) {
    bytes /= 1024;
    at += 1;
  }
  return `${at === 0 || bytes >= 100 ? Math.round(bytes) : bytes.toFixed(1)} ${units[at]}`;
}

export function number(value) {
  return value === undefined || value === null ? "-" : Number(value).toLocaleString("en");
}

export function count(value, noun, plural = `${noun}s`) {
  return `${number(value)} ${value === 1 ? noun : plural}`;
}

/** A text from elsewhere with its control characters, and those that turn text around, as codes. */
export function visible(text) {
  const hidden = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff]/g;
  return String(text ?? "").replace(hidden,
    (found) => `\\u${found.codePointAt(0).toString(16).padStart(4, "0")}`);
}

/** A text from elsewhere among others. */
export function words(text) {
  return text === undefined || text === null || text === "" ? "-" : h("bdi", {}, visible(text));
}
