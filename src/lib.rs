//! hookbox: a webhook daemon for one machine. This page is the map; each room's `mod.rs` opens with its manual.
//!
//! In one sentence: **one thread decides and remembers, everything else carries, and nothing leaves before it is
//! remembered.** An event arrives, the decision about it goes into the log and is made durable, and only then does
//! anything leave: the 202, the attempt, the answer to the operator.
//!
//! # The rooms
//!
//! | room | what it is | knows |
//! |---|---|---|
//! | [`model`] | the nouns: plain data, ids, times, and every limit | nothing |
//! | [`record`] | what is remembered: the facts in the log and their codec | model |
//! | [`queue`] | what should happen: pure, no clock, no randomness of its own, no I/O | model, record |
//! | [`log`] | where it is remembered: segments, commits, integrity | model, record |
//! | [`scheduler`] | the thread: decide, commit, release | queue, log and those below |
//! | [`config`] | `hookbox.toml` | model |
//! | [`ingest`] | events come in: HTTP, limits, proofs (`verify`, one file a provider) | the scheduler's handle |
//! | [`outbound`] | attempts go out: address guard, signing, post, judge | the scheduler's handle |
//! | [`admin`] | the local door: HTTP and JSON over the Unix socket | the handle, the log to read |
//! | [`archive`] | the log without a daemon: copies, exports, what can be salvaged | model, record, queue, log |
//! | [`ctl`] | the operator's hand: a client of the admin socket | model, config, archive |
//! | [`daemon`] | the wiring: start, clock, signals, shutdown | all; nobody knows it |
//!
//! ```text
//!                 model                 plain data
//!                   |
//!                 record                facts
//!                /      \
//!            queue       log            decide | remember
//!                \      /
//!               scheduler               one thread; the others hold its handle
//!              /    |    \
//!        ingest  outbound  admin ~ ctl  carry (ctl speaks to admin through the socket only)
//!              \    |    /
//!                daemon                 wires them up
//! ```
//!
//! `tests/tidy.rs` holds this table and fails on a `use` outside of it, with the sentence that explains the rule. The
//! programs in `src/bin` are a few lines each.
//!
//! # What always holds
//!
//! * **Remembered first.** `Log::commit` gives a token, and the scheduler's `release` demands it: no answer and no
//!   attempt leaves a step whose records are not durable. An error of a commit ends the process; a sync is never tried
//!   again.
//! * **One truth.** `State::apply(&Record)` is the only code that changes state, live and at the start. Folding the log
//!   anew gives the same state; what cannot be folded is an error that names it.
//! * **Resolved facts.** A record holds absolute times, drawn jitter and the matched fan-out, and a result together
//!   with its consequence, so that no crash falls between the two.
//! * **Gapless numbers.** Records are numbered from 1. Ids carry these numbers, so that whatever has an id is found in
//!   the log without an index.
//! * **Seams.** Time and randomness come in as arguments ([`model::Now`], a seeded generator); the clocks are read in
//!   one file of `daemon`. The simulation (`tests/sim`) drives the very same step with its own.
//! * **A limit on everything,** in [`model::limits`]. Full is a typed refusal.
//! * **Backlog is on the disk.** What was never attempted takes no memory beyond a window for each endpoint; windows
//!   are refilled by reading the log forward.
//! * **At least once.** What was in flight in a crash is attempted again, under the same id.
//!
//! # The three walks
//!
//! ```text
//! in       ingest::connection -> route: source, sender's address -> body -> verify -> facts (type, dedupe key)
//!          -> Handle::accept | queue: duplicate? fan-out -> log: commit | -> reply: 202 and the id
//!
//! out      queue::run: due, not held, inside its window, rate and order -> commit -> daemon::deliver
//!          -> outbound: guard -> sign -> post (one deadline) -> judge
//!          -> Handle::report | queue::finish: delivered, retry at, dead, held -> commit | -> due again
//!
//! replay   ctl -> admin::replays -> Handle::command | queue::replay: slices of the log, new deliveries -> commit |
//!          -> joins the walk out
//! ```
//!
//! Between the bars it is the scheduler's thread.
//!
//! # Where to begin reading
//!
//! 1. [`model`], then the [`record::Record`] enum: everything that can happen is there, in past tense.
//! 2. `queue/input.rs`: the protocol of the queue, [`queue::Input`] to [`queue::Decision`]; then `queue/accept.rs` and
//!    `queue/finish.rs`, and `State::apply` in `queue/state.rs`.
//! 3. `scheduler/core.rs`: one step. It is short, and the heart of it all.
//! 4. The room that you came for.
//!
//! `hookboxctl demo` shows all of it at work; `tests/e2e` drives the real programs, one file a question.
//!
//! # How to add
//!
//! * **A provider's scheme:** a file in `ingest/verify/` with its `FACTS` and `verify` (`github.rs` is the shortest
//!   whole example), its line in `verify::TABLE`, its vectors in `tests/fixtures/vectors/`. Help, checks of settings
//!   and errors follow from the table; `tests/docs.rs` prints the row for README.md.
//! * **A record:** a variant at the end of [`record::Record`] (the order is the format, none is ever reused; new fields
//!   stand last, with `#[serde(default)]`), its arm in `State::apply`, and the place in `queue` that decides it. If
//!   people should see it: `admin/tail.rs`, and the walks in `admin`.
//! * **An endpoint's setting:** the field at the end of [`model::Endpoint`] with `#[serde(default)]`, reading
//!   and showing it in `admin/endpoints.rs` and `admin/openapi.json`, the option in `ctl/args/configure.rs` and
//!   `ctl/configure.rs`, and the room that obeys it (`queue` for when, `outbound` for how).
//! * **A limit:** in [`model::limits`], with its relation to the others as a const assertion, and in README.md.

#![cfg_attr(test, allow(clippy::disallowed_methods, reason = "tests have clocks and waits of their own"))]

pub mod admin;
pub mod archive;
pub mod config;
pub mod ctl;
pub mod daemon;
pub mod ingest;
pub mod log;
pub mod model;
pub mod outbound;
pub mod queue;
pub mod record;
pub mod scheduler;
