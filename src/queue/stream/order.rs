//! The lane of an event: what stands at a JSON Pointer (RFC 6901) in its body, as a number. Pure,
//! for the queue and for whoever reads the log for it.

use std::collections::BTreeMap;
use std::convert::Infallible;

use bytes::Bytes;
use sha2::{Digest, Sha256};

use super::lanes::STRICT;
use super::stream_entry::StreamEntry;
use crate::model::json::pointer::{self, PointerValue};
use crate::model::json::{Bounds, Doc, compact};
use crate::model::{CatchUpMode, Endpoint, Event, Order, Seq, SourceId};

const ALL: Bounds = Bounds { bytes: usize::MAX, nodes: usize::MAX };

/// The JSON Pointers of an endpoint's ordering key and of what catching up keeps the latest of.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Keys {
    pub order: Option<String>,
    pub latest: Option<String>,
    /// Where the records of relocated events are.
    pub moved: BTreeMap<Seq, Seq>,
    /// Keys of which the latest is kept, in records from this one on, are values at this pointer.
    pub latest_since: Seq,
}

impl Keys {
    /// The pointers of an endpoint.
    #[must_use]
    pub fn of(endpoint: &Endpoint) -> Self {
        let order = endpoint.order_key.clone().filter(|_| endpoint.order == Order::Key);
        let latest =
            endpoint.catch_up.key.clone().filter(|_| endpoint.catch_up.mode == CatchUpMode::Latest);
        Self { order, latest, ..Self::default() }
    }

    /// Whether these ask for the same.
    #[must_use]
    pub(in crate::queue) fn asks_as(&self, other: &Self) -> bool {
        (&self.order, &self.latest, self.latest_since)
            == (&other.order, &other.latest, other.latest_since)
    }

    /// Those that there are.
    pub fn pointers(&self) -> impl Iterator<Item = &String> {
        self.order.iter().chain(&self.latest)
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.order.is_none() && self.latest.is_none()
    }

    /// Writes an event's keys into its entry.
    pub fn fill(&self, entry: &mut StreamEntry, event: &Event) {
        entry.source = event.source;
        if self.is_empty() {
            return;
        }
        let at =
            |pointer: &Option<String>| pointer.as_ref().map(|pointer| key_at(&event.body, pointer));
        let latest = at(&self.latest).map(|value| latest_key(value, event.source));
        (entry.key, entry.latest_key) = (at(&self.order), latest);
    }

    /// Takes over the key that is written down with a position that record `at` holds, where that
    /// is still what is asked for.
    pub fn take_over(&self, entry: &mut StreamEntry, at: Seq, key: Option<u64>) {
        if self.latest.is_some() && self.order.is_none() && at >= self.latest_since {
            entry.latest_key = key;
        }
    }

    /// The lane of an event, where there is one for each key.
    #[must_use]
    pub fn order_key(&self, event: &Event) -> Option<u64> {
        let pointer = self.order.as_ref()?;
        Some(key_at(&event.body, pointer))
    }

    /// Keys for an entry whose event is not in the log any more.
    pub fn fill_nothing(&self, entry: &mut StreamEntry) {
        let nothing = |pointer: &Option<String>| pointer.as_ref().map(|_| key_of(NOTHING));
        (entry.key, entry.latest_key) = (nothing(&self.order), nothing(&self.latest));
    }

    /// Whether an entry still lacks what these ask for.
    #[must_use]
    pub fn lacks(&self, entry: &StreamEntry) -> bool {
        (self.order.is_some() && entry.key.is_none())
            || (self.latest.is_some() && entry.latest_key.is_none())
    }
}

/// What stands for a value that is not there; no JSON is written so.
const NOTHING: &[u8] = b"nothing";

/// The number that stands for it. It stands in logs.
pub(in crate::queue) const NO_VALUE: u64 = 0x1785_cfc3_bc6a_c773;

/// The key of which only the latest counts, for an event of this source with this value. Others
/// have keys of their own: no sender replaces the events of another.
pub(in crate::queue) fn latest_key(value: u64, source: SourceId) -> u64 {
    match value {
        NO_VALUE => NO_VALUE,
        value => key_of(&[&value.to_be_bytes()[..], &source.to_be_bytes()].concat()),
    }
}

/// The number that stands for the value at `pointer`. Whatever has no value there shares one: it
/// keeps its order, and is not the latest of anything.
pub(in crate::queue) fn key_at(body: &Bytes, pointer: &str) -> u64 {
    let Ok([Some(found)]) = pointer::find(body, [Some(pointer)]) else { return key_of(NOTHING) };
    match found {
        PointerValue::Text(text) => key_of(serde_json::Value::from(text).to_string().as_bytes()),
        PointerValue::Inexact { begin, end, .. } => key_of_raw(body, (begin, end)),
        PointerValue::Number(text) => key_of(text.as_bytes()),
        PointerValue::Bool(is) => key_of(if is { b"true" } else { b"false" }),
        PointerValue::Null => key_of(b"null"),
        PointerValue::Other(begin, end) => {
            let Ok(doc) = Doc::read(&body.slice(begin..end), ALL) else { return key_of(NOTHING) };
            let names = doc.root().members_within().map(|(name, _)| name);
            let texts = doc.root().subtree().chain(names).filter_map(|node| node.text());
            if texts.into_iter().any(|text| !text.exact) {
                return key_of_raw(body, (begin, end));
            }

            let mut text = Vec::new();
            let Ok(()) = compact::<Infallible>(doc.root(), &mut |bytes| {
                text.extend_from_slice(bytes);
                Ok(())
            });
            key_of(&text)
        }
    }
}

/// The number of a value that holds a text which is not valid, such as `"ger\xe4t"` in Latin-1 or
/// half of a surrogate pair: of its bytes, since others look like it once it is read. No JSON is
/// written so.
fn key_of_raw(body: &Bytes, (begin, end): (usize, usize)) -> u64 {
    key_of(&[b"inexact ", body.get(begin..end).unwrap_or_default()].concat())
}

fn key_of(text: &[u8]) -> u64 {
    let digest = Sha256::digest(text);
    let first = digest.iter().take(8).fold(0u64, |n, byte| (n << 8) | u64::from(*byte));
    // Small numbers are not given away: one of them is the strict lane.
    first.max(STRICT + 1)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{NO_VALUE, NOTHING, key_at, key_of, latest_key};

    #[test]
    fn texts_that_are_not_valid_differ_as_their_bytes_do() {
        let at = |value: &[u8]| {
            let body = [b"{\"device\":{\"id\":", value, b"}}"].concat();
            key_at(&body.into(), "/device/id")
        };
        for (one, two) in [
            (&b"\"ger\xe4t-1\""[..], &b"\"ger\xf6t-1\""[..]),
            (b"\"\\ud83d\"", b"\"\\ud83e\""),
            (b"\"\xe4\"", "\"\u{fffd}\"".as_bytes()),
            (b"[\"\xe4\"]", b"[\"\xf6\"]"),
            (b"{\"a\":[\"\\ud83d\"]}", b"{\"a\":[\"\\ud83e\"]}"),
            (b"{\"\xe4\":1}", b"{\"\xf6\":1}"),
        ] {
            assert_ne!(at(one), at(two), "{}", String::from_utf8_lossy(one));
            assert_eq!(at(one), at(one));
            assert_ne!(at(one), NO_VALUE);
        }

        // A text that is valid is the same one however it is written.
        assert_eq!(at("\"\u{fffd}\"".as_bytes()), at(b"\"\\ufffd\""));
        // `null` is a value: those that have it share a key.
        assert_eq!(at(b"null"), key_of(b"null"));
        assert_ne!(at(b"null"), NO_VALUE);
    }

    #[test]
    fn no_source_has_the_latest_of_another() {
        let value = key_at(&b"{\"id\":7}"[..].into(), "/id");
        assert_eq!(latest_key(value, 1), latest_key(value, 1));
        assert_ne!(latest_key(value, 1), latest_key(value, 2));
        assert_eq!(latest_key(NO_VALUE, 1), NO_VALUE, "it is the latest of nothing");
    }

    #[test]
    fn equal_values_share_a_lane_and_others_do_not() {
        let text = |body: &str| key_at(&body.to_owned().into(), "/device/id");
        let at = |body: serde_json::Value| text(&body.to_string());
        assert_eq!(
            at(json!({"device": {"id": 7}, "n": 1})),
            at(json!({"n": 2, "device": {"id": 7}}))
        );
        assert_ne!(at(json!({"device": {"id": 7}})), at(json!({"device": {"id": "7"}})));
        assert_eq!(at(json!({})), at(json!([1])));
        assert_ne!(at(json!({})), at(json!({"device": {"id": null}})));

        // These stand in logs.
        for value in [
            json!("a\"é"),
            json!(7),
            json!(-1.5),
            json!(true),
            json!(null),
            json!([1, {"b": "x"}]),
            json!({}),
        ] {
            assert_eq!(
                at(json!({"device": {"id": value}})),
                key_of(value.to_string().as_bytes()),
                "{value}"
            );
        }

        assert_eq!(text("not json"), key_of(NOTHING));
        assert_eq!(key_of(NOTHING), NO_VALUE);
        assert_eq!(text("\u{feff}{\"device\":{\"id\":7}}"), at(json!({"device": {"id": 7}})));
        assert_eq!(text(r#"{"x":"\ud83d","device":{"id":7}}"#), at(json!({"device": {"id": 7}})));
        let (one, two) = ("18446744073709551616", "18446744073709551617");
        assert_ne!(
            text(&format!(r#"{{"device":{{"id":{one}}}}}"#)),
            text(&format!(r#"{{"device":{{"id":{two}}}}}"#))
        );
    }
}
