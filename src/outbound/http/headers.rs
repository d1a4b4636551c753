//! The headers of a request: those of the message, and those of this attempt. And the head of a
//! response.

use bytes::Bytes;
use hyper::Method;
use hyper::header::{CONTENT_LENGTH, HOST, HeaderMap, HeaderName, HeaderValue, USER_AGENT};

use crate::model::secret::redacted_url;
use crate::model::{HOPS, Header, ResponseHead, WallMs, is_credential_name, limits};
use crate::outbound::message::{HOOKBOX_TYPE, Message, REDACTED_BYTES};
use crate::outbound::sign::{SigningKey, signature};

const WEBHOOK_ID: HeaderName = HeaderName::from_static("webhook-id");
const WEBHOOK_TIMESTAMP: HeaderName = HeaderName::from_static("webhook-timestamp");
const WEBHOOK_SIGNATURE: HeaderName = HeaderName::from_static("webhook-signature");
const HOOKBOX_SOURCE: HeaderName = HeaderName::from_static("hookbox-source");
const HOOKBOX_ATTEMPT: HeaderName = HeaderName::from_static("hookbox-attempt");
/// How many daemons of this kind the event has passed; how a loop is noticed.
const HOOKBOX_HOPS: HeaderName = HeaderName::from_static(HOPS);

/// The parts that the headers of one attempt are made from.
pub struct HeaderContext<'a> {
    pub message: &'a Message,
    pub number: u32,
    pub wall_ms: WallMs,
    pub host: &'a HeaderValue,
    pub agent: &'a HeaderValue,
    pub keys: &'a [SigningKey],
}

/// The headers of a request, and the same for the log: secrets left out, the sender's own only
/// counted. A text that cannot stand in a header is left out.
pub fn build(context: &HeaderContext<'_>) -> (HeaderMap, Vec<Header>) {
    let message = context.message;
    let seconds = (context.wall_ms / 1000).to_string();
    let mut headers =
        HeaderWriter { map: HeaderMap::with_capacity(16), shown: Vec::with_capacity(12) };

    headers.add(HOST, context.host.clone());
    headers.add(USER_AGENT, context.agent.clone());
    let takes_no_body = matches!(message.method, Method::GET | Method::DELETE);
    if !(message.body.is_empty() && takes_no_body) {
        headers.add_text(CONTENT_LENGTH, message.body.len().to_string());
    }

    for (name, value) in &message.headers {
        headers.add(name.clone(), value.clone());
    }
    for (name, text) in [(HOOKBOX_SOURCE, &message.source), (HOOKBOX_TYPE, &message.kind)] {
        if !text.is_empty() {
            headers.add_text(name, text.clone());
        }
    }
    headers.add_text(HOOKBOX_ATTEMPT, context.number.to_string());
    headers.add_text(HOOKBOX_HOPS, message.hops.saturating_add(1).to_string());

    let signed = signature(context.keys, &message.id, &seconds, &message.body, context.wall_ms);
    if let Some(signed) = signed
        && let Ok(value) = HeaderValue::from_maybe_shared(Bytes::from(signed.value))
    {
        headers.map.insert(WEBHOOK_SIGNATURE, value);
        headers.shown.push(Header::new(WEBHOOK_SIGNATURE.as_str(), signed.shown));
    }
    headers.add_text(WEBHOOK_ID, message.id.clone());
    headers.add_text(WEBHOOK_TIMESTAMP, seconds);

    headers.forward(&message.forwarded);
    (headers.map, headers.shown)
}

/// The headers of a request, and beside them the same for the log.
struct HeaderWriter {
    map: HeaderMap,
    shown: Vec<Header>,
}

impl HeaderWriter {
    /// Adds a text, unless it cannot stand in a header.
    fn add_text(&mut self, name: HeaderName, text: String) {
        if let Ok(value) = HeaderValue::from_maybe_shared(Bytes::from(text)) {
            self.add(name, value);
        }
    }

    fn add(&mut self, name: HeaderName, value: HeaderValue) {
        let value_shown = if value.is_sensitive() { REDACTED_BYTES } else { value.as_bytes() };
        self.shown.retain(|shown| shown.name != name.as_str());
        self.shown.push(Header::new(name.as_str(), Bytes::copy_from_slice(value_shown)));

        self.map.insert(name, value);
    }

    /// Adds the sender's own headers, which the log only counts.
    fn forward(&mut self, fields: &[(HeaderName, HeaderValue)]) {
        let added =
            fields.iter().filter(|(name, value)| self.map.try_append(name, value.clone()).is_ok());
        let count = added.count();
        if count > 0 {
            self.shown.push(Header::new("forwarded-headers", count.to_string()));
        }
    }
}

/// The head of a response as the log keeps it: the first fields, long values cut, credentials
/// redacted.
pub fn response_head(status: u16, headers: &HeaderMap) -> ResponseHead {
    let kept = headers.iter().take(limits::RESPONSE_FIELDS).map(|(name, value)| {
        let value = match name.as_str() {
            name if is_credential_name(name) => REDACTED_BYTES.to_vec(),
            // Many redirect to the same URL, with its secrets, elsewhere.
            "location" | "content-location" | "link" | "refresh" => {
                redacted_url(&String::from_utf8_lossy(value.as_bytes())).into_bytes()
            }
            _ => value.as_bytes().to_vec(),
        };

        let cut = value.len().min(limits::RESPONSE_VALUE);
        Header::new(name.as_str(), Bytes::copy_from_slice(&value[..cut]))
    });
    ResponseHead { status, headers: kept.collect(), body: Bytes::new() }
}

#[cfg(test)]
mod tests {
    use hyper::header::{HeaderMap, HeaderValue};

    use super::response_head;

    #[test]
    fn secrets_in_the_head_of_a_response_are_redacted() {
        let mut came = HeaderMap::new();

        for (name, value) in [
            ("location", "https://u:S1@a.example/x?token=S2&b=1"),
            ("link", "<https://a.example/?sig=S3>; rel=\"next\""),
            ("set-cookie", "S4"),
            ("x-request-id", "7"),
        ] {
            came.insert(name, HeaderValue::from_static(value));
        }

        let kept = response_head(302, &came).headers;
        let kept: Vec<String> =
            kept.iter().map(|header| format!("{}: {}", header.name, header.text())).collect();

        assert_eq!(
            kept,
            [
                "location: https://…@a.example/x?token=…&b=1",
                "link: <https://a.example/?sig=…",
                "set-cookie: …",
                "x-request-id: 7"
            ]
        );
    }
}
