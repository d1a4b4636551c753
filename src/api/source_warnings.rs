//! What to know of a source that is as it was asked for.

use crate::model::Source;

/// What to know of a new source that takes what anybody sends.
#[must_use]
pub fn open_to_all(source: &Source) -> Option<String> {
    let is_open = source.verify == "none"
        && source.token.is_none()
        && source.allow.is_empty()
        && source.allow_lists.is_empty();
    is_open.then(|| {
        "it accepts requests from anybody who can reach it: choose a proof (--verify), a secret \
         path (--token) or networks (--allow)"
            .to_owned()
    })
}
