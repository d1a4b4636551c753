//! The headers of a request: those of the message, and what is said of this attempt. And the head of a response.

use bytes::Bytes;
use hyper::Method;
use hyper::header::{CONTENT_LENGTH, HOST, HeaderMap, HeaderName, HeaderValue, USER_AGENT};

use crate::model::{Header, ResponseHead, WallMs, limits};

use super::message::{Message, STRUCK_OUT};
use super::sign::{Key, signature};

const WEBHOOK_ID: HeaderName = HeaderName::from_static("webhook-id");
const WEBHOOK_TIMESTAMP: HeaderName = HeaderName::from_static("webhook-timestamp");
const WEBHOOK_SIGNATURE: HeaderName = HeaderName::from_static("webhook-signature");
const HOOKBOX_SOURCE: HeaderName = HeaderName::from_static("hookbox-source");
const HOOKBOX_TYPE: HeaderName = HeaderName::from_static("hookbox-type");
const HOOKBOX_ATTEMPT: HeaderName = HeaderName::from_static("hookbox-attempt");
/// How many daemons of this kind the event has passed; how a loop is noticed.
const HOOKBOX_HOPS: HeaderName = HeaderName::from_static("hookbox-hops");

/// What the headers of one attempt are made from.
pub(super) struct Facts<'a> {
    pub(super) message: &'a Message,
    pub(super) number: u32,
    pub(super) wall_ms: WallMs,
    pub(super) host: &'a HeaderValue,
    pub(super) agent: &'a HeaderValue,
    pub(super) keys: &'a [Key],
}

/// The headers of a request, and the same for the log: secrets left out, the sender's own only counted. A text that
/// is not fit for a header is left out.
pub(super) fn build(facts: &Facts<'_>) -> (HeaderMap, Vec<Header>) {
    let message = facts.message;
    let seconds = (facts.wall_ms / 1000).to_string();
    let mut out = Out { map: HeaderMap::with_capacity(16), shown: Vec::with_capacity(12) };
    out.add(HOST, facts.host.clone());
    out.add(USER_AGENT, facts.agent.clone());
    let bodiless = message.body.is_empty() && matches!(message.method, Method::GET | Method::DELETE);
    if !bodiless {
        out.put(CONTENT_LENGTH, message.body.len().to_string());
    }
    for (name, value) in &message.headers {
        out.add(name.clone(), value.clone());
    }
    for (name, text) in [(HOOKBOX_SOURCE, &message.source), (HOOKBOX_TYPE, &message.kind)] {
        if !text.is_empty() {
            out.put(name, text.clone());
        }
    }
    out.put(HOOKBOX_ATTEMPT, facts.number.to_string());
    out.put(HOOKBOX_HOPS, (message.hops + 1).to_string());
    if let Some(signed) = signature(facts.keys, &message.id, &seconds, &message.body, facts.wall_ms)
        && let Ok(value) = HeaderValue::from_maybe_shared(Bytes::from(signed.value))
    {
        out.map.insert(WEBHOOK_SIGNATURE, value);
        out.shown.push(Header::new(WEBHOOK_SIGNATURE.as_str(), signed.shown));
    }
    out.put(WEBHOOK_ID, message.id.clone());
    out.put(WEBHOOK_TIMESTAMP, seconds);
    let forwarded = message.forwarded.iter().filter(|(name, value)| out.map.try_append(name, value.clone()).is_ok());
    let count = forwarded.count();
    if count > 0 {
        out.shown.push(Header::new("forwarded-headers", count.to_string()));
    }
    (out.map, out.shown)
}

struct Out {
    map: HeaderMap,
    shown: Vec<Header>,
}

impl Out {
    /// A text that may not be fit for a header; then it is left out.
    fn put(&mut self, name: HeaderName, text: String) {
        if let Ok(value) = HeaderValue::from_maybe_shared(Bytes::from(text)) {
            self.add(name, value);
        }
    }

    fn add(&mut self, name: HeaderName, value: HeaderValue) {
        let value_shown = if value.is_sensitive() { STRUCK_OUT } else { value.as_bytes() };
        self.shown.retain(|shown| shown.name != name.as_str());
        self.shown.push(Header::new(name.as_str(), Bytes::copy_from_slice(value_shown)));
        self.map.insert(name, value);
    }
}

/// The head of a response as the log keeps it: the first fields, long values cut, cookies struck out.
pub(super) fn response_head(status: u16, headers: &HeaderMap) -> ResponseHead {
    let kept = headers.iter().take(limits::RESPONSE_FIELDS).map(|(name, value)| {
        let value = value.as_bytes();
        let value = match name.as_str() {
            "set-cookie" => STRUCK_OUT,
            _ => &value[..value.len().min(limits::RESPONSE_VALUE)],
        };
        Header::new(name.as_str(), Bytes::copy_from_slice(value))
    });
    ResponseHead { status, headers: kept.collect(), body: Bytes::new() }
}
