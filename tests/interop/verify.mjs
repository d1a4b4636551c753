// Checks v1 with the official library; and that a changed body does not pass.
import { readFileSync } from "node:fs";
import { Webhook } from "standardwebhooks";

const [seen, secret] = process.argv.slice(2).map((file) => readFileSync(file, "utf8").trim());
let checked = 0;
for (const { path, headers, body } of seen.split("\n").map((line) => JSON.parse(line))) {
  if (path !== "/symmetric") continue;
  const text = Buffer.from(body, "base64").toString("utf8");
  const webhook = new Webhook(secret);
  webhook.verify(text, headers);
  let passed = true;
  try {
    webhook.verify(text + " ", headers);
  } catch {
    passed = false;
  }
  if (passed) throw new Error("a changed body passes");
  checked += 1;
}
if (checked !== 2) throw new Error(`checked ${checked} requests instead of 2`);
console.log("interop: JavaScript: v1 by standardwebhooks");
