//! Whether an answer to a batch names events that failed where no list is read from: in a member
//! `failed` further within, in a text that holds JSON, in words.

use std::collections::HashSet;

use bytes::Bytes;

use crate::model::EventId;
use crate::model::json::{Bounds, Doc, JsonKind, Node};

/// How often a text within a text is read as JSON. What is wrapped more often is not understood.
const TEXTS_WITHIN_TEXTS: usize = 4;

/// Whether a member `failed` somewhere within names something (a list, an object or a text that is
/// not empty), or a text does.
pub fn is_named_in_json(root: Node<'_>) -> bool {
    is_within(root, TEXTS_WITHIN_TEXTS)
}

fn is_within(root: Node<'_>, texts: usize) -> bool {
    let is_text = |value: Node<'_>| value.text().is_some_and(|text| is_in_text(&text.text, texts));
    root.members_within().any(|(name, value)| is_failed(name) && names_some(value))
        || root.subtree().any(is_text)
}

/// A name is the same in any case: serializers differ in it.
fn is_failed(name: Node<'_>) -> bool {
    name.text().is_some_and(|name| name.text.eq_ignore_ascii_case("failed"))
}

fn names_some(value: Node<'_>) -> bool {
    match value.kind() {
        JsonKind::Array | JsonKind::Object => !value.is_empty(),
        JsonKind::Text => value.size() > 0,
        _ => false,
    }
}

/// Whether a text within JSON names events that failed, as JSON or in words, or holds JSON that is
/// not understood.
fn is_in_text(text: &str, texts: usize) -> bool {
    let text = text.trim_start_matches('\u{feff}').trim_start();
    if text.starts_with(['{', '[', '"']) {
        if texts == 0 {
            return true;
        }
        let all = Bounds { bytes: usize::MAX, nodes: usize::MAX };
        match Doc::read(&Bytes::copy_from_slice(text.as_bytes()), all) {
            Ok(doc) => return is_within(doc.root(), texts - 1),
            // Others begin words so: "[info] taken".
            Err(_) if ["{", "[{", "[\""].iter().any(|begin| text.starts_with(begin)) => {
                return true;
            }
            Err(_) => {}
        }
    }
    is_named_in_text(text.as_bytes())
}

/// Whether a member `failed` somewhere within names an event of the batch that `known` does not
/// have.
pub fn others_named(root: Node<'_>, of_batch: &HashSet<EventId>, known: &[EventId]) -> bool {
    let known: HashSet<&EventId> = known.iter().collect();
    let is_other = |text: Node<'_>| {
        let id = text.text().and_then(|text| text.text.trim().parse::<EventId>().ok());
        id.is_some_and(|id| of_batch.contains(&id) && !known.contains(&id))
    };

    // What is within such a member is looked at once, however deep they are nested.
    let mut seen = 0;
    root.members_within().filter(|(name, _)| is_failed(*name)).any(|(_, value)| {
        value.at() >= seen
            && value.subtree().any(|inner| {
                seen = inner.at() + 1;
                is_other(inner)
            })
    })
}

/// Whether a text that is no JSON has a member of the name `failed`, or speaks of failures and has
/// the id of an event.
pub fn is_named_in_text(body: &[u8]) -> bool {
    const NAME: &[u8] = b"\"failed\"";
    let is_member = body.windows(NAME.len()).enumerate().any(|(at, window)| {
        window.eq_ignore_ascii_case(NAME)
            && body[at + NAME.len()..].trim_ascii_start().first().is_none_or(|next| *next == b':')
    });
    let has = |word: &[u8]| body.windows(word.len()).any(|at| at.eq_ignore_ascii_case(word));
    is_member || (has(b"evt_") && has(b"fail"))
}
