//! Reading the log for an answer: scans, and what they look up.

pub mod candidates;
pub mod dead_letters;
pub mod event_lookup;
pub mod filters;
pub mod identity;
pub mod ids;
pub mod log_scan;
pub mod page;
pub mod types;
pub mod walk;
