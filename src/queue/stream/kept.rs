//! Positions of an endpoint's stream whose records retention has dropped.
//!
//! A delivery that waits in the stream keeps its position, and so its place in the order. Only the
//! record that says what waits there is another one: [`Record::PositionsRelocated`] holds many, and
//! may be relocated itself. What is remembered of it in memory is a bit for each position, and the
//! record that holds a *block* of them.
//!
//! Where only the latest of a key counts, the record also has positions at which nothing waits any
//! more, with their keys: while an older one waits, it says that a newer one of its key was seen.
//! So a block may cover more than what waits.
//!
//! Invariant: blocks do not overlap, and each kept position lies in the block of the record that
//! holds it. Retention drops the oldest segment first, so kept positions come before all others
//! that wait.
//!
//! [`Record::PositionsRelocated`]: crate::record::Record::PositionsRelocated

use std::collections::BTreeMap;

use roaring::RoaringTreemap;
use serde::{Deserialize, Serialize};

use super::relocation::SegmentRange;
use crate::model::{Seq, limits};

/// The positions of one endpoint.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct KeptPositions {
    positions: RoaringTreemap,
    /// By the first position of each block.
    blocks: BTreeMap<Seq, KeptBlock>,
}

/// Positions that one record holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct KeptBlock {
    last: Seq,
    record: Seq,
}

/// What is to be read of kept positions, in the order of the reading, and where the reading goes on
/// when all of it was read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeptRead {
    pub parts: Vec<KeptPart>,
    pub next: Seq,
}

/// The positions `first` to `last`, and the record that holds them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeptPart {
    pub record: Seq,
    pub first: Seq,
    pub last: Seq,
}

impl KeptPart {
    fn of((first, block): (&Seq, &KeptBlock)) -> Self {
        Self { record: block.record, first: *first, last: block.last }
    }
}

/// Blocks that are read at once.
const BLOCKS: usize = 16;

impl KeptPositions {
    #[must_use]
    pub fn contains(&self, position: Seq) -> bool {
        self.positions.contains(position)
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.positions.is_empty()
    }

    #[must_use]
    pub fn len(&self) -> u64 {
        self.positions.len()
    }

    /// The first position.
    #[must_use]
    pub fn first(&self) -> Option<Seq> {
        self.positions.min()
    }

    /// The first position at `from` or behind it.
    #[must_use]
    pub fn first_from(&self, from: Seq) -> Option<Seq> {
        let before = if from == 0 { 0 } else { self.positions.rank(from - 1) };
        self.positions.select(before)
    }

    /// The last position before `before`.
    #[must_use]
    pub fn last_before(&self, before: Seq) -> Option<Seq> {
        let upto = self.positions.rank(before.checked_sub(1)?);
        self.positions.select(upto.checked_sub(1)?)
    }

    /// The record that holds a position, where that is not its own.
    #[must_use]
    pub fn record_of(&self, position: Seq) -> Option<Seq> {
        if !self.positions.contains(position) {
            return None;
        }
        let (_, block) = self.blocks.range(..=position).next_back()?;
        (position <= block.last).then_some(block.record)
    }

    /// The record that says something of this position, whether something waits there or not.
    #[must_use]
    pub fn block_record_of(&self, position: Seq) -> Option<Seq> {
        let (_, block) = self.blocks.range(..=position).next_back()?;
        (position <= block.last).then_some(block.record)
    }

    /// Whether records say something of positions from the first to before the second.
    #[must_use]
    pub fn covers_any(&self, from: Seq, before: Seq) -> bool {
        let last = self.blocks.range(..before).next_back();
        from < before && last.is_some_and(|(_, block)| block.last >= from)
    }

    /// The records that hold positions.
    pub fn records(&self) -> impl Iterator<Item = Seq> + '_ {
        let waits = |first: Seq, block: &KeptBlock| {
            self.positions.range_cardinality(first..=block.last) > 0
        };
        let blocks = self.blocks.iter().filter(move |(first, block)| waits(**first, block));
        blocks.map(|(_, block)| block.record)
    }

    /// The positions that records of this range hold.
    #[must_use]
    pub fn held_by(&self, range: SegmentRange) -> RoaringTreemap {
        let mut held = RoaringTreemap::new();
        for (first, block) in self.blocks.iter().filter(|(_, block)| range.holds(block.record)) {
            held.insert_range(*first..=block.last);
        }
        held & &self.positions
    }

    /// Whether no other record says anything of these positions by now.
    #[must_use]
    pub fn holds(&self, part: KeptPart) -> bool {
        let KeptPart { record, first, last } = part;
        let mut here = self.blocks_between(first, last);
        here.all(|block| block.record == record)
    }

    /// Whether records that are not of this range say something of positions behind `after` and
    /// before `before`.
    #[must_use]
    pub fn has_others_between(&self, after: Seq, before: Seq, range: SegmentRange) -> bool {
        let mut here = self.blocks_between(after + 1, before.saturating_sub(1));
        here.any(|block| !range.holds(block.record))
    }

    /// The blocks that have one of the positions `first` to `last`, the last block first.
    fn blocks_between(&self, first: Seq, last: Seq) -> impl Iterator<Item = &KeptBlock> {
        let blocks = self.blocks.range(..=last).rev().map(|(_, block)| block);
        blocks.take_while(move |block| block.last >= first)
    }

    /// What is to be read from `from` on.
    #[must_use]
    pub fn read_from(&self, from: Seq) -> Option<KeptRead> {
        let first = self.first_from(from)?;
        let begin = self.blocks.range(..=first).next_back().map_or(first, |(begin, _)| *begin);
        let blocks = self.blocks.range(begin..).take(BLOCKS);
        let parts: Vec<KeptPart> = blocks.map(KeptPart::of).collect();
        let next = parts.last().map_or(first, |part| part.last).max(first) + 1;
        Some(KeptRead { parts, next })
    }

    /// What is to be read backward from before `before`; `all`: also of positions at which nothing
    /// waits any more.
    #[must_use]
    pub fn read_back_from(&self, before: Seq, all: bool) -> Option<KeptRead> {
        let last = if all { before.checked_sub(1)? } else { self.last_before(before)? };
        let blocks = self.blocks.range(..=last).rev().take(BLOCKS);
        let parts: Vec<KeptPart> = blocks.map(KeptPart::of).collect();
        let next = parts.last()?.first.min(last);
        Some(KeptRead { parts, next })
    }

    /// Record `record` says from now on what there is at the positions `first` to `last`: something
    /// waits at these, which are in ascending order.
    pub(in crate::queue) fn keep(
        &mut self,
        (first, last): (Seq, Seq),
        waiting: &[Seq],
        record: Seq,
    ) {
        // The blocks that held them end before them and go on behind them.
        let begin = self.blocks.range(..=first).next_back().map_or(first, |(begin, _)| *begin);
        let before: Vec<(Seq, KeptBlock)> =
            self.blocks.range(begin..=last).map(|(begin, block)| (*begin, *block)).collect();
        for (begin, block) in before.into_iter().filter(|(_, block)| block.last >= first) {
            self.blocks.remove(&begin);
            if begin < first {
                self.blocks.insert(begin, KeptBlock { last: first - 1, ..block });
            }
            if block.last > last {
                self.blocks.insert(last + 1, block);
            }
        }

        self.positions.remove_range(first..=last);
        self.positions.extend(waiting.iter().copied());
        self.blocks.insert(first, KeptBlock { last, record });
    }

    /// Nothing waits at this position any more.
    pub(in crate::queue) fn take_up(&mut self, position: Seq) {
        self.positions.remove(position);
    }

    /// Nothing waits any more up to this position.
    pub(in crate::queue) fn take_up_to(&mut self, low: Seq) {
        if self.first().is_some_and(|first| first <= low) {
            self.positions.remove_range(..=low);
        }
        // Blocks of which nothing waits are few, but for a backlog that was worked off.
        if self.blocks.len() > limits::SLICE && self.positions.is_empty() {
            self.blocks.clear();
        }
    }

    /// The records of this range are gone, and what they held but for these positions.
    pub(in crate::queue) fn forget_records(
        &mut self,
        range: SegmentRange,
        except: &RoaringTreemap,
    ) {
        if !self.blocks.values().any(|block| range.holds(block.record)) {
            return;
        }
        let gone = self.held_by(range) - except;
        self.positions -= gone;
        self.blocks.retain(|first, block| {
            !range.holds(block.record) || except.range_cardinality(*first..=block.last) > 0
        });
    }
}

#[cfg(test)]
mod tests {
    use roaring::RoaringTreemap;

    use super::{KeptPart, KeptPositions, KeptRead};
    use crate::queue::stream::relocation::SegmentRange;

    #[test]
    fn positions_are_held_by_one_record_each_and_are_read_in_order() {
        let mut kept = KeptPositions::default();
        kept.keep((10, 15), &[10, 12, 15], 100);
        kept.keep((20, 22), &[20, 22], 101);
        assert_eq!(
            (kept.record_of(12), kept.record_of(13), kept.record_of(22)),
            (Some(100), None, Some(101))
        );
        assert_eq!(
            (kept.first(), kept.first_from(13), kept.first_from(23)),
            (Some(10), Some(15), None)
        );
        assert_eq!((kept.last_before(20), kept.last_before(10)), (Some(15), None));
        let one = KeptPart { record: 100, first: 10, last: 15 };
        let two = KeptPart { record: 101, first: 20, last: 22 };
        assert_eq!(kept.read_from(13), Some(KeptRead { parts: vec![one, two], next: 23 }));
        assert_eq!(
            kept.read_back_from(21, false),
            Some(KeptRead { parts: vec![two, one], next: 10 })
        );
        assert_eq!((kept.read_from(23), kept.read_back_from(10, false)), (None, None));

        // One has ended, and the others of its record are relocated again.
        kept.take_up(12);
        kept.keep((10, 15), &[10, 15], 200);
        assert_eq!(
            (kept.record_of(10), kept.record_of(15), kept.record_of(20)),
            (Some(200), Some(200), Some(101))
        );
        let first = SegmentRange { first: 100, last: 100 };
        kept.forget_records(first, &RoaringTreemap::new());
        assert_eq!(kept.len(), 4);

        kept.take_up_to(10);
        assert_eq!((kept.len(), kept.first()), (3, Some(15)));
        let second = SegmentRange { first: 101, last: 150 };
        assert_eq!(kept.held_by(second).iter().collect::<Vec<_>>(), [20, 22]);
        kept.forget_records(second, &RoaringTreemap::from_iter([22]));
        assert_eq!((kept.len(), kept.record_of(22), kept.record_of(20)), (2, Some(101), None));
        kept.forget_records(second, &RoaringTreemap::new());
        assert_eq!((kept.len(), kept.record_of(15)), (1, Some(200)));
    }
}
