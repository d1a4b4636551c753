// What other pages in the same browser try, with a session that is open.

import assert from "node:assert/strict";

/** A page of somebody else, which runs this script and keeps what came of it. */
function evil(script, cookies) {
  return (request, response) => {
    if (request.headers.cookie) cookies.push(request.headers.cookie);
    response.writeHead(200, { "content-type": "text/html" });
    response.end(request.url === "/" ? `<!doctype html><title>evil</title><script>${script}</script>` : "");
  };
}

export async function attacks({ stage, page, base }) {
  const sources = async () => (await stage.ctl("source", "list")).length;
  const before = await sources();
  const port = new URL(base).port;
  const cookies = [];
  const url = await stage.serve(evil(`
    const done = {};
    const body = '{"name":"theirs"}';
    const tried = (name, work) => work.then((a) => done[name] = a.type + a.status, () => done[name] = "failed");
    const all = [
      tried("post", fetch("${base}/api/v1/sources", { method: "POST", body, credentials: "include",
        mode: "no-cors" })),
      tried("read", fetch("${base}/api/v1/status", { credentials: "include" })),
      tried("patch", fetch("${base}/api/v1/sources/github", { method: "PATCH", body, credentials: "include" })),
      new Promise((end) => {
        const source = new EventSource("${base}/api/v1/tail", { withCredentials: true });
        source.onopen = () => { done.stream = "open"; end(); };
        source.onerror = () => { done.stream = "failed"; source.close(); end(); };
      }),
      new Promise((end) => {
        const frame = document.createElement("iframe");
        frame.src = "${base}/";
        frame.onload = () => {
          try { done.frame = frame.contentDocument === null ? "closed" : "blank"; } catch { done.frame = "closed"; }
          end();
        };
        document.body.append(frame);
      }),
      new Promise((end) => {
        const script = document.createElement("script");
        script.src = "${base}/app/app.js";
        script.onload = () => { done.script = "loaded"; end(); };
        script.onerror = () => { done.script = "failed"; end(); };
        document.body.append(script);
      }),
    ];
    Promise.all(all).then(() => { window.done = done; });
    addEventListener("DOMContentLoaded", () => {});
  `.replace("document.body.append(frame)", "(document.body ?? document.documentElement).append(frame)")
    .replace("document.body.append(script)", "(document.body ?? document.documentElement).append(script)"), cookies));

  // On another port of loopback, which is the same site to a browser and gets the cookie along; and under a name.
  for (const origin of [url, url.replace("127.0.0.1", "evil.example"), url.replace("127.0.0.1", "localhost")]) {
    const theirs = await page.context().newPage();
    await theirs.goto(`${origin}/`);
    const done = await theirs.waitForFunction(() => window.done).then((handle) => handle.jsonValue());
    assert.equal(done.read, "failed", `${origin} read something`);
    assert.equal(done.patch, "failed");
    assert.equal(done.stream, "failed");
    assert.equal(done.script, "failed");
    assert.equal(done.frame, "closed");
    await theirs.close();
  }
  assert.equal(await sources(), before, "nobody made a source");

  // Whoever serves on another port of the same name has the cookie; no browser stands between.
  assert.ok(cookies.length > 0, "cookies do not know ports");
  for (const cookie of new Set(cookies)) {
    const answer = await fetch(`${base}/api/v1/status`, { headers: { cookie, "sec-fetch-site": "same-origin" } });
    assert.equal(answer.status, 403, "a cookie alone");
    const again = await fetch(`${base}/?token=x`, { headers: { cookie }, redirect: "manual" });
    assert.ok(!(again.headers.get("location") ?? "").includes("k="), "the key is given out once");
  }
  const keyless = await page.context().newPage();
  await keyless.goto(`${base}/`);
  await keyless.getByText("this tab has no key").first().waitFor();
  await keyless.close();

  // DNS rebinding: the name of an attacker leads to the page's own port.
  const rebound = await page.context().newPage();
  const answer = await rebound.goto(`http://evil.example:${port}/`);
  assert.equal(answer.status(), 403);
  const read = await rebound.evaluate(() => fetch("/api/v1/status").then((a) => a.status));
  assert.equal(read, 403);
  await rebound.close();

  // The URL that was used, in a browser that has no session.
  const stranger = await stage.browse();
  const other = await stranger.newPage();
  await other.goto(`${base}/`);
  await other.getByText("has not opened the session").waitFor();
  await stranger.close();

  // An answer of the API that is opened by itself does nothing, whatever stands in it.
  const alone = await page.context().newPage();
  const opened = await alone.goto(`${base}/api/v1/events/${stage.script}`);
  assert.equal(opened.status(), 403, "no key stands in an address");
  assert.equal(await alone.evaluate(() => document.scripts.length), 0);
  await alone.close();

  // Nobody makes markup out of text, not even the page itself.
  const refused = await page.evaluate(() => {
    try {
      document.createElement("div")["inner" + "HTML"] = "<b>x</b>";
      return false;
    } catch {
      return true;
    }
  });
  assert.ok(refused, "trusted types");
}
