// A receiver: verifies the signature, handles each event once, and names the events of a batch that failed.
//
//     HOOK_SECRET=whsec_... node receiver.mjs [PORT]
import { createHmac, timingSafeEqual } from "node:crypto";
import { appendFileSync, existsSync, readFileSync } from "node:fs";
import { createServer } from "node:http";

const key = Buffer.from((process.env.HOOK_SECRET ?? "").replace(/^whsec_/, ""), "base64");
if (key.length < 24) { console.error("set HOOK_SECRET to the endpoint's whsec_… secret"); process.exit(1); }
const seen = new Set(existsSync("seen.txt") ? readFileSync("seen.txt", "utf8").split("\n") : []);

// Standard Webhooks v1: HMAC-SHA256 over id.timestamp.body. During a rotation there are several signatures.
function isGenuine(headers, body) {
  const { "webhook-id": id, "webhook-timestamp": timestamp, "webhook-signature": signatures = "" } = headers;
  if (!(Math.abs(Date.now() / 1000 - Number(timestamp)) <= 300)) return false;
  const digest = createHmac("sha256", key).update(`${id}.${timestamp}.`).update(body).digest("base64");
  const expected = Buffer.from(`v1,${digest}`);
  return signatures.split(" ").map((text) => Buffer.from(text))
    .some((given) => given.length === expected.length && timingSafeEqual(given, expected));
}

// Your work. Note the id after it: what fails before that comes again. Where the work has a database, note it there.
function handle({ id, type, data }) {
  if (seen.has(id)) return console.log("again", id);
  if (type === "push" && typeof data.ref !== "string") throw new Error("a push without a ref");
  console.log("handled", id, type, data.ref ?? "-");
  appendFileSync("seen.txt", `${id}\n`);
  seen.add(id);
}

const server = createServer(async (request, response) => {
  const chunks = [];
  for await (const chunk of request) chunks.push(chunk);
  const body = Buffer.concat(chunks);
  const { headers } = request;
  if (!isGenuine(headers, body)) return response.writeHead(401).end();

  const isBatch = "hookbox-batch" in headers;
  const failed = [];
  try {
    const parsed = JSON.parse(body);
    const events = isBatch ? parsed : [{ id: headers["webhook-id"], type: headers["hookbox-type"], data: parsed }];
    for (const event of events) {
      try {
        handle(event);
      } catch (error) {
        console.log("failed", event.id, error.message);
        failed.push(event.id);
      }
    }
  } catch {
    return response.writeHead(400).end(); // no JSON
  }
  // Of a batch only the failed events come again; a single event comes again after a 500.
  response.writeHead(isBatch || failed.length === 0 ? 200 : 500).end(JSON.stringify({ failed }));
});
const port = Number(process.argv[2] ?? 3000);
server.listen(port, "127.0.0.1", () => console.log("listening on port", server.address().port));
