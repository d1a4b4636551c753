//! The leaves of the trees, and those that are kept after they were read.

use std::collections::VecDeque;
use std::sync::Arc;

use super::value;
use super::value::CellPlace;
use crate::log::database::StoredValue;
use crate::model::{Seq, limits};

/// Cells of a leaf. sled splits a leaf of 17 keys after the ninth, and writes one anew when its
/// eleventh part comes: the split leaf and nine values are ten.
pub(super) const CELLS: u16 = 9;
/// Keys that there are while a leaf is written: its own, and those that made sled split it off.
pub(super) const CELLS_AHEAD: u16 = 17;

/// Leaves that are kept, and the bytes of values in them.
const KEPT: usize = 64;
const KEPT_BYTES: usize = 512 << 10;

/// A leaf of a tree of frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct LeafPlace {
    pub tree: u16,
    pub leaf: u16,
}

impl LeafPlace {
    /// The leaf that a cell is in.
    pub fn of(place: CellPlace) -> Self {
        Self { tree: place.tree, leaf: place.cell / CELLS }
    }
}

/// The values of a leaf, without empty ones, ascending.
#[derive(Debug)]
pub(super) struct LeafValues(Vec<(u16, StoredValue)>);

impl LeafValues {
    pub fn new(entries: Vec<(u16, StoredValue)>) -> Self {
        Self(entries.into_iter().filter(|(_, value)| !value.is_empty()).collect())
    }

    pub fn iter(&self) -> impl DoubleEndedIterator<Item = (u16, &StoredValue)> {
        self.0.iter().map(|(cell, value)| (*cell, value))
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn bytes(&self) -> usize {
        self.0.iter().map(|(_, value)| value.len()).sum()
    }

    /// The record that its first value begins with; `None` when it holds nothing.
    pub fn begins(&self) -> Option<Seq> {
        self.iter().find_map(|(_, value)| value::begins(value))
    }

    /// The values that complete commits.
    pub fn commits(&self) -> impl DoubleEndedIterator<Item = (u16, &StoredValue)> {
        self.iter().filter(|(_, value)| value::is_commit(value))
    }

    /// The last commit that begins at `seq` or before it. One that does not begin behind the two in
    /// front of it is not in its place.
    pub fn last_from(&self, seq: Seq) -> Option<(u16, &StoredValue)> {
        let (mut last, mut front) = (None, [None; 2]);
        for (cell, value) in self.commits() {
            let begins = value::begins(value);
            let is_misplaced = front.iter().all(|front| *front >= begins);
            if !is_misplaced && begins.is_some_and(|begins| begins <= seq) {
                last = Some((cell, value));
            }
            front = [front[1], begins];
        }
        last
    }

    /// The cell that completes the commit of this record. The last commit of a leaf may say of
    /// itself that it ends behind where the next leaf begins: then it has to match its checksum.
    fn commit_of(&self, seq: Seq) -> Option<(u16, &StoredValue)> {
        let (cell, value) = self.last_from(seq).filter(|(_, value)| value::holds(value, seq))?;
        let is_certain = value::begins(value) == Some(seq)
            || self.commits().next_back().is_some_and(|(last, _)| last != cell)
            || value::is_whole(value);
        is_certain.then_some((cell, value))
    }
}

/// Accesses of a leaf of so many bytes that make sled's cache let go of others: it looks at a shard
/// after 64 accesses.
pub(super) fn accesses(bytes: usize) -> usize {
    (64 * bytes).div_ceil(limits::LEAF)
}

/// The leaves that were read last; the one read first is the first, and is removed first.
#[derive(Debug, Default)]
pub(super) struct LeafCache {
    leaves: VecDeque<(LeafPlace, Arc<LeafValues>)>,
    bytes: usize,
    /// How often it was cleared.
    cleared: u64,
}

impl LeafCache {
    /// The leaf, when it is kept, and how often the cache was cleared so far.
    pub fn get(&self, at: LeafPlace) -> (Option<Arc<LeafValues>>, u64) {
        let found = self.leaves.iter().rev().find(|(place, _)| *place == at);
        (found.map(|(_, leaf)| leaf.clone()), self.cleared)
    }

    /// The commit of this record, when its leaf is kept.
    pub fn commit_of(&self, seq: Seq) -> Option<(CellPlace, StoredValue)> {
        self.leaves.iter().rev().find_map(|(at, leaf)| {
            let (cell, value) = leaf.commit_of(seq)?;
            Some((CellPlace { tree: at.tree, cell }, value.clone()))
        })
    }

    /// Keeps a leaf that was read after [`Self::get`] said `cleared`, unless the cache was cleared
    /// since: it may be written, or changed.
    pub fn keep(&mut self, at: LeafPlace, leaf: &Arc<LeafValues>, cleared: u64) {
        if cleared != self.cleared {
            return;
        }
        self.bytes += leaf.bytes();
        self.leaves.push_back((at, leaf.clone()));
        while self.leaves.len() > KEPT || self.bytes > KEPT_BYTES {
            let Some((_, gone)) = self.leaves.pop_front() else { break };
            self.bytes -= gone.bytes();
        }
    }

    pub fn clear(&mut self) {
        (self.leaves, self.bytes) = (VecDeque::new(), 0);
        self.cleared += 1;
    }
}
