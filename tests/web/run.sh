#!/usr/bin/env bash
# The page of `hookboxctl web` in a real browser: each view, each action, live updates, and the attacks that only a
# browser can make. Chromium is the distribution's, driven by playwright-core, which comes from the package registry into
# a temporary folder. When either cannot be had, this says why and ends with 77: skipped.
#
# tests/web/run.sh [FOLDER WITH hookboxd AND hookboxctl]
# HOOKBOX_WEB_IMAGES=FOLDER also writes the pictures of docs/guide/images; HOOKBOX_WEB_EVENTS=N adds figures with so many
# events.
set -euo pipefail
here="$(cd "$(dirname "$0")" && pwd)"
bin="$(cd "${1:-$here/../../target/debug}" && pwd)"
skip() { printf 'web: skipped: %s\n' "$*"; exit 77; }

for tool in node npm; do command -v "$tool" >/dev/null || skip "$tool is not installed"; done
chromium="$(command -v chromium || command -v chromium-browser || true)"
[ -n "$chromium" ] || skip "chromium is not installed"
work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT
(cd "$work" && npm install --silent --no-audit --no-fund --ignore-scripts --fetch-retries=1 --fetch-timeout=20000 \
    playwright-core@1) >"$work/npm.log" 2>&1 || skip "npm cannot install playwright-core: $(tail -n 1 "$work/npm.log")"

cp "$here"/*.mjs "$here/../fixtures/globs.json" "$work/"
cd "$work"
HOOKBOX_BIN="$bin" HOOKBOX_CHROMIUM="$chromium" node page.mjs
