//! The identity of an event: its type, and the key by which a repetition is recognized. Pure.
//!
//! The source's own settings come first, then what the scheme found, then what is common:
//! `webhook-id`, `Idempotency-Key`, CloudEvents in binary (`ce-*`) or structured mode. The body is
//! parsed only when something is looked for in it, and once.
//!
//! **How a repetition is recognized.** A key names a delivery, and the content (the body, without
//! what its provider counts in it) tells whether it is the same one. Where the proof covers the
//! body, the common headers are not keys: whoever saw one delivery could send it again under ids of
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
use crate::model::{Fingerprints, Header, Source, SourceId, exact_text, limits};

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
    /// How long that is remembered at least.
    pub also_for_ms: u64,
}

impl EventIdentity {
    /// The salted fingerprints of the key, and of what is kept beside it.
    #[must_use]
    pub fn fingerprints(&self, salt: u64, source: SourceId) -> (Option<u64>, Fingerprints) {
        let of =
            |text: &Option<String>| text.as_deref().map(|text| fingerprint(salt, source, text));
        let beside = Fingerprints {
            content: of(&self.content),
            also: of(&self.also),
            conflicts_with: None,
            also_for_ms: self.also_for_ms,
        };
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
    let key = source.id_header.as_deref().and_then(|name| named_key(headers, name));
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
        also_for_ms: remembered_for_ms(proven),
    }
}

/// How long what was signed is remembered, whatever the source's window is.
fn remembered_for_ms(proven: &Proven) -> u64 {
    match proven.signed {
        Some(Signed::Alone { for_s, .. }) => u64::try_from(for_s).unwrap_or(0).saturating_mul(1000),
        _ => 0,
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
        (own_key, Some(Signed::Alone { digest, .. })) => {
            return (own_key.or_else(|| Some(digest.clone())), Some(digest.clone()));
        }
        (Some(own_key), _) => return (Some(own_key), None),
        // Nothing is signed, so the common headers are as good as anything else.
        (None, None) => return (common(headers).or(event_key), None),
        (None, Some(signed)) => signed,
    };

    let content = content();
    let signed = match signed {
        Signed::Digest(digest) => digest.clone(),
        Signed::Body | Signed::Alone { .. } => content.clone(),
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
    let id = named_key(headers, "webhook-id")
        .or_else(|| named_key(headers, "idempotency-key").map(unquoted));
    let attribute =
        |name: &str| named_key(headers, name).map(|value| verify::cloudevents_attribute(&value));
    let event = || joined(attribute("ce-source"), attribute("ce-id"));
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
        let by_header = source.id_header.as_deref().and_then(|name| named_key(headers, name));
        let key = by_header
            .or_else(|| named_key(headers, "webhook-id"))
            .or_else(|| named_key(headers, "idempotency-key").map(unquoted))?;
        Some(format!("{key}#{index}"))
    };
    let key = by_id
        .and_then(PointerValue::into_key)
        .or_else(|| element.dedupe_key.clone())
        .or_else(of_request)
        .filter(|key| !key.is_empty())
        .map(cut_key);

    let content = key.is_some().then(|| digest(&element.body));
    EventIdentity { kind: cut_kind(kind), dedupe_key: key, content, ..EventIdentity::default() }
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

/// The first header of that name that is not empty, as text for people.
fn named(headers: &[Header], name: &str) -> Option<String> {
    found_header(headers, name).map(Header::text)
}

/// The first header of that name that is not empty, as a key.
fn named_key(headers: &[Header], name: &str) -> Option<String> {
    found_header(headers, name).map(|header| exact_text(&header.value))
}

fn found_header<'h>(headers: &'h [Header], name: &str) -> Option<&'h Header> {
    headers.iter().find(|header| header.name.eq_ignore_ascii_case(name) && !header.value.is_empty())
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
mod tests;
