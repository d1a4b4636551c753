//! What is sent, worked out before anything is dialled: of one event, or of several.
//!
//! Values come from outside: what cannot stand in a header is left out, and nothing here fails for it. Not passed
//! on are hop-by-hop fields (RFC 9110 section 7.6.1), what describes our own connection, what we say ourselves,
//! other webhook systems' signatures of the hop that ended here, and values whose secret part was struck out (`…`).

use bytes::Bytes;
use hyper::header::{CONTENT_ENCODING, CONTENT_TYPE, HeaderName, HeaderValue};
use hyper::{Method, Uri};

use crate::model::{Endpoint, Event, limits};

use super::failure::Failure;

/// Never passed on.
const OWN_HOP: [&str; 17] = [
    "accept-encoding",
    "connection",
    "content-length",
    "content-type",
    "expect",
    "host",
    "http2-settings",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "user-agent",
    "content-encoding", // set for every endpoint, see `Message::of`
];
const OWN_PREFIXES: [&str; 3] = ["webhook-", "hookbox-", "svix-"];
/// Stands for a secret that was struck out.
pub(super) const STRUCK_OUT: &[u8] = "…".as_bytes();

/// What one attempt sends. The same at every attempt for the same events; what differs (the time, the number, the
/// signature) is added when it leaves.
#[derive(Clone, Debug)]
pub struct Message {
    /// `webhook-id`: what the receiver knows it by.
    pub id: String,
    pub body: Bytes,
    pub method: Method,
    /// Path and query, when they are not those of the endpoint's URL.
    pub path: Option<Uri>,
    /// Fields that describe the message, each name once: content type and coding first.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// Fields of the sender's own, which go along uncounted in the log.
    pub forwarded: Vec<(HeaderName, HeaderValue)>,
    /// `hookbox-source` and `hookbox-type`; left out when empty.
    pub source: String,
    pub kind: String,
    /// How many daemons of this kind it has passed; how a loop is noticed.
    pub hops: u32,
}

impl Message {
    /// A POST of `body`, with nothing of a sender's.
    #[must_use]
    pub fn new(id: String, body: Bytes, content_type: HeaderValue) -> Self {
        Self {
            id,
            body,
            method: Method::POST,
            path: None,
            headers: vec![(CONTENT_TYPE, content_type)],
            forwarded: Vec::new(),
            source: String::new(),
            kind: String::new(),
            hops: 0,
        }
    }

    /// One event as it came.
    ///
    /// # Errors
    /// When the event goes round in circles.
    pub(super) fn of(endpoint: &Endpoint, event: &Event) -> Result<Self, Failure> {
        let hops = hops(event)?;
        let kind = match event.header("content-type").map(|v| HeaderValue::from_maybe_shared(v.clone())) {
            Some(Ok(kind)) => kind,
            _ => HeaderValue::from_static("application/octet-stream"),
        };
        let mut message = Self::new(event.webhook_id().to_string(), event.body.clone(), kind);
        // The body goes as it came, so what it is packed with belongs to it, whether other headers go along or not.
        if let Some(Ok(coding)) = event.header("content-encoding").map(|v| HeaderValue::from_maybe_shared(v.clone())) {
            message.headers.push((CONTENT_ENCODING, coding));
        }
        message.source.clone_from(&event.source_name);
        message.kind.clone_from(&event.kind);
        message.hops = hops;
        if endpoint.forward_headers.unwrap_or(event.from_provider) {
            message.forwarded = forwarded(event);
        }
        Ok(message)
    }
}

/// How many daemons of this kind an event has passed.
///
/// # Errors
/// When they are too many.
pub(super) fn hops(event: &Event) -> Result<u32, Failure> {
    let text = event.header("hookbox-hops").and_then(|v| std::str::from_utf8(v).ok());
    let hops = text.and_then(|t| t.trim().parse().ok()).unwrap_or(0);
    if hops >= limits::HOPS { Err(Failure::Loop { hops }) } else { Ok(hops) }
}

/// Whether a field of this (lower-case) name is said by us, or belongs to one hop.
pub(super) fn is_ours(name: &str) -> bool {
    OWN_HOP.contains(&name) || OWN_PREFIXES.iter().any(|p| name.starts_with(p))
}

/// The sender's own headers that go along.
fn forwarded(event: &Event) -> Vec<(HeaderName, HeaderValue)> {
    let connection = event.header("connection").map(|v| String::from_utf8_lossy(v).to_ascii_lowercase());
    let named = |name: &str| connection.as_ref().is_some_and(|c| c.split(',').any(|n| n.trim() == name));
    let mut fields = Vec::new();
    for header in event.headers.iter().take(limits::HEADERS) {
        let name = header.name.as_str();
        let struck_out = header.value.windows(STRUCK_OUT.len()).any(|w| w == STRUCK_OUT);
        if is_ours(name) || struck_out || named(name) {
            continue;
        }
        let name = HeaderName::from_bytes(name.as_bytes());
        if let (Ok(name), Ok(value)) = (name, HeaderValue::from_maybe_shared(header.value.clone())) {
            fields.push((name, value));
        }
    }
    fields
}
