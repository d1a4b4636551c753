//! The limits of what a proof finds.

use super::crypto;
use super::verdict::Proven;
use crate::model::limits;

/// Keeps types and dedupe keys within their limits, and out of them what no list can show.
pub(super) fn bounded(mut proven: Proven) -> Proven {
    proven.kind = proven.kind.and_then(bounded_kind);
    proven.dedupe_key = proven.dedupe_key.and_then(bounded_key);
    for element in &mut proven.elements {
        element.kind = element.kind.take().and_then(bounded_kind);
        element.dedupe_key = element.dedupe_key.take().and_then(bounded_key);
    }
    proven
}

fn bounded_kind(kind: String) -> Option<String> {
    let fits = !kind.is_empty()
        && kind.chars().count() <= limits::TYPE_LEN
        && !kind.contains(char::is_control);
    fits.then_some(kind)
}

fn bounded_key(key: String) -> Option<String> {
    match key.chars().count() {
        0 => None,
        1..=limits::DEDUPE_KEY_LEN => Some(key),
        _ => Some(crypto::fingerprint(key.as_bytes())),
    }
}
