//! Time as the rooms speak of it. Nobody here reads a clock: `daemon` does, at one seam, and passes [`Now`] on.

use serde::{Deserialize, Serialize};

/// Milliseconds since 1970-01-01T00:00:00Z by the wall clock. Stands in records, for people; never decides
/// when something happens while the daemon runs.
pub type WallMs = u64;

/// One reading of both clocks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Now {
    /// Milliseconds of the monotonic clock since the daemon started. All delays run on it.
    pub mono_ms: u64,
    /// The wall clock. May jump, and may start in 1970.
    pub wall_ms: WallMs,
}

/// RFC 3339 in UTC with milliseconds, as JSON shows it.
#[must_use]
pub fn rfc3339(wall_ms: WallMs) -> String {
    let ms = i64::try_from(wall_ms).unwrap_or(i64::MAX);
    match jiff::Timestamp::from_millisecond(ms) {
        Ok(time) => format!("{time:.3}"),
        Err(_) => jiff::Timestamp::MAX.to_string(),
    }
}

/// Reads RFC 3339 (`2026-11-23T13:20:00Z`) or a plain number of unix seconds.
#[must_use]
pub fn parse_wall(text: &str) -> Option<WallMs> {
    if let Ok(seconds) = text.parse::<u64>() {
        return seconds.checked_mul(1000);
    }
    let time: jiff::Timestamp = text.parse().ok()?;
    u64::try_from(time.as_millisecond()).ok()
}

/// Reads a duration as people write it (`1s`, `90m`, `3d`, `1h 30m`) into milliseconds.
///
/// # Errors
/// Says what a duration looks like.
pub fn parse_duration_ms(text: &str) -> Result<u64, String> {
    humantime::parse_duration(text)
        .ok()
        .and_then(|d| u64::try_from(d.as_millis()).ok())
        .ok_or_else(|| format!("'{text}' is not a duration: write it as 500ms, 15s, 10m, 1h or 3d"))
}

/// Writes a duration the way [`parse_duration_ms`] reads it, to the second above ten seconds.
#[must_use]
pub fn format_duration_ms(ms: u64) -> String {
    let shown = if ms >= 10_000 { ms / 1000 * 1000 } else { ms };
    humantime::format_duration(std::time::Duration::from_millis(shown)).to_string()
}

#[cfg(test)]
mod tests {
    use super::{parse_duration_ms, parse_wall, rfc3339};

    #[test]
    fn wall_times_read_back() {
        assert_eq!(rfc3339(0), "1970-01-01T00:00:00.000Z");
        assert_eq!(parse_wall("1970-01-01T00:00:01Z"), Some(1000));
        assert_eq!(parse_wall("12"), Some(12_000));
        assert_eq!(parse_wall("yesterday-ish"), None);
        assert!(!rfc3339(u64::MAX).is_empty());
    }

    #[test]
    fn durations_are_read_or_refused() {
        assert_eq!(parse_duration_ms("3d"), Ok(259_200_000));
        assert!(parse_duration_ms("3 parsecs").is_err());
        assert!(parse_duration_ms("-1s").is_err());
    }
}
