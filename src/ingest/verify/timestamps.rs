//! Signed times: how they are written, and how far they may be off.

use super::refusal::ProofRefusal;

/// How far a sender's timestamp may be ahead of or behind our clock, unless a setting changes it.
pub(super) const TOLERANCE_S: i64 = 300;

/// A timestamp in whole seconds, as its digits.
pub(super) fn unix_seconds(text: &str) -> Result<i64, ProofRefusal> {
    let digits =
        !text.is_empty() && text.len() <= 12 && text.bytes().all(|byte| byte.is_ascii_digit());
    let parsed = if digits { text.parse().ok() } else { None };
    parsed.ok_or_else(|| ProofRefusal::malformed("the timestamp is not a number of seconds"))
}

/// How a sender writes the time that it signs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TimestampUnit {
    Seconds,
    Milliseconds,
    Rfc3339,
}

impl TimestampUnit {
    /// The time in whole seconds.
    pub(super) fn read(self, text: &str) -> Result<i64, ProofRefusal> {
        match self {
            Self::Seconds => unix_seconds(text),
            Self::Milliseconds => unix_milliseconds(text).map(|ms| ms / 1000),
            Self::Rfc3339 => rfc3339_seconds(text),
        }
    }

    /// What stands behind the time that a text begins with, if it begins with one as times of
    /// these centuries are written. An id or a body that holds one could be a part of another
    /// signed text: see `standard_webhooks`.
    pub(super) fn behind(self, text: &[u8]) -> Option<&[u8]> {
        let form: &[u8] = match self {
            Self::Seconds => b"0000000000",
            Self::Milliseconds => b"0000000000000",
            Self::Rfc3339 => b"0000-00-00T00:00:00",
        };
        let (time, rest) = text.split_at_checked(form.len())?;
        let fits = |(wanted, byte): (&u8, &u8)| match wanted {
            b'0' => byte.is_ascii_digit(),
            b'T' => matches!(byte, b'T' | b't' | b' '),
            _ => byte == wanted,
        };
        let ends = self == Self::Rfc3339 || !rest.first().is_some_and(u8::is_ascii_alphanumeric);
        (ends && form.iter().zip(time).all(fits)).then_some(rest)
    }
}

/// A timestamp in whole milliseconds, as its digits.
fn unix_milliseconds(text: &str) -> Result<i64, ProofRefusal> {
    let digits =
        !text.is_empty() && text.len() <= 15 && text.bytes().all(|byte| byte.is_ascii_digit());
    let parsed = if digits { text.parse().ok() } else { None };
    parsed.ok_or_else(|| ProofRefusal::malformed("the timestamp is not a number of milliseconds"))
}

/// A timestamp as RFC 3339 writes it.
pub(super) fn rfc3339_seconds(text: &str) -> Result<i64, ProofRefusal> {
    let time = text.parse::<jiff::Timestamp>();
    time.map(jiff::Timestamp::as_second)
        .map_err(|_| ProofRefusal::malformed("the timestamp is not a time (RFC 3339)"))
}

/// Refuses what is older than `limit_s`; the limit itself is still good.
pub(super) fn not_older(at: i64, now: i64, limit_s: i64) -> Result<(), ProofRefusal> {
    let age = now.saturating_sub(at);
    if age > limit_s {
        return Err(ProofRefusal::stale(format!(
            "the timestamp is {age} s old, at most {limit_s} s are allowed"
        )));
    }
    Ok(())
}

/// Refuses what is further in the future than `limit_s`.
pub(super) fn not_ahead(at: i64, now: i64, limit_s: i64) -> Result<(), ProofRefusal> {
    let ahead = at.saturating_sub(now);
    if ahead > limit_s {
        let reason = format!(
            "the timestamp is {ahead} s ahead of this clock, at most {limit_s} s are allowed"
        );
        return Err(ProofRefusal::stale(reason));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::TimestampUnit::{Milliseconds, Rfc3339, Seconds};

    #[test]
    fn a_text_begins_with_a_time_or_not() {
        for (unit, text, rest) in [
            (Seconds, "1770000000", Some("")),
            (Seconds, "1770000000.{}", Some(".{}")),
            (Seconds, "17700000001", None),
            (Seconds, "1770000000f", None),
            (Seconds, "177000000", None),
            (Seconds, "", None),
            (Milliseconds, "1770000000123:", Some(":")),
            (Milliseconds, "1770000000", None),
            (Rfc3339, "2026-02-02T02:40:00.5Z", Some(".5Z")),
            (Rfc3339, "2026-02-02", None),
            (Rfc3339, "é026-02-02T02:40:00", None),
        ] {
            assert_eq!(unit.behind(text.as_bytes()), rest.map(str::as_bytes), "{text}");
        }
    }
}
