//! What goes along with an event: our own headers, and the sender's where the endpoint wants them.
//!
//! Values come from outside: what cannot stand in a header is left out, and nothing here fails for it. Not passed
//! on are hop-by-hop fields (RFC 9110 section 7.6.1), what describes our own connection, what we say ourselves,
//! other webhook systems' signatures of the hop that ended here, and values whose secret part was struck out (`…`).

use bytes::Bytes;
use hyper::header::{
    CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, HOST, HeaderMap, HeaderName, HeaderValue, USER_AGENT,
};

use crate::model::{Endpoint, Event, Header, ResponseHead, WallMs, limits};

use super::failure::Failure;
use super::sign::{Key, signature};

const WEBHOOK_ID: HeaderName = HeaderName::from_static("webhook-id");
const WEBHOOK_TIMESTAMP: HeaderName = HeaderName::from_static("webhook-timestamp");
const WEBHOOK_SIGNATURE: HeaderName = HeaderName::from_static("webhook-signature");
const HOOKBOX_SOURCE: HeaderName = HeaderName::from_static("hookbox-source");
const HOOKBOX_TYPE: HeaderName = HeaderName::from_static("hookbox-type");
const HOOKBOX_ATTEMPT: HeaderName = HeaderName::from_static("hookbox-attempt");
/// How many daemons of this kind the event has passed; how a loop is noticed.
const HOOKBOX_HOPS: HeaderName = HeaderName::from_static("hookbox-hops");

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
    "content-encoding", // set for every endpoint, see `build`
];
const OWN_PREFIXES: [&str; 3] = ["webhook-", "hookbox-", "svix-"];
/// Stands for a secret that was struck out.
const STRUCK_OUT: &[u8] = "…".as_bytes();

/// What the headers of one attempt are made from.
pub(super) struct Facts<'a> {
    pub(super) endpoint: &'a Endpoint,
    pub(super) event: &'a Event,
    pub(super) number: u32,
    pub(super) wall_ms: WallMs,
    pub(super) host: &'a HeaderValue,
    pub(super) agent: &'a HeaderValue,
    pub(super) keys: &'a [Key],
}

/// The headers of a request, and the same for the log: secrets left out, the sender's own only counted.
///
/// # Errors
/// When the event goes round in circles.
pub(super) fn build(facts: &Facts<'_>) -> Result<(HeaderMap, Vec<Header>), Failure> {
    let event = facts.event;
    let id = event.webhook_id().to_string();
    let seconds = (facts.wall_ms / 1000).to_string();
    let hops = event.header("hookbox-hops").map_or(0, |v| number(v));
    if hops >= limits::HOPS {
        return Err(Failure::Loop { hops });
    }
    let mut out = Out { map: HeaderMap::with_capacity(16), shown: Vec::with_capacity(12) };
    out.add(HOST, facts.host.clone());
    out.add(USER_AGENT, facts.agent.clone());
    out.put(CONTENT_LENGTH, event.body.len().to_string());
    match event.header("content-type").map(|v| HeaderValue::from_maybe_shared(v.clone())) {
        Some(Ok(kind)) => out.add(CONTENT_TYPE, kind),
        _ => out.add(CONTENT_TYPE, HeaderValue::from_static("application/octet-stream")),
    }
    // The body goes as it came, so what it is packed with belongs to it, whether other headers go along or not.
    if let Some(Ok(coding)) = event.header("content-encoding").map(|v| HeaderValue::from_maybe_shared(v.clone())) {
        out.add(CONTENT_ENCODING, coding);
    }
    out.put(HOOKBOX_SOURCE, event.source_name.clone());
    if !event.kind.is_empty() {
        out.put(HOOKBOX_TYPE, event.kind.clone());
    }
    out.put(HOOKBOX_ATTEMPT, facts.number.to_string());
    out.put(HOOKBOX_HOPS, (hops + 1).to_string());
    if let Some(signed) = signature(facts.keys, &id, &seconds, &event.body, facts.wall_ms)
        && let Ok(value) = HeaderValue::from_maybe_shared(Bytes::from(signed.value))
    {
        out.map.insert(WEBHOOK_SIGNATURE, value);
        out.shown.push(Header::new(WEBHOOK_SIGNATURE.as_str(), signed.shown));
    }
    out.put(WEBHOOK_ID, id);
    out.put(WEBHOOK_TIMESTAMP, seconds);
    if facts.endpoint.forward_headers.unwrap_or(event.from_provider) {
        let count = forward(event, &mut out.map);
        if count > 0 {
            out.shown.push(Header::new("forwarded-headers", count.to_string()));
        }
    }
    Ok((out.map, out.shown))
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
        self.shown.push(Header::new(name.as_str(), Bytes::copy_from_slice(value.as_bytes())));
        self.map.insert(name, value);
    }
}

/// Adds the sender's own headers; says how many.
fn forward(event: &Event, map: &mut HeaderMap) -> usize {
    let connection = event.header("connection").map(|v| String::from_utf8_lossy(v).to_ascii_lowercase());
    let named = |name: &str| connection.as_ref().is_some_and(|c| c.split(',').any(|n| n.trim() == name));
    let mut count = 0;
    for header in event.headers.iter().take(limits::HEADERS) {
        let name = header.name.as_str();
        let ours = OWN_HOP.contains(&name) || OWN_PREFIXES.iter().any(|p| name.starts_with(p));
        let struck_out = header.value.windows(STRUCK_OUT.len()).any(|w| w == STRUCK_OUT);
        if ours || struck_out || named(name) {
            continue;
        }
        let name = HeaderName::from_bytes(name.as_bytes());
        let value = HeaderValue::from_maybe_shared(header.value.clone());
        if let (Ok(name), Ok(value)) = (name, value)
            && map.try_append(name, value).is_ok()
        {
            count += 1;
        }
    }
    count
}

fn number(value: &[u8]) -> u32 {
    std::str::from_utf8(value).ok().and_then(|t| t.trim().parse().ok()).unwrap_or(0)
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
