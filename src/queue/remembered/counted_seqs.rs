//! A set of record numbers that knows how many there are. The set alone would have to count them,
//! part by part, each time it is asked.

use std::ops::Deref;

use roaring::RoaringTreemap;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::model::Seq;

/// A set of record numbers, and their count. It is written and read as the set.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct CountedSeqs {
    seqs: RoaringTreemap,
    count: u64,
}

impl CountedSeqs {
    #[must_use]
    pub fn len(&self) -> u64 {
        self.count
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Returns whether it was not in the set.
    pub(in crate::queue) fn insert(&mut self, seq: Seq) -> bool {
        let is_new = self.seqs.insert(seq);
        self.count += u64::from(is_new);
        is_new
    }

    /// Returns whether it was in the set.
    pub(in crate::queue) fn remove(&mut self, seq: Seq) -> bool {
        let was_there = self.seqs.remove(seq);
        self.count -= u64::from(was_there);
        was_there
    }
}

impl From<RoaringTreemap> for CountedSeqs {
    fn from(seqs: RoaringTreemap) -> Self {
        Self { count: seqs.len(), seqs }
    }
}

impl Deref for CountedSeqs {
    type Target = RoaringTreemap;

    fn deref(&self) -> &RoaringTreemap {
        &self.seqs
    }
}

impl Serialize for CountedSeqs {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.seqs.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for CountedSeqs {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        RoaringTreemap::deserialize(deserializer).map(Self::from)
    }
}

#[cfg(test)]
mod tests {
    use roaring::RoaringTreemap;

    use super::CountedSeqs;

    #[test]
    fn what_comes_and_goes_is_counted_once() {
        let mut seqs = CountedSeqs::default();
        assert!(seqs.insert(7) && seqs.insert(9) && !seqs.insert(7));
        assert!(seqs.remove(9) && !seqs.remove(9));
        assert_eq!((seqs.len(), seqs.is_empty(), seqs.contains(7)), (1, false, true));

        let bytes = rmp_serde::to_vec(&seqs).expect("it is written");
        let set: RoaringTreemap = rmp_serde::from_slice(&bytes).expect("as a set");
        assert_eq!(set, RoaringTreemap::from_iter([7]));
        let again: CountedSeqs = rmp_serde::from_slice(&bytes).expect("it reads back");
        assert_eq!(again, seqs);
    }
}
