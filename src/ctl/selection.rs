//! What a command for many things is to take: ids, a filter, or all; never by accident.

use super::error::CtlError;

/// How the things that a command is for were selected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Selection {
    Ids,
    Filter,
    All,
}

/// The one way that was given. `noun` is what is selected, `options` those of the filter.
pub(super) fn only_selection(
    noun: &str,
    options: &str,
    (has_ids, has_filter, all): (bool, bool, bool),
) -> Result<Selection, CtlError> {
    match (has_ids, has_filter, all) {
        (true, false, false) => Ok(Selection::Ids),
        (false, true, false) => Ok(Selection::Filter),
        (false, false, true) => Ok(Selection::All),
        (false, false, false) => Err(CtlError::Usage(format!(
            "no {noun} selected: give ids, a filter ({options}), or --all"
        ))),
        _ => Err(CtlError::Usage(
            "ids, a filter and --all exclude each other: give only one of them".into(),
        )),
    }
}
