// The daemon's API behind /api: JSON, lists of JSON lines as they come, and problems.

/** What a request was refused for, in the daemon's own words. */
export class Refusal extends Error {
  constructor(status, detail) {
    super(detail);
    this.status = status;
  }
}

/** Before somebody who did not answer is asked again. */
const AGAIN_MS = 3000;

/** Whether nobody answered who may be back soon: the daemon, or hookboxctl web itself. */
export function isAway(error) {
  return error instanceof Refusal && [0, 502].includes(error.status);
}

/** Does it a little later, unless the view is left by then. */
export function later(act, signal) {
  const timer = setTimeout(act, AGAIN_MS);
  signal.addEventListener("abort", () => clearTimeout(timer));
}

// The server's clock against this browser's: they may be two machines.
let ahead = 0;

/** The time of the machine that hookboxctl runs on, in milliseconds. */
export function now() {
  return Date.now() + ahead;
}

/** A path with its parameters; what is undefined or empty is left out. */
export function path(base, params = {}) {
  const given = Object.entries(params).filter(([, v]) => v !== undefined && v !== null && v !== "");
  const query = given.map(([key, value]) => `${key}=${encodeURIComponent(value)}`).join("&");
  return query ? `${base}?${query}` : base;
}

/** The path of one thing. A browser takes `.` and `..` for folders, so they name nothing. */
export function named(nouns, name, verb = "") {
  if (name === "." || name === "..") throw new Refusal(404, `'${name}' is no name`);
  return `/v1/${nouns}/${encodeURIComponent(name)}${verb}`;
}

// --- the key of the session ---

const KEY = "hookbox-key";
let key;

/**
 * The session's key, which comes behind the `#` once. It is kept for this tab, where no other port
 * of this host can read it (cookies go to all of them), and taken out of the address.
 */
export function takeKey() {
  const found = /^#k=([A-Za-z0-9_-]+)$/.exec(location.hash);
  if (found) {
    key = found[1];
    history.replaceState(null, "", "/");
  }
  try {
    if (found) sessionStorage.setItem(KEY, key);
    key ??= sessionStorage.getItem(KEY) ?? undefined;
  } catch {
    // A browser that keeps nothing has the key until the page is loaded anew.
  }
}

export const hasKey = () => key !== undefined;
const withKey = (headers) => (key === undefined ? headers : { ...headers, "x-hookbox-key": key });

/** The answer to a request for a stream of events. */
export function stream(target, lastId, signal) {
  const headers = { accept: "text/event-stream", ...(lastId ? { "last-event-id": lastId } : {}) };
  return fetch(`/api${target}`, { signal, headers: withKey(headers), credentials: "same-origin",
    cache: "no-store" });
}

async function request(method, target, body, signal) {
  let answer;
  try {
    answer = await fetch(`/api${target}`, {
      method,
      signal,
      headers: withKey(body === undefined ? {} : { "content-type": "application/json" }),
      body: body === undefined ? undefined : JSON.stringify(body),
      credentials: "same-origin",
      cache: "no-store",
    });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Refusal(0, "hookboxctl web does not answer: was it stopped? Start it again, and " +
      "open the URL that it prints.");
  }
  const date = Date.parse(answer.headers.get("date"));
  if (date) ahead = date + 500 - Date.now();
  if (!answer.ok) throw await refusal(answer);
  return answer;
}

async function refusal(answer) {
  const problem = await answer.json().catch(() => undefined);
  return new Refusal(answer.status, problem?.detail || `the answer is ${answer.status}`);
}

export async function get(target, signal) {
  return (await request("GET", target, undefined, signal)).json();
}

export async function text(target, signal) {
  return (await request("GET", target, undefined, signal)).text();
}

export async function send(method, target, body = {}) {
  return (await request(method, target, body)).json();
}

export async function remove(target) {
  return (await request("DELETE", target)).json();
}

/**
 * Hands each row of a list to `take` as it comes, to its end or its limit. The daemon answers before
 * the end when it finds nothing for a while: `looked(more)` is told how far it has looked. Gives how
 * many rows there are in all, where the daemon knows it.
 */
export async function rows(target, take, signal, looked) {
  let found = 0;
  let next = target;
  for (;;) {
    const { total, more } = await part(next, (row) => {
      found += 1;
      take(row);
    }, signal);
    if (!more) return { total };
    looked?.(more);
    next = behind(target, found, more.after);
  }
}

/** The same list behind so many rows, from where it was answered. */
function behind(target, found, after) {
  const [base, query] = target.split("?");
  const params = Object.fromEntries(new URLSearchParams(query));
  const limit = params.limit === undefined ? undefined : Math.max(1, params.limit - found);
  return path(base, { ...params, limit, after });
}

/** What the daemon answers at once of a list. */
async function part(target, take, signal) {
  const answer = await request("GET", target, undefined, signal);
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  const counted = answer.headers.get("hookbox-total");
  const total = counted === null ? undefined : Number(counted);
  let more;
  let rest = "";
  for (;;) {
    const { value, done } = await reader.read();
    rest += done ? "\n" : value;
    const lines = rest.split("\n");
    rest = lines.pop();
    for (const line of lines.filter((line) => line.trim())) {
      const row = JSON.parse(line);
      if (row.problem) throw new Refusal(row.problem.status, row.problem.detail);
      if (row.more) more = row.more;
      else take(row);
    }
    if (done) return { total, more };
  }
}

/** All rows of a list that is short. */
export async function all(target, signal) {
  const found = [];
  await rows(target, (row) => found.push(row), signal);
  return found;
}

/** Does work on each of some things, two at a time: the daemon has others to answer. */
export async function each(things, work) {
  const left = [...things];
  const one = async () => {
    while (left.length) await work(left.shift());
  };
  await Promise.all([one(), one()]);
}
