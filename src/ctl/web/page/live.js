// What happens, as it happens: the daemon's tail as server-sent events. It stops while nobody can
// see the page, goes on behind the last line that was seen, and leaves alone what somebody reads.

import { path, stream } from "./api.js";
import { isAsking } from "./dialog.js";

/** How often what has come is shown, at most. */
const SHOWN_EVERY_MS = 250;
/** Lines that wait while somebody reads; of more, only their number is kept. */
const WAITING = 500;
const AGAIN_MS = 2000;
/** Characters of one event; whoever sends more is not the server that we know. */
const EVENT = 4 << 20;

const control = document.getElementById("live");
let paused = false;
let current;

/**
 * Follows events (of a source) or attempts (at an endpoint) until `signal` says that the view is
 * left. `take(lines, isLater)` gets what has come, `missed()` is called when something was left out.
 */
export function follow(filter, take, missed, signal) {
  current?.end();
  current = new Follower(filter, take, missed);
  const own = current;
  signal.addEventListener("abort", () => own.end());
  return own;
}

/** Whether somebody reads what is there: then it does not move. */
export function isReading() {
  const selected = String(document.getSelection() ?? "") !== "";
  const inTable = Boolean(document.activeElement?.closest?.("tbody, .requests"));
  return isAsking() || selected || inTable || window.scrollY > 120;
}

class Follower {
  constructor(filter, take, missed) {
    Object.assign(this, { filter, take, missed, lines: [], left: 0, said: 0, lastId: "" });
    this.timer = setInterval(() => this.flush(false), SHOWN_EVERY_MS);
    this.open();
  }

  open() {
    if (this.asked || this.ended || paused || document.hidden) return say(this);
    const asked = new AbortController();
    this.asked = asked;
    // An EventSource cannot send the session's key.
    this.read(asked.signal).catch(() => {}).then(() => {
      if (this.asked !== asked) return;
      this.close();
      setTimeout(() => this.open(), AGAIN_MS);
    });
    say(this);
  }

  /** Reads one stream until it ends; what was cut off goes on behind the last line that was seen. */
  async read(signal) {
    const target = path("/v1/tail", { ...this.filter, ...(this.lastId ? {} : { limit: 0 }) });
    const answer = await stream(target, this.lastId, signal);
    const isStream = answer.headers.get("content-type") === "text/event-stream";
    if (!answer.ok || !isStream) return answer.body?.cancel();
    this.isOpen = true;
    say(this);

    const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
    for (let rest = ""; rest.length <= EVENT;) {
      const { value, done } = await reader.read();
      if (done || signal.aborted) return undefined;
      const blocks = (rest + value).split("\n\n");
      rest = blocks.pop();
      for (const block of blocks) this.event(block);
    }
    return reader.cancel();
  }

  /** One event: lines of `name: value`, as our own server writes them. */
  event(block) {
    const fields = {};
    for (const line of block.split("\n")) {
      const at = line.indexOf(":");
      if (at > 0) fields[line.slice(0, at)] = line.slice(at + 1).replace(/^ /, "");
    }
    if (fields.event === "missed") return this.missed();
    if (fields.id) this.lastId = fields.id;
    return fields.data === undefined ? undefined : this.line(JSON.parse(fields.data));
  }

  line(line) {
    if (line.problem || line.what === "missed") return this.missed();
    if (this.lines.length < WAITING) this.lines.push(line);
    else this.left += 1;
    return undefined;
  }

  /** Shows what has come; while somebody reads only when it is asked for. */
  flush(isAsked) {
    const count = this.lines.length + this.left;
    if (count === 0) return;
    if (!isAsked && isReading()) {
      if (this.said !== count) this.take([], count);
      this.said = count;
      return;
    }
    const { lines, left } = this;
    Object.assign(this, { lines: [], left: 0, said: 0 });
    this.take(lines, 0);
    if (left) this.missed();
  }

  close() {
    this.asked?.abort();
    this.asked = undefined;
    this.isOpen = false;
    say(this);
  }

  end() {
    this.ended = true;
    clearInterval(this.timer);
    this.close();
    if (current === this) current = undefined;
    say(current);
  }
}

function say(follower) {
  const state = paused ? "paused" : follower?.isOpen ? "live" : "connecting";
  control.hidden = !follower;
  control.textContent = state;
  control.className = state;
  control.setAttribute("aria-pressed", String(!paused));
}

export function toggle() {
  paused = !paused;
  if (paused) current?.close();
  else current?.open();
  say(current);
}

control.addEventListener("click", toggle);
document.addEventListener("visibilitychange", () => {
  if (document.hidden) current?.close();
  else current?.open();
});
