//! Batches: one request that holds several events, as a JSON array.
//!
//! An element costs more than its bytes, and `[0,0,…]` has a million of them in two megabytes: one
//! more than [`limits::BATCH_EVENTS`] is looked at, which is too many to be taken apart.

use bytes::Bytes;

use crate::model::json::pieces;
use crate::model::{Source, limits};

use super::crypto::fingerprint;
use super::{Proven, SplitEvent};

/// The elements of a JSON array, each with the bytes that stood in it; `None` when the body is not
/// an array. Of more than can be taken apart the first [`limits::BATCH_EVENTS`] and one.
pub(super) fn items(body: &[u8]) -> Option<Vec<&[u8]>> {
    pieces::elements(body, limits::BATCH_EVENTS).ok()
}

/// The elements, with the type and dedupe key that `facts` finds; without a key, the same bytes are
/// the same event.
pub(super) fn elements(
    items: &[&[u8]],
    content_type: &str,
    facts: impl Fn(&[u8]) -> (Option<String>, Option<String>),
) -> Vec<SplitEvent> {
    let element = |item: &&[u8]| {
        let (kind, dedupe_key) = facts(item);
        SplitEvent {
            kind,
            dedupe_key: Some(dedupe_key.unwrap_or_else(|| fingerprint(item))),
            body: Bytes::copy_from_slice(item),
            content_type: content_type.to_owned(),
        }
    };
    items.iter().map(element).collect()
}

/// The whole request's facts: those of its only element, or the type that all elements share and a
/// key made of what was signed. The elements go along when the source splits.
pub(super) fn whole(source: &Source, signed: &[u8], elements: Vec<SplitEvent>) -> Proven {
    let first = elements.first();
    // Those that were not looked at may be of another type.
    let is_whole = elements.len() <= limits::BATCH_EVENTS;
    let same = is_whole
        && elements.iter().all(|element| Some(&element.kind) == first.map(|first| &first.kind));
    let kind = first.filter(|_| same).and_then(|first| first.kind.clone());
    let dedupe_key = match elements.as_slice() {
        [only] => only.dedupe_key.clone(),
        _ => Some(fingerprint(signed)),
    };
    let elements = if source.split { elements } else { Vec::new() };
    Proven { kind, dedupe_key, elements, ..Proven::default() }
}

#[cfg(test)]
mod tests {
    use super::{elements, items, limits, whole};
    use crate::model::Source;

    #[test]
    fn elements_are_cut_out_as_they_stand() {
        assert_eq!(
            items(b" [ {\"a\": 1 }, 2,[3] ] "),
            Some(vec![&b"{\"a\": 1 }"[..], b"2", b"[3]"])
        );
        assert_eq!(items(b"[]"), Some(Vec::new()));
        // What one element says wrongly, or a byte order mark, joins no other events.
        assert_eq!(
            items(b"\xef\xbb\xbf[{\"a\":\"\\ud83d\"},\"\x01\"]"),
            Some(vec![&b"{\"a\":\"\\ud83d\"}"[..], b"\"\x01\""])
        );
        for broken in [&b"{}"[..], b"[1", b"[1,]", b"[1] x", b"", b"[1 2]"] {
            assert_eq!(items(broken), None, "{broken:?}");
        }
    }

    #[test]
    fn a_batch_of_nothing_but_elements_is_not_taken_apart_and_still_read_to_its_end() {
        let numbers =
            |count: usize, end: &str| format!("[0{}{end}", ",0".repeat(count - 1)).into_bytes();
        let (most, more) = (numbers(limits::BATCH_EVENTS, "]"), numbers(1_000_000, "]"));
        assert_eq!(items(&most).map(|items| items.len()), Some(limits::BATCH_EVENTS));
        assert_eq!(items(&more).map(|items| items.len()), Some(limits::BATCH_EVENTS + 1));
        assert_eq!(items(&numbers(1_000_000, ",]")), None);

        let facts = |_: &[u8]| (Some("same".to_owned()), None);
        let kind = |body: &[u8]| {
            let items = items(body).expect("an array");
            whole(&Source::new("a", "sendgrid"), body, elements(&items, "application/json", facts))
                .kind
        };
        assert_eq!((kind(&most), kind(&more)), (Some("same".to_owned()), None));
    }
}
