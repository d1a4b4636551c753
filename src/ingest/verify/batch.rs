//! Batches: one request that holds several events, as a JSON array.

use bytes::Bytes;
use serde_json::value::RawValue;

use crate::model::Source;

use super::crypto::fingerprint;
use super::{Element, Proven};

/// The elements of a JSON array, each with the bytes that stood in it; `None` when the body is no array.
pub(super) fn items(body: &[u8]) -> Option<Vec<&[u8]>> {
    let items: Vec<&RawValue> = serde_json::from_slice(body).ok()?;
    Some(items.into_iter().map(|item| item.get().as_bytes()).collect())
}

/// The elements that `facts` tells type and dedupe key of; without a key, the same bytes are the same event.
pub(super) fn elements(
    items: &[&[u8]],
    content_type: &str,
    facts: impl Fn(&[u8]) -> (Option<String>, Option<String>),
) -> Vec<Element> {
    let element = |item: &&[u8]| {
        let (kind, dedupe_key) = facts(item);
        Element {
            kind,
            dedupe_key: Some(dedupe_key.unwrap_or_else(|| fingerprint(item))),
            body: Bytes::copy_from_slice(item),
            content_type: content_type.to_owned(),
        }
    };
    items.iter().map(element).collect()
}

/// The whole request's facts: those of its only element, or the type that all elements share and a key made of
/// what was signed. The elements go along when the source splits.
pub(super) fn whole(source: &Source, signed: &[u8], elements: Vec<Element>) -> Proven {
    let first = elements.first();
    let same = elements.iter().all(|element| Some(&element.kind) == first.map(|first| &first.kind));
    let kind = first.filter(|_| same).and_then(|first| first.kind.clone());
    let dedupe_key = match elements.as_slice() {
        [only] => only.dedupe_key.clone(),
        _ => Some(fingerprint(signed)),
    };
    let elements = if source.split { elements } else { Vec::new() };
    Proven { kind, dedupe_key, elements, ..Proven::default() }
}
