//! What is known so far while a log is being opened.

use std::sync::Arc;

use crate::log::error::LogProblem;
use crate::log::segment_set::SegmentSet;
use crate::log::segment_summary::SegmentSummary;
use crate::model::{Seq, WallMs};

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
