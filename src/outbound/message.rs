//! The content of an attempt, worked out before anything is dialled.
//!
//! Values come from outside: what cannot stand in a header is left out, and nothing here fails for
//! it. Not passed on are hop-by-hop fields (RFC 9110 section 7.6.1), what proxies on the sender's
//! side added about that hop ([`is_hop_header`]), what describes our own connection, what is set
//! here, other webhook systems' signatures of the hop that ended here, credentials, digests of
//! other bytes, and values whose secret part was redacted (`…`).

use std::collections::HashSet;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use hyper::header::{CONTENT_ENCODING, CONTENT_TYPE, HeaderName, HeaderValue};
use hyper::http::uri::PathAndQuery;
use hyper::{Method, Uri};
use sha2::{Digest, Sha256, Sha512};

use crate::model::secret::{is_signature_name, redacted_url};
use crate::model::url_text::with_path;
use crate::model::{
    Endpoint, Event, TraceContext, canonical_header_name, is_credential_name, is_digest,
    is_hop_header, limits, query,
};

use super::redact::Redactor;

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
/// The event's type.
pub const HOOKBOX_TYPE: HeaderName = HeaderName::from_static("hookbox-type");
/// W3C Trace Context.
pub const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
pub const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");
const OWN_PREFIXES: [&str; 3] = ["webhook-", "hookbox-", "svix-"];
/// Stands for a secret that was redacted.
pub const REDACTED_BYTES: &[u8] = crate::model::REDACTED.as_bytes();

/// The content of an attempt. The same at every attempt for the same events; what differs (the
/// time, the number, the signature) is added when it leaves.
#[derive(Clone, Debug)]
pub struct Message {
    /// `webhook-id`: the receiver's idempotency key.
    pub id: String,
    pub body: Bytes,
    pub method: Method,
    /// Path and query, when they are not those of the endpoint's URL.
    pub path: Option<Uri>,
    /// The same for people, when there is a secret in it.
    pub shown_path: Option<String>,
    /// Redacts what must not be shown of it.
    pub redactor: Redactor,
    /// Fields that describe the message, each name once: content type and coding first.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// Fields of the sender's own, which go along uncounted in the log.
    pub forwarded: Vec<(HeaderName, HeaderValue)>,
    /// `hookbox-source` and `hookbox-type`; left out when empty. For an event without a type, an
    /// empty field stands in `headers`.
    pub source: String,
    pub kind: String,
    /// The query that the event came with, without secrets; empty where it had none.
    pub query: String,
    /// How many daemons of this kind it has passed; how the next one notices a loop.
    pub hops: u32,
    /// The trace that it belongs to, as it came in. Each attempt is a span of its own.
    pub trace: Option<TraceContext>,
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
            shown_path: None,
            redactor: Redactor::default(),
            headers: vec![(CONTENT_TYPE, content_type)],
            forwarded: Vec::new(),
            source: String::new(),
            kind: String::new(),
            query: String::new(),
            hops: 0,
            trace: None,
        }
    }

    /// Says in the headers that this attempt is a span of the trace. A template that says something
    /// else of it has decided.
    pub fn begin_span(&mut self, span_id: &str) {
        let Some(trace) = &self.trace else { return };
        if self.headers.iter().any(|(name, _)| *name == TRACEPARENT) {
            return;
        }
        let state = trace.state().map(|state| (TRACESTATE, state.to_owned()));
        let fields = std::iter::once((TRACEPARENT, trace.with_span(span_id))).chain(state);
        for (name, text) in fields {
            if let Ok(value) = HeaderValue::from_maybe_shared(Bytes::from(text)) {
                self.headers.push((name, value));
            }
        }
    }

    /// Adds the query that the event came with, when the endpoint wants it. `base` is the URL's own
    /// path and query.
    pub fn forward_query(&mut self, endpoint: &Endpoint, event: &Event, base: &Uri) {
        let wanted = endpoint.forward_query.unwrap_or(event.from_provider);
        let target = self.path.as_ref().unwrap_or(base);
        let query = event.query().filter(|_| wanted).map(query::without_secrets);
        let query =
            query.map(|query| query::without_those_of(&query, target.query().unwrap_or_default()));
        let Some(query) = query.filter(|query| !query.is_empty()) else { return };

        let own = target.path_and_query().map_or("/", |own| own.as_str());
        let glue = if target.query().is_some() { '&' } else { '?' };
        // A sender may put bytes there that no request line holds; it then goes without.
        if let Ok(whole) = format!("{own}{glue}{query}").parse::<PathAndQuery>() {
            self.path = Some(Uri::from(whole));
        }
    }

    /// Where it goes, for people, when the endpoint is reached at `url`.
    pub fn shown_url(&self, url: &str) -> String {
        redacted_url(&match (&self.shown_path, &self.path) {
            (Some(shown), _) => with_path(url, shown),
            (None, Some(path)) => with_path(url, path),
            (None, None) => url.to_owned(),
        })
    }

    /// One event as it came.
    pub fn of(endpoint: &Endpoint, event: &Event) -> Self {
        let field = |name: &str| {
            let value = event.header(name).map(|v| HeaderValue::from_maybe_shared(v.clone()));
            value.and_then(Result::ok)
        };
        let kind = field("content-type");
        let kind = kind.unwrap_or(HeaderValue::from_static("application/octet-stream"));

        let mut message = Self::new(event.webhook_id().to_string(), event.body.clone(), kind);
        // The body goes as it came, so its coding belongs to it, whether other headers go along or
        // not.
        if let Some(coding) = field("content-encoding") {
            message.headers.push((CONTENT_ENCODING, coding));
        }

        message.source.clone_from(&event.source_name);
        message.kind.clone_from(&event.kind);
        if event.kind.is_empty() {
            // An empty type is sent, too, so that nobody takes it for one that got lost.
            message.headers.push((HOOKBOX_TYPE, HeaderValue::from_static("")));
        }

        message.query = event.query().map(query::without_secrets).unwrap_or_default();
        message.hops = event.hops();
        // Whoever is to get nothing of the sender's own does not get its trace, either.
        if endpoint.forward_headers != Some(false) {
            message.trace = TraceContext::of(event);
        }
        if endpoint.forward_headers.unwrap_or(event.from_provider) {
            message.forwarded = forwarded(event);
        }
        message
    }

    /// A template has made another body: digests and signatures of the event's own are not true of
    /// it.
    pub fn forget_proofs_of(&mut self, event: &Event) {
        if self.body != event.body {
            let proves = |name: &str| is_digest(name) || is_signature_name(name);
            self.forwarded.retain(|(name, _)| !proves(name.as_str()));
        }
    }
}

/// Whether a field of this (lower-case) name is set here, or belongs to one hop.
pub fn is_ours(name: &str) -> bool {
    let name = &*canonical_header_name(name);
    OWN_HOP.contains(&name) || OWN_PREFIXES.iter().any(|p| name.starts_with(p))
}

/// Whether a field says where the sender stands in a trace: of that hop, and not of the next.
fn is_of_trace(name: &str) -> bool {
    name == TRACEPARENT.as_str() || name == TRACESTATE.as_str()
}

/// The sender's own headers that go along.
fn forwarded(event: &Event) -> Vec<(HeaderName, HeaderValue)> {
    let connection =
        event.header("connection").map(|v| String::from_utf8_lossy(v).to_ascii_lowercase());
    let named_there: HashSet<&str> =
        connection.iter().flat_map(|names| names.split(',').map(str::trim)).collect();
    let mut digests = BodyDigests::of(&event.body);

    let mut fields = Vec::new();
    for header in event.headers.iter().take(limits::HEADERS) {
        let name = header.name.as_str();
        let is_redacted = header.value.windows(REDACTED_BYTES.len()).any(|w| w == REDACTED_BYTES);
        // Events that are older than the rules, or came by an import, still have some of them.
        let is_foreign =
            is_ours(name) || is_hop_header(name) || is_credential_name(name) || is_of_trace(name);
        let is_stale = is_digest(name) && digests.contradict(&header.value);
        if is_foreign || is_redacted || named_there.contains(name) || is_stale {
            continue;
        }

        let name = HeaderName::from_bytes(name.as_bytes());
        let value = HeaderValue::from_maybe_shared(header.value.clone());
        if let (Ok(name), Ok(value)) = (name, value) {
            fields.push((name, value));
        }
    }
    fields
}

/// The digests of one body. Each is made once, however many the headers list: a header full of
/// them must not cost a pass over the body each.
struct BodyDigests<'b> {
    body: &'b [u8],
    sha256: Option<Vec<u8>>,
    sha512: Option<Vec<u8>>,
    /// Passes over the body.
    passes: usize,
}

type MakeDigest = fn(&[u8]) -> Vec<u8>;

impl<'b> BodyDigests<'b> {
    fn of(body: &'b [u8]) -> Self {
        Self { body, sha256: None, sha512: None, passes: 0 }
    }

    /// Whether a digest (RFC 9530, or RFC 3230 before it) is that of other bytes: of a request that
    /// was taken apart, for one. What cannot be computed here contradicts nothing.
    fn contradict(&mut self, field: &[u8]) -> bool {
        let text = String::from_utf8_lossy(field);
        let mut members = text.split(',').filter_map(|member| member.trim().split_once('='));
        members.any(|(algorithm, value)| {
            let Ok(digest) = STANDARD.decode(value.trim().trim_matches(':')) else { return false };
            self.made(algorithm).is_some_and(|made| *made != digest)
        })
    }

    fn made(&mut self, algorithm: &str) -> Option<&Vec<u8>> {
        let (made, make): (_, MakeDigest) = match algorithm {
            _ if algorithm.eq_ignore_ascii_case("sha-256") => (&mut self.sha256, sha256),
            _ if algorithm.eq_ignore_ascii_case("sha-512") => (&mut self.sha512, sha512),
            _ => return None,
        };
        if made.is_none() {
            self.passes += 1;
            *made = Some(make(self.body));
        }
        made.as_ref()
    }
}

fn sha256(body: &[u8]) -> Vec<u8> {
    Sha256::digest(body).to_vec()
}

fn sha512(body: &[u8]) -> Vec<u8> {
    Sha512::digest(body).to_vec()
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use hyper::Uri;
    use hyper::header::HeaderValue;

    use super::{BodyDigests, Message};
    use crate::model::{Endpoint, Event, EventId};

    fn event(line: &str, from_provider: bool) -> Event {
        Event {
            id: EventId { seq: 1, tag: 1 },
            source: 1,
            source_name: "a".into(),
            kind: String::new(),
            received_at: 0,
            dedupe_key: None,
            request_line: line.into(),
            remote: String::new(),
            headers: Vec::new(),
            body: Bytes::new(),
            from_provider,
            first_id: None,
        }
    }

    #[test]
    fn the_query_goes_along_where_it_is_wanted_and_without_secrets() {
        let made = |base: &str, line: &str, from_provider: bool, wanted: Option<bool>| {
            let mut endpoint = Endpoint::new("e", "http://x/");
            endpoint.forward_query = wanted;
            let mut message =
                Message::new("m".into(), Bytes::new(), HeaderValue::from_static("text/plain"));
            let base: Uri = base.parse().expect("a path");
            message.forward_query(&endpoint, &event(line, from_provider), &base);
            message.path.map(|path| path.to_string())
        };

        let line = "POST /in/a?tenant=7&b=%20";
        assert_eq!(made("/hook", line, true, None).as_deref(), Some("/hook?tenant=7&b=%20"));
        assert_eq!(
            made("/hook?k=v", line, false, Some(true)).as_deref(),
            Some("/hook?k=v&tenant=7&b=%20")
        );

        assert_eq!(
            made("/hook?Tenant=1", line, false, Some(true)).as_deref(),
            Some("/hook?Tenant=1&b=%20")
        );

        assert_eq!(made("/", line, true, Some(false)), None);
        assert_eq!(made("/", line, false, None), None);
        assert_eq!(made("/", "POST /in/a", true, None), None);
        assert_eq!(made("/", "POST /in/a?secret=…&c=1", true, None).as_deref(), Some("/?c=1"));
        assert_eq!(made("/", "POST /in/a?secret=…", true, None), None);
        assert_eq!(
            made("/", "POST /in/a?x=\u{1}", true, None),
            None,
            "what no request line holds stays here"
        );
    }

    #[test]
    fn digests_are_those_of_the_body_or_not() {
        // RFC 9530, appendix B.1.
        let body = b"{\"hello\": \"world\"}\n";
        let right = "RK/0qy18MlBSVnWgjwz6lZEWjP/lF5HF9bvEF8FabDg=";
        for (digest, contradiction) in [
            (format!("sha-256=:{right}:"), false),
            (format!("SHA-256={right}"), false),
            (format!("md5=AAAA, sha-256=:{right}:"), false),
            ("sha-256=:AAAA:".to_owned(), true),
            (format!("sha-256=:{right}:, sha-512=:AAAA:"), true),
            ("md5=:AAAA:".to_owned(), false),
            ("sha-256=:…:".to_owned(), false),
            (String::new(), false),
        ] {
            let found = BodyDigests::of(body).contradict(digest.as_bytes());
            assert_eq!(found, contradiction, "{digest}");
        }
        assert!(BodyDigests::of(b"{}").contradict(format!("sha-256=:{right}:").as_bytes()));
    }

    #[test]
    fn a_body_is_hashed_once_however_many_digests_are_listed() {
        let (body, right) =
            (b"{\"hello\": \"world\"}\n", "RK/0qy18MlBSVnWgjwz6lZEWjP/lF5HF9bvEF8FabDg=");
        let mut digests = BodyDigests::of(body);
        let list = format!("sha-256=:{right}:,").repeat(1000);
        assert!(!digests.contradict(list.as_bytes()));
        assert!(
            !digests
                .contradict(list.to_uppercase().replace(&right.to_uppercase(), right).as_bytes())
        );
        assert!(digests.contradict(b"md5=:AAAA:,sha-512=:AAAA:,sha-512=:AAAA:"));
        assert_eq!(digests.passes, 2, "one for each algorithm");
    }
}
