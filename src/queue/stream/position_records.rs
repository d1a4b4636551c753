//! The records that hold positions of streams for others, which retention has dropped, or for
//! deliveries that were asked for again. Deliveries are listed there when their own records are
//! gone, also when they have ended, so that lists of what has ended have to know these records.

use roaring::RoaringTreemap;
use serde::{Deserialize, Serialize};

use super::relocation::SegmentRange;
use crate::model::Seq;

/// Such records, as far as they stand in the log.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct PositionRecords {
    records: RoaringTreemap,
    /// All are known from this record on.
    known_from: Seq,
}

/// What a checkpoint of an earlier version says: nothing.
const OF_EARLIER_VERSION: Seq = Seq::MAX;

impl PositionRecords {
    /// Those of a checkpoint of an earlier version.
    pub(in crate::queue) fn unknown() -> Self {
        Self { known_from: OF_EARLIER_VERSION, ..Self::default() }
    }

    /// A checkpoint was read that ends before this record.
    pub(in crate::queue) fn read_before(&mut self, next_seq: Seq) {
        self.known_from = self.known_from.min(next_seq);
    }

    /// Whether all that stand in a log are known which begins with this record.
    #[must_use]
    pub fn are_known_from(&self, first: Seq) -> bool {
        self.known_from <= first.max(1)
    }

    #[must_use]
    pub fn records(&self) -> &RoaringTreemap {
        &self.records
    }

    pub(in crate::queue) fn insert(&mut self, seq: Seq) {
        self.records.insert(seq);
    }

    pub(in crate::queue) fn forget(&mut self, range: SegmentRange) {
        self.records.remove_range(range.first..=range.last);
    }
}

#[cfg(test)]
mod tests {
    use super::PositionRecords;
    use crate::queue::State;
    use crate::queue::stream::relocation::SegmentRange;

    #[test]
    fn what_an_earlier_version_did_not_remember_is_known_once_it_is_dropped() {
        let mut state = State::new();
        assert!(state.position_records.are_known_from(state.first_seq));
        state.position_records = PositionRecords::unknown();
        state.next_seq = 100;
        let mut state = State::from_checkpoint(&state.checkpoint()).expect("it reads back");
        state.position_records.insert(120);
        assert!(!state.position_records.are_known_from(99));
        assert!(state.position_records.are_known_from(100));

        state.position_records.forget(SegmentRange { first: 110, last: 119 });
        assert_eq!(state.position_records.records().len(), 1);
        state.position_records.forget(SegmentRange { first: 120, last: 129 });
        assert!(state.position_records.records().is_empty());
    }
}
