//! What is known so far while a log is being opened.

use std::path::Path;
use std::sync::Arc;

use crate::log::error::LogProblem;
use crate::log::folder;
use crate::log::segment_set::SegmentSet;
use crate::log::segment_summary::SegmentSummary;
use crate::model::{Seq, WallMs};

/// The last number that a record can have: nobody writes so many. What names a later one is
/// damaged, and every number up to here has one behind it.
const LAST_POSSIBLE: Seq = Seq::MAX >> 1;

/// Whether a record can have this number.
pub(super) fn is_possible(seq: Seq) -> bool {
    seq <= LAST_POSSIBLE
}

/// The seal of the segment that begins with `first`, when it is there and its own.
pub(super) fn read_seal(dir: &Path, first: Seq) -> Option<SegmentSummary> {
    let seal = folder::read_checked::<SegmentSummary>(&folder::seal(dir, first));
    let is_its_own = |seal: &SegmentSummary| {
        let is_range = is_possible(seal.last) && first <= seal.last + 1;
        seal.first == first && seal.sealed_at.is_some() && is_range
    };
    seal.filter(is_its_own)
}

pub(super) struct Recovery {
    pub segments: Arc<SegmentSet>,
    pub wall_ms: WallMs,
    pub problems: Vec<LogProblem>,
    /// Segments whose folders are there, except the newest.
    pub sealed: Vec<SegmentSummary>,
    /// Segments of which only the seal is left.
    pub lost: Vec<SegmentSummary>,
}

impl Recovery {
    pub fn new(segments: Arc<SegmentSet>, wall_ms: WallMs) -> Self {
        Self { segments, wall_ms, problems: Vec::new(), sealed: Vec::new(), lost: Vec::new() }
    }

    pub fn problem(&mut self, segment: Seq, first: Seq, last: Seq, what: impl Into<String>) {
        self.problems.push(LogProblem { segment, first, last, what: what.into() });
    }
}
