//! Classifies a response: its outcome for the delivery. Pure: the wall clock is an argument.
//!
//! 2xx delivered; 410 the endpoint is gone; all else is tried again, not before its `Retry-After`
//! (RFC 9110 section 10.2.3), which is honoured up to `limits::RETRY_AFTER_MAX_MS`. A receiver
//! steers what it is sent with `webhook-delivery: hold` (put the endpoint on hold) or `drop` (never
//! send me this again) on an answer that is not a 2xx.

use std::time::UNIX_EPOCH;

use crate::model::secret::redacted_url;
use crate::model::{Outcome, WallMs, limits};

/// The parts of a response that decide about its delivery.
#[derive(Clone, Copy, Debug, Default)]
pub struct ResponseSummary<'a> {
    pub status: u16,
    pub retry_after: Option<&'a [u8]>,
    /// `webhook-delivery`.
    pub webhook_delivery: Option<&'a [u8]>,
}

/// Classifies a response. One whose body broke off before its end (`is_complete` is false) is not
/// a success.
#[must_use]
pub fn classify(response: ResponseSummary<'_>, is_complete: bool, wall_ms: WallMs) -> Outcome {
    let wanted = response.webhook_delivery.map(|wanted| wanted.trim_ascii().to_ascii_lowercase());

    match (response.status, wanted.as_deref()) {
        (200..=299, _) if is_complete => Outcome::Delivered,
        (410, _) => Outcome::Gone,
        (_, Some(b"hold")) => Outcome::Hold,
        (_, Some(b"drop")) => Outcome::Drop,
        _ => Outcome::Retryable {
            after_ms: response.retry_after.and_then(|v| retry_after_ms(v, wall_ms)),
        },
    }
}

/// Explains a status to people, where the number alone does not.
#[must_use]
pub fn explain_status(status: u16, location: Option<&[u8]>) -> Option<String> {
    match (status, location) {
        (304, _) => Some("304 does not say that the event was accepted".to_owned()),

        // These lead nowhere else (RFC 9110 sections 15.4.6 and 15.4.7; 309 and more have no
        // meaning).
        (305 | 306 | 309..=399, _) | (300, None) => None,
        (300..=399, Some(to)) => {
            let to = redacted_url(&String::from_utf8_lossy(to));
            let to: String = to.chars().filter(|c| !c.is_control()).take(200).collect();
            Some(format!("redirects are not followed (to {to}): give the endpoint the final URL"))
        }
        (300..=399, None) => {
            Some("redirects are not followed: give the endpoint the final URL".to_owned())
        }
        _ => None,
    }
}

/// Milliseconds from now; `None` when it cannot be used, or allows to try now.
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
    use super::{ResponseSummary, classify, explain_status};
    use crate::model::{Outcome, limits::RETRY_AFTER_MAX_MS};

    /// 2026-11-23T13:00:00Z
    const NOW: u64 = 1_795_438_800_000;

    #[test]
    fn statuses_are_classified() {
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
            let response =
                ResponseSummary { status, retry_after: Some(b"7"), webhook_delivery: None };
            assert_eq!(classify(response, true, NOW), expected, "{status}");
        }

        let cut =
            |status| classify(ResponseSummary { status, ..ResponseSummary::default() }, false, NOW);
        assert_eq!(cut(200), Outcome::Retryable { after_ms: None });
        assert_eq!(cut(410), Outcome::Gone);
    }

    #[test]
    fn receivers_steer() {
        let wanted = |status, wanted: &'static str| {
            classify(
                ResponseSummary {
                    status,
                    retry_after: Some(b"7"),
                    webhook_delivery: Some(wanted.as_bytes()),
                },
                true,
                NOW,
            )
        };
        assert_eq!(wanted(503, "hold"), Outcome::Hold);
        assert_eq!(wanted(400, " Drop "), Outcome::Drop);
        assert_eq!(wanted(200, "drop"), Outcome::Delivered);
        assert_eq!(wanted(500, "dance"), Outcome::Retryable { after_ms: Some(7000) });
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
                let response = ResponseSummary {
                    status,
                    retry_after: Some(value.as_bytes()),
                    webhook_delivery: None,
                };
                let outcome = classify(response, true, NOW);
                assert_eq!(outcome, Outcome::Retryable { after_ms }, "{status} {value}");
            }
        }

        let response =
            ResponseSummary { status: 429, retry_after: Some(b"\xff"), webhook_delivery: None };
        assert_eq!(classify(response, true, NOW), Outcome::Retryable { after_ms: None });
    }

    #[test]
    fn redirects_are_explained() {
        assert!(
            explain_status(302, Some(b"http://127.0.0.1/\x07"))
                .unwrap()
                .contains("not followed (to http://127.0.0.1/)")
        );
        let with_secret =
            explain_status(301, Some(b"https://u:S1@a.example/x?token=S2&b=1")).unwrap();
        assert!(with_secret.contains("(to https://…@a.example/x?token=…&b=1)"), "{with_secret}");
        assert!(explain_status(308, None).unwrap().contains("final URL"));
        assert!(explain_status(300, Some(b"/a")).unwrap().contains("not followed"));
        assert!(
            explain_status(304, Some(b"/a"))
                .is_some_and(|why| !why.contains("redirect") && why.contains("304"))
        );
        for (status, location) in [(500, None), (300, None), (305, Some(&b"/a"[..])), (399, None)] {
            assert_eq!(explain_status(status, location), None, "{status}");
        }
    }
}
