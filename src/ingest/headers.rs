//! The sender's headers: all of them for the proof, and those that are remembered. Pure.
//!
//! Not remembered: what belongs to the connection (RFC 9110 section 7.6.1), `host`,
//! `content-length`, and what proxies add about the route of the request ([`is_hop_header`]).
//! Remembered without its value: credentials ([`is_credential`]).

use std::collections::HashSet;

use bytes::Bytes;
use hyper::HeaderMap;

use super::verify;
use crate::model::{
    Header, REDACTED, Source, canonical_header_name, is_credential_name, is_hop_header,
};

/// Replaces a value that is not remembered.
const HIDDEN: Bytes = Bytes::from_static(REDACTED.as_bytes());

/// The usual names of which the rules below say that they are remembered with their values, in
/// order: to apply the rules takes longer than to find a name here.
const PLAIN: [&str; 22] = [
    "accept",
    "accept-encoding",
    "accept-language",
    "cache-control",
    "content-encoding",
    "content-type",
    "date",
    "stripe-signature",
    "traceparent",
    "tracestate",
    "user-agent",
    "webhook-id",
    "webhook-signature",
    "webhook-timestamp",
    "x-github-delivery",
    "x-github-event",
    "x-github-hook-id",
    "x-github-hook-installation-target-id",
    "x-github-hook-installation-target-type",
    "x-hub-signature",
    "x-hub-signature-256",
    "x-request-id",
];

/// Bytes of all header fields.
pub(super) fn size(headers: &HeaderMap) -> usize {
    headers.iter().map(|(name, value)| name.as_str().len() + value.len() + 32).sum()
}

/// All header fields, in one piece of memory of their own: the values as they come from the wire
/// would keep their connection's read buffer alive.
pub(super) fn collect(headers: &HeaderMap) -> Vec<Header> {
    let mut values =
        Vec::with_capacity(headers.values().map(hyper::header::HeaderValue::len).sum());
    headers.values().for_each(|value| values.extend_from_slice(value.as_bytes()));
    let values = Bytes::from(values);

    let mut at = 0;
    let mut all = Vec::with_capacity(headers.len());
    for (name, value) in headers {
        let end = at + value.len();
        all.push(Header { name: name.as_str().to_owned(), value: values.slice(at..end) });
        at = end;
    }
    all
}

/// Removes what is not remembered.
pub(super) fn keep(source: &Source, headers: &mut Vec<Header>) {
    let named = named_by_connection(headers);
    let is_own = |name: &str| {
        let is_passed_on = is_plain(name) || !(is_of_the_connection(name) || is_hop_header(name));
        is_passed_on && !named.contains(name)
    };
    headers.retain(|header| is_own(&header.name));

    let secret = verify::secret_header(source);
    for header in headers {
        if is_credential(secret, &header.name) {
            header.value = HIDDEN;
        }
    }
}

/// Whether it is one of the usual names that are remembered with their values.
fn is_plain(name: &str) -> bool {
    PLAIN.binary_search(&name).is_ok()
}

/// The fields that the sender's `Connection` names.
fn named_by_connection(headers: &[Header]) -> HashSet<String> {
    let values = headers.iter().filter(|header| header.name == "connection").map(Header::text);
    values
        .flat_map(|v| v.split(',').map(|name| name.trim().to_ascii_lowercase()).collect::<Vec<_>>())
        .collect()
}

fn is_of_the_connection(name: &str) -> bool {
    let name = &*canonical_header_name(name);
    matches!(
        name,
        "connection"
            | "host"
            | "content-length"
            | "keep-alive"
            | "te"
            | "trailer"
            | "transfer-encoding"
            | "upgrade"
            | "expect"
    ) || (name.starts_with("proxy-") && name != "proxy-authorization")
}

/// Whether a header is a credential: by its name, or because the source compares it with its
/// secret.
fn is_credential(secret: Option<&str>, name: &str) -> bool {
    (!is_plain(name) && is_credential_name(name))
        || secret.is_some_and(|header| header.eq_ignore_ascii_case(name))
}

#[cfg(test)]
mod tests {
    use hyper::HeaderMap;

    use super::{
        PLAIN, collect, is_credential_name, is_hop_header, is_of_the_connection, is_plain, keep,
    };
    use crate::model::Source;

    fn map(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        pairs
            .iter()
            .map(|(n, v)| (n.parse().expect("a name"), v.parse().expect("a value")))
            .collect()
    }

    #[test]
    fn the_usual_names_are_what_the_rules_say_of_them() {
        assert!(PLAIN.is_sorted());
        for name in PLAIN {
            let is_own = !is_of_the_connection(name) && !is_hop_header(name);
            assert!(is_plain(name) && is_own && !is_credential_name(name), "{name}");
        }
    }

    #[test]
    fn the_connections_own_fields_go_and_proofs_lose_their_value() {
        let mut source = Source::new("a", "apikey");
        source.params.insert("in".into(), "header".into());
        source.params.insert("name".into(), "X-Key".into());
        let came = map(&[
            ("Host", "h"),
            ("content-type", "text/plain"),
            ("Connection", "close"),
            ("keep-alive", "1"),
            ("transfer-encoding", "chunked"),
            ("content-length", "3"),
            ("te", "trailers"),
            ("proxy-foo", "1"),
            ("authorization", "Bearer hunter2"),
            ("cookie", "hunter2"),
            ("x-key", "hunter2"),
            ("x-hub-signature-256", "sha256=1"),
            ("x-auth-token", "hunter2"),
            ("x-functions-key", "hunter2"),
            ("x-session-id", "hunter2"),
            ("x-event-key", "repo:push"),
            ("idempotency-key", "1"),
        ]);

        let mut headers = collect(&came);
        assert_eq!(headers.len(), came.len());
        assert!(headers.iter().any(|h| h.text() == "Bearer hunter2"));

        keep(&source, &mut headers);
        let kept: Vec<_> = headers.iter().map(|h| format!("{}={}", h.name, h.text())).collect();
        assert_eq!(
            kept,
            [
                "content-type=text/plain",
                "authorization=…",
                "cookie=…",
                "x-key=…",
                "x-hub-signature-256=sha256=1",
                "x-auth-token=…",
                "x-functions-key=…",
                "x-session-id=…",
                "x-event-key=repo:push",
                "idempotency-key=1"
            ]
        );
    }

    #[test]
    fn what_the_proxy_in_front_says_is_seen_by_the_proof_and_not_remembered() {
        let came = map(&[
            ("X-Forwarded-For", "192.0.2.1"),
            ("X-Forwarded-Host", "h"),
            ("Forwarded", "for=192.0.2.1"),
            ("Via", "1.1 edge"),
            ("X-Real-IP", "192.0.2.1"),
            ("CF-Connecting-IP", "192.0.2.1"),
            ("CDN-Loop", "cloudflare"),
            ("X-Original-URL", "/admin"),
            ("X-Rewrite-URL", "/admin"),
            ("X-HTTP-Method-Override", "DELETE"),
            ("Range", "bytes=0-1"),
            ("If-None-Match", "*"),
            ("True-Client-IP", "192.0.2.1"),
            // As CGI and its kind read them, these are the same.
            ("X_Forwarded_For", "192.0.2.1"),
            ("X_Real.IP", "192.0.2.1"),
            ("Transfer_Encoding", "chunked"),
            ("Content_Length", "3"),
            ("Proxy", "http://192.0.2.1"),
            ("X-Request-Id", "7"),
        ]);

        let mut headers = collect(&came);
        assert_eq!(headers.len(), came.len(), "a signature may cover any of them");
        keep(&Source::new("a", "none"), &mut headers);
        assert_eq!(headers.iter().map(|h| h.name.as_str()).collect::<Vec<_>>(), ["x-request-id"]);
    }

    #[test]
    fn repeated_and_binary_values_stay_as_they_came() {
        let mut came = HeaderMap::new();
        came.append("a", hyper::header::HeaderValue::from_bytes(b"\xff\xfe").expect("opaque"));
        came.append("a", "two".parse().expect("a value"));
        let headers = collect(&came);
        assert_eq!(headers[0].value.as_ref(), b"\xff\xfe");
        assert_eq!((headers[1].name.as_str(), headers[1].value.as_ref()), ("a", b"two".as_slice()));
    }
}
