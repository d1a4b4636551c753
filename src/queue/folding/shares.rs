//! The space that the events of each source take in the log, so that no source can use up the space
//! of the others.
//!
//! The bytes of events whose records have not been dropped are counted. While there is plenty of
//! space, many of these have been delivered. But before space gets scarce, retention has dropped
//! those early, and most of what is left still waits. A relocated event counts at its new position.

use std::collections::{BTreeMap, VecDeque};

use serde::{Deserialize, Serialize};

use crate::model::{Seq, SourceId};

/// The number of parts that a source's events are counted in; with more, neighbours are merged. A
/// part counts until its last record has been dropped.
const PARTS: usize = 64;
/// The bytes that a part holds at least.
const PART_BYTES: u64 = 256 << 10;
/// While less than one in so many events has a delivery that waits or is dead, retention makes
/// space.
const LIVING_PART: u64 = 4;

/// The space that all sources take.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct SourceShares {
    by_source: BTreeMap<SourceId, SourceUse>,
    bytes: u64,
    events: u64,
}

/// The space that one source takes.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct SourceUse {
    /// Oldest first.
    parts: VecDeque<SharePart>,
    bytes: u64,
    events: u64,
}

/// Some successive events of a source, up to the one of record `last`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
struct SharePart {
    last: Seq,
    bytes: u64,
    events: u64,
}

impl SourceShares {
    /// Counts an event of this source, which record `seq` holds.
    pub fn add(&mut self, source: SourceId, seq: Seq, bytes: u64) {
        let share = self.by_source.entry(source).or_default();
        share.add(SharePart { last: seq, bytes, events: 1 });
        self.bytes += bytes;
        self.events += 1;
    }

    /// Records up to this one have been dropped.
    pub fn drop_to(&mut self, last: Seq) {
        for share in self.by_source.values_mut() {
            while let Some(part) = share.parts.pop_front_if(|part| part.last <= last) {
                share.bytes -= part.bytes;
                share.events -= part.events;
                self.bytes -= part.bytes;
                self.events -= part.events;
            }
        }
        self.by_source.retain(|_, share| !share.parts.is_empty());
    }

    /// Whether this source holds more than its share while others exist: more than an equal part of
    /// what all hold, and at least half as much as the source that holds most. There is a part for
    /// each source that holds something, and one for a source that may come, if any of the
    /// `sources` that exist holds nothing. `alive` is how many deliveries wait or are dead.
    #[must_use]
    pub fn is_over(&self, source: SourceId, sources: usize, alive: u64) -> bool {
        let held = self.held_by(source);
        let holding = self.by_source.len().min(sources);
        let parts = (holding + usize::from(sources > holding)) as u64;

        held.saturating_mul(parts) > self.bytes
            && held.saturating_mul(2)
                >= self.by_source.values().map(|share| share.bytes).max().unwrap_or(0)
            && alive.saturating_mul(LIVING_PART) >= self.events
    }

    /// The bytes of its events.
    #[must_use]
    pub fn held_by(&self, source: SourceId) -> u64 {
        self.by_source.get(&source).map_or(0, |share| share.bytes)
    }
}

impl SourceUse {
    fn add(&mut self, added: SharePart) {
        self.bytes += added.bytes;
        self.events += added.events;
        match self.parts.back_mut().filter(|part| part.bytes < PART_BYTES) {
            Some(part) => *part = part.merge(added),
            None => self.parts.push_back(added),
        }

        if self.parts.len() > PARTS {
            let pairs: Vec<SharePart> = self.parts.drain(..).collect();
            self.parts.extend(
                pairs
                    .chunks(2)
                    .map(|pair| pair.iter().copied().fold(SharePart::default(), SharePart::merge)),
            );
        }
    }
}

impl SharePart {
    fn merge(self, later: Self) -> Self {
        Self {
            last: later.last,
            bytes: self.bytes + later.bytes,
            events: self.events + later.events,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{PART_BYTES, PARTS, SourceShares};

    /// Which of three sources are over their shares, when so many exist and everything waits.
    fn over(shares: &SourceShares, sources: usize) -> Vec<u32> {
        (1..=3).filter(|source| shares.is_over(*source, sources, 1000)).collect()
    }

    #[test]
    fn one_source_alone_may_have_all_and_of_several_none_more_than_its_share() {
        let mut shares = SourceShares::default();
        (1..=10).for_each(|seq| shares.add(1, seq, 1000));
        assert_eq!((over(&shares, 1), over(&shares, 2)), (vec![], vec![1]));

        shares.add(2, 11, 1000);
        assert_eq!(over(&shares, 2), [1]);
        assert!(!shares.is_over(1, 2, 1), "most of it has been delivered, and will be dropped");

        (12..=20).for_each(|seq| shares.add(2, seq, 1000));
        assert_eq!(over(&shares, 2), [0; 0], "they hold the same");
        assert_eq!(over(&shares, 3), [1, 2], "a part is kept for the third");

        (21..=22).for_each(|seq| shares.add(3, seq, 1000));
        assert_eq!(over(&shares, 30), [1, 2], "a source that holds much less than others goes on");
    }

    #[test]
    fn what_was_dropped_does_not_count() {
        let mut shares = SourceShares::default();
        (1..=10).for_each(|seq| shares.add(1, seq, PART_BYTES));
        (11..=13).for_each(|seq| shares.add(2, seq, PART_BYTES));
        assert_eq!(over(&shares, 2), [1]);

        shares.drop_to(8);
        assert_eq!(over(&shares, 2), [2]);

        shares.drop_to(20);
        assert_eq!(shares, SourceShares::default());
    }

    #[test]
    fn many_parts_are_merged() {
        let mut shares = SourceShares::default();
        let count = 1000;
        (1..=count).for_each(|seq| shares.add(1, seq, PART_BYTES));
        let share = &shares.by_source[&1];
        assert!(share.parts.len() <= PARTS && share.bytes == count * PART_BYTES);
        assert_eq!(share.parts.iter().map(|part| part.bytes).sum::<u64>(), shares.bytes);
    }
}
