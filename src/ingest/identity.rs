//! The identity of an event: its type, and the key by which a repetition is recognized. Pure.
//!
//! The source's own settings come first, then what the scheme found, then what is common:
//! `webhook-id`, `Idempotency-Key`, CloudEvents in binary (`ce-*`) or structured mode. The body is
//! parsed only when something is looked for in it, and once.
//!
//! **How a repetition is recognized.** A key names a delivery, and the content (the body, without
//! what its provider counts in it) tells whether it is the same one. Where the proof covers the
//! body, the common headers are no keys: whoever saw one delivery could send it again under ids of
//! their choice, and use up those of others. There, without a key of its own, a delivery is
//! recognized by the digest of what was signed; and one that is signed anew for each attempt by a
//! common header together with its content.
//!
//! Limits: a type is cut at `limits::TYPE_LEN` characters, control characters in it are replaced; a
//! key longer than `limits::DEDUPE_KEY_LEN` is replaced by its SHA-256 in hex.

use data_encoding::HEXLOWER;
use sha2::{Digest, Sha256};

use super::verify::{self, Proven, Signed, SplitEvent, digest};
use crate::model::json::pointer::{self, PointerValue};
use crate::model::{Fingerprints, Header, Source, SourceId, limits};

/// The type of an event, and what its repetition is recognized by.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EventIdentity {
    /// Empty when nothing names one.
    pub kind: String,
    pub dedupe_key: Option<String>,
    /// What a repetition repeats, as a digest, when there is a key.
    pub content: Option<String>,
    /// What is enough to recognize a repetition, whatever its key.
    pub also: Option<String>,
}

impl EventIdentity {
    /// The salted fingerprints of the key, and of what is kept beside it.
    #[must_use]
    pub fn fingerprints(&self, salt: u64, source: SourceId) -> (Option<u64>, Fingerprints) {
        let of =
            |text: &Option<String>| text.as_deref().map(|text| fingerprint(salt, source, text));
        let beside =
            Fingerprints { content: of(&self.content), also: of(&self.also), conflicts_with: None };
        (of(&self.dedupe_key), beside)
    }
}

/// Of one request: its headers (names in lower case) and body, and what its proof found.
#[must_use]
pub fn of_request(
    source: &Source,
    headers: &[Header],
    body: &[u8],
    proven: &Proven,
) -> EventIdentity {
    let kind = source.type_header.as_deref().and_then(|name| named(headers, name));
    let key = source.id_header.as_deref().and_then(|name| named(headers, name));
    let in_body = InBody::find(source, headers, body, proven, (kind.is_none(), key.is_none()));

    let kind = kind
        .or(in_body.kind)
        .or_else(|| proven.kind.clone())
        .or_else(|| attribute(headers, "ce-type"))
        .or(in_body.event_type)
        .unwrap_or_default();

    let own_key =
        key.or(in_body.key).or_else(|| proven.dedupe_key.clone()).filter(|key| !key.is_empty());
    let content = || proven.content.clone().unwrap_or_else(|| digest(body));
    let (key, also) = repetition_keys(own_key, proven, headers, in_body.event_key, content);
    let key = key.filter(|key| !key.is_empty()).map(cut_key);

    EventIdentity {
        kind: cut_kind(kind),
        content: key.is_some().then(content),
        dedupe_key: key,
        also,
    }
}

/// What the body holds of an event's identity.
#[derive(Default)]
struct InBody {
    /// At the source's own pointers.
    kind: Option<String>,
    key: Option<String>,
    /// Of a CloudEvent in structured mode.
    event_type: Option<String>,
    event_key: Option<String>,
}

impl InBody {
    /// Parses the body once, for what no header and no scheme has named. `missing`: whether a type
    /// and a key are still to be found.
    fn find(
        source: &Source,
        headers: &[Header],
        body: &[u8],
        proven: &Proven,
        missing: (bool, bool),
    ) -> Self {
        let (no_kind, no_key) = missing;
        let is_structured = is_structured_event(headers);
        let wants_type = is_structured && no_kind && proven.kind.is_none();
        let wants_key = is_structured && no_key && proven.dedupe_key.is_none();

        let pointers = [
            source.type_field.as_deref().filter(|_| no_kind),
            source.id_field.as_deref().filter(|_| no_key),
            wants_type.then_some("/type"),
            wants_key.then_some("/source"),
            wants_key.then_some("/id"),
        ];
        if pointers.iter().all(Option::is_none) {
            return Self::default();
        }

        let [kind, key, event_type, event_source, event_id] = found_in(body, pointers);
        Self {
            kind: kind.and_then(PointerValue::into_text),
            key: key.and_then(PointerValue::into_key),
            event_type: event_type.and_then(PointerValue::into_text),
            event_key: joined(
                event_source.and_then(PointerValue::into_key),
                event_id.and_then(PointerValue::into_key),
            ),
        }
    }
}

/// The key of a delivery, and what else is enough to recognize its repetition: see the module's
/// description.
fn repetition_keys(
    own_key: Option<String>,
    proven: &Proven,
    headers: &[Header],
    event_key: Option<String>,
    content: impl Fn() -> String,
) -> (Option<String>, Option<String>) {
    let signed = match (own_key, &proven.signed) {
        (own_key, Some(Signed::Alone(signed))) => {
            return (own_key.or_else(|| Some(signed.clone())), Some(signed.clone()));
        }
        (Some(own_key), _) => return (Some(own_key), None),
        // Nothing is signed, so the common headers are as good as anything else.
        (None, None) => return (common(headers).or(event_key), None),
        (None, Some(signed)) => signed,
    };

    let content = content();
    let signed = match signed {
        Signed::Digest(digest) => digest.clone(),
        Signed::Body | Signed::Alone(_) => content.clone(),
    };
    // Whether the body is a CloudEvent depends on the content type, which nobody signs: the digest
    // counts as well.
    if let Some(key) = event_key {
        return (Some(key), Some(signed));
    }

    // Where the time is signed, too, each attempt has a digest of its own. The id alone is not
    // enough, see above.
    let signs_more = signed != content;
    let repeated = common(headers).filter(|_| signs_more).map(|id| format!("{id} {content}"));
    (Some(signed), repeated)
}

/// The id of a delivery in the headers that senders of no particular kind use.
fn common(headers: &[Header]) -> Option<String> {
    let id =
        named(headers, "webhook-id").or_else(|| named(headers, "idempotency-key").map(unquoted));
    let event = || joined(attribute(headers, "ce-source"), attribute(headers, "ce-id"));
    id.or_else(event).filter(|id| !id.is_empty())
}

/// Of one element of a batch, the `index`th. An id of the whole request is made distinct by the
/// index, so that elements are never taken for each other's repetition.
#[must_use]
pub fn of_element(
    source: &Source,
    headers: &[Header],
    element: &SplitEvent,
    index: usize,
) -> EventIdentity {
    let [by_type, by_id] = match (&source.type_field, &source.id_field) {
        (None, None) => [None, None],
        (kind, id) => found_in(&element.body, [kind.as_deref(), id.as_deref()]),
    };

    let kind = source
        .type_header
        .as_deref()
        .and_then(|name| named(headers, name))
        .or_else(|| by_type.and_then(PointerValue::into_text))
        .or_else(|| element.kind.clone())
        .unwrap_or_default();

    let of_request = || {
        let by_header = source.id_header.as_deref().and_then(|name| named(headers, name));
        let key = by_header
            .or_else(|| named(headers, "webhook-id"))
            .or_else(|| named(headers, "idempotency-key").map(unquoted))?;
        Some(format!("{key}#{index}"))
    };
    let key = by_id
        .and_then(PointerValue::into_key)
        .or_else(|| element.dedupe_key.clone())
        .or_else(of_request)
        .filter(|key| !key.is_empty())
        .map(cut_key);

    let content = key.is_some().then(|| digest(&element.body));
    EventIdentity { kind: cut_kind(kind), dedupe_key: key, content, also: None }
}

/// The value at each of the pointers: none in a body that is not JSON.
fn found_in<const N: usize>(body: &[u8], pointers: [Option<&str>; N]) -> [Option<PointerValue>; N] {
    pointer::find(body, pointers).unwrap_or([const { None }; N])
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
    let found = headers
        .iter()
        .find(|header| header.name.eq_ignore_ascii_case(name) && !header.value.is_empty())?;
    Some(found.text())
}

/// A CloudEvents attribute in binary mode, decoded.
fn attribute(headers: &[Header], name: &str) -> Option<String> {
    named(headers, name).map(|value| verify::cloudevents_attribute(&value))
}

/// Whether the body is a CloudEvent in structured mode (JSON).
fn is_structured_event(headers: &[Header]) -> bool {
    const TYPE: &[u8] = b"application/cloudevents+json";
    let of_header = |header: &Header| {
        let (start, rest) = header.value.split_at(TYPE.len().min(header.value.len()));
        start.eq_ignore_ascii_case(TYPE)
            && rest.first().is_none_or(|b| matches!(b, b';' | b' ' | b'\t'))
    };
    headers.iter().find(|header| header.name == "content-type").is_some_and(of_header)
}

/// `Idempotency-Key` is a structured-field string by its draft; most senders omit the quotes.
fn unquoted(key: String) -> String {
    match key.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) {
        Some(inner) => inner.replace("\\\"", "\"").replace("\\\\", "\\"),
        None => key,
    }
}

/// CloudEvents: the source is a URI reference, which holds no space, so that no two pairs look
/// alike.
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

    use super::{EventIdentity, digest, fingerprint, of_element, of_request};
    use crate::ingest::verify::{Proven, Signed, SplitEvent};
    use crate::model::{Header, Source, limits};

    fn headers(pairs: &[(&str, &str)]) -> Vec<Header> {
        pairs.iter().map(|(name, value)| Header::new(*name, value.to_string())).collect()
    }

    fn facts(source: &Source, pairs: &[(&str, &str)], body: &str) -> (String, Option<String>) {
        let EventIdentity { kind, dedupe_key, .. } =
            of_request(source, &headers(pairs), body.as_bytes(), &Proven::default());
        (kind, dedupe_key)
    }

    #[test]
    fn settings_beat_the_preset_and_the_preset_beats_what_is_common() {
        let mut source = Source::new("a", "none");
        let all =
            headers(&[("x-type", "mine"), ("x-id", "1"), ("ce-type", "ce"), ("webhook-id", "w")]);
        let preset = |source: &Source, headers: &[Header]| {
            let found = Proven {
                kind: Some("preset".into()),
                dedupe_key: Some("p".into()),
                ..Proven::default()
            };
            let EventIdentity { kind, dedupe_key, .. } =
                of_request(source, headers, br#"{"t":"field","i":5}"#, &found);
            (kind, dedupe_key)
        };

        let found = |kind: &str, key: &str| (kind.to_owned(), Some(key.to_owned()));
        assert_eq!(preset(&source, &all), found("preset", "p"));

        (source.type_field, source.id_field) = (Some("/t".into()), Some("/i".into()));
        assert_eq!(preset(&source, &all), found("field", "5"));

        (source.type_header, source.id_header) = (Some("X-Type".into()), Some("X-Id".into()));
        assert_eq!(preset(&source, &all), found("mine", "1"));
        // What the settings name is not there: the next one counts.
        (source.type_field, source.id_field) = (None, Some("/nope".into()));
        assert_eq!(preset(&source, &[]), found("preset", "p"));
    }

    #[test]
    fn what_is_common_is_found_in_order() {
        let source = Source::new("a", "none");

        assert_eq!(facts(&source, &[], "x"), (String::new(), None));
        assert_eq!(
            facts(&source, &[("webhook-id", "w"), ("idempotency-key", "i")], "").1.as_deref(),
            Some("w")
        );
        assert_eq!(
            facts(&source, &[("webhook-id", ""), ("idempotency-key", "\"a\\\"b\"")], "")
                .1
                .as_deref(),
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

    /// CloudEvents HTTP binding 1.0, 3.1.3.2.
    #[test]
    fn attributes_in_headers_are_decoded_once() {
        let source = Source::new("a", "none");
        let of = |kind: &str, id: &str| {
            facts(&source, &[("ce-type", kind), ("ce-source", "/s"), ("ce-id", id)], "{}")
        };
        assert_eq!(of("com.example.%E2%82%AC", "7"), ("com.example.€".into(), Some("/s 7".into())));
        assert_eq!(of("a%2520b", "%37").0, "a%20b", "once");
        assert_eq!(of("a%2520b", "%37").1.as_deref(), Some("/s 7"));
        assert_eq!(of("\"a \\\"b\\\" c\"", "7").0, "a \"b\" c", "as a quoted string");
        for raw in ["100%", "%zz", "%E2%82", "%"] {
            assert_eq!(of(raw, "7").0, raw, "what cannot be decoded stays");
        }
        assert_eq!(of("%0A", "7").0, "\u{fffd}");
    }

    #[test]
    fn a_structured_cloud_event_is_read_from_its_body() {
        let source = Source::new("a", "none");
        let body = r#"{"specversion":"1.0","type":"com.x","source":"/s","id":"7","data":{}}"#;
        let found = ("com.x".to_owned(), Some("/s 7".to_owned()));
        for content_type in
            ["application/cloudevents+json", "Application/CloudEvents+JSON; charset=utf-8"]
        {
            assert_eq!(facts(&source, &[("content-type", content_type)], body), found);
        }
        for content_type in [
            "application/json",
            "application/cloudevents-batch+json",
            "application/cloudevents+jsonx",
            "",
        ] {
            assert_eq!(
                facts(&source, &[("content-type", content_type)], body),
                (String::new(), None)
            );
        }

        let of_body =
            |body: &str| facts(&source, &[("content-type", "application/cloudevents+json")], body);
        assert_eq!(of_body("{"), (String::new(), None));
        assert_eq!(of_body(&format!("\u{feff}{body}")), found);
        assert_eq!(of_body(&body.replace("\"data\":{}", r#""data":"\ud83d""#)), found);
    }

    #[test]
    fn types_and_keys_are_bounded() {
        let source = Source::new("a", "none");
        let (kind, _) = facts(&source, &[("ce-type", &"é".repeat(limits::TYPE_LEN + 1))], "");
        assert_eq!(kind, "é".repeat(limits::TYPE_LEN));
        let fits = "é".repeat(limits::DEDUPE_KEY_LEN);
        assert_eq!(facts(&source, &[("webhook-id", &fits)], "").1, Some(fits.clone()));
        let long = format!("{fits}é");
        let expected: String =
            Sha256::digest(long.as_bytes()).iter().map(|b| format!("{b:02x}")).collect();
        assert_eq!(facts(&source, &[("webhook-id", &long)], "").1, Some(expected));
        let mut with_field = Source::new("a", "none");
        with_field.type_field = Some("/t".into());
        assert_eq!(facts(&with_field, &[], r#"{"t":"a\r\nb"}"#).0, "a\u{fffd}\u{fffd}b");
    }

    #[test]
    fn elements_of_a_batch_are_never_each_others_repetition() {
        let mut source = Source::new("a", "sendgrid");
        let element = |key: Option<&str>, body: &'static str| SplitEvent {
            kind: Some("open".into()),
            dedupe_key: key.map(Into::into),
            body: Bytes::from_static(body.as_bytes()),
            content_type: "application/json".into(),
        };
        let of_all = headers(&[("webhook-id", "w")]);
        let key = |source: &Source, element: &SplitEvent, index| {
            of_element(source, &of_all, element, index).dedupe_key
        };

        assert_eq!(key(&source, &element(None, "{}"), 0).as_deref(), Some("w#0"));
        assert_eq!(key(&source, &element(None, "{}"), 1).as_deref(), Some("w#1"));
        assert_eq!(key(&source, &element(Some("e"), "{}"), 1).as_deref(), Some("e"));

        source.id_field = Some("/i".into());
        assert_eq!(key(&source, &element(Some("e"), r#"{"i":"own"}"#), 1).as_deref(), Some("own"));
        assert_eq!(
            of_element(&source, &[], &element(None, "{}"), 0),
            EventIdentity { kind: "open".into(), ..EventIdentity::default() }
        );
    }

    /// Of a proof that covers the body.
    #[test]
    fn ids_that_nobody_signed_are_no_keys() {
        let source = Source::new("a", "hmac");
        let facts = |signed: Signed, pairs: &[(&str, &str)], body: &str| {
            let proven = Proven { signed: Some(signed), ..Proven::default() };
            of_request(&source, &headers(pairs), body.as_bytes(), &proven)
        };
        let ids: [&[(&str, &str)]; 4] = [
            &[],
            &[("webhook-id", "1001")],
            &[("idempotency-key", "1002")],
            &[("ce-source", "/s"), ("ce-id", "1003")],
        ];
        for pairs in ids {
            let found = facts(Signed::Body, pairs, "x");
            assert_eq!((found.dedupe_key, found.also), (Some(digest(b"x")), None), "{pairs:?}");
        }

        // Signed anew for each attempt: the same id and the same content are a repetition, one of
        // them alone is none.
        let signed = |text: &str| Signed::Digest(text.to_owned());
        let first = facts(signed("s1"), ids[1], "x");
        assert_eq!(first.dedupe_key.as_deref(), Some("s1"));
        assert_eq!(facts(signed("s2"), ids[1], "x").also, first.also);
        assert_ne!(facts(signed("s2"), ids[1], "y").also, first.also);
        assert_ne!(facts(signed("s2"), ids[2], "x").also, first.also);
        assert_eq!(facts(signed("s2"), ids[0], "x").also, None);

        // What the operator names is theirs to know.
        let mut named = source.clone();
        named.id_header = Some("x-id".into());
        let proven = Proven { signed: Some(Signed::Body), ..Proven::default() };
        let found =
            of_request(&named, &headers(&[("x-id", "7"), ("webhook-id", "8")]), b"x", &proven);
        assert_eq!((found.dedupe_key.as_deref(), found.also), (Some("7"), None));
        assert_eq!(found.content, Some(digest(b"x")));
    }

    #[test]
    fn a_key_has_its_content_beside_it_and_nothing_has_none() {
        let source = Source::new("a", "none");
        let of = |pairs: &[(&str, &str)], proven: &Proven| {
            of_request(&source, &headers(pairs), b"x", proven)
        };
        assert_eq!(of(&[("webhook-id", "w")], &Proven::default()).content, Some(digest(b"x")));
        assert_eq!(of(&[], &Proven::default()).content, None);
        let counted =
            Proven { content: Some("c".into()), dedupe_key: Some("k".into()), ..Proven::default() };
        assert_eq!(of(&[], &counted).content.as_deref(), Some("c"));
        let alone = Proven { signed: Some(Signed::Alone("s".into())), ..counted };
        assert_eq!(of(&[], &alone).also.as_deref(), Some("s"));
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
