# The loop of a developer. `.ci/run` runs these very recipes; `just` alone lists them.
# Install it with `cargo install just`, `pip install rust-just`, or from your distribution.

set shell := ["bash", "-euo", "pipefail", "-c"]

# Folders with the programs that the measuring tests take
release := justfile_directory() / "target/release"

_list:
    @just --list --unsorted

# Formatting and lints of all that compiles here; warnings are errors. The example and the feature of tokio have the
# dependencies looked at with the features that they have above, so that of those none is looked at twice
lint:
    cargo fmt --check
    cargo fmt --check --manifest-path benches/peers/Cargo.toml
    .ci/features
    cargo clippy --locked --features nats --all-targets -- -D warnings
    cargo clippy --locked --no-default-features --features tokio/test-util --bins --example receiver -- -D warnings

# All tests that need only the toolchain, as README.md gives it
test *ARGS:
    cargo test --locked {{ARGS}}

# The documentation of the library; warnings are errors. The programs, a few lines each, would have it compiled once more
doc:
    RUSTDOCFLAGS="-D warnings -A rustdoc::private_intra_doc_links" \
        cargo doc --locked --no-deps --document-private-items --lib

# The parts of docs/ that are made from the code
docs:
    HOOKBOX_WRITE_DOCS=1 cargo test --locked --lib admin::openapi
    HOOKBOX_WRITE_DOCS=1 cargo test --locked --test library docs::generated

# The receivers of examples/, against the real daemon; needs python3, and node for the one in JavaScript
examples:
    cargo build --locked --examples
    skip=''; command -v node >/dev/null || { skip='--skip javascript'; echo 'node is not installed: without JavaScript'; }; \
        cargo test --locked --test programs e2e::examples -- --ignored --nocapture $skip

# Optimized programs, and the library's tests with them, in one build: apart they would be compiled with different features
release:
    cargo test --locked --release --test library --no-run

# Size and idle memory of the daemon in a folder. The promise is that of the `dist` daemon, which is smaller: 12 and 16 MiB.
# Most of the memory of an idle `release` daemon is the program itself, of which the system maps more or less each time
weight FOLDER=release SIZE_MIB="20" IDLE_MIB="18":
    .ci/weight {{FOLDER}} {{SIZE_MIB}} {{IDLE_MIB}}

# The simulation; HOOKBOX_SIM_SEEDS says how many seeds
sim:
    cargo test --locked --release --test library sim:: -- --nocapture

# Takes the fixes of what the simulation guards out, one by one, and demands that it notices; in a copy of the sources
sim-mutations *NAMES:
    .ci/sim-mutations {{NAMES}}

# Every state that a power cut can leave, comparisons in constant time, a file of cases: what is ignored in an ordinary run
library-deep:
    HOOKBOX_VECTORS="${HOOKBOX_VECTORS:-github.json}" \
        cargo test --locked --release --test library -- --ignored --skip write_the_fixture --skip journal::play --nocapture

# Flipped bits, the largest bodies, too little memory, with the optimized daemon; other damage is in the ordinary run
damage:
    HOOKBOX_FLIPS="${HOOKBOX_FLIPS:-100}" HOOKBOX_PROGRAMS={{release}} \
        cargo test --locked --test programs -- damage::c01 damage::c02 --nocapture
    HOOKBOX_PROGRAMS={{release}} cargo test --locked --test programs -- --ignored largest_of_all p11_ --nocapture

# Power cuts, failing and full disks, links that go away, other users, fail points, and all of `with-tools`: as root, with
# strace, e2fsprogs, xfsprogs, tmux, prometheus and openssh-server
faults *NAMES:
    cargo test --locked --lib root_can_give -- --ignored
    cargo test --locked --test programs {{NAMES}} -- --ignored --nocapture \
        --skip l01_ --skip l06_ --skip fair_shares --skip retention_takes --skip opening_segments --skip takes_connections \
        --skip largest_of_all --skip e2e::examples --skip p11_

# What other programs say of ours: a terminal (tmux, script), Prometheus and promtool, sshd
with-tools:
    cargo test --locked --test programs -- --ignored --nocapture e2e::top e2e::looking e2e::monitoring e2e::metrics e2e::remote

# Memory and time of the optimized programs: retention, openings, a soak, many starts, what an attacker costs the others
measured:
    HOOKBOX_PROGRAMS={{release}} cargo test --locked --test programs -- --ignored --nocapture --test-threads 1 \
        l01_ l06_ retention_takes opening_segments fair_shares

# Commits, reads and attempts in a second, without the programs around them
measured-library:
    cargo test --locked --release --lib -- --ignored --nocapture --test-threads 1

# End to end with the optimized programs
e2e-release:
    HOOKBOX_PROGRAMS={{release}} cargo test --locked --test programs e2e::

# A second of each benchmark: that it runs, not how fast
bench-smoke:
    HOOKBOX_PROGRAMS={{release}} cargo bench --locked --profile dev --bench hookbox -- --seconds 1 --rounds 1 --events 5000

# hookboxd beside SQLite, PostgreSQL and NATS JetStream in one run: `just peers`, or with the scenario `curves` and its
# options. PostgreSQL is that of the system; nats-server is installed below target/tools
peers *ARGS="peers":
    cargo build --locked --release --manifest-path benches/peers/Cargo.toml --target-dir target/peers
    cargo build --locked --profile dist --bins
    tests/nats/server.sh || [ $? = 77 ]
    HOOKBOX_PEERS="$PWD/target/peers/release/hookbox-peers" HOOKBOX_PROGRAMS="$PWD/target/dist" \
        cargo bench --locked --profile release --bench hookbox -- {{ARGS}}

# What is sent, verified by the official libraries of Standard Webhooks (Python and Node)
interop:
    tests/interop/run.sh {{release}}

# hookbox-nats against a real nats-server, which is installed below target/tools; skipped where there is none
nats *NAMES:
    tests/nats/run.sh {{NAMES}}

# The page of `hookboxctl web` in a headless Chromium; skipped where there is none
web-test FOLDER=(justfile_directory() / "target/debug"):
    tests/web/run.sh {{FOLDER}}

# Licences, sources, banned and duplicate crates, known advisories
deny:
    cargo deny --locked check --hide-inclusion-graph licenses bans sources
    .ci/advisories

# Fuzz each target for so many seconds; cargo-fuzz is installed below target/tools where there is none
fuzz SECONDS="10":
    export PATH="$PATH:$PWD/target/tools/bin"; \
    command -v cargo-fuzz >/dev/null || cargo install --quiet --locked --root target/tools cargo-fuzz; \
    for target in $(cd fuzz && ls fuzz_targets | grep -v common | sed 's/\.rs$//'); do \
        mkdir -p "fuzz/corpus/$target" "fuzz/seeds/$target"; \
        RUSTC_BOOTSTRAP=1 cargo fuzz run "$target" "fuzz/corpus/$target" "fuzz/seeds/$target" -- \
            -max_total_time={{SECONDS}} -rss_limit_mb=2048 -timeout=10; done

# Packages for Debian, RPM and containers, in target/
packages:
    packaging/build-deb
    HOOKBOX_PROGRAMS="$PWD/target/package/build/dist" packaging/build-rpm
    HOOKBOX_PROGRAMS="$PWD/target/package/build/dist" packaging/build-oci

# The Debian package in a fresh Debian root: installed, upgraded with a backlog, removed, purged; as root
package-test *NAMES:
    packaging/test/run {{NAMES}}

# The front page, the licences, and a reason for each dependency
page:
    .ci/page
