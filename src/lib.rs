//! hookbox: a webhook daemon for one machine. This page is the map; the `mod.rs` of each module
//! opens with its own documentation.
//!
//! In one sentence: **one thread decides and remembers; everything else transports, and nothing
//! leaves before it is durable.** An event arrives, the decision about it is appended to the log
//! and made durable, and only then does anything leave: the 202, the attempt, the answer to the
//! operator.
//!
//! # The modules
//!
//! | module | what it is | knows |
//! |---|---|---|
//! | [`model`] | the nouns: plain data, ids, times, targets, and every limit | nothing |
//! | [`api`] | the contract: the types of the admin API, which are options and settings, too | model |
//! | [`trust`] | whether others can change a path | nothing |
//! | [`permits`] | what several share, so that nobody takes all | nothing |
//! | `certificates` | what X.509 certificates say, and the files that hold them | nothing |
//! | [`config`] | `hookbox.toml` | model, trust |
//! | [`record`] | what is remembered: the records of the log and their codec | model |
//! | [`queue`] | what should happen: pure, no clock, no randomness of its own, no I/O | model, record |
//! | [`log`] | where it is remembered: segments, commits, integrity | model, record |
//! | [`scheduler`] | the thread: decide, commit, release | queue, log and those below |
//! | [`ingest`] | events come in: HTTP, limits, verification (one file a scheme) | the scheduler's handle |
//! | [`outbound`] | attempts go out: address guard, signing, transports, classification | the scheduler's handle |
//! | [`admin`] | the local API: HTTP and JSON over the Unix socket | api, the handle, the log to read |
//! | [`archive`] | the log without a daemon: backup, export, import, salvage | api, queue, log and those below |
//! | [`service`] | what the programs share: log lines, exit codes, signals, the service manager, their clock | model, config |
//! | [`ctl`] | the operator's client of the admin socket | api, model, config, archive, the table of schemes |
//! | `nats` | the bridge to NATS JetStream, a program of its own behind the feature `nats` | api, config, service |
//! | [`daemon`] | the wiring: start, clock, signals, shutdown | all; none knows it |
//!
//! ```text
//!                 model                 plain data
//!                /     \
//!            record    api              what is remembered | what is written and shown
//!            /    \
//!        queue     log                  decide | remember
//!            \    /
//!           scheduler                   one thread; the others hold its handle
//!          /    |    \
//!    ingest  outbound  admin ~ ctl      transport (ctl talks to admin through the socket only)
//!          \    |    /
//!            daemon                     wires them up
//! ```
//!
//! `tests/library/tidy.rs` holds the table of dependencies and fails on a `use` outside of it, with
//! the sentence that explains the rule. The programs in `src/bin` are a few lines each.
//!
//! # What always holds
//!
//! * **Remembered first.** `Log::commit` gives a token, and the scheduler's `release` demands it:
//!   no answer and no attempt leaves a step whose records are not durable. An error in a commit
//!   ends the process; a failed sync is never repeated.
//! * **One truth.** `State::apply(&Record)` is the only code that changes state, live and at
//!   start-up. Folding the log again gives the same state; a record that cannot be folded is an
//!   error that names it.
//! * **Resolved facts.** A record holds absolute times, drawn jitter and the matched fan-out, and a
//!   result together with its consequence, so that no crash falls between the two.
//! * **Gapless numbers.** Records are numbered from 1. Ids contain these numbers, so that whatever
//!   has an id is found in the log without an index.
//! * **Time and randomness are arguments** ([`model::Now`], a seeded generator); the clocks are
//!   read in one file of `daemon`. The simulation (`tests/library/sim`) drives the very
//!   same step with its own.
//! * **A limit on everything,** in [`model::limits`]. Full is a typed refusal.
//! * **Backlog is on disk.** What was never attempted takes no memory beyond a prefetch for each
//!   endpoint, which is refilled by reading the log forward.
//! * **At least once.** What was in flight in a crash is attempted again, under the same id.
//!
//! # The three walks
//!
//! ```text
//! in       ingest::connection -> route: source, sender's address -> body -> verify
//!          -> identity (event type, dedupe key)
//!          -> Handle::accept: which endpoints select it (scheduler::matching, in counted steps)
//!          | queue: duplicate? fan-out -> log: commit | -> reply: 202 and the id
//!
//! out      queue::attempts::run: due, not held, inside its window, rate and order -> commit
//!          -> daemon::deliver
//!          -> outbound: target -> guard -> sign -> send (one deadline) -> classify
//!          -> Handle::report | queue::attempts::finish: delivered, retry at, dead, held -> commit
//!          | -> due again
//!
//! replay   ctl -> admin: replays -> the scheduler's handle
//!          | queue::operating::replay: slices of the log, new deliveries -> commit
//!          | -> joins the walk out
//! ```
//!
//! Between the bars it is the scheduler's thread.
//!
//! # Where to begin reading
//!
//! 1. [`model`], then the [`record::Record`] enum: everything that can happen is there, in past
//!    tense.
//! 2. `queue/request.rs`: the protocol of the queue, [`queue::QueueRequest`] to
//!    [`queue::Decision`]; then `queue/accept.rs` and `queue/attempts/finish.rs`, and
//!    `State::apply` in `queue/folding/fold.rs`.
//! 3. `scheduler/core.rs`: one step. It is short, and the heart of it all.
//! 4. The module that you came for.
//!
//! `hookboxctl demo` shows all of it at work; `tests/programs/e2e` drives the real programs, one
//! file a question.
//!
//! # How to add
//!
//! `docs/internals/how-to-add.md` walks through ten changes with the files that each touches. In
//! short:
//!
//! * **A verification scheme:** a file in `ingest/verify/` (`github.rs` is the shortest whole
//!   example), its line in the table of schemes, its vectors in `tests/fixtures/vectors/`. Help,
//!   checks of settings and errors follow from the table; `just docs` writes the rows of
//!   `docs/reference/verification.md`.
//! * **A record:** a variant of [`record::Record`], its arm in `State::apply`, and the decision in
//!   `queue`. Variants are written by name and fields by position: a variant is not renamed without
//!   `#[serde(rename)]`, and a new field stands last, with `#[serde(default)]`.
//! * **A setting of an endpoint:** a field of [`api::EndpointSpec`], a field at the end
//!   of [`model::Endpoint`] with `#[serde(default)]`, and the code that obeys it (`queue` for when,
//!   `outbound` for how). Option, JSON key, schema and reference follow from the spec.
//! * **A target:** a variant of [`model::Target`] and its transport in `outbound`.
//! * **A command of `hookboxctl`:** a request of `queue::operating`, its route in `admin::serve`,
//!   its handler in `admin::resources`, and its arguments and output in `ctl`.
//! * **A metric:** a field of [`queue::Status`] that `queue/answers/ask.rs` fills, its line in
//!   `admin/resources/metrics.rs`, and its row in `docs/reference/metrics.md`.
//! * **A notice:** the function that makes it in `queue/notify.rs`, and its row in
//!   `docs/reference/notices.md`.
//! * **A limit:** in [`model::limits`], with its relation to the others as a const assertion in
//!   `model/limit_relations.rs`, and in `tests/library/docs/limits.rs`.

#![cfg_attr(
    test,
    allow(clippy::disallowed_methods, reason = "tests have clocks and waits of their own")
)]

pub mod admin;
pub mod api;
pub mod archive;
mod certificates;
pub mod config;
pub mod ctl;
pub mod daemon;
pub mod ingest;
pub mod log;
pub mod model;
#[cfg(feature = "nats")]
pub mod nats;
pub mod outbound;
mod permits;
pub mod queue;
pub mod record;
pub mod scheduler;
pub mod service;
pub mod trust;
