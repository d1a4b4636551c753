//! One delivery as a message of a stream, and what the stream's answer means. Pure.
//!
//! **Headers.** `Nats-Msg-Id` is the event's id, by which the stream recognizes it when it comes
//! again; `Nats-Expected-Stream` keeps it out of every other stream. `Hookbox-Source`,
//! `Hookbox-Type`, `Hookbox-Time` (when it came in) and `Hookbox-Box` say what it is;
//! `Content-Type`, `traceparent` and `tracestate` are its sender's. The payload is the body, bit
//! for bit.

use async_nats::header::{NATS_EXPECTED_STREAM, NATS_MESSAGE_ID};
use async_nats::jetstream::{self, ErrorCode};
use async_nats::{HeaderMap, HeaderValue, RequestErrorKind};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde::Deserialize;

use crate::api::views::LeaseView;
use crate::model::{Header, TraceContext, limits};

pub const SOURCE: &str = "Hookbox-Source";
pub const TYPE: &str = "Hookbox-Type";
pub const TIME: &str = "Hookbox-Time";
pub const BOX: &str = "Hookbox-Box";
pub const CONTENT_TYPE: &str = "Content-Type";
pub const TRACEPARENT: &str = "traceparent";
pub const TRACESTATE: &str = "tracestate";

/// A delivery, ready to be published.
#[derive(Clone, Debug)]
pub struct OutMessage {
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl OutMessage {
    /// The message that a lease is.
    ///
    /// # Errors
    /// When the daemon's answer has no body in base64.
    pub fn of(lease: &LeaseView, box_name: &str, stream: &str) -> Result<Self, String> {
        let body = STANDARD.decode(&lease.body_base64);
        let body = body.map_err(|error| format!("its body is not base64: {error}"))?;

        let mut headers = HeaderMap::new();
        headers.insert(NATS_MESSAGE_ID, value(&lease.event.to_string()));
        headers.insert(NATS_EXPECTED_STREAM, value(stream));
        headers.insert(SOURCE, value(&lease.source));
        headers.insert(BOX, value(box_name));
        headers.insert(TIME, value(&time(lease)));
        if !lease.event_type.is_empty() {
            headers.insert(TYPE, value(&lease.event_type));
        }
        if let Some(kind) = lease.headers.get("content-type") {
            headers.insert(CONTENT_TYPE, value(kind));
        }

        let sent = lease.headers.iter().map(|(name, text)| Header::new(name, text.to_owned()));
        let sent: Vec<Header> = sent.collect();
        let trace =
            TraceContext::of_request(&sent).or_else(|| TraceContext::of_origin(&sent, &body));
        if let Some(trace) = trace {
            headers.insert(TRACEPARENT, value(&trace.parent()));
            if let Some(state) = trace.state() {
                headers.insert(TRACESTATE, value(state));
            }
        }
        Ok(Self { headers, body: body.into() })
    }
}

/// The time as RFC 3339.
fn time(lease: &LeaseView) -> String {
    serde_json::to_value(lease.received_at)
        .ok()
        .and_then(|time| time.as_str().map(str::to_owned))
        .unwrap_or_default()
}

/// A text as the value of a header, whatever it holds: a line's end in it would begin another
/// header.
fn value(text: &str) -> HeaderValue {
    let text: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    text.parse().unwrap_or_default()
}

/// What became of a publish.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Published {
    Stored {
        is_duplicate: bool,
    },
    /// Whether it is stored is not known, or it may be in a moment: the same once more.
    Again(String),
    /// Not now: hookbox tries again by the policy of the endpoint.
    Refused(String),
    /// Never: it becomes a dead letter.
    Never(String),
}

/// The part of an answer that is read.
#[derive(Deserialize)]
struct PubAnswer {
    #[serde(default)]
    stream: String,
    #[serde(default)]
    duplicate: bool,
    error: Option<jetstream::Error>,
}

/// What the stream's answer means.
#[must_use]
pub fn read_answer(payload: &[u8], stream: &str) -> Published {
    let answer: PubAnswer = match serde_json::from_slice(payload) {
        Ok(answer) => answer,
        Err(error) => return Published::Refused(format!("the answer is no PubAck: {error}")),
    };
    match answer.error {
        Some(error) => refusal(&error),
        None if answer.stream == stream => Published::Stored { is_duplicate: answer.duplicate },
        None => Published::Refused(format!(
            "something that is not the stream {stream} answers on this subject ('{}')",
            answer.stream
        )),
    }
}

/// What a refusal of the stream means.
fn refusal(error: &jetstream::Error) -> Published {
    let said = error.to_string();
    match error.error_code() {
        // It would be as large next time.
        ErrorCode::STREAM_MESSAGE_EXCEEDS_MAXIMUM | ErrorCode::STREAM_HEADER_EXCEEDS_MAXIMUM => {
            Published::Never(format!("too large for the stream: {said}"))
        }
        ErrorCode::CLUSTER_NOT_AVAILABLE
        | ErrorCode::CLUSTER_NOT_LEADER
        | ErrorCode::STREAM_OFFLINE
        | ErrorCode::STREAM_TOO_MANY_REQUESTS
        // Its first copy is being stored.
        | ErrorCode::STREAM_DUPLICATE_MESSAGE_CONFLICT => Published::Again(said),
        _ => Published::Refused(cut(&format!("the stream refuses it: {said}"))),
    }
}

/// What a publish without an answer means.
#[must_use]
pub fn read_error(error: &async_nats::RequestError, subject: &str) -> Published {
    match error.kind() {
        RequestErrorKind::MaxPayloadExceeded => {
            Published::Never(format!("too large for the server: {error}"))
        }
        RequestErrorKind::InvalidSubject => {
            Published::Never(format!("'{subject}' is no subject that can be published to"))
        }
        RequestErrorKind::NoResponders => {
            Published::Again(format!("no stream takes '{subject}' at the moment (no responders)"))
        }
        RequestErrorKind::TimedOut => {
            Published::Again("the stream did not acknowledge it in time".to_owned())
        }
        RequestErrorKind::Other => Published::Again(error.to_string()),
    }
}

/// A reason of at most so many characters.
pub fn cut(text: &str) -> String {
    text.chars().take(limits::NATS_REASON).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{CONTENT_TYPE, OutMessage, Published, TYPE, read_answer};
    use crate::api::views::LeaseView;

    fn lease(event_type: &str) -> LeaseView {
        serde_json::from_value(json!({
            "lease": "lse_1", "expires_at": "2026-11-30T05:00:00Z",
            "delivery": crate::model::DeliveryId { seq: 7, endpoint: 1 }.to_string(),
            "attempt": 1,
            "event": crate::model::EventId { seq: 7, tag: 9 }.to_string(), "source": "github",
            "type": event_type, "received_at": "2026-11-30T04:59:58.123Z",
            "headers": {
                "content-type": "application/x; a=\"ä\"",
                "traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            },
            "body_base64": "AAH/",
        }))
        .expect("a lease")
    }

    #[test]
    fn a_message_has_the_event_bit_for_bit_and_says_what_it_is() {
        let message = OutMessage::of(&lease("push"), "box-1", "HOOKS").expect("a message");
        assert_eq!(&message.body[..], [0, 1, 255]);
        let header = |name: &str| message.headers.get(name).map(ToString::to_string);
        let id = crate::model::EventId { seq: 7, tag: 9 }.to_string();
        assert_eq!(header("Nats-Msg-Id"), Some(id));
        for (name, text) in [
            ("Nats-Expected-Stream", "HOOKS"),
            ("Hookbox-Source", "github"),
            (TYPE, "push"),
            ("Hookbox-Box", "box-1"),
            ("Hookbox-Time", "2026-11-30T04:59:58.123Z"),
            (CONTENT_TYPE, "application/x; a=\"ä\""),
            ("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),
        ] {
            assert_eq!(header(name).as_deref(), Some(text), "{name}");
        }
    }

    #[test]
    fn a_type_begins_no_header_of_its_own() {
        let evil = lease("a\r\nNats-Expected-Stream: OTHER\r\n\r\nx");
        let message = OutMessage::of(&evil, "box-1", "HOOKS").expect("a message");
        let kind = message.headers.get(TYPE).expect("a type").to_string();
        assert!(!kind.contains(['\r', '\n']) && kind.starts_with("a  Nats"), "{kind}");
        assert_eq!(message.headers.get("Nats-Expected-Stream").expect("one").as_str(), "HOOKS");
    }

    #[test]
    fn answers_are_distinguished() {
        let read = |answer: &serde_json::Value| read_answer(answer.to_string().as_bytes(), "HOOKS");
        let error = |code: u64| {
            let what = json!({"code": 400, "err_code": code, "description": "why"});
            read(&json!({"type": "x", "error": what}))
        };
        let stored = |is_duplicate| Published::Stored { is_duplicate };

        assert_eq!(read(&json!({"stream": "HOOKS", "seq": 1})), stored(false));
        let again = json!({"stream": "HOOKS", "seq": 1, "duplicate": true});
        assert_eq!(read(&again), stored(true));
        // A subscriber that answers on the subject is not the stream.
        assert!(matches!(read(&json!({})), Published::Refused(_)));
        assert!(matches!(read_answer(b"+OK", "HOOKS"), Published::Refused(_)));
        assert!(matches!(error(10054), Published::Never(_)), "too large");
        assert!(matches!(error(10077), Published::Refused(_)), "full");
        assert!(matches!(error(10060), Published::Refused(_)), "another stream");
        assert!(matches!(error(10008), Published::Again(_)), "no leader");
    }
}
