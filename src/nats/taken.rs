//! A message of a stream as an event of hookbox, and what hookbox's answer means for it. Pure.

use async_nats::HeaderMap;
use bytes::Bytes;
use data_encoding::HEXLOWER;
use sha2::{Digest, Sha256};

use super::box_client::{BoxError, BoxEvent};
use super::publish::{CONTENT_TYPE, TYPE, cut};
use crate::api::text::Line;
use crate::model::limits;
use crate::model::secret::percent_decoded;

/// Where a message stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MessagePlace {
    pub stream: String,
    pub sequence: u64,
    /// When the server stored it, in nanoseconds of Unix time. A stream that was deleted and made
    /// anew counts from 1 again, so that a sequence alone would be taken for an earlier message.
    pub stored_ns: i128,
    pub subject: String,
    /// How often it was delivered, this time included.
    pub delivered: u64,
}

/// The event that a message becomes.
#[must_use]
pub fn event(
    source: &str,
    place: &MessagePlace,
    headers: Option<&HeaderMap>,
    body: Bytes,
) -> BoxEvent {
    let named = |wanted: &str| headers.and_then(|headers| header(headers, wanted));
    let of_event = || {
        let text = named("ce-type")?;
        Some(String::from_utf8_lossy(&percent_decoded(&text)).into_owned())
    };
    let event_type = named(TYPE).or_else(of_event).unwrap_or_else(|| place.subject.clone());
    let key = named("Nats-Msg-Id").filter(|id| !id.is_empty());
    let key =
        key.unwrap_or_else(|| format!("{}:{}:{}", place.stream, place.sequence, place.stored_ns));
    let kind = named(CONTENT_TYPE).unwrap_or_else(|| "application/octet-stream".to_owned());

    BoxEvent {
        source: source.to_owned(),
        event_type: cut_type(&plain(&event_type)),
        key: cut_key(plain(&key)),
        content_type: Line::of(&kind).map(String::from),
        headers: further(place, headers),
        body,
    }
}

/// A header by its name, whatever its case.
fn header(headers: &HeaderMap, wanted: &str) -> Option<String> {
    let mut all = headers.iter();
    let (_, values) = all.find(|(name, _)| name.to_string().eq_ignore_ascii_case(wanted))?;
    values.last().map(ToString::to_string)
}

/// The headers that go on: those of traces, of CloudEvents, of hookbox, and of the senders' own
/// kind, and where the message stood. All others say something about their own hop.
fn further(place: &MessagePlace, headers: Option<&HeaderMap>) -> Vec<(String, String)> {
    let goes_on = |name: &str| {
        let own = name == "ce-type" || name == "hookbox-type" || name.starts_with("x-forwarded");
        let begins = ["hookbox-", "ce-", "x-"].iter().any(|start| name.starts_with(start));
        (begins && !own) || matches!(name, "traceparent" | "tracestate")
    };
    let is_name = |name: &str| name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');

    let mut all = vec![
        ("nats-stream".to_owned(), place.stream.clone()),
        ("nats-sequence".to_owned(), place.sequence.to_string()),
        ("nats-subject".to_owned(), plain(&place.subject)),
    ];
    for (name, values) in headers.into_iter().flat_map(HeaderMap::iter) {
        let name = name.to_string().to_ascii_lowercase();
        if goes_on(&name) && is_name(&name) && all.len() < limits::HEADERS / 2 {
            let value = values.last().map(ToString::to_string).unwrap_or_default();
            all.push((name, plain(&value)));
        }
    }
    all
}

/// Without control characters.
fn plain(text: &str) -> String {
    text.trim().chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

fn cut_type(text: &str) -> String {
    let mut end = text.len().min(limits::TYPE_LEN);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text[..end].to_owned()
}

/// A key that is longer than hookbox keeps is its digest.
fn cut_key(key: String) -> String {
    if key.len() <= limits::DEDUPE_KEY_LEN {
        return key;
    }
    format!("sha256:{}", HEXLOWER.encode(&Sha256::digest(key.as_bytes())))
}

/// What hookbox did with a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MessageTaken {
    Stored {
        is_duplicate: bool,
    },
    /// Not now: it says why, and after how long.
    Later {
        reason: String,
        after_ms: u64,
        is_box: bool,
    },
    /// Never: the message itself is what is refused.
    Never(String),
}

/// What hookbox's answer means for a message. What says something about the box, its source or its
/// settings is tried again; only what says something about the message ends it.
#[must_use]
pub fn taken(answer: Result<bool, BoxError>, delivered: u64) -> MessageTaken {
    let error = match answer {
        Ok(is_duplicate) => return MessageTaken::Stored { is_duplicate },
        Err(error) => error,
    };
    let reason = cut(&error.to_string());
    let after_ms = match &error {
        BoxError::Refused { retry_after: Some(seconds), .. } => seconds.saturating_mul(1000),
        _ => 500_u64 << delivered.clamp(1, 7),
    };
    match error {
        BoxError::Refused { status: 400 | 411 | 413 | 414 | 422 | 431, .. } => {
            MessageTaken::Never(reason)
        }
        _ => MessageTaken::Later {
            reason,
            after_ms: after_ms.clamp(100, limits::NATS_PAUSE_MS),
            is_box: error.is_passing(),
        },
    }
}

#[cfg(test)]
mod tests {
    use async_nats::HeaderMap;
    use bytes::Bytes;

    use super::{MessagePlace, MessageTaken, event, taken};
    use crate::model::limits;
    use crate::nats::box_client::BoxError;

    fn place() -> MessagePlace {
        let (stream, subject) = ("JOBS".to_owned(), "jobs.new".to_owned());
        MessagePlace {
            stream,
            sequence: 42,
            stored_ns: 1_700_000_000_000_000_007,
            subject,
            delivered: 1,
        }
    }

    #[test]
    fn a_message_without_headers_is_known_by_its_place() {
        let event = event("jobs", &place(), None, Bytes::from_static(b"\0"));
        assert_eq!(event.key, "JOBS:42:1700000000000000007");
        assert_eq!(event.event_type, "jobs.new");
        assert_eq!(event.content_type.as_deref(), Some("application/octet-stream"));
        assert_eq!(&event.body[..], b"\0");
    }

    #[test]
    fn its_id_and_type_are_those_that_it_has() {
        let mut headers = HeaderMap::new();
        headers.insert("nats-msg-id", "evt_1");
        headers.insert("Hookbox-Type", "order.paid");
        headers.insert("content-type", "text/plain");
        headers.insert("traceparent", "00-1");
        headers.insert("Connection", "close");
        headers.insert("Content-Length", "7");
        let event = event("jobs", &place(), Some(&headers), Bytes::new());
        assert_eq!((event.key.as_str(), event.event_type.as_str()), ("evt_1", "order.paid"));
        assert_eq!(event.content_type.as_deref(), Some("text/plain"));
        let names: Vec<&str> = event.headers.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["nats-stream", "nats-sequence", "nats-subject", "traceparent"]);

        let mut of_cloud = HeaderMap::new();
        of_cloud.insert("ce-type", "a%20b");
        let event = super::event("jobs", &place(), Some(&of_cloud), Bytes::new());
        assert_eq!(event.event_type, "a b");
    }

    #[test]
    fn what_is_too_long_is_cut_and_a_key_stays_one() {
        let mut headers = HeaderMap::new();
        headers.insert("Nats-Msg-Id", "k".repeat(5000).as_str());
        headers.insert("Hookbox-Type", "ä".repeat(500).as_str());
        headers.insert("Content-Type", "x".repeat(5000).as_str());
        headers.insert("X-Name", "Zoë");
        headers.insert("X-Line", "a\u{7f}b");
        let event = event("jobs", &place(), Some(&headers), Bytes::new());
        assert_eq!(event.content_type.as_ref().map(String::len), Some(4096), "or it is refused");
        let own: Vec<_> = event.headers.iter().filter(|(name, _)| name.starts_with("x-")).collect();
        let named = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let mut own: Vec<_> = own.into_iter().cloned().collect();
        own.sort();
        let wanted = [named("x-line", "a\u{fffd}b"), named("x-name", "Zoë")];
        assert_eq!(own, wanted, "and nothing that no header has");
        assert!(event.key.starts_with("sha256:") && event.key.len() <= limits::DEDUPE_KEY_LEN);
        assert!(event.event_type.len() <= limits::TYPE_LEN);
    }

    #[test]
    fn only_what_is_wrong_with_the_message_ends_it() {
        let refused = |status, retry_after| {
            let detail = "why".to_owned();
            taken(Err(BoxError::Refused { status, detail, retry_after }), 1)
        };
        for status in [400, 413, 422] {
            assert!(matches!(refused(status, None), MessageTaken::Never(_)), "{status}");
        }
        for status in [200, 401, 403, 404, 405] {
            assert!(
                matches!(refused(status, None), MessageTaken::Later { is_box: false, .. }),
                "{status}"
            );
        }

        for status in [408, 429, 500, 503] {
            let later = refused(status, Some(2));
            assert!(
                matches!(later, MessageTaken::Later { after_ms: 2_000, is_box: true, .. }),
                "{status}: {later:?}"
            );
        }
        assert_eq!(taken(Ok(true), 9), MessageTaken::Stored { is_duplicate: true });
    }
}
