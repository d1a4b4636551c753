//! Finds the value that completes the commit of a record.
//!
//! What values begin with does not decrease from one cell to the next, as they are written. So a
//! tree is found by its name (the last one in which the record may begin), a leaf by a binary
//! search, and a cell by looking. Walks go on from the value that was found last. A leaf that holds
//! nothing, or that cannot be read, is passed over; why it cannot be read is reported only where
//! the record may be in it.
//!
//! Nothing checks what a value begins with, and one that says something wrong misleads the search.
//! So where the search does not lead to the record, what lies around is looked at.

use std::collections::VecDeque;
use std::ops::Range;
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
/// Leaves that cannot be read over which the look around a place goes.
const UNREADABLE: usize = 16;

/// A value that completes a commit.
#[derive(Clone, Debug)]
pub(super) struct FoundCommit {
    pub place: CellPlace,
    pub value: StoredValue,
}

impl FoundCommit {
    fn new(at: LeafPlace, cell: u16, value: &StoredValue) -> Self {
        Self { place: CellPlace { tree: at.tree, cell }, value: value.clone() }
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
    #[cfg(test)]
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
    found.ok().flatten().filter(|found| value::holds(&found.value, seq))
}

fn search(trees: &FrameTrees, seq: Seq) -> Result<Option<FoundCommit>, LogError> {
    let (nearest, damage) = nearest(trees, seq);
    if nearest.as_ref().is_some_and(|found| value::holds(&found.value, seq)) {
        return Ok(nearest);
    }

    let from = nearest.as_ref().map(|found| found.place);
    let mut best = nearest;
    for way in [Way::Behind, Way::Before] {
        let found = look_around(trees, from, way, seq);
        if found.as_ref().is_some_and(|found| value::holds(&found.value, seq)) {
            return Ok(found);
        }
        let begins = |found: &Option<FoundCommit>| {
            found.as_ref().and_then(|found| value::begins(&found.value))
        };
        if begins(&found) > begins(&best) {
            best = found;
        }
    }
    damage.map_or(Ok(best), Err)
}

/// The last commit that begins at `seq` or before it, as far as the order of the values is right;
/// and why a leaf cannot be read in which a later one may be.
fn nearest(trees: &FrameTrees, seq: Seq) -> (Option<FoundCommit>, Option<LogError>) {
    let mut tree = trees.last_from(seq);
    while let Some(searched) = tree {
        let leaf = last_leaf(trees, &searched, seq);
        let at = leaf.map(|leaf| LeafPlace { tree: searched.number, leaf });
        let found = match at.map_or(Ok(None), |at| last_in(trees, at, seq)) {
            Ok(found) => found,
            Err(error) => return (None, Some(error)),
        };
        if found.as_ref().is_some_and(|found| value::holds(&found.value, seq)) {
            return (found, None);
        }

        let damage = damage_from(trees, &searched, leaf.map_or(0, |leaf| leaf + 1));
        if found.is_some() || damage.is_some() {
            return (found, damage);
        }
        tree = trees.before(searched.number);
    }
    (None, None)
}

/// The last leaf of a tree that begins with `seq` or with a record before it.
fn last_leaf(trees: &FrameTrees, tree: &FrameTree, seq: Seq) -> Option<u16> {
    let (mut low, mut high) = (0, trees.leaves(tree));
    let mut last = None;
    while low < high {
        let middle = low + (high - low) / 2;
        match first_filled(trees, tree, middle..high) {
            Some((leaf, begins)) if begins <= seq => {
                last = Some(leaf);
                low = leaf + 1;
            }
            _ => high = middle,
        }
    }
    last
}

/// The first of these leaves that can be read and holds something, and what it begins with.
fn first_filled(
    trees: &FrameTrees,
    tree: &FrameTree,
    mut leaves: Range<u16>,
) -> Option<(u16, Seq)> {
    leaves.find_map(|leaf| {
        let values = trees.leaf(LeafPlace { tree: tree.number, leaf }).ok()?;
        Some((leaf, values.begins()?))
    })
}

/// Why a leaf cannot be read, of those from this one to the next that holds something.
fn damage_from(trees: &FrameTrees, tree: &FrameTree, from: u16) -> Option<LogError> {
    for leaf in from..trees.leaves(tree) {
        match trees.leaf(LeafPlace { tree: tree.number, leaf }) {
            Ok(values) if values.is_empty() => {}
            Ok(_) => return None,
            Err(error) => return Some(error),
        }
    }
    None
}

/// The last commit that begins at `seq` or before it, in this leaf or in one before it.
fn last_in(trees: &FrameTrees, from: LeafPlace, seq: Seq) -> Result<Option<FoundCommit>, LogError> {
    let mut at = Some(from);
    while let Some(place) = at {
        if let Some((cell, value)) = trees.leaf(place)?.last_from(seq) {
            return Ok(Some(FoundCommit::new(place, cell, value)));
        }
        at = trees.leaf_before(place);
    }
    Ok(None)
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    Behind,
    Before,
}

/// The commit that holds the record, looked for one by one from a place on; or else, of those that
/// were looked at, the one that begins last before the record. Ends at the second commit that
/// belongs on the other side of the record.
fn look_around(
    trees: &FrameTrees,
    from: Option<CellPlace>,
    way: Way,
    seq: Seq,
) -> Option<FoundCommit> {
    let mut best: Option<(Seq, FoundCommit)> = None;
    let (mut too_far, mut unreadable) = (0, 0);

    let mut at = from.map(LeafPlace::of).or_else(|| trees.first_leaf());
    while let Some(leaf) = at.filter(|_| unreadable < UNREADABLE) {
        let values = trees.leaf(leaf).ok();
        unreadable += usize::from(values.is_none());

        let commits = values.iter().flat_map(|values| values.commits());
        let mut commits: Vec<_> = commits
            .filter(|(cell, _)| {
                let place = CellPlace { tree: leaf.tree, cell: *cell };
                from.is_none_or(|from| if way == Way::Behind { place > from } else { place < from })
            })
            .collect();
        if way == Way::Before {
            commits.reverse();
        }

        for (cell, value) in commits {
            let begins = value::begins(value).unwrap_or_default();
            if value::holds(value, seq) {
                return Some(FoundCommit::new(leaf, cell, value));
            }
            if begins <= seq && best.as_ref().is_none_or(|(best, _)| *best < begins) {
                best = Some((begins, FoundCommit::new(leaf, cell, value)));
            }
            too_far += usize::from((begins > seq) == (way == Way::Behind));
            if too_far == 2 {
                return best.map(|(_, found)| found);
            }
        }
        at = if way == Way::Behind { trees.leaf_behind(leaf) } else { trees.leaf_before(leaf) };
    }
    best.map(|(_, found)| found)
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
        let next = values.commits().find(|(cell, _)| is_behind(*cell));
        if let Some((cell, value)) = next {
            return Ok(Some(FoundCommit::new(leaf, cell, value)));
        }
        at = trees.leaf_behind(leaf);
    }
    Ok(None)
}

/// The record that the next commit behind `seq` begins with, over leaves that cannot be read. The
/// first commit may say something wrong of itself, so of two or more the smallest number counts.
pub(super) fn readable_behind(trees: &FrameTrees, seq: Seq) -> Result<Option<Seq>, LogError> {
    let from = trees.last_from(seq).map(|tree| {
        let leaf = last_leaf(trees, &tree, seq).unwrap_or(0);
        LeafPlace { tree: tree.number, leaf }
    });

    let mut found: Vec<Seq> = Vec::new();
    let mut at = from.or_else(|| trees.first_leaf());
    while let Some(leaf) = at.filter(|_| found.len() < 2) {
        match trees.leaf(leaf) {
            Ok(values) => {
                let begins = values.commits().filter_map(|(_, value)| value::begins(value));
                found.extend(begins.filter(|begins| *begins > seq));
            }
            Err(error) if error.is_damage() => {}
            Err(error) => return Err(error),
        }
        at = trees.leaf_behind(leaf);
    }
    Ok(found.into_iter().min())
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
        let before = values.commits().rfind(|(cell, _)| is_before(*cell));
        if let Some((cell, value)) = before {
            return Ok(Some(FoundCommit::new(leaf, cell, value)));
        }
        at = trees.leaf_before(leaf);
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
            if !self.move_behind(at) {
                return Ok(None);
            }
        }
    }

    /// Goes on with the next leaf. Returns whether there is one.
    fn move_behind(&mut self, at: LeafPlace) -> bool {
        let next = self.trees.leaf_behind(at);
        if let Some(next) = next {
            self.from = CellPlace { tree: next.tree, cell: next.leaf * CELLS };
        }
        next.is_some()
    }
}
