//! The checkpoint from which the state is folded.

use super::newest::NewestSegment;
use super::recovery::Recovery;
use crate::log::checkpoints::{FoldBase, LogEnd, newest_checkpoint};
use crate::log::watermark::Mark;

impl Recovery {
    /// The newest checkpoint that can be read.
    pub fn find_base(
        &mut self,
        newest: Option<&NewestSegment>,
        mark: Option<Mark>,
    ) -> Option<FoldBase> {
        let newest = newest?;
        let last = newest.scan.last;
        let next = mark.map_or(last, |mark| mark.seq.max(last)) + 1;

        // An empty segment has a chain head of its own already; what counts is the record before.
        let head = if last < newest.segment.header.first {
            newest.segment.header.prev
        } else {
            newest.scan.head
        };
        let head = Some((last + 1, head));
        let end = LogEnd { next, head, newest: Some(&newest.segment) };

        let segments = self.segments.clone();
        newest_checkpoint(&segments, &end, &mut |segment, error| {
            let what =
                format!("the checkpoint before them cannot be read, an older one is used: {error}");
            self.problem(segment, segment, segment, what);
        })
    }
}
