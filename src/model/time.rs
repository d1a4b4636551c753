//! Time. No clock is read here: `daemon` reads it in one place and passes [`Now`] on.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// Milliseconds since 1970-01-01T00:00:00Z by the wall clock. Stands in records, for people; never
/// decides when something happens while the daemon runs.
pub type WallMs = u64;

/// One reading of both clocks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Now {
    /// Milliseconds of the monotonic clock since the daemon started. All delays run on it.
    pub mono_ms: u64,
    /// The wall clock. May jump, and may start in 1970.
    pub wall_ms: WallMs,
}

/// Reads both clocks.
pub type Clock = Arc<dyn Fn() -> Now + Send + Sync>;

/// RFC 3339 in UTC with milliseconds, as JSON shows it.
#[must_use]
pub fn rfc3339(wall_ms: WallMs) -> String {
    let ms = i64::try_from(wall_ms).unwrap_or(i64::MAX);
    match jiff::Timestamp::from_millisecond(ms) {
        Ok(time) => format!("{time:.3}"),
        Err(_) => jiff::Timestamp::MAX.to_string(),
    }
}

/// Digits of unix seconds, until the year 2286; and of milliseconds, from 2001 on.
const SECONDS_DIGITS: usize = 10;
/// Digits of the unix seconds that people name: from 1973 on.
const SECONDS_DIGITS_LEAST: usize = 9;
const MILLIS_DIGITS: usize = 13;

/// Reads RFC 3339 (`2026-11-23T13:20:00Z`), also as it is shown to people, with spaces around the
/// time of day (`2026-11-23 14:20:00 +01:00`), or unix seconds or milliseconds: the number of
/// digits tells which, and other numbers are none.
#[must_use]
pub fn parse_wall(text: &str) -> Option<WallMs> {
    if text.bytes().all(|byte| byte.is_ascii_digit()) {
        let number = text.parse::<u64>().ok()?;
        return match text.len() {
            ..=SECONDS_DIGITS => Some(number * 1000),
            MILLIS_DIGITS => Some(number),
            _ => None,
        };
    }
    let time: jiff::Timestamp = match text.rsplit_once(' ') {
        Some((time, offset)) if offset.starts_with(['+', '-']) => format!("{time}{offset}").parse(),
        _ => text.parse(),
    }
    .ok()?;
    u64::try_from(time.as_millisecond()).ok()
}

/// A time as people name one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    /// A time of the wall clock.
    At(WallMs),
    /// So many milliseconds before now.
    Ago(u64),
}

impl Moment {
    #[must_use]
    pub fn at(self, now: WallMs) -> WallMs {
        match self {
            Self::At(at) => at,
            Self::Ago(ms) => now.saturating_sub(ms),
        }
    }
}

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::At(at) => f.write_str(&rfc3339(*at)),
            Self::Ago(ms) => write!(f, "{ms}ms"),
        }
    }
}

impl FromStr for Moment {
    type Err = String;

    /// Reads a time as [`parse_wall`] does, a day (its beginning in UTC), or a duration before now.
    /// What could be two times is refused, for things are discarded by it: a time of day without a
    /// zone, a day without hyphens, a small number.
    fn from_str(text: &str) -> Result<Self, String> {
        let is_day = |text: &str| text.len() == 10 && text.parse::<jiff::civil::Date>().is_ok();
        if is_day(text) {
            return parse_wall(&format!("{text}T00:00:00Z"))
                .map(Self::At)
                .ok_or_else(|| format!("'{text}' is before 1970"));
        }
        if text.len() == 8
            && text.bytes().all(|byte| byte.is_ascii_digit())
            && text.parse::<jiff::civil::Date>().is_ok()
        {
            let (year, rest) = text.split_at(4);
            let (month, day) = rest.split_at(2);
            return Err(format!(
                "'{text}' may be a day or unix seconds: write it as {year}-{month}-{day}"
            ));
        }

        if text.bytes().all(|byte| byte.is_ascii_digit())
            && (1..SECONDS_DIGITS_LEAST).contains(&text.len())
        {
            return Err(format!(
                "'{text}' may be a time or a duration: write {text}m for {text} minutes ago, or \
                 unix seconds with 10 digits"
            ));
        }
        if let Some(at) = parse_wall(text) {
            return Ok(Self::At(at));
        }
        if let Ok(ms) = parse_duration_ms(text) {
            return Ok(Self::Ago(ms));
        }

        if text.len() > 10 && text.parse::<jiff::civil::DateTime>().is_ok() {
            return Err(format!(
                "'{text}' does not say in which zone: write {text}Z for UTC, or with an offset, \
                 as in +01:00"
            ));
        }
        Err(format!(
            "'{text}' is not a time: write it as 2026-11-23T13:20:00Z, 2026-11-23, unix seconds \
             (10 digits) or milliseconds (13), or 2h for two hours ago"
        ))
    }
}

/// Reads a [`Moment`], as a time of the wall clock.
///
/// # Errors
/// Says how a time is written.
pub fn parse_moment(text: &str, now: WallMs) -> Result<WallMs, String> {
    Ok(text.parse::<Moment>()?.at(now))
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

/// Reads a duration as [`parse_duration_ms`] does, or a number of seconds.
///
/// # Errors
/// Says what a duration looks like.
pub fn parse_span_ms(text: &str) -> Result<u64, String> {
    match text.parse::<f64>() {
        Ok(seconds) => seconds_to_ms(seconds),
        Err(_) => parse_duration_ms(text),
    }
}

/// Numbers of seconds up to this one are exact to the millisecond.
const SECONDS_MAX: f64 = 1e12;

/// A number of seconds, in milliseconds.
///
/// # Errors
/// Says what a duration looks like.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "the range is checked before"
)]
pub fn seconds_to_ms(seconds: f64) -> Result<u64, String> {
    if (0.0..=SECONDS_MAX).contains(&seconds) {
        return Ok((seconds * 1000.0).round() as u64);
    }
    Err(format!("'{seconds}' is not a number of seconds: write it as 500ms, 15s, 10m, 1h or 3d"))
}

/// Writes a duration the way [`parse_duration_ms`] reads it, to the second above ten seconds.
#[must_use]
pub fn format_duration_ms(ms: u64) -> String {
    span_text(if ms >= 10_000 { ms / 1000 * 1000 } else { ms })
}

/// `3d`, `1h 30m`, `1s 500ms`: exact, and read back by [`parse_duration_ms`].
#[must_use]
pub fn span_text(ms: u64) -> String {
    let units = [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1)];
    let mut rest = ms;
    let mut parts = Vec::new();

    for (unit, length) in units {
        let count = rest / length;
        rest %= length;
        if count > 0 {
            parts.push(format!("{count}{unit}"));
        }
    }

    if parts.is_empty() { "0s".to_owned() } else { parts.join(" ") }
}

#[cfg(test)]
mod tests {
    use super::{
        format_duration_ms, parse_duration_ms, parse_moment, parse_span_ms, parse_wall, rfc3339,
        span_text,
    };

    #[test]
    fn durations_have_one_spelling() {
        for (ms, text) in [
            (0, "0s"),
            (1_500, "1s 500ms"),
            (3 * 86_400_000, "3d"),
            (400 * 86_400_000 + 5_400_000, "400d 1h 30m"),
        ] {
            assert_eq!((span_text(ms).as_str(), parse_duration_ms(text)), (text, Ok(ms)));
            assert_eq!(parse_span_ms(text), Ok(ms));
        }
        assert_eq!(format_duration_ms(86_400_999), "1d");
        assert_eq!((parse_span_ms("60"), parse_span_ms("0.5")), (Ok(60_000), Ok(500)));
        for wrong in ["-1", "nan", "inf", "soon", ""] {
            assert!(parse_span_ms(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn wall_times_read_back() {
        assert_eq!(rfc3339(0), "1970-01-01T00:00:00.000Z");
        assert_eq!(parse_wall("1970-01-01T00:00:01Z"), Some(1000));
        for shown in ["1970-01-01 01:00:01 +01:00", "1970-01-01 01:00:01.000 +01:00"] {
            assert_eq!(parse_wall(shown), Some(1000), "{shown}");
        }
        assert_eq!(parse_wall("1969-12-31 23:30:01 -00:30"), Some(1000));

        assert_eq!(parse_wall("12"), Some(12_000));
        assert_eq!(parse_wall("1764382800"), Some(1_764_382_800_000));
        assert_eq!(parse_wall("1764382800000"), Some(1_764_382_800_000));
        for none in [
            "",
            "yesterday-ish",
            "+5",
            "-1",
            "17643828000",
            "1764382800000000",
            "99999999999999999999",
        ] {
            assert_eq!(parse_wall(none), None, "{none}");
        }
        assert!(!rfc3339(u64::MAX).is_empty());
    }

    #[test]
    fn a_moment_is_one_time_or_refused() {
        let now = 1_764_382_800_000;
        for (text, at) in [
            ("2025-11-29T02:20:00Z", now),
            ("2025-11-29T02:20Z", now),
            ("2025-11-29T03:20+01:00", now),
            ("2025-11-29 02:20:00Z", now),
            ("2025-11-29", now - 8_400_000),
            ("1764382800", now),
            ("1764382800000", now),
            ("2h", now - 7_200_000),
            ("90m", now - 5_400_000),
            ("999999999", 999_999_999_000),
        ] {
            assert_eq!(parse_moment(text, now), Ok(at), "{text}");
        }

        for (text, word) in [
            ("2025-11-29T02:20", "zone"),
            ("2025-11-29 02:20:00.5", "zone"),
            ("2025-11-29T02", "zone"),
            ("20251129", "2025-11-29"),
            ("20251129T0220", "zone"),
            ("30", "write 30m for 30 minutes ago"),
            ("0", "may be a time or a duration"),
            ("12345678", "may be a time or a duration"),
            ("17643828000", "digits"),
            ("176438280000000", "digits"),
            ("+5", "not a time"),
            ("1764382800.5", "not a time"),
            ("2025-02-30", "not a time"),
            ("2025-11-29T24:00Z", "not a time"),
            ("1969-12-31", "1970"),
            ("now", "not a time"),
            ("", "not a time"),
        ] {
            let why = parse_moment(text, now).expect_err(text);
            assert!(why.contains(word), "{why}");
        }
    }

    #[test]
    fn durations_are_read_or_refused() {
        assert_eq!(parse_duration_ms("3d"), Ok(259_200_000));
        assert!(parse_duration_ms("3 parsecs").is_err());
        assert!(parse_duration_ms("-1s").is_err());
    }
}
