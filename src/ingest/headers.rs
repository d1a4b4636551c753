//! The sender's headers: all of them for the proof, and of those what is remembered. Pure.
//!
//! Not remembered: what belongs to the connection (RFC 9110 section 7.6.1), `host`, `content-length`. Remembered
//! without its value: what proves the sender.

use bytes::Bytes;
use hyper::HeaderMap;

use crate::model::{Header, Source};

/// Stands for a value that is not remembered.
const HIDDEN: Bytes = Bytes::from_static("…".as_bytes());

/// Bytes of all header fields.
pub(super) fn size(headers: &HeaderMap) -> usize {
    headers.iter().map(|(name, value)| name.as_str().len() + value.len() + 32).sum()
}

/// All header fields, in one piece of memory of their own: the values as they come from the wire would keep
/// their connection's read buffer alive.
pub(super) fn collect(headers: &HeaderMap) -> Vec<Header> {
    let mut values = Vec::with_capacity(headers.values().map(hyper::header::HeaderValue::len).sum());
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

/// Leaves what is remembered.
pub(super) fn keep(source: &Source, headers: &mut Vec<Header>) {
    let named = named_by_connection(headers);
    headers.retain(|header| !is_of_the_connection(&header.name) && !named.contains(&header.name));
    for header in headers {
        if proves_the_sender(source, &header.name) {
            header.value = HIDDEN;
        }
    }
}

/// The fields that the sender's `Connection` says belong to the connection, too.
fn named_by_connection(headers: &[Header]) -> Vec<String> {
    let values = headers.iter().filter(|header| header.name == "connection").map(Header::text);
    values.flat_map(|v| v.split(',').map(|name| name.trim().to_ascii_lowercase()).collect::<Vec<_>>()).collect()
}

fn is_of_the_connection(name: &str) -> bool {
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

fn proves_the_sender(source: &Source, name: &str) -> bool {
    if matches!(name, "authorization" | "proxy-authorization" | "cookie" | "x-gitlab-token" | "x-api-key") {
        return true;
    }
    let setting = |key: &str| source.params.get(key).and_then(|value| value.as_str());
    let is_set = |key: &str| setting(key).is_some_and(|set| set.eq_ignore_ascii_case(name));
    // The schemes that compare a header with the secret itself.
    match source.verify.as_str() {
        "apikey" => is_set("name") && setting("in") != Some("query"),
        "okta" | "dialogflow" | "bin" | "cloudevents" => is_set("header"),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use hyper::HeaderMap;

    use super::{collect, keep};
    use crate::model::Source;

    fn map(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        pairs.iter().map(|(n, v)| (n.parse().expect("a name"), v.parse().expect("a value"))).collect()
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
        ]);
        let mut headers = collect(&came);
        assert_eq!(headers.len(), came.len());
        assert!(headers.iter().any(|h| h.text() == "Bearer hunter2"));
        keep(&source, &mut headers);
        let kept: Vec<_> = headers.iter().map(|h| format!("{}={}", h.name, h.text())).collect();
        assert_eq!(
            kept,
            ["content-type=text/plain", "authorization=…", "cookie=…", "x-key=…", "x-hub-signature-256=sha256=1"]
        );
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
