//! What is recorded of a segment outside of it: its seal, and the ranges that retention dropped.

use serde::{Deserialize, Serialize};

use super::frame::ChainHead;
use super::header::NewSegment;
use crate::model::{Seq, WallMs};

/// A segment as it is known without opening it. The file `seg-N.seal` holds this.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct SegmentSummary {
    pub first: Seq,
    /// One before `first` when it is empty.
    pub last: Seq,
    pub records: u64,
    pub payload_bytes: u64,
    /// The chain head before its first record and after its last.
    pub prev: ChainHead,
    pub head: ChainHead,
    pub gap_from: Option<Seq>,
    pub created_at: WallMs,
    /// `None` while it is active.
    pub sealed_at: Option<WallMs>,
}

impl SegmentSummary {
    /// A segment that was just created, whose chain begins with `chain`.
    pub fn of_new(new: &NewSegment<'_>, chain: ChainHead) -> Self {
        Self {
            first: new.first,
            last: new.first - 1,
            records: 0,
            payload_bytes: 0,
            prev: new.prev,
            head: chain,
            gap_from: new.gap_from,
            created_at: new.created_at,
            sealed_at: None,
        }
    }

    /// The chain head after its last record. An empty segment has a chain head of its own already,
    /// but no record: what counts is still the record before it.
    pub fn last_head(&self) -> ChainHead {
        if self.last < self.first { self.prev } else { self.head }
    }
}

/// Records that retention dropped, and the chain head after them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct DroppedRange {
    pub first: Seq,
    pub last: Seq,
    pub head: ChainHead,
}
