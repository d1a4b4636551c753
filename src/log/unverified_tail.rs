//! The unverified tail: where the log ended when its watermark was missing.
//!
//! Without a watermark nobody knows whether more records had been acknowledged than are there. The
//! new watermark does not say so, so it is recorded in the checked file `doubt`, and reported until
//! retention has dropped that record.

use super::error::{LogError, LogProblem};
use super::folder;
use super::segment_set::SegmentSet;
use crate::model::Seq;

/// The name that every version reads and writes.
const FILE: &str = "doubt";

/// Records that the log ended with this record when its watermark was missing.
pub(super) fn record(segments: &SegmentSet, end: Seq) -> Result<(), LogError> {
    folder::write_checked(&segments.dir.join(FILE), &end)
}

/// Removes the file: the record that it names has been dropped, or there is none.
pub(super) fn forget(segments: &SegmentSet) -> Result<(), LogError> {
    folder::remove(&segments.dir.join(FILE))
}

/// The recorded problem; `None` without one, or when the record that it names has been dropped.
/// `newest` begins a segment that is not in the set yet.
pub(super) fn problem(segments: &SegmentSet, newest: Option<Seq>) -> Option<LogProblem> {
    let end = folder::read_checked::<Seq>(&segments.dir.join(FILE))?;
    let is_newest = newest.filter(|first| *first <= end);
    let segment = is_newest.or_else(|| segments.at_or_before(end).map(|slot| slot.first))?;

    let what = "the watermark file was missing or damaged when the log ended here: whether more \
                records had followed is unknown";
    Some(LogProblem { segment, first: end, last: end, what: what.to_owned() })
}
