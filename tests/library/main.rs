//! The library from outside: one test binary, one module a question. The programs are driven by
//! `tests/programs`.
#![allow(clippy::disallowed_methods, reason = "tests have clocks of their own")]

mod docs;
mod format;
mod journal;
mod sim;
#[path = "../support/mod.rs"]
mod support;
mod tidy;
mod timing;
mod vectors;
