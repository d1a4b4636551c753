// How long each view takes until its first row stands there, and what comes over the wire, with many events.

import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { until } from "./stage.mjs";

export async function figures({ stage, page, base }) {
  const wanted = Number(process.env.HOOKBOX_WEB_EVENTS);
  const dead = Math.floor(wanted / 10);
  await stage.ctl("source", "create", "many", "--verify", "none", "--split", "--type-field", "/type",
    "--max-body", "8MiB");
  await stage.ctl("endpoint", "create", "gone", "--url", "pull:", "--from", "many", "--types", "dead");
  const batch = (count, from) => JSON.stringify(Array.from({ length: count }, (_, n) =>
    ({ type: (from + n) % 10 ? "plain" : "dead", data: { n: from + n, text: "x".repeat(100) } })));
  for (let at = 0; at < wanted; at += 2000) await stage.send("many", batch(Math.min(2000, wanted - at), at));
  await stage.ctl("consume", "gone", "--batch", "256", "--max", String(dead), "--exec", "sh", "-c", "exit 100");
  await until(`${dead} dead letters`, async () => (await stage.status()).deliveries.dead >= dead);
  const status = await stage.status();
  console.log(`figures: ${status.events} events, ${status.deliveries.dead} dead letters`);

  const session = await page.context().newCDPSession(page);
  await session.send("Network.enable");
  let bytes = 0;
  session.on("Network.dataReceived", (event) => { bytes += event.encodedDataLength || event.dataLength; });
  const one = (await stage.ctl("event", "list", "--limit", "1"))[0].id;
  const lines = [];
  for (const view of ["/", "/events", "/events?q=type:dead", "/events?q=state:dead", "/events?q=state:delivered",
    "/events?q=source:github", `/event/${one}`, "/endpoints", "/endpoint/gone", "/sources", "/source/many", "/dead",
    "/dead?q=endpoint:gone", "/replay", "/plots"]) {
    const times = [];
    for (let round = 0; round < 3; round += 1) {
      await page.goto("about:blank");
      bytes = 0;
      const start = performance.now();
      await page.goto(`${base}/#${view}`);
      const first = page.locator("main tbody tr, main .facts div, main figure, main .requests li").first();
      await first.waitFor();
      times.push(performance.now() - start);
    }
    times.sort((a, b) => a - b);
    const line = `${view.padEnd(32)} ${Math.round(times[1])} ms to the first row, ${Math.round(bytes / 1024)} KiB`;
    console.log(`figures: ${line}`);
    lines.push(line);
  }
  if (process.env.HOOKBOX_WEB_FIGURES) {
    await writeFile(join(process.env.HOOKBOX_WEB_FIGURES), `${lines.join("\n")}\n`);
  }
}
