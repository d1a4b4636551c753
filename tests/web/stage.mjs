// What a test of the page needs around it: a daemon in a folder of its own, receivers that behave,
// hookboxctl web, and Chromium.

import { execFile, spawn } from "node:child_process";
import { createServer } from "node:http";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { promisify } from "node:util";
import { chromium } from "playwright-core";

const run = promisify(execFile);
const bin = process.env.HOOKBOX_BIN;
const SOON_MS = 60_000;

/** The first line of a program that `take` makes something of. */
function line(child, stream, take) {
  return new Promise((resolve, reject) => {
    const lines = createInterface({ input: child[stream] });
    lines.on("line", (text) => {
      const found = take(text);
      if (found !== undefined) resolve(found);
    });
    child.on("exit", (code) => reject(new Error(`it ended with ${code}`)));
  });
}

export async function until(what, condition) {
  const end = Date.now() + SOON_MS;
  for (;;) {
    const found = await condition();
    if (found) return found;
    if (Date.now() > end) throw new Error(`waited in vain: ${what}`);
    await new Promise((go) => setTimeout(go, 50));
  }
}

/** An HTTP server on loopback; gives its URL. */
async function serve(answer) {
  const server = createServer(answer);
  await new Promise((ready) => server.listen(0, "127.0.0.1", ready));
  return { server, url: `http://127.0.0.1:${server.address().port}` };
}

export class Stage {
  static async open() {
    const stage = new Stage();
    stage.folder = await mkdtemp(join(tmpdir(), "hookbox-web-"));
    stage.received = [];
    stage.answers = { status: 200 };
    stage.receiver = await serve((request, response) => {
      const parts = [];
      request.on("data", (part) => parts.push(part));
      request.on("end", () => {
        stage.received.push({ path: request.url, body: Buffer.concat(parts).toString() });
        const isBroken = request.url.startsWith("/broken") && stage.answers.status !== 200;
        response.writeHead(isBroken ? stage.answers.status : 200, { "content-type": "application/json" });
        response.end(isBroken ? '{"error":"<b>database</b> is down"}' : '{"ok":true}');
      });
    });

    stage.daemon = spawn(join(bin, "hookboxd"), ["--data", join(stage.folder, "data"),
      "--listen", "127.0.0.1:0", "--log-format", "json"], { stdio: ["ignore", "pipe", "pipe"] });
    stage.daemon.stdout.resume();
    const listen = await line(stage.daemon, "stderr", (text) => {
      const found = /"listen":"(127\.0\.0\.1:\d+)/.exec(text);
      return text.includes('"ready"') && found ? found[1] : undefined;
    });
    stage.ingress = `http://${listen}`;
    stage.socket = join(stage.folder, "data", "admin.sock");
    return stage;
  }

  /** What hookboxctl --json prints. */
  async ctl(...args) {
    const { stdout } = await run(join(bin, "hookboxctl"), ["--socket", this.socket, "--json", ...args],
      { maxBuffer: 64 << 20 });
    return stdout.trim().split("\n").filter(Boolean).map((text) => JSON.parse(text));
  }

  /** Posts an event; gives its id, where the source answers with one. */
  async send(source, body, headers = { "content-type": "application/json" }) {
    const answer = await fetch(`${this.ingress}/in/${source}`, { method: "POST", body, headers });
    return answer.json().then(({ id }) => id, () => undefined);
  }

  async status() {
    return (await this.ctl("status"))[0];
  }

  /** Starts hookboxctl web; gives its URL. */
  async web() {
    const child = spawn(join(bin, "hookboxctl"), ["--socket", this.socket, "web", "--no-open",
      "--listen", "127.0.0.1:0"], { stdio: ["ignore", "pipe", "inherit"], env: process.env });
    (this.webs ??= []).push(child);
    return line(child, "stdout", (text) => text);
  }

  async browse(options = {}) {
    this.browser ??= await chromium.launch({ executablePath: process.env.HOOKBOX_CHROMIUM,
      args: ["--no-sandbox", "--disable-gpu", "--host-resolver-rules=MAP evil.example 127.0.0.1"] });
    const context = await this.browser.newContext({ viewport: { width: 1100, height: 750 },
      timezoneId: "UTC", ...options });
    context.setDefaultTimeout(SOON_MS);
    return context;
  }

  serve(answer) {
    return serve(answer).then((made) => {
      (this.servers ??= []).push(made.server);
      return made.url;
    });
  }

  async close() {
    await this.browser?.close();
    for (const child of [...(this.webs ?? []), this.daemon]) {
      if (child.exitCode === null) {
        const gone = new Promise((end) => child.on("exit", end));
        child.kill("SIGKILL");
        await gone;
      }
    }
    for (const server of [this.receiver.server, ...(this.servers ?? [])]) {
      server.closeAllConnections();
      server.close();
    }
    await rm(this.folder, { recursive: true, force: true });
  }
}
