"""Checks v1 with the official library, v1a with libsodium; and that a changed body passes neither."""
import base64
import json
import sys

import nacl.exceptions
import nacl.signing
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

seen = [json.loads(line) for line in open(sys.argv[1], encoding="utf-8")]
secret = open(sys.argv[2], encoding="utf-8").read().strip()
pair = base64.b64decode(open(sys.argv[3], encoding="utf-8").read().strip().removeprefix("whsk_"))
public = nacl.signing.VerifyKey(pair[32:])


def fails(check, error):
    try:
        check()
    except error:
        return True
    return False


def symmetric(request):
    body, headers = base64.b64decode(request["body"]).decode(), request["headers"]
    Webhook(secret).verify(body, headers)
    assert fails(lambda: Webhook(secret).verify(body + " ", headers), WebhookVerificationError), "a changed body passes"
    other = "whsec_" + base64.b64encode(b"x" * 32).decode()
    assert fails(lambda: Webhook(other).verify(body, headers), WebhookVerificationError), "another secret passes"


def asymmetric(request):
    body, headers = base64.b64decode(request["body"]), request["headers"]
    signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
    given = [one for one in headers["webhook-signature"].split(" ") if one.startswith("v1a,")]
    assert len(given) == 1, headers
    signature = base64.b64decode(given[0].removeprefix("v1a,"))
    public.verify(signed, signature)
    assert fails(lambda: public.verify(signed + b" ", signature), nacl.exceptions.BadSignatureError), "a changed body passes"


checks = {"/symmetric": symmetric, "/asymmetric": asymmetric}
for request in seen:
    checks[request["path"]](request)
paths = [request["path"] for request in seen]
assert paths.count("/symmetric") == 2 and paths.count("/asymmetric") == 2, paths
print("interop: Python: v1 by standardwebhooks, v1a by libsodium")
