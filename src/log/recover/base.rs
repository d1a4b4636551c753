//! The checkpoint from which the state is folded.

use super::newest::NewestSegment;
use super::recovery::Recovery;
use crate::log::error::LogError;
use crate::log::header::SegmentHeader;
use crate::model::Seq;

/// A checkpoint of the state before `fold_from`.
pub(super) struct BaseCheckpoint {
    pub checkpoint: Vec<u8>,
    pub fold_from: Seq,
}

impl Recovery {
    /// The newest checkpoint that can be read.
    pub fn find_base(&mut self, newest: Option<&mut NewestSegment>) -> Option<BaseCheckpoint> {
        let newest = newest?;
        let SegmentHeader { first: newest_first, fold_from, .. } = newest.segment.header;
        match newest.folded.take().map_or_else(|| newest.segment.checkpoint(), Ok) {
            Ok(checkpoint) => return Some(BaseCheckpoint { checkpoint, fold_from }),
            Err(error) => self.report_bad_checkpoint(newest_first, &error),
        }

        let slots = self.segments.all();
        for slot in slots.into_iter().rev().filter(|slot| slot.first < newest_first) {
            let acquired = self.segments.acquire(&slot);
            let read = acquired.and_then(|segment| match segment {
                Some(segment) => {
                    let fold_from = segment.header.fold_from;
                    segment
                        .checkpoint()
                        .map(|checkpoint| Some(BaseCheckpoint { checkpoint, fold_from }))
                }
                None => Ok(None),
            });
            match read {
                Ok(Some(base)) => return Some(base),
                Ok(None) => {}
                Err(error) => self.report_bad_checkpoint(slot.first, &error),
            }
        }
        None
    }

    fn report_bad_checkpoint(&mut self, segment: Seq, error: &LogError) {
        let what =
            format!("the checkpoint before them cannot be read, an older one is used: {error}");
        self.problem(segment, segment, segment, what);
    }
}
