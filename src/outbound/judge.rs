//! What a response means for its delivery. Pure: the wall clock is an argument.
//!
//! 2xx delivered; 410 the endpoint is gone; all else is tried again, not before its `Retry-After` (RFC 9110 section
//! 10.2.3), which is honoured up to `limits::RETRY_AFTER_MAX_MS`. A receiver steers what it is sent with
//! `webhook-delivery: hold` (put the endpoint on hold) or `drop` (never send me this again) on an answer that is no 2xx.

use std::time::UNIX_EPOCH;

use crate::model::{Outcome, WallMs, limits};

/// What a response says, as far as it matters here.
#[derive(Clone, Copy, Debug, Default)]
pub struct Said<'a> {
    pub status: u16,
    pub retry_after: Option<&'a [u8]>,
    /// `webhook-delivery`.
    pub wish: Option<&'a [u8]>,
}

/// Judges a response. One whose body broke off before its end (`complete` is false) is no success.
#[must_use]
pub fn judge(said: Said<'_>, complete: bool, wall_ms: WallMs) -> Outcome {
    let wish = said.wish.map(|wish| wish.trim_ascii().to_ascii_lowercase());
    match (said.status, wish.as_deref()) {
        (200..=299, _) if complete => Outcome::Delivered,
        (410, _) => Outcome::Gone,
        (_, Some(b"hold")) => Outcome::Hold,
        (_, Some(b"drop")) => Outcome::Drop,
        _ => Outcome::Retryable { after_ms: said.retry_after.and_then(|v| retry_after_ms(v, wall_ms)) },
    }
}

/// What the status says for people, where the number alone would not.
#[must_use]
pub fn remark(status: u16, location: Option<&[u8]>) -> Option<String> {
    match (status, location) {
        (300..=399, Some(to)) => {
            let to: String = String::from_utf8_lossy(to).chars().filter(|c| !c.is_control()).take(200).collect();
            Some(format!("redirects are not followed (to {to}): give the endpoint the final URL"))
        }
        (300..=399, None) => Some("redirects are not followed: give the endpoint the final URL".to_owned()),
        _ => None,
    }
}

/// Milliseconds from now; `None` when it says nothing usable, or that now is fine.
fn retry_after_ms(value: &[u8], wall_ms: WallMs) -> Option<u64> {
    let text = std::str::from_utf8(value).ok()?.trim();
    let wait = if !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()) {
        // More digits than a number holds are still a (very long) time.
        text.parse::<u64>().unwrap_or(u64::MAX).saturating_mul(1000)
    } else {
        let date = httpdate::parse_http_date(text).ok()?.duration_since(UNIX_EPOCH).ok()?;
        u64::try_from(date.as_millis()).ok()?.saturating_sub(wall_ms)
    };
    (wait > 0).then(|| wait.min(limits::RETRY_AFTER_MAX_MS))
}

#[cfg(test)]
mod tests {
    use super::{Said, judge, remark};
    use crate::model::{Outcome, limits::RETRY_AFTER_MAX_MS};

    /// 2026-11-23T13:00:00Z
    const NOW: u64 = 1_795_438_800_000;

    #[test]
    fn statuses_are_judged() {
        for (status, expected) in [
            (200, Outcome::Delivered),
            (204, Outcome::Delivered),
            (299, Outcome::Delivered),
            (301, Outcome::Retryable { after_ms: Some(7000) }),
            (304, Outcome::Retryable { after_ms: Some(7000) }),
            (400, Outcome::Retryable { after_ms: Some(7000) }),
            (404, Outcome::Retryable { after_ms: Some(7000) }),
            (410, Outcome::Gone),
            (500, Outcome::Retryable { after_ms: Some(7000) }),
            (999, Outcome::Retryable { after_ms: Some(7000) }),
        ] {
            let said = Said { status, retry_after: Some(b"7"), wish: None };
            assert_eq!(judge(said, true, NOW), expected, "{status}");
        }
        let cut = |status| judge(Said { status, ..Said::default() }, false, NOW);
        assert_eq!(cut(200), Outcome::Retryable { after_ms: None });
        assert_eq!(cut(410), Outcome::Gone);
    }

    #[test]
    fn receivers_steer() {
        let wish = |status, wish: &'static str| {
            judge(Said { status, retry_after: Some(b"7"), wish: Some(wish.as_bytes()) }, true, NOW)
        };
        assert_eq!(wish(503, "hold"), Outcome::Hold);
        assert_eq!(wish(400, " Drop "), Outcome::Drop);
        assert_eq!(wish(200, "drop"), Outcome::Delivered);
        assert_eq!(wish(500, "dance"), Outcome::Retryable { after_ms: Some(7000) });
    }

    #[test]
    fn retry_after_is_honoured_within_reason() {
        for (value, after_ms) in [
            ("7", Some(7000)),
            (" 7 ", Some(7000)),
            ("0", None),
            ("-5", None),
            ("1.5", None),
            ("soon", None),
            ("", None),
            ("99999999", Some(RETRY_AFTER_MAX_MS)),
            ("99999999999999999999999999", Some(RETRY_AFTER_MAX_MS)),
            ("Mon, 23 Nov 2026 13:02:00 GMT", Some(120_000)),
            ("Monday, 23-Nov-26 13:02:00 GMT", Some(120_000)),
            ("Mon Nov 23 13:02:00 2026", Some(120_000)),
            ("Mon, 23 Nov 2026 12:00:00 GMT", None),
            ("Fri, 31 Dec 9999 23:59:59 GMT", Some(RETRY_AFTER_MAX_MS)),
            ("Thu, 01 Jan 1970 00:00:00 GMT", None),
        ] {
            for status in [429, 503] {
                let said = Said { status, retry_after: Some(value.as_bytes()), wish: None };
                let outcome = judge(said, true, NOW);
                assert_eq!(outcome, Outcome::Retryable { after_ms }, "{status} {value}");
            }
        }
        let said = Said { status: 429, retry_after: Some(b"\xff"), wish: None };
        assert_eq!(judge(said, true, NOW), Outcome::Retryable { after_ms: None });
    }

    #[test]
    fn redirects_are_explained() {
        assert!(remark(302, Some(b"http://127.0.0.1/\x07")).unwrap().contains("not followed (to http://127.0.0.1/)"));
        assert!(remark(308, None).unwrap().contains("final URL"));
        assert_eq!(remark(500, None), None);
    }
}
