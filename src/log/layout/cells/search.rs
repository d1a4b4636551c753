//! Finds the value that completes the commit of a record.
//!
//! What values begin with never decreases from one cell to the next, so a tree is found by its
//! name, a leaf by a binary search, and a cell by looking. Walks go on from the value that was
//! found last. A leaf that cannot be read is passed over, and reported only where the record may be
//! in it.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::leaf::{CELLS, LeafPlace, LeafValues};
use super::trees::{FrameTree, FrameTrees};
use super::value::{self, CellPlace};
use crate::log::database::StoredValue;
use crate::log::error::LogError;
use crate::model::Seq;

/// Leaves in which a walk looks for the next commit before it is searched for.
const NEAR: usize = 64;
/// Walks that are known at a time.
const WALKS: usize = 16;

/// A value that completes a commit.
#[derive(Clone, Debug)]
pub(super) struct FoundCommit {
    pub place: CellPlace,
    pub value: StoredValue,
}

impl FoundCommit {
    fn holds(&self, seq: Seq) -> bool {
        value::covers(&self.value).is_some_and(|(first, last)| (first..=last).contains(&seq))
    }
}

/// Where a walk is: at a commit, and the records that it holds.
#[derive(Clone, Copy, Debug)]
struct WalkPlace {
    place: CellPlace,
    first: Seq,
    last: Seq,
}

impl WalkPlace {
    fn is_beside(&self, seq: Seq) -> bool {
        self.last.checked_add(1) == Some(seq) || seq.checked_add(1) == Some(self.first)
    }
}

/// Searches the trees of a segment.
#[derive(Default)]
pub(super) struct CommitSearch {
    /// The walk that went on last is the last.
    walks: Mutex<VecDeque<WalkPlace>>,
}

/// The result of searching one tree.
struct TreeSearch {
    /// The last readable leaf that begins with the record or one before it.
    leaf: Option<u16>,
    /// Why the leaf behind that one cannot be read.
    damage: Option<LogError>,
}

impl CommitSearch {
    /// The last commit that begins at `seq` or before it.
    pub fn at_or_before(
        &self,
        trees: &FrameTrees,
        seq: Seq,
    ) -> Result<Option<FoundCommit>, LogError> {
        let beside = self.walk_beside(seq);
        let kept = trees.cache().commit_of(seq);
        let found = match kept {
            Some((place, value)) => Some(FoundCommit { place, value }),
            None => match beside.and_then(|walk| near(trees, walk, seq)) {
                Some(found) => Some(found),
                None => search(trees, seq)?,
            },
        };

        if let Some(found) = &found {
            self.remember(found);
        }
        Ok(found)
    }

    /// Takes out the walk of which this record is the next one, in either direction.
    fn walk_beside(&self, seq: Seq) -> Option<WalkPlace> {
        let mut walks = self.walks();
        let at = walks.iter().rposition(|walk| walk.is_beside(seq))?;
        walks.remove(at)
    }

    fn remember(&self, found: &FoundCommit) {
        let Some((first, last)) = value::covers(&found.value) else { return };
        let walk = WalkPlace { place: found.place, first, last };

        let mut walks = self.walks();
        walks.retain(|other| other.place != walk.place);
        if walks.len() >= WALKS {
            walks.pop_front();
        }
        walks.push_back(walk);
    }

    /// Forgets all walks: something was changed.
    pub fn forget(&self) {
        self.walks().clear();
    }

    fn walks(&self) -> MutexGuard<'_, VecDeque<WalkPlace>> {
        self.walks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The commit of this record, which lies beside the place of a walk.
fn near(trees: &FrameTrees, walk: WalkPlace, seq: Seq) -> Option<FoundCommit> {
    let found = if seq > walk.last {
        commit_behind(trees, Some(walk.place), NEAR)
    } else {
        commit_before(trees, walk.place, NEAR)
    };

    // What cannot be read here is found by the search, and reported.
    found.ok().flatten().filter(|found| found.holds(seq))
}

fn search(trees: &FrameTrees, seq: Seq) -> Result<Option<FoundCommit>, LogError> {
    let mut tree = trees.last_from(seq);
    while let Some(searched) = tree {
        let TreeSearch { leaf, damage } = search_tree(trees, &searched, seq)?;
        let found = match leaf {
            Some(leaf) => last_in(trees, LeafPlace { tree: searched.number, leaf }, seq)?,
            None => None,
        };

        match (found, damage) {
            (Some(found), _) if found.holds(seq) => return Ok(Some(found)),
            (_, Some(error)) => return Err(error),
            (Some(found), None) => return Ok(Some(found)),
            (None, None) => tree = trees.before(searched.number),
        }
    }
    Ok(None)
}

/// Looks for the last leaf that begins at `seq` or before it.
fn search_tree(trees: &FrameTrees, tree: &FrameTree, seq: Seq) -> Result<TreeSearch, LogError> {
    let (mut low, mut high) = (0, trees.leaves(tree)?);
    let (mut leaf, mut damaged) = (None, None);

    while low < high {
        let middle = low + (high - low) / 2;
        let mut readable = None;
        for at in middle..high {
            match trees.leaf(LeafPlace { tree: tree.number, leaf: at }) {
                Ok(found) => {
                    readable = Some((at, found));
                    break;
                }
                Err(error) if error.is_damage() => {
                    // The one that matters is the first, where the search ends.
                    if at == middle {
                        damaged = Some((at, error));
                    }
                }
                Err(error) => return Err(error),
            }
        }

        match readable {
            Some((at, values)) if values.begins().is_some_and(|begins| begins <= seq) => {
                leaf = Some(at);
                low = at + 1;
            }
            _ => high = middle,
        }
    }

    let behind = leaf.map_or(0, |leaf| leaf + 1);
    let damage = damaged.filter(|(at, _)| *at == behind).map(|(_, error)| error);
    Ok(TreeSearch { leaf, damage })
}

/// The last commit that begins at `seq` or before it, in this leaf or in one before it.
fn last_in(trees: &FrameTrees, from: LeafPlace, seq: Seq) -> Result<Option<FoundCommit>, LogError> {
    let mut at = Some(from);
    while let Some(place) = at {
        let leaf = trees.leaf(place)?;
        let is_wanted = |value: &StoredValue| {
            value::is_commit(value) && value::begins(value).is_some_and(|begins| begins <= seq)
        };
        if let Some((cell, value)) = leaf.iter().rfind(|(_, value)| is_wanted(value)) {
            return Ok(Some(found(place, cell, value)));
        }
        at = trees.leaf_before(place)?;
    }
    Ok(None)
}

fn found(at: LeafPlace, cell: u16, value: &StoredValue) -> FoundCommit {
    FoundCommit { place: CellPlace { tree: at.tree, cell }, value: value.clone() }
}

/// The first commit behind a place, in so many leaves; without a place, the first of all.
pub(super) fn commit_behind(
    trees: &FrameTrees,
    place: Option<CellPlace>,
    leaves: usize,
) -> Result<Option<FoundCommit>, LogError> {
    let mut at = place.map(LeafPlace::of).or_else(|| trees.first_leaf());
    for _ in 0..leaves {
        let Some(leaf) = at else { break };
        let is_behind = |cell: u16| place.is_none_or(|p| CellPlace { tree: leaf.tree, cell } > p);

        let values = trees.leaf(leaf)?;
        let next = values.iter().find(|(cell, value)| is_behind(*cell) && value::is_commit(value));
        if let Some((cell, value)) = next {
            return Ok(Some(found(leaf, cell, value)));
        }
        at = trees.leaf_behind(leaf)?;
    }
    Ok(None)
}

/// The last commit before a place, in so many leaves.
fn commit_before(
    trees: &FrameTrees,
    place: CellPlace,
    leaves: usize,
) -> Result<Option<FoundCommit>, LogError> {
    let mut at = Some(LeafPlace::of(place));
    for _ in 0..leaves {
        let Some(leaf) = at else { break };
        let is_before = |cell: u16| CellPlace { tree: leaf.tree, cell } < place;

        let values = trees.leaf(leaf)?;
        let before =
            values.iter().rfind(|(cell, value)| is_before(*cell) && value::is_commit(value));
        if let Some((cell, value)) = before {
            return Ok(Some(found(leaf, cell, value)));
        }
        at = trees.leaf_before(leaf)?;
    }
    Ok(None)
}

/// The values from a place on, as long as the leaves that hold them can be read.
pub(super) struct ValuesFrom<'a> {
    trees: &'a FrameTrees,
    from: CellPlace,
    leaf: Option<(LeafPlace, Arc<LeafValues>)>,
}

impl<'a> ValuesFrom<'a> {
    pub fn new(trees: &'a FrameTrees, from: CellPlace) -> Self {
        Self { trees, from, leaf: None }
    }

    /// The next value.
    pub fn next(&mut self) -> Result<Option<StoredValue>, LogError> {
        loop {
            let (at, values) = match self.leaf.take() {
                Some(leaf) => leaf,
                None => {
                    let at = LeafPlace::of(self.from);
                    (at, self.trees.leaf(at)?)
                }
            };

            let next = values.iter().find(|(cell, _)| *cell >= self.from.cell);
            if let Some((cell, value)) = next {
                let value = value.clone();
                self.from.cell = cell + 1;
                self.leaf = Some((at, values)).filter(|_| LeafPlace::of(self.from) == at);
                return Ok(Some(value));
            }
            if !self.move_behind(at)? {
                return Ok(None);
            }
        }
    }

    /// Goes on with the next leaf. Returns whether there is one.
    fn move_behind(&mut self, at: LeafPlace) -> Result<bool, LogError> {
        let next = self.trees.leaf_behind(at)?;
        if let Some(next) = next {
            self.from = CellPlace { tree: next.tree, cell: next.leaf * CELLS };
        }
        Ok(next.is_some())
    }
}
