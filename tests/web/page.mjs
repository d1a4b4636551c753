// The page in a browser, one step after the other. Prints a line for each, and ends with 1 at the
// first that is not as it should be.

import assert from "node:assert/strict";
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { Stage, until } from "./stage.mjs";
import { attacks } from "./attacks.mjs";
import { figures } from "./figures.mjs";

const images = process.env.HOOKBOX_WEB_IMAGES;
const stage = await Stage.open();
const wrong = [];
let page;
let base;

async function step(name, work) {
  await work();
  assert.deepEqual(wrong, [], `${name}: the browser complains`);
  console.log(`web: ok: ${name}`);
}

/** Goes to a view and waits until it stands there. */
async function go(hash) {
  await page.goto(`${base}/#${hash}`);
  await shown();
}

const shown = () => page.waitForSelector("main[data-ready=true]");
const main = () => page.locator("main");
const text = () => main().innerText();
const row = (words) => page.locator("tbody tr", { hasText: words });
const press = (name, within = page) => within.getByRole("button", { name, exact: false }).first().click();
const dialog = () => page.locator("dialog[open]");

async function picture(name) {
  if (!images) return;
  await page.evaluate(() => document.activeElement?.blur());
  const session = await page.context().newCDPSession(page);
  const { data } = await session.send("Page.captureScreenshot", { format: "webp", quality: 55 });
  await writeFile(join(images, `${name}.webp`), Buffer.from(data, "base64"));
  await session.detach();
}

/** Waits for words in a dialog, presses a button of it, and waits until it is gone. */
async function confirm(words, button) {
  await dialog().getByText(words).first().waitFor();
  await dialog().getByRole("button", { name: button, exact: true }).click();
  await dialog().waitFor({ state: "detached" });
}

async function prepare() {
  stage.answers.status = 500;
  await stage.ctl("source", "create", "github", "--verify", "none", "--type-header", "x-github-event");
  await stage.ctl("source", "create", "shop", "--verify", "apikey", "--set", "in=header", "--set",
    "name=x-api-key", "--secret", "0123456789abcdef0123456789abcdef");
  const to = (path) => `${stage.receiver.url}${path}`;
  const quick = ["--allow-private", "--from", "github", "--retry-base", "1h"];
  await stage.ctl("endpoint", "create", "app", "--url", to("/app?key=hidden-in-the-url"), ...quick,
    "--header", "X-Key: hidden-in-a-header");
  await stage.ctl("endpoint", "create", "crm", "--url", to("/broken/crm"), ...quick);
  await stage.ctl("endpoint", "create", "old", "--url", to("/broken/old"), ...quick, "--max-attempts", "1");
  const event = (kind, body) => stage.send("github", body,
    { "content-type": "application/json", "x-github-event": kind, authorization: "Bearer hidden" });
  stage.first = await event("push", '{"ref":"refs/heads/main","big":12345678901234567890,"text":"Zoë"}');
  stage.script = await stage.send("github",
    "<!doctype html><script>window.wasRun=1</script><img src=x onerror=\"window.wasRun=1\">",
    { "content-type": "text/html", "x-github-event": "<img src=x onerror=window.wasRun=1>" });
  stage.bytes = await stage.send("github", Buffer.from([0, 255, 1, 254, 104, 105]),
    { "content-type": "application/octet-stream", "x-github-event": "blob" });
  for (let n = 0; n < 57; n += 1) await event(n % 2 ? "push" : "issues", `{"n":${n}}`);
  await fetch(`${stage.ingress}/in/shop`, { method: "POST", body: "{}" });
  await until("sixty dead letters", async () => (await stage.status()).deliveries.dead === 60);
  await until("sixty deliveries", async () => (await stage.status()).deliveries.delivered === 60);
}

async function session() {
  const url = await stage.web();
  base = new URL(url).origin;
  const context = await stage.browse();
  await context.grantPermissions(["clipboard-read", "clipboard-write"], { origin: base });
  page = await context.newPage();
  page.on("pageerror", (error) => wrong.push(String(error)));
  page.on("console", (said) => {
    // Attacks that are refused are reported, too.
    const isNoise = /Failed to load resource|TrustedHTML/.test(said.text());
    if (["error", "warning"].includes(said.type()) && !isNoise) wrong.push(said.text());
  });
  await page.goto(url);
  await shown();
  assert.equal(page.url(), `${base}/`, "the token does not stay in the address");
  const cookies = await context.cookies();
  assert.equal(cookies.length, 1);
  assert.equal(cookies[0].httpOnly && cookies[0].sameSite, "Strict");
  assert.equal(cookies[0].expires, -1, "it goes with the browser");

  // The key stays with the tab, also over a look elsewhere.
  await page.reload();
  await page.getByText("Events are accepted").waitFor();
  await page.goto("about:blank");
  await go("/events");
  await row(stage.script).or(row("issues")).first().waitFor();
  await go("/");
}

async function overview() {
  await page.getByText("Events are accepted").waitFor();
  await row("crm").getByText("database").first().waitFor();
  assert.match(await text(), /Dead letters\s*60/);
  const before = await page.locator(".tail li").count();
  const id = await stage.send("github", "{}", { "x-github-event": "ping" });
  await page.locator(".tail li", { hasText: id }).waitFor();
  assert.ok(before >= 1);
  // Two looks make a line.
  await page.locator(".chart svg").first().waitFor();
  await picture("web-overview");
}

/** What is wrong beside the endpoints, in an answer as the daemon gives it. */
async function concerns() {
  const url = /\/api\/v1\/status$/;
  await page.route(url, async (route) => {
    const response = await route.fetch();
    const status = await response.json();
    const range = { segment: 1, first: 1, last: 2, what: "bits", acknowledged_at: null };
    Object.assign(status, { unusable: 3, unusable_sources: [{ source: "shop",
      reason: "the secret cannot be read from /<img src=x onerror=window.wasRun=1>" }],
    deleted_with_dead: [{ endpoint: "gone", dead: 2, command: "hookboxctl dlq discard --endpoint gone" }] });
    status.deliveries.retrying = 0;
    Object.assign(status.log, { level: "low", damage: [range], over_share: ["github"] });
    status.certificate = { expires_at: "2026-12-09T09:00:00.000Z", valid: true,
      warning: "the certificate of TLS listeners expires on 2026-12-09: renew it" };
    status.link.online = false;
    status.clock.suspect = true;
    await route.fulfill({ response, json: status });
  });
  await go("/plots");
  await go("/");
  const said = await page.locator(".needs li").allInnerTexts();
  for (const [at, words] of ["1 damaged range: hookboxctl log verify", "Disk space is scarce",
    "the certificate of TLS listeners expires on 2026-12-09",
    "shop refuses every request: the secret cannot be read from /<img", "So do 2 more sources",
    "Refused for lack of space: github", "The network is down", "The clock is not trusted",
    "gone was deleted, and has 2 dead letters: hookboxctl dlq discard --endpoint gone"].entries()) {
    assert.ok(said[at]?.includes(words), `${words} in ${said}`);
  }
  const tile = await page.locator(".tile", { hasText: "Pending" }).innerText();
  assert.match(tile.trim(), /^Pending\s+[\d,]+$/, "and nothing of retries, of which there are none");
  await page.locator(".needs").getByRole("link", { name: "shop" }).click();
  await page.getByRole("heading", { name: "shop" }).waitFor();
  await page.unroute(url);

  const sources = /\/api\/v1\/sources(\/github)?(\?.*)?$/;
  await page.route(sources, async (route) => {
    const response = await route.fetch();
    const rows = (await response.text()).trim().split("\n").map((row) =>
      JSON.stringify({ ...JSON.parse(row), unusable: "the secret is missing" }));
    await route.fulfill({ response, body: `${rows.join("\n")}\n` });
  });
  await go("/source/github");
  await page.getByText("Every request is refused: the secret is missing").waitFor();
  await go("/sources");
  await row("shop").getByText("every request").waitFor();
  await page.unroute(sources);
  await go("/");
  assert.equal(await page.locator(".needs").count(), 0, "all is well beside the endpoints");
}

/** An address that none of the views has says so, in a link that is of a later hookbox, too. */
async function nowhere() {
  for (const [hash, name] of [["/nosuch", "nosuch"], ["/constructor/x?y=1", "constructor"], ["/Events", "Events"],
    ["/event/", "event"]]) {
    await go(hash);
    await page.getByRole("heading", { name: "No such view" }).waitFor();
    await page.getByText(`There is no view ${name}`).waitFor();
    assert.equal(await page.locator("nav [aria-current=page]").count(), name === "event" ? 1 : 0);
  }
  await main().getByRole("link", { name: "overview" }).click();
  await page.getByText("Events are accepted").waitFor();
}

/** Of an answer that came while disk space was scarce only the status is known. */
async function trimmed() {
  const [delivery] = await stage.ctl("delivery", "list", "--event", stage.first, "--endpoint", "crm");
  const url = new RegExp(`/api/v1/deliveries/${delivery.id}$`);
  await page.route(url, async (route) => {
    const response = await route.fetch();
    const json = await response.json();
    Object.assign(json.history[0].response, { headers: {}, body_base64: "", trimmed: true });
    json.history[0].request.headers = {};
    await route.fulfill({ response, json });
  });
  await go(`/delivery/${delivery.id}`);
  const shown = page.locator(".delivery", { hasText: "crm" });
  await shown.getByText("disk space was scarce").waitFor();
  assert.equal(await shown.getByText("Body of the response").count(), 0, "nor is it called empty");
  assert.equal(await shown.getByText("Body: that of the event, above").count(), 0, "nobody knows");
  await page.unroute(url);
}

async function events() {
  await go("/events");
  assert.equal(await page.locator("tbody tr").count(), 50, "a page");
  await page.getByRole("link", { name: "Older" }).click();
  await row(stage.first).waitFor();
  assert.match(page.url(), /after=evt_/);
  await page.goBack();
  await shown();

  await page.keyboard.press("/");
  await page.keyboard.type("source:github type:iss*");
  await page.keyboard.press("Enter");
  await row("issues").first().waitFor();
  assert.match(decodeURIComponent(page.url()), /q=source:github\+type:iss\*/, "the filter is in the URL");
  await page.reload();
  await shown();
  assert.equal(await row("push").count(), 0);
  assert.equal(await page.getByLabel("Filter", { exact: true }).inputValue(), "source:github type:iss*");

  await go("/events?q=source:github+type:push+state:dead+since:2h");
  await row("old").first().waitFor();
  assert.equal(await page.locator("tbody .badge").allInnerTexts().then((all) => [...new Set(all)].join()), "dead");
  await go("/events?q=stat:dead");
  await page.getByText("did you mean 'state:'?").waitFor();
  await go("/events?q=source:gitub");
  await page.getByText("github").first().waitFor();
}

async function live() {
  await go("/events?q=type:live");
  const id = await stage.send("github", "{}", { "x-github-event": "live" });
  await row(id).waitFor();
  await stage.send("github", "{}", { "x-github-event": "other" });

  // Whoever reads is left alone.
  await row(id).getByRole("link").first().focus();
  const second = await stage.send("github", "{}", { "x-github-event": "live" });
  await page.getByRole("button", { name: /more: show/ }).waitFor();
  assert.equal(await row(second).count(), 0);
  await page.getByRole("button", { name: /more: show/ }).click();
  await row(second).waitFor();
  assert.equal(await row("other").count(), 0, "the filter counts for what comes as well");

  // Nothing is fetched while nobody sees the page, and nothing is missed.
  const hide = (isHidden) => page.evaluate((hidden) => {
    Object.defineProperty(document, "hidden", { value: hidden, configurable: true });
    document.dispatchEvent(new Event("visibilitychange"));
  }, isHidden);
  await hide(true);
  const third = await stage.send("github", "{}", { "x-github-event": "live" });
  await until("it is delivered", async () => stage.received.length && (await stage.status()).events >= 64);
  assert.equal(await row(third).count(), 0);
  await hide(false);
  await row(third).waitFor();

  await press("live", page.locator("header"));
  const fourth = await stage.send("github", "{}", { "x-github-event": "live" });
  assert.equal(await page.locator("#live").innerText(), "● paused".slice(2));
  await press("paused", page.locator("header"));
  await row(fourth).waitFor();
}

async function away() {
  const problem = { status: 502, contentType: "application/problem+json", body: '{"detail":"no daemon answers"}' };
  await page.route("**/api/v1/events*", (route) => route.fulfill(problem));
  await go("/sources");
  await go("/events");
  await page.getByText("no daemon answers").waitFor();
  await page.unroute("**/api/v1/events*");
  await row("push").first().waitFor();
  assert.equal(await page.getByText("no daemon answers").count(), 0, "it is over");
}

async function oneEvent() {
  await go(`/event/${stage.first}`);
  const body = page.locator(".body-view").first();
  assert.match(await body.innerText(), /"big": 12345678901234567890/, "numbers stay as they came");
  await body.getByRole("button", { name: "hex" }).click();
  assert.match(await body.innerText(), /00000000 {2}7b 22 72 65 66/);
  await body.getByRole("button", { name: "raw" }).click();
  assert.match(await body.innerText(), /\{"ref":"refs\/heads\/main"/);
  const [file] = await Promise.all([page.waitForEvent("download"),
    body.getByRole("button", { name: "Save" }).click()]);
  assert.equal(file.suggestedFilename(), `${stage.first}.json`);

  const all = await text();
  for (const words of ["app", "crm", "old", "delivered", "dead", "webhook-signature", "v1,", "content-type",
    "database", "POST http://127.0.0.1", "evt_", "to connect", "Next attempt"]) {
    assert.ok(all.includes(words), `${words} is shown`);
  }
  assert.equal(await page.locator(".delivery b").count(), 0, "the receiver's answer is no markup");

  await page.locator(".heading").getByRole("button", { name: "Copy as cURL" }).click();
  const ofEvent = await until("the clipboard", () => page.evaluate(() => navigator.clipboard.readText()));
  assert.match(ofEvent, /curl --request POST 'http:\/\/127\.0\.0\.1:3000\/'/);
  assert.ok(ofEvent.includes("x-github-event: push") && ofEvent.includes("Zoë"));
  assert.ok(!ofEvent.includes("hidden"), ofEvent);
  const app = page.locator(".delivery", { hasText: "app" }).first();
  await app.getByRole("button", { name: "Copy as cURL" }).first().click();
  const ofAttempt = await until("the other", async () => {
    const copied = await page.evaluate(() => navigator.clipboard.readText());
    return copied !== ofEvent && copied;
  });
  assert.ok(ofAttempt.includes(stage.receiver.url) && ofAttempt.includes("webhook-id"), ofAttempt);
  assert.ok(!/hidden|signature: |v1,/.test(ofAttempt), ofAttempt);
  assert.match(ofAttempt, /# of the headers: .*webhook-signature/);

  await page.locator(".delivery", { hasText: "crm" }).getByRole("button", { name: "Why?" }).click();
  await dialog().getByText(/retry|attempt/).first().waitFor();
  await page.keyboard.press("Escape");
  await dialog().waitFor({ state: "detached" });
  await page.evaluate(() => window.scrollTo(0, 0));
  await picture("web-event");
}

async function hostileEvent() {
  await go(`/event/${stage.script}`);
  assert.match(await page.locator(".body-view").first().innerText(), /<script>window\.wasRun=1<\/script>/);
  assert.equal(await page.evaluate(() => window.wasRun), undefined, "nothing of it was run");
  assert.equal(await page.locator("main img").count(), 0);
  const [file] = await Promise.all([page.waitForEvent("download"),
    page.locator(".body-view").first().getByRole("button", { name: "Save" }).click()]);
  assert.equal(file.suggestedFilename(), `${stage.script}.html.txt`);
  await go("/events?q=type:*onerror*");
  await row("onerror").first().waitFor();
  await go(`/event/${stage.bytes}`);
  assert.match(await page.locator(".body-view").first().innerText(), /00 ff 01 fe 68 69 .*hi/);
}

/** Of a long body the page reads the beginning, and saves all. */
async function longBody() {
  await stage.ctl("source", "create", "big", "--verify", "none", "--max-body", "4MiB");
  const size = 3 << 20;
  const id = await stage.send("big", `{"text":"${"x".repeat(size - 11)}"}`,
    { "content-type": "application/json" });
  const answered = [];
  page.on("response", (answer) => {
    if (answer.url().includes(`/events/${id}`)) answered.push(answer.url().includes("body_bytes="));
  });
  await go(`/event/${id}`);
  const body = page.locator(".body-view").first();
  await body.getByText("2,097,152 more bytes").waitFor();
  assert.deepEqual(answered, [true], "only the beginning was asked for");
  const [file] = await Promise.all([page.waitForEvent("download"),
    body.getByRole("button", { name: "Save body" }).click()]);
  assert.equal((await readFile(await file.path())).length, size);
}

async function endpoints() {
  await go("/endpoints");
  await row("crm").getByText("<b>database</b> is down").waitFor();
  await until("the lag", async () => /\d+(\.\d)? (ms|s|min)/.test(await row("crm").innerText()));
  await go("/endpoint/crm");
  await press("Hold");
  await confirm(/deliver(y|ies) waits? for it|deliveries wait for it/, "Hold");
  await page.getByRole("button", { name: "Release", exact: true }).waitFor();
  assert.equal((await stage.ctl("endpoint", "show", "crm"))[0].state, "held");
  await press("Release");
  await confirm(/wait/, "Release");
  await page.getByRole("button", { name: "Hold", exact: true }).waitFor();
  assert.equal((await stage.ctl("endpoint", "show", "crm"))[0].state, "active");

  const attempts = async () => {
    const waiting = await stage.ctl("delivery", "list", "--endpoint", "crm", "--limit", "1000");
    return waiting.reduce((sum, { attempts }) => sum + attempts, 0);
  };
  await page.getByRole("button", { name: "Retry all now" }).waitFor();
  const before = await attempts();
  await press("Retry all now");
  await page.locator("#notices").getByText(/[1-9]\d* of \d+ queued/).waitFor();
  await until("more attempts", async () => (await attempts()) > before);

  const tests = () => stage.received.filter(({ body }) => body.includes("hookbox.test")).length;
  await press("Test");
  await dialog().getByText("hookbox.test").first().waitFor();
  assert.equal(tests(), 0, "a test is shown before it is sent");
  await dialog().getByRole("button", { name: "Send it once" }).click();
  await dialog().getByText("was sent a test").waitFor();
  await dialog().getByText("database").first().waitFor();
  await page.keyboard.press("Escape");
  assert.equal(tests(), 1);
}

async function sources() {
  await go("/sources");
  await row("shop").getByText("signature 1").or(row("shop").getByText(/ 1$/)).first().waitFor();
  await go("/source/shop");
  await page.getByText("Refused since the start, by reason").waitFor();
  await page.getByText("Last refusal").waitFor();

  await go("/sources");
  await press("New bin");
  await page.waitForURL(/#\/source\//);
  await shown();
  const bin = decodeURIComponent(page.url().split("/source/")[1]);
  await stage.send(bin, "first=1&second=a+b", { "content-type": "application/x-www-form-urlencoded" });
  await page.locator(".detail").getByText("second = a b").waitFor();
  await stage.send(bin, '{"hello":"bin"}');
  await page.locator(".detail").getByText('"hello": "bin"').waitFor();
  assert.equal(await page.locator(".requests li").count(), 2);
  await press("Delete");
  await confirm("stay in the log", "Delete");
  await page.waitForURL(/#\/sources$/);
}

async function deadLetters() {
  // None dies while they are counted; some wait behind the breaker.
  await stage.ctl("endpoint", "hold", "old");
  await stage.send("github", "{}", { "x-github-event": "late" });
  await until("none is under way", async () => (await stage.status()).deliveries.in_flight === 0);
  await go("/dead?q=endpoint:old");
  const dead = async () => (await stage.status()).deliveries.dead;
  const before = await dead();
  assert.equal(await page.locator("tbody tr").count(), 50);
  await page.locator("tbody input").nth(0).check();
  await page.locator("tbody input").nth(1).check();
  await press("Discard selected (2)");
  await dialog().getByText("2 dead letters").waitFor();
  await picture("web-dead-letters");
  assert.equal(await dead(), before, "counting takes nothing");
  await dialog().getByRole("button", { name: "Cancel" }).click();
  await dialog().waitFor({ state: "detached" });
  assert.equal(await dead(), before);

  await press("Discard selected (2)");
  await confirm("2 dead letters", "Discard");
  await page.getByText("2 of 2 discarded").waitFor();
  assert.equal(await dead(), before - 2);
  await shown();

  // Those that die after they were counted are not taken.
  await press("Discard matching…");
  await dialog().getByText(`${before - 2} dead letters`).waitFor();
  const counted = Date.now();
  await until("the time of the count is over", () => Date.now() > counted + 1500);
  await stage.ctl("endpoint", "release", "old");
  await until("one more", async () => (await dead()) > before - 2);
  await dialog().getByRole("button", { name: "Discard", exact: true }).click();
  await page.getByText(`${before - 2} of ${before - 2} discarded`).waitFor();
  assert.ok(await dead() >= 1);

  stage.answers.status = 200;
  await go("/dead");
  await row("old").first().waitFor();
  await page.getByRole("checkbox", { name: "Select all" }).check();
  await press("Retry selected");
  await confirm(/dead letters?/, "Retry");
  await until("none is dead", async () => (await dead()) === 0);
}

async function replays() {
  await go(`/replay?q=${encodeURIComponent(`event:${stage.first}`)}`);
  const queued = async () => stage.received.filter(({ body }) => body.includes("refs/heads/main")).length;
  const before = await queued();
  await page.getByLabel("To the endpoint").fill("app");
  await press("Count (dry run)");
  await dialog().getByText("1 event").first().waitFor();
  await dialog().getByText("Nothing was queued so far").waitFor();
  assert.equal(await queued(), before);
  await dialog().getByRole("button", { name: "Replay" }).click();
  await page.getByText("1 delivery queued").waitFor();
  await until("it is delivered again", async () => (await queued()) === before + 1);

  await page.getByLabel("Events", { exact: true }).fill("type:issues");
  await page.getByLabel("Deliveries per second").fill("1/s");
  await press("Count (dry run)");
  await confirm("events", "Replay");
  await row("type:issues").getByRole("button", { name: "Stop" }).click();
  await page.getByText("is stopped").waitFor();
  assert.deepEqual(await stage.ctl("replay", "--list"), []);
}

async function otherTabs() {
  await go("/endpoints");
  const opened = async (options) => {
    const link = row("crm").getByRole("link").first();
    const [other] = await Promise.all([page.context().waitForEvent("page"), link.click(options)]);
    await other.waitForSelector("main[data-ready=true]");
    await other.getByRole("heading", { name: "crm" }).waitFor();
    assert.match(other.url(), /#\/endpoint\/crm$/);
    return other;
  };
  for (const options of [{ modifiers: ["Control"] }, { button: "middle" }]) {
    const other = await opened(options);
    // It has the key for as long as it is open, over a look elsewhere as well.
    await other.reload();
    await other.getByRole("heading", { name: "crm" }).waitFor();
    await other.goto(`${base}/#/dead`);
    await other.waitForSelector("main[data-ready=true]");
    await other.close();
  }
  assert.match(page.url(), /#\/endpoints$/, "the first tab stays where it was");

  // One that the browser opens by itself, as for a bookmark, has none and says what to do.
  const own = await page.context().newPage();
  await own.goto(`${base}/#/endpoint/crm`);
  await own.getByText("paste its address into the tab that opened the URL").waitFor();
  assert.equal(await own.getByRole("button", { name: "Try again" }).count(), 0);
  await own.close();

  // Another port's page that opens ours gives it nothing, and gets nothing from it.
  const url = await stage.serve((request, response) => {
    response.writeHead(200, { "content-type": "text/html" });
    response.end(`<!doctype html><button onclick="sessionStorage.setItem('hookbox-key', 'theirs');
      window.other = window.open('${base}/#/endpoints')">open</button>`);
  });
  const theirs = await page.context().newPage();
  await theirs.goto(url);
  const [other] = await Promise.all([page.context().waitForEvent("page"),
    theirs.getByRole("button").click()]);
  await other.getByText("this tab has no key").first().waitFor();
  assert.ok(await theirs.evaluate(() => {
    try {
      return window.other.closed || !window.other.sessionStorage;
    } catch {
      return true;
    }
  }), "another origin reads nothing of it");
  await other.close();
  await theirs.close();
}

async function plots() {
  await go("/plots");
  await page.locator("figure svg").first().waitFor();
  assert.match(await page.locator("figure svg").first().getAttribute("aria-label"), /Events in a minute from/);
  await go("/plots?since=24h");
  assert.match(await text(), /From acceptance to delivery/);
  const marks = (most) => page.evaluate(async (value) => {
    const { chart } = await import("/app/chart.js");
    const lines = [{ name: "n", values: [0, value] }];
    const drawn = chart({ title: "t", times: [1000, 2000], lines, show: (n) => String(Math.round(n)) });
    return [...drawn.querySelectorAll("text[text-anchor=end]")].slice(0, -1).map((mark) => mark.textContent);
  }, most);
  assert.deepEqual(await marks(8), ["0", "4", "8"]);
  assert.deepEqual(await marks(1), ["0", "1"], "no mark twice");
}

/** What everybody can do with it: keys, names, 360 px, dark, without motion. */
async function access() {
  await go("/events");
  await page.keyboard.press("j");
  await page.keyboard.press("j");
  const focused = await page.evaluate(() => document.activeElement.closest("tr")?.rowIndex);
  assert.equal(focused, 2, "j goes down the rows");
  await page.keyboard.press("Enter");
  await page.waitForURL(/#\/event\/evt_/);
  await page.keyboard.press("g");
  await page.keyboard.press("n");
  await page.waitForURL(/#\/endpoints$/);
  await shown();
  await page.keyboard.press("?");
  await dialog().getByText("to the filter").waitFor();
  await page.keyboard.press("Escape");

  const views = ["/", "/events", `/event/${stage.first}`, "/endpoints", "/endpoint/crm", "/sources",
    "/source/github", "/dead", "/replay", "/plots"];
  for (const scheme of ["light", "dark"]) {
    await page.emulateMedia({ colorScheme: scheme, reducedMotion: "reduce" });
    for (const view of views) {
      await go(view);
      assert.deepEqual(await page.evaluate(unnamed), [], `${view}: everything has a name`);
      assert.deepEqual(await page.evaluate(pale), [], `${view}, ${scheme}: everything can be read`);
    }
  }
  assert.equal(await page.evaluate(() => document.getAnimations().length), 0);
  await page.setViewportSize({ width: 360, height: 740 });
  for (const view of views) {
    await go(view);
    const width = await page.evaluate(() => document.documentElement.scrollWidth);
    assert.ok(width <= 360, `${view} is ${width} px wide`);
  }
  await page.setViewportSize({ width: 1100, height: 750 });
  await page.emulateMedia({ colorScheme: null, reducedMotion: null });
}

/** Controls without a name, tables without heads, pages without one heading. */
function unnamed() {
  const named = (e) => e.getAttribute("aria-label") || e.labels?.length || e.textContent.trim();
  const controls = [...document.querySelectorAll("button, a, input, select")].filter((e) => !named(e));
  const tables = [...document.querySelectorAll("table")]
    .filter((t) => !t.querySelector("thead th[scope=col]") || !t.querySelector("caption") && !t.closest("details"));
  const cells = [...document.querySelectorAll("tbody tr")].filter((r) => !r.querySelector("th[scope=row]"));
  const heads = document.querySelectorAll("h1").length === 1 ? [] : [document.body];
  return [...controls, ...tables, ...cells, ...heads].map((e) => e.outerHTML.slice(0, 120));
}

/** Texts whose contrast to what is behind them is less than 4.5 to 1. */
function pale() {
  const parse = (c) => c.match(/[\d.]+/g).map(Number);
  const part = (v) => (v / 255 <= 0.03928 ? v / 255 / 12.92 : ((v / 255 + 0.055) / 1.055) ** 2.4);
  const light = ([r, g, b]) => 0.2126 * part(r) + 0.7152 * part(g) + 0.0722 * part(b);
  const behind = (e) => {
    for (let at = e; at; at = at.parentElement) {
      const colour = parse(getComputedStyle(at).backgroundColor);
      if (colour.length === 3 || colour[3] === 1) return colour;
    }
    return [255, 255, 255];
  };
  const found = [];
  for (const e of document.querySelectorAll("body *")) {
    const own = [...e.childNodes].some((n) => n.nodeType === 3 && n.data.trim());
    if (!own || e.closest(":disabled, script, noscript, svg") || !e.checkVisibility()) continue;
    const [a, b] = [light(parse(getComputedStyle(e).color)), light(behind(e))].sort((x, y) => y - x);
    if ((a + 0.05) / (b + 0.05) < 4.5) found.push(`${e.tagName}.${e.className} ${e.textContent.slice(0, 40)}`);
  }
  return found;
}

async function afterwards() {
  await go("/");
  stage.webs[0].kill("SIGTERM");
  await page.getByText("hookboxctl web does not answer").first().waitFor();
}

/** The filter of the live list matches types as the daemon does. */
async function patterns() {
  const cases = JSON.parse(await readFile("globs.json", "utf8"));
  const different = await page.evaluate(async (rows) => {
    const { glob } = await import("/app/filter.js");
    return rows.filter(([pattern, type, expected]) => glob(pattern, type) !== expected);
  }, cases);
  assert.deepEqual(different, []);
}

try {
  await prepare();
  await step("the token opens the session, once", session);
  await step("the overview names what is wrong, and moves", overview);
  await step("what is wrong beside the endpoints is named", concerns);
  await step("an address without a view says so", nowhere);
  await step("an answer that was not kept is not called empty", trimmed);
  await step("events are filtered, and the filter is in the URL", events);
  await step("patterns match as the daemon's do", patterns);
  await step("live updates come, stop, go on, and wait for who reads", live);
  await step("a daemon that was away is asked again", away);
  await step("one event with everything about it", oneEvent);
  await step("what strangers send is text", hostileEvent);
  await step("endpoints are held, released and tested", endpoints);
  await step("sources show refusals, and a bin what comes", sources);
  await step("dead letters are counted before they are taken", deadLetters);
  await step("a replay is counted before it is started", replays);
  await step("links open in tabs that have the key", otherTabs);
  await step("plots are drawn", plots);
  await step("of a long body the beginning is read", longBody);
  await step("keys, names, contrast, dark, 360 px", access);
  await step("attacks from other pages", () => attacks({ stage, page, base }));
  if (process.env.HOOKBOX_WEB_EVENTS) await figures({ stage, page, base });
  await step("the page says when the command has ended", afterwards);
  console.log("web: done");
} catch (error) {
  console.error(`web: FAILED: ${error.stack}`);
  if (page) console.error(`at ${page.url()}\n${(await text().catch(() => "")).slice(0, 3000)}\n${wrong.join("\n")}`);
  if (page && process.env.HOOKBOX_WEB_FAILED) await page.screenshot({ path: process.env.HOOKBOX_WEB_FAILED });
  process.exitCode = 1;
} finally {
  await stage.close();
}
