// How long each view takes until its first row stands there, and what comes over the wire, with many events.

import { spawn } from "node:child_process";
import { once } from "node:events";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { until } from "./stage.mjs";

const DAY_MS = 86_400_000;

/** An id as another log has it: the number of its record and a tag. */
function id(number) {
  const digits = "0123456789abcdefghijklmnopqrstuv";
  const text = [];
  let bits = (BigInt(number) << 66n) | 4n;
  for (; text.length < 26; bits >>= 5n) text.unshift(digits[Number(bits & 31n)]);
  return `evt_${text.join("")}`;
}

/** Events of the last day as lines of an export, every tenth of them a dead letter. */
function* lines(wanted) {
  const begin = Date.now() - DAY_MS;
  const body = (n) => Buffer.from(JSON.stringify({ n, text: "x".repeat(100) })).toString("base64");
  for (let n = 0; n < wanted; n += 1) {
    const at = new Date(begin + Math.floor((n / wanted) * DAY_MS)).toISOString();
    const letter = { attempts: 3, died_at: at, reason: "3 of 3 attempts failed" };
    yield `${JSON.stringify({
      what: "event", id: id(1_000_000_000 + n), source: "many", type: n % 10 ? "plain" : "dead", received_at: at,
      headers: [["content-type", "application/json"]], body_base64: body(n),
      deliveries: n % 10 ? [] : [{ endpoint: "gone", state: "dead", dead_letter: letter }],
    })}\n`;
  }
}

async function fill(stage, wanted) {
  await stage.ctl("source", "create", "many", "--verify", "none");
  await stage.ctl("endpoint", "create", "gone", "--url", "pull:", "--from", "many");
  const child = spawn(join(process.env.HOOKBOX_BIN, "hookboxctl"),
    ["--socket", stage.socket, "log", "import", "-"], { stdio: ["pipe", "inherit", "inherit"] });
  const ended = once(child, "exit");
  for (const line of lines(wanted)) {
    if (!child.stdin.write(line)) await once(child.stdin, "drain");
  }
  child.stdin.end();
  const [code] = await ended;
  if (code !== 0) throw new Error(`the import ended with ${code}`);
}

/** Within the page: goes to a view; the time until a row of it is there, where there are any, and until all
 * of it is. */
function timed(hash) {
  const main = document.getElementById("main");
  const rows = "tbody tr, .facts div, figure, .requests li";
  return new Promise((resolve) => {
    const start = performance.now();
    let row;
    const look = () => {
      const isShown = () => [...main.querySelectorAll(rows)].some((found) => found.checkVisibility());
      if (row === undefined && isShown()) row = performance.now() - start;
      if (main.dataset.ready !== "true") return;
      row ??= performance.now() - start;
      observer.disconnect();
      resolve([row, performance.now() - start]);
    };
    const observer = new MutationObserver(look);
    window.addEventListener("hashchange", () => main.replaceChildren(), { once: true, capture: true });
    observer.observe(main, { childList: true, subtree: true, attributes: true });
    location.hash = hash;
  });
}

/** Within the page: the bytes of all answers that have ended, heads included. What is live has not. */
function received() {
  return performance.getEntriesByType("resource").reduce((all, answer) => all + answer.transferSize, 0);
}

export async function figures({ stage, page, base }) {
  const wanted = Number(process.env.HOOKBOX_WEB_EVENTS);
  const dead = Math.floor(wanted / 10);
  await fill(stage, wanted);
  await until(`${dead} dead letters`, async () => (await stage.status()).deliveries.dead >= dead);
  const status = await stage.status();
  console.log(`figures: ${status.events} events, ${status.deliveries.dead} dead letters`);

  const measured = [];
  const say = (view, [row, done, size]) => {
    const line = `${view.padEnd(32)} ${row} ms to the first row, ${done} ms to the end, ${size} KiB`;
    console.log(`figures: ${line}`);
    measured.push(line);
  };
  const middle = (rounds) => rounds[0].map((_, at) =>
    Math.round(rounds.map((round) => round[at]).sort((a, b) => a - b)[1]));

  const opened = [];
  for (let round = 0; round < 3; round += 1) {
    await page.goto("about:blank");
    const start = performance.now();
    await page.goto(`${base}/#/`);
    await page.locator("main .facts div:visible").first().waitFor();
    const row = performance.now() - start;
    await page.waitForSelector("main[data-ready=true]");
    opened.push([row, performance.now() - start, (await page.evaluate(received)) / 1024]);
  }
  say("(the page itself, and /)", middle(opened));

  const one = (await stage.ctl("event", "list", "--limit", "1"))[0].id;
  for (const view of ["/", "/events", "/events?q=type:dead", "/events?q=type:ping", "/events?q=state:dead",
    "/events?q=state:delivered", "/events?q=state:pending", "/events?q=source:github", `/event/${one}`,
    "/endpoints", "/endpoint/gone", "/sources", "/source/many", "/dead", "/dead?q=endpoint:gone",
    "/dead?q=endpoint:old", "/replay", "/plots"]) {
    const rounds = [];
    for (let round = 0; round < 3; round += 1) {
      await page.evaluate((hash) => { location.hash = hash; }, view === "/plots" ? "#/" : "#/plots");
      await page.waitForSelector(`main[data-ready=true][data-view=${view === "/plots" ? "overview" : "plots"}]`);
      await page.evaluate(() => performance.clearResourceTimings());
      const [row, done] = await page.evaluate(timed, `#${view}`);
      rounds.push([row, done, (await page.evaluate(received)) / 1024]);
    }
    say(view.startsWith("/event/") ? "/event/ID" : view, middle(rounds));
  }
  if (process.env.HOOKBOX_WEB_FIGURES) {
    await writeFile(join(process.env.HOOKBOX_WEB_FIGURES), `${measured.join("\n")}\n`);
  }
}
