//! The wall clock, for relative times only: nothing is decided by it.

/// Milliseconds since 1970.
#[allow(
    clippy::disallowed_methods,
    reason = "the ctl has no other clock; it decides nothing by it"
)]
pub(super) fn now_ms() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.ok().and_then(|d| u64::try_from(d.as_millis()).ok()).unwrap_or(0)
}
