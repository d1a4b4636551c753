#!/usr/bin/env bash
# What hookbox sends, verified by the official Standard Webhooks libraries of Python and JavaScript (signature v1), and
# by libsodium (signature v1a, which those do not check). An application posts over TCP with an API key and over a Unix
# socket. The libraries come from the package registries into a temporary folder; when they cannot be had, this says
# why and ends with 77: skipped.
#
# tests/interop/run.sh [FOLDER WITH hookboxd AND hookboxctl]
set -euo pipefail
here="$(cd "$(dirname "$0")" && pwd)"
bin="$(cd "${1:-$here/../../target/debug}" && pwd)"
work="$(mktemp -d)"
daemon='' receiver=''
cleanup() {
    [ -z "$daemon" ] || kill "$daemon" 2>/dev/null || true
    [ -z "$receiver" ] || kill "$receiver" 2>/dev/null || true
    wait 2>/dev/null || true
    rm -rf "$work"
}
trap cleanup EXIT
skip() { printf 'interop: skipped: %s\n' "$*"; exit 77; }

for tool in python3 node npm curl; do command -v "$tool" >/dev/null || skip "$tool is not installed"; done
python3 -m venv "$work/venv" >/dev/null 2>&1 || skip "python3 cannot make a venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check --retries 1 --timeout 20 standardwebhooks pynacl \
    2>"$work/pip.log" || skip "pip cannot install standardwebhooks and pynacl: $(tail -n 1 "$work/pip.log")"
(cd "$work" && npm install --silent --no-audit --no-fund --fetch-retries=1 --fetch-timeout=20000 standardwebhooks) \
    >"$work/npm.log" 2>&1 || skip "npm cannot install standardwebhooks: $(tail -n 1 "$work/npm.log")"
cp "$here/verify.mjs" "$work/"

# The receiver writes each request as a line of JSON.
"$work/venv/bin/python" "$here/receive.py" "$work/port" "$work/seen" &
receiver=$!
"$bin/hookboxd" --data "$work/data" --listen 127.0.0.1:0 --listen "unix:$work/in.sock" --log-format json \
    >"$work/log" 2>&1 &
daemon=$!
wait_for() { # a command that must come true within 10 s
    for _ in $(seq 200); do "$@" && return; sleep 0.05; done
    printf 'interop: waited in vain for: %s\n' "$*" >&2
    tail -n 20 "$work/log" >&2
    exit 1
}
wait_for test -s "$work/port"
wait_for grep -q '"ready"' "$work/log"
address="$(sed -n 's/.*"listen":"\(127\.0\.0\.1:[0-9]*\).*/\1/p' "$work/log" | head -n 1)"
ctl() { "$bin/hookboxctl" --socket "$work/data/admin.sock" --json "$@"; }
field() { "$work/venv/bin/python" -c 'import json,sys; print(json.load(sys.stdin)[sys.argv[1]])' "$1"; }

key="$(ctl source create app --verify apikey --set in=header --set name=X-Api-Key --generate-secret | field secret)"
ctl source create local >/dev/null
url="http://127.0.0.1:$(cat "$work/port")"
ctl endpoint create symmetric --url "$url/symmetric" --allow-private --generate-secret | field secret >"$work/whsec"
"$work/venv/bin/python" "$here/keypair.py" >"$work/whsk"
ctl endpoint create asymmetric --url "$url/asymmetric" --allow-private --secret-file "$work/whsk" >/dev/null

# The application's side, as the README shows it.
curl --fail --silent --show-error "http://$address/in/app" -H "X-Api-Key: $key" -H 'Content-Type: application/json' \
    --data '{"type":"invoice.paid","data":{"id":17,"name":"Zoë"}}' >/dev/null
curl --fail --silent --show-error --unix-socket "$work/in.sock" http://hookbox/in/local \
    -H 'Content-Type: application/json' --data '{"type":"order.shipped","data":{"id":4}}' >/dev/null
seen() { [ "$(wc -l <"$work/seen")" -ge 4 ]; }
wait_for seen

"$work/venv/bin/python" "$here/verify.py" "$work/seen" "$work/whsec" "$work/whsk"
(cd "$work" && node verify.mjs "$work/seen" "$work/whsec")
printf 'interop: done\n'
