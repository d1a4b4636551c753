//! The trees of frames of an open segment, and their leaves.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU16, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use super::leaf::{self, CELLS, LeafCache, LeafPlace, LeafValues};
use super::names::TreeName;
use crate::log::database::{Database, Tree};
use crate::log::error::LogError;
use crate::model::{Seq, limits};

/// Leaves that a tree has at least.
const LEAVES: usize = 16;
/// Shards of sled's cache. As many trees as have a leaf for each of them clear it.
const SHARDS: usize = 256;
/// Leaves that a shard may keep of a segment that is read through: of 16 KiB, so 8 MiB in all.
const KEPT_LEAVES: usize = 2;
/// Leaves of a tree when there are too many trees: fewer than there are cells.
const LEAVES_AT_MOST: u16 = u16::MAX / CELLS - 4;

/// A tree of frames.
pub(super) struct FrameTree {
    pub number: u16,
    /// The first record that may begin in it.
    pub from: Seq,
    pub tree: Arc<Tree>,
    /// Leaves that have been begun; 0 when that is not known yet.
    leaves: AtomicU16,
    /// This process is writing its last leaf.
    grows: AtomicBool,
}

impl FrameTree {
    /// Marks a cell of it as written.
    pub fn written(&self, cell: u16) {
        self.leaves.fetch_max(cell / CELLS + 1, Ordering::AcqRel);
    }
}

/// All trees of frames, by their numbers.
pub(super) struct FrameTrees {
    database: Arc<Database>,
    /// The first record of the segment.
    first: Seq,
    trees: RwLock<BTreeMap<u16, Arc<FrameTree>>>,
    cache: Mutex<LeafCache>,
    /// They are being read once, from the first to the last.
    reading_through: AtomicBool,
}

impl FrameTrees {
    /// Those that there are. Reads their names, and no leaf.
    pub fn open(database: &Arc<Database>, first: Seq) -> Result<Self, LogError> {
        let mut trees = BTreeMap::new();
        for name in database.tree_names() {
            let Some(TreeName::Frames { number, offset }) = TreeName::read(&name) else { continue };
            let tree = FrameTree {
                number,
                from: first.saturating_add(u64::from(offset)),
                tree: Arc::new(database.tree(&name)?),
                leaves: AtomicU16::new(0),
                grows: AtomicBool::new(false),
            };
            trees.insert(number, Arc::new(tree));
        }

        let (database, trees) = (database.clone(), RwLock::new(trees));
        let (cache, reading_through) = (Mutex::default(), AtomicBool::new(false));
        Ok(Self { database, first, trees, cache, reading_through })
    }

    pub fn set_reading_through(&self, is_reading: bool) {
        self.reading_through.store(is_reading, Ordering::Relaxed);
    }

    pub fn count(&self) -> usize {
        self.map().len()
    }

    /// Begins a tree for what begins at `from` or behind it.
    pub fn begin(&self, from: Seq) -> Result<Arc<FrameTree>, LogError> {
        let last = self.last();
        let number = last.as_ref().map_or(Some(0), |tree| tree.number.checked_add(1));
        let number = number.ok_or_else(|| self.database.too_many_trees())?;

        let offset = u32::try_from(from.saturating_sub(self.first)).unwrap_or(u32::MAX);
        let tree = self.database.tree(&TreeName::Frames { number, offset }.to_bytes())?;
        let tree = Arc::new(FrameTree {
            number,
            from,
            tree: Arc::new(tree),
            leaves: AtomicU16::new(1),
            grows: AtomicBool::new(true),
        });
        self.trees.write().unwrap_or_else(PoisonError::into_inner).insert(number, tree.clone());
        if let Some(last) = last {
            last.grows.store(false, Ordering::Release);
        }
        Ok(tree)
    }

    /// Marks the last tree as one that is written on. Returns the last cell that was prepared, and
    /// the first leaf behind all that hold something.
    pub fn go_on(&self, tree: &FrameTree) -> Result<(u16, u16), LogError> {
        let last = self.database.last_key(&tree.tree)?.unwrap_or(0);
        let mut empty = last / CELLS + 1;
        while let Some(leaf) = empty.checked_sub(1)
            && self.leaf(LeafPlace { tree: tree.number, leaf })?.is_empty()
        {
            empty = leaf;
        }

        // What was prepared behind it is empty, and counts when it is written.
        tree.leaves.store(empty + 1, Ordering::Release);
        tree.grows.store(true, Ordering::Release);
        self.forget();
        Ok((last, empty))
    }

    /// Leaves that the next tree may have: more as there are more trees, so that the list of trees
    /// and the trees' own indexes, which sled writes anew each time, take about as much.
    pub fn most_leaves(&self) -> u16 {
        let trees = self.count();
        if trees >= limits::CROWDED_TREES {
            return LEAVES_AT_MOST;
        }
        u16::try_from((3 * trees).isqrt().max(LEAVES)).unwrap_or(LEAVES_AT_MOST)
    }

    pub fn get(&self, number: u16) -> Option<Arc<FrameTree>> {
        self.map().get(&number).cloned()
    }

    pub fn last(&self) -> Option<Arc<FrameTree>> {
        self.map().values().next_back().cloned()
    }

    /// The last tree in which this record may begin.
    pub fn last_from(&self, seq: Seq) -> Option<Arc<FrameTree>> {
        self.map().values().rev().find(|tree| tree.from <= seq).cloned()
    }

    pub fn before(&self, number: u16) -> Option<Arc<FrameTree>> {
        self.map().range(..number).next_back().map(|(_, tree)| tree.clone())
    }

    fn behind(&self, number: u16) -> Option<Arc<FrameTree>> {
        self.map().range(number.checked_add(1)?..).next().map(|(_, tree)| tree.clone())
    }

    fn map(&self) -> std::sync::RwLockReadGuard<'_, BTreeMap<u16, Arc<FrameTree>>> {
        self.trees.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Leaves of a tree in which there may be values.
    pub fn leaves(&self, tree: &FrameTree) -> u16 {
        let known = tree.leaves.load(Ordering::Acquire);
        if known > 0 {
            return known;
        }
        let Ok(last) = self.database.last_key(&tree.tree) else {
            return self.leaves_before_damage(tree);
        };

        // Whoever writes the tree may have been faster, and knows better.
        let leaves = last.map_or(1, |cell| cell / CELLS + 1);
        let kept = tree.leaves.compare_exchange(0, leaves, Ordering::AcqRel, Ordering::Acquire);
        kept.map_or_else(|known| known, |_| leaves)
    }

    /// The same when the tree's last leaf cannot be read: those up to that one.
    fn leaves_before_damage(&self, tree: &FrameTree) -> u16 {
        let (mut low, mut high) = (0, LEAVES_AT_MOST);
        while low < high {
            let middle = low + (high - low) / 2;
            let cell = middle * CELLS;
            match self.database.entries(&tree.tree, cell..=cell + CELLS - 1) {
                Ok(entries) if !entries.is_empty() => low = middle + 1,
                _ => high = middle,
            }
        }
        low + 1
    }

    pub fn first_leaf(&self) -> Option<LeafPlace> {
        let number = self.map().keys().next().copied()?;
        Some(LeafPlace { tree: number, leaf: 0 })
    }

    pub fn leaf_behind(&self, at: LeafPlace) -> Option<LeafPlace> {
        let leaves = self.get(at.tree).map_or(0, |tree| self.leaves(&tree));
        if at.leaf + 1 < leaves {
            return Some(LeafPlace { leaf: at.leaf + 1, ..at });
        }
        self.behind(at.tree).map(|tree| LeafPlace { tree: tree.number, leaf: 0 })
    }

    pub fn leaf_before(&self, at: LeafPlace) -> Option<LeafPlace> {
        if let Some(leaf) = at.leaf.checked_sub(1) {
            return Some(LeafPlace { leaf, ..at });
        }
        let tree = self.before(at.tree)?;
        Some(LeafPlace { tree: tree.number, leaf: self.leaves(&tree) - 1 })
    }

    /// The values of a leaf.
    pub fn leaf(&self, at: LeafPlace) -> Result<Arc<LeafValues>, LogError> {
        let (kept, cleared) = self.cache().get(at);
        if let Some(kept) = kept {
            return Ok(kept);
        }
        let Some(tree) = self.get(at.tree) else { return Ok(Arc::new(LeafValues::new(vec![]))) };

        // What is written into it later must not be missed.
        let grows = tree.grows.load(Ordering::Acquire)
            && at.leaf + 1 >= tree.leaves.load(Ordering::Acquire);
        let cell = at.leaf * CELLS;
        let entries = self.database.entries(&tree.tree, cell..=cell + CELLS - 1)?;
        let leaf = Arc::new(LeafValues::new(entries));
        if !grows {
            self.database.access(&tree.tree, cell, self.accesses(&tree, leaf.bytes()))?;
            self.cache().keep(at, &leaf, cleared);
        }
        Ok(leaf)
    }

    /// How often a leaf of so many bytes is to be accessed. Of a segment that is read through, sled
    /// may keep a few leaves more, until the last trees make it let go of them: a start is quicker
    /// so.
    fn accesses(&self, tree: &FrameTree, bytes: usize) -> usize {
        let accesses = leaf::accesses(bytes);
        let is_at_the_end = || {
            let last = self.last().map_or(0, |last| last.number);
            usize::from(last.saturating_sub(tree.number)) < SHARDS / LEAVES
        };
        if self.reading_through.load(Ordering::Relaxed) && !is_at_the_end() {
            return accesses.div_ceil(KEPT_LEAVES);
        }
        accesses
    }

    /// Forgets the leaves that are kept: one of them was changed.
    pub fn forget(&self) {
        self.cache().clear();
    }

    pub fn cache(&self) -> MutexGuard<'_, LeafCache> {
        self.cache.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
