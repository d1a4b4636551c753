//! hookbox: a webhook daemon for one machine.
#![cfg_attr(test, allow(clippy::disallowed_methods, reason = "tests measure the real time that passes"))]

pub mod admin;
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
