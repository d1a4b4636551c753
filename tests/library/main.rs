//! The library from outside: one test binary, one module a question. The programs are driven by
//! `tests/programs`.
#![allow(
    clippy::disallowed_methods,
    reason = "the outside world has clocks; the seams are the product's"
)]

mod docs;
mod format;
mod journal;
mod sim;
#[path = "../support/mod.rs"]
mod support;
mod tidy;
mod timing;
mod vectors;
