//! The real programs, driven from outside: one test binary, one module a question.
//!
//! `cargo test` builds `hookboxd` and `hookboxctl` and runs these against them; `HOOKBOX_PROGRAMS`
//! names a folder with others (a release, an installed package, an older version). How much is
//! tried is set in `support::sizes`.
//!
//! What needs root, loop devices or a working `strace` is `#[ignore]`d with that reason, so that an
//! ordinary run shows it as ignored. `.ci/run` runs it with `--ignored`; where something is missing
//! then, the test fails and says what.
#![allow(clippy::disallowed_methods, reason = "tests have clocks of their own")]

mod crash;
mod damage;
mod disk;
mod disk_space;
mod e2e;
mod fair;
mod points;
mod power;
#[path = "../support/mod.rs"]
mod support;
