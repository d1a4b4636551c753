//! What an event says of itself: its type, and the key by which a repetition is known. Pure.
//!
//! The source's own settings come first, then what the preset found, then what is common: `webhook-id`,
//! `Idempotency-Key`, CloudEvents in binary (`ce-*`) or structured mode. The body is parsed only when something is
//! looked for in it, and once.
//!
//! Limits: a type is cut at `limits::TYPE_LEN` characters, control characters in it are replaced; a key longer
//! than `limits::DEDUPE_KEY_LEN` is replaced by its SHA-256 in hex.

use data_encoding::HEXLOWER;
use sha2::{Digest, Sha256};

use super::pointer::{self, Scalar};
use super::verify::Element;
use crate::model::{Header, Source, SourceId, limits};

/// What an event says of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    /// Empty when nobody said one.
    pub kind: String,
    pub dedupe_key: Option<String>,
}

/// Of one request: its headers (names in lower case) and body, and what the preset found.
#[must_use]
pub fn of_request(
    source: &Source,
    headers: &[Header],
    body: &[u8],
    preset_kind: Option<String>,
    preset_key: Option<String>,
) -> Facts {
    let kind = source.type_header.as_deref().and_then(|name| named(headers, name));
    let key = source.id_header.as_deref().and_then(|name| named(headers, name));
    let type_field = source.type_field.as_deref().filter(|_| kind.is_none());
    let id_field = source.id_field.as_deref().filter(|_| key.is_none());
    let structured = is_structured_event(headers);
    let event_type = (structured && kind.is_none() && preset_kind.is_none()).then_some("/type");
    let event_id = structured && key.is_none() && preset_key.is_none();
    let (event_source, event_id) = if event_id { (Some("/source"), Some("/id")) } else { (None, None) };

    let pointers = [type_field, id_field, event_type, event_source, event_id];
    let [by_type, by_id, event_type, event_source, event_id] =
        if pointers.iter().all(Option::is_none) { [const { None }; 5] } else { pointer::find(body, pointers) };

    let kind = kind
        .or_else(|| by_type.map(Scalar::into_text))
        .or(preset_kind)
        .or_else(|| named(headers, "ce-type"))
        .or_else(|| event_type.map(Scalar::into_text))
        .unwrap_or_default();
    let key = key
        .or_else(|| by_id.and_then(Scalar::into_key))
        .or(preset_key)
        .or_else(|| named(headers, "webhook-id"))
        .or_else(|| named(headers, "idempotency-key").map(unquoted))
        .or_else(|| joined(named(headers, "ce-source"), named(headers, "ce-id")))
        .or_else(|| joined(event_source.and_then(Scalar::into_key), event_id.and_then(Scalar::into_key)));
    Facts { kind: cut_kind(kind), dedupe_key: key.filter(|key| !key.is_empty()).map(cut_key) }
}

/// Of one element of a batch, the `index`th. What the request says as a whole is told apart by the index, so that
/// elements are never taken for each other's repetition.
#[must_use]
pub fn of_element(source: &Source, headers: &[Header], element: &Element, index: usize) -> Facts {
    let [by_type, by_id] = match (&source.type_field, &source.id_field) {
        (None, None) => [None, None],
        (kind, id) => pointer::find(&element.body, [kind.as_deref(), id.as_deref()]),
    };
    let kind = source
        .type_header
        .as_deref()
        .and_then(|name| named(headers, name))
        .or_else(|| by_type.map(Scalar::into_text))
        .or_else(|| element.kind.clone())
        .unwrap_or_default();
    let of_all = || {
        let by_header = source.id_header.as_deref().and_then(|name| named(headers, name));
        let key = by_header
            .or_else(|| named(headers, "webhook-id"))
            .or_else(|| named(headers, "idempotency-key").map(unquoted))?;
        Some(format!("{key}#{index}"))
    };
    let key = by_id.and_then(Scalar::into_key).or_else(|| element.dedupe_key.clone()).or_else(of_all);
    Facts { kind: cut_kind(kind), dedupe_key: key.filter(|key| !key.is_empty()).map(cut_key) }
}

/// The salted fingerprint of a dedupe key at its source: the first 8 bytes of
/// SHA-256(salt ‖ source id ‖ 0 ‖ key), numbers big-endian.
#[must_use]
pub fn fingerprint(salt: u64, source: SourceId, key: &str) -> u64 {
    let mut hash = Sha256::new();
    hash.update(salt.to_be_bytes());
    hash.update(source.to_be_bytes());
    hash.update([0]);
    hash.update(key.as_bytes());
    hash.finalize().iter().take(8).fold(0, |sum, byte| (sum << 8) | u64::from(*byte))
}

/// The first header of that name that is not empty, as text.
fn named(headers: &[Header], name: &str) -> Option<String> {
    let found = headers.iter().find(|header| header.name.eq_ignore_ascii_case(name) && !header.value.is_empty())?;
    Some(found.text())
}

/// Whether the body is a CloudEvent in structured mode (JSON).
fn is_structured_event(headers: &[Header]) -> bool {
    const TYPE: &[u8] = b"application/cloudevents+json";
    let of_header = |header: &Header| {
        let (start, rest) = header.value.split_at(TYPE.len().min(header.value.len()));
        start.eq_ignore_ascii_case(TYPE) && rest.first().is_none_or(|b| matches!(b, b';' | b' ' | b'\t'))
    };
    headers.iter().find(|header| header.name == "content-type").is_some_and(of_header)
}

/// `Idempotency-Key` is a structured-field string by its draft; most senders leave the quotes out.
fn unquoted(key: String) -> String {
    match key.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) {
        Some(inner) => inner.replace("\\\"", "\"").replace("\\\\", "\\"),
        None => key,
    }
}

/// CloudEvents: the source is a URI reference, which holds no space, so that no two pairs look alike.
fn joined(source: Option<String>, id: Option<String>) -> Option<String> {
    Some(format!("{} {}", source?.replace(' ', "%20"), id?))
}

fn cut_kind(mut kind: String) -> String {
    if let Some((end, _)) = kind.char_indices().nth(limits::TYPE_LEN) {
        kind.truncate(end);
    }
    if kind.chars().any(char::is_control) {
        kind = kind.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect();
    }
    kind
}

fn cut_key(key: String) -> String {
    // Bytes are at least as many as characters.
    if key.len() > limits::DEDUPE_KEY_LEN && key.chars().count() > limits::DEDUPE_KEY_LEN {
        return HEXLOWER.encode(&Sha256::digest(key.as_bytes()));
    }
    key
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use sha2::{Digest, Sha256};

    use super::{Facts, fingerprint, of_element, of_request};
    use crate::ingest::verify::Element;
    use crate::model::{Header, Source, limits};

    fn headers(pairs: &[(&str, &str)]) -> Vec<Header> {
        pairs.iter().map(|(name, value)| Header::new(*name, value.to_string())).collect()
    }

    fn facts(source: &Source, pairs: &[(&str, &str)], body: &str) -> (String, Option<String>) {
        let Facts { kind, dedupe_key } = of_request(source, &headers(pairs), body.as_bytes(), None, None);
        (kind, dedupe_key)
    }

    #[test]
    fn settings_beat_the_preset_and_the_preset_beats_what_is_common() {
        let mut source = Source::new("a", "none");
        let all = headers(&[("x-type", "mine"), ("x-id", "1"), ("ce-type", "ce"), ("webhook-id", "w")]);
        let preset = |source: &Source, headers: &[Header]| {
            of_request(source, headers, br#"{"t":"field","i":5}"#, Some("preset".into()), Some("p".into()))
        };
        assert_eq!(preset(&source, &all), Facts { kind: "preset".into(), dedupe_key: Some("p".into()) });
        (source.type_field, source.id_field) = (Some("/t".into()), Some("/i".into()));
        assert_eq!(preset(&source, &all), Facts { kind: "field".into(), dedupe_key: Some("5".into()) });
        (source.type_header, source.id_header) = (Some("X-Type".into()), Some("X-Id".into()));
        assert_eq!(preset(&source, &all), Facts { kind: "mine".into(), dedupe_key: Some("1".into()) });
        // What the settings name is not there: the next one counts.
        (source.type_field, source.id_field) = (None, Some("/nope".into()));
        assert_eq!(preset(&source, &[]), Facts { kind: "preset".into(), dedupe_key: Some("p".into()) });
    }

    #[test]
    fn what_is_common_is_found_in_order() {
        let source = Source::new("a", "none");
        assert_eq!(facts(&source, &[], "x"), (String::new(), None));
        assert_eq!(facts(&source, &[("webhook-id", "w"), ("idempotency-key", "i")], "").1.as_deref(), Some("w"));
        assert_eq!(
            facts(&source, &[("webhook-id", ""), ("idempotency-key", "\"a\\\"b\"")], "").1.as_deref(),
            Some("a\"b")
        );
        assert_eq!(facts(&source, &[("idempotency-key", "plain")], "").1.as_deref(), Some("plain"));
        assert_eq!(facts(&source, &[("idempotency-key", "\"\"")], "").1, None);
        let binary = [("ce-type", "com.x"), ("ce-source", "/s"), ("ce-id", "7")];
        assert_eq!(facts(&source, &binary, "{}"), ("com.x".into(), Some("/s 7".into())));
        assert_eq!(facts(&source, &[("ce-id", "7")], "{}").1, None);
        assert_eq!(
            facts(&source, &[("x-github-event", "push"), ("x-github-delivery", "1")], ""),
            (String::new(), None)
        );
    }

    #[test]
    fn a_structured_cloud_event_is_read_from_its_body() {
        let source = Source::new("a", "none");
        let body = r#"{"specversion":"1.0","type":"com.x","source":"/s","id":"7","data":{}}"#;
        let found = ("com.x".to_owned(), Some("/s 7".to_owned()));
        for content_type in ["application/cloudevents+json", "Application/CloudEvents+JSON; charset=utf-8"] {
            assert_eq!(facts(&source, &[("content-type", content_type)], body), found);
        }
        for content_type in
            ["application/json", "application/cloudevents-batch+json", "application/cloudevents+jsonx", ""]
        {
            assert_eq!(facts(&source, &[("content-type", content_type)], body), (String::new(), None));
        }
        assert_eq!(facts(&source, &[("content-type", "application/cloudevents+json")], "{"), (String::new(), None));
    }

    #[test]
    fn types_and_keys_are_bounded() {
        let source = Source::new("a", "none");
        let (kind, _) = facts(&source, &[("ce-type", &"é".repeat(limits::TYPE_LEN + 1))], "");
        assert_eq!(kind, "é".repeat(limits::TYPE_LEN));
        let fits = "é".repeat(limits::DEDUPE_KEY_LEN);
        assert_eq!(facts(&source, &[("webhook-id", &fits)], "").1, Some(fits.clone()));
        let long = format!("{fits}é");
        let expected: String = Sha256::digest(long.as_bytes()).iter().map(|b| format!("{b:02x}")).collect();
        assert_eq!(facts(&source, &[("webhook-id", &long)], "").1, Some(expected));
        let mut with_field = Source::new("a", "none");
        with_field.type_field = Some("/t".into());
        assert_eq!(facts(&with_field, &[], r#"{"t":"a\r\nb"}"#).0, "a\u{fffd}\u{fffd}b");
    }

    #[test]
    fn elements_of_a_batch_are_never_each_others_repetition() {
        let mut source = Source::new("a", "sendgrid");
        let element = |key: Option<&str>, body: &'static str| Element {
            kind: Some("open".into()),
            dedupe_key: key.map(Into::into),
            body: Bytes::from_static(body.as_bytes()),
            content_type: "application/json".into(),
        };
        let of_all = headers(&[("webhook-id", "w")]);
        let key = |source: &Source, element: &Element, index| of_element(source, &of_all, element, index).dedupe_key;
        assert_eq!(key(&source, &element(None, "{}"), 0).as_deref(), Some("w#0"));
        assert_eq!(key(&source, &element(None, "{}"), 1).as_deref(), Some("w#1"));
        assert_eq!(key(&source, &element(Some("e"), "{}"), 1).as_deref(), Some("e"));
        source.id_field = Some("/i".into());
        assert_eq!(key(&source, &element(Some("e"), r#"{"i":"own"}"#), 1).as_deref(), Some("own"));
        assert_eq!(of_element(&source, &[], &element(None, "{}"), 0), Facts { kind: "open".into(), dedupe_key: None });
    }

    #[test]
    fn fingerprints_tell_sources_salts_and_keys_apart() {
        let mut text = vec![0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 2, 0];
        text.extend_from_slice(b"key");
        let digest: [u8; 32] = Sha256::digest(&text).into();
        let expected = u64::from_be_bytes(digest[..8].try_into().expect("eight bytes"));
        assert_eq!(fingerprint(1, 2, "key"), expected);
        assert_ne!(fingerprint(2, 2, "key"), expected);
        assert_ne!(fingerprint(1, 3, "key"), expected);
        assert_ne!(fingerprint(1, 2, "kez"), expected);
    }
}
