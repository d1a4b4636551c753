// What happens, as it happens: the daemon's tail as server-sent events. It stops while nobody can
// see the page, goes on behind the last line that was seen, and leaves alone what somebody reads.

import { path } from "./api.js";
import { isAsking } from "./dialog.js";

/** How often what has come is shown, at most. */
const SHOWN_EVERY_MS = 250;
/** Lines that wait while somebody reads; of more, only their number is kept. */
const WAITING = 500;
const AGAIN_MS = 3000;

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
    if (this.source || this.ended || paused || document.hidden) return say(this);
    const more = this.lastId ? { last_event_id: this.lastId } : { limit: 0 };
    this.source = new EventSource(path("/api/v1/tail", { ...this.filter, ...more }));
    this.source.onopen = () => say(this);
    this.source.onmessage = (event) => this.line(event);
    this.source.addEventListener("missed", () => this.missed());
    this.source.onerror = () => {
      // The browser comes again by itself, unless it was refused.
      if (this.source?.readyState === EventSource.CLOSED) {
        this.close();
        setTimeout(() => this.open(), AGAIN_MS);
      }
      say(this);
    };
    say(this);
  }

  line(event) {
    if (event.lastEventId) this.lastId = event.lastEventId;
    const line = JSON.parse(event.data);
    if (line.problem || line.what === "missed") return this.missed();
    if (this.lines.length < WAITING) this.lines.push(line);
    else this.left += 1;
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
    this.source?.close();
    this.source = undefined;
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
  const state = paused ? "paused"
    : follower?.source?.readyState === EventSource.OPEN ? "live" : "connecting";
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
