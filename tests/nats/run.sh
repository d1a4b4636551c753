#!/usr/bin/env bash
# Runs the tests of hookbox-nats against a nats-server, which is installed where there is none: tests/nats/run.sh [NAMES
# and options of the test program]. Ends with 77 where there is no server to be had.
set -euo pipefail
cd "$(dirname "$0")/../.."

server=$(tests/nats/server.sh)
"$server" --version
HOOKBOX_NATS_SERVER=$server HOOKBOX_NATS_REQUIRED=1 cargo test --locked --features nats --test nats -- --nocapture "$@"
