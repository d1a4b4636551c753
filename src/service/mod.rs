//! What the programs share that run for long: their log lines, what they print, how they end and at
//! which signals, what the service manager hears of them, their clock, and the listener for
//! metrics.
//!
//! `hookboxd` and `hookbox-nats` are operated the same way because both take it from here. Nothing
//! in it knows what the program is for.

pub mod clock;
pub mod exit;
mod journal;
pub mod logging;
pub mod metrics_page;
pub mod notify;
mod one_line;
pub mod process;
pub mod scrape;
pub mod signals;
pub mod stdio;
