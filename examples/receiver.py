"""A receiver: verifies the signature, handles each event once, and names the events of a batch that failed.

    HOOK_SECRET=whsec_... python3 receiver.py [PORT]
"""
import base64, hashlib, hmac, json, os, sqlite3, sys, time
from http.server import BaseHTTPRequestHandler, HTTPServer

KEY = base64.b64decode(os.environ.get("HOOK_SECRET", "").removeprefix("whsec_"))
if len(KEY) < 24: sys.exit("set HOOK_SECRET to the endpoint's whsec_… secret")
SEEN = sqlite3.connect("seen.db")
SEEN.execute("CREATE TABLE IF NOT EXISTS seen (id TEXT PRIMARY KEY)")


def is_genuine(headers, body):
    """Standard Webhooks v1: HMAC-SHA256 over id.timestamp.body. During a rotation there are several signatures."""
    try:
        fresh = abs(time.time() - int(headers["webhook-timestamp"])) <= 300
        signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
        expected = b"v1," + base64.b64encode(hmac.digest(KEY, signed, hashlib.sha256))
        return fresh and any(hmac.compare_digest(expected, s.encode()) for s in headers["webhook-signature"].split())
    except (AttributeError, TypeError, ValueError):  # a header is missing, or is none of ours
        return False


def handle(event):
    """Your work. It and the note that it is done are one transaction: both are there, or neither."""
    with SEEN:
        if SEEN.execute("INSERT OR IGNORE INTO seen VALUES (?)", [event["id"]]).rowcount == 0:
            return print("again", event["id"], flush=True)
        about = event["data"]["ref"] if event["type"] == "push" else "-"
        print("handled", event["id"], event["type"], about, flush=True)


class Receiver(BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"]))
        if not is_genuine(self.headers, body):
            return self.answer(401, {})
        events, failed = json.loads(body), []
        if not self.headers["hookbox-batch"]:
            events = [{"id": self.headers["webhook-id"], "type": self.headers["hookbox-type"], "data": events}]
        for event in events:
            try:
                handle(event)
            except Exception as error:
                print("failed", event["id"], repr(error), flush=True)
                failed.append(event["id"])
        # Of a batch only the failed events come again; a single event comes again after a 500.
        self.answer(200 if self.headers["hookbox-batch"] or not failed else 500, {"failed": failed})

    def answer(self, status, value):
        self.send_response(status)
        self.end_headers()
        self.wfile.write(json.dumps(value).encode())


server = HTTPServer(("127.0.0.1", int(sys.argv[1]) if len(sys.argv) > 1 else 3000), Receiver)
print("listening on port", server.server_port, flush=True)
server.serve_forever()
