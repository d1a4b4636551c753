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

    pub fn bytes(&self) -> usize {
        self.0.iter().map(|(_, value)| value.len()).sum()
    }

    /// The record that its first value begins with.
    pub fn begins(&self) -> Option<Seq> {
        self.iter().find_map(|(_, value)| value::begins(value))
    }

    /// The cell that completes the commit of this record.
    fn commit_of(&self, seq: Seq) -> Option<(u16, &StoredValue)> {
        let holds = |value: &StoredValue| {
            value::covers(value).is_some_and(|(first, last)| (first..=last).contains(&seq))
        };
        self.iter().find(|(_, value)| holds(value))
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
}

impl LeafCache {
    pub fn get(&self, at: LeafPlace) -> Option<Arc<LeafValues>> {
        let found = self.leaves.iter().rev().find(|(place, _)| *place == at);
        found.map(|(_, leaf)| leaf.clone())
    }

    /// The commit of this record, when its leaf is kept.
    pub fn commit_of(&self, seq: Seq) -> Option<(CellPlace, StoredValue)> {
        self.leaves.iter().rev().find_map(|(at, leaf)| {
            let (cell, value) = leaf.commit_of(seq)?;
            Some((CellPlace { tree: at.tree, cell }, value.clone()))
        })
    }

    pub fn keep(&mut self, at: LeafPlace, leaf: &Arc<LeafValues>) {
        self.bytes += leaf.bytes();
        self.leaves.push_back((at, leaf.clone()));
        while self.leaves.len() > KEPT || self.bytes > KEPT_BYTES {
            let Some((_, gone)) = self.leaves.pop_front() else { break };
            self.bytes -= gone.bytes();
        }
    }

    pub fn clear(&mut self) {
        (self.leaves, self.bytes) = (VecDeque::new(), 0);
    }
}
