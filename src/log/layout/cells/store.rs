//! The cells of an open segment: values are added behind all others, and found.

use std::sync::{Arc, Mutex, PoisonError};

use super::fill::TreeFill;
use super::search::{self, CommitSearch, FoundCommit, ValuesFrom};
use super::trees::{FrameTree, FrameTrees};
use super::value::CellPlace;
use crate::log::database::Database;
use crate::log::error::LogError;
use crate::model::{Seq, limits};

pub(super) struct CellStore {
    database: Arc<Database>,
    trees: FrameTrees,
    search: CommitSearch,
    /// The tree that is being written, once something is.
    writing: Mutex<Option<WrittenTree>>,
}

/// A tree that is being written.
struct WrittenTree {
    tree: Arc<FrameTree>,
    fill: TreeFill,
}

impl CellStore {
    /// `first` is the first record of the segment.
    pub fn open(database: &Arc<Database>, first: Seq) -> Result<Self, LogError> {
        let trees = FrameTrees::open(database, first)?;
        let (search, writing) = (CommitSearch::default(), Mutex::default());
        Ok(Self { database: database.clone(), trees, search, writing })
    }

    pub fn set_reading_through(&self, is_reading: bool) {
        self.trees.set_reading_through(is_reading);
    }

    pub fn is_crowded(&self) -> bool {
        self.trees.count() >= limits::CROWDED_TREES
    }

    /// Adds a value that begins with this record. Returns where it is.
    pub fn put(&self, begins: Seq, value: &[u8]) -> Result<CellPlace, LogError> {
        let mut writing = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let mut written = match writing.take() {
            Some(written) if written.fill.fits(value.len()) => written,
            Some(_) => self.begin_tree(begins)?,
            None => self.first_tree(begins)?,
        };

        let cell = written.fill.put(&self.database, value)?;
        written.tree.written(cell);
        let place = CellPlace { tree: written.tree.number, cell };
        *writing = Some(written);
        Ok(place)
    }

    /// The first tree that this process writes.
    fn first_tree(&self, begins: Seq) -> Result<WrittenTree, LogError> {
        let last = self.trees.last().filter(|_| self.trees.count() >= limits::TREES);
        let Some(tree) = last else { return self.begin_tree(begins) };

        let (last, leaf) = self.trees.go_on(&tree)?;
        let fill = TreeFill::go_on(tree.tree.clone(), self.trees.most_leaves(), leaf, last);
        if fill.fits(limits::VALUE) {
            return Ok(WrittenTree { tree, fill });
        }
        self.begin_tree(begins)
    }

    fn begin_tree(&self, begins: Seq) -> Result<WrittenTree, LogError> {
        let most_leaves = self.trees.most_leaves();
        let tree = self.trees.begin(begins)?;
        let fill = TreeFill::new(tree.tree.clone(), most_leaves);
        Ok(WrittenTree { tree, fill })
    }

    /// Writes another value into a cell; none when it is empty.
    #[cfg(test)]
    pub fn replace(&self, place: CellPlace, value: &[u8]) -> Result<(), LogError> {
        if let Some(tree) = self.trees.get(place.tree) {
            self.database.insert(&tree.tree, place.cell, value)?;
        }
        self.trees.forget();
        self.search.forget();
        Ok(())
    }

    /// The last commit that begins at `seq` or before it.
    pub fn at_or_before(&self, seq: Seq) -> Result<Option<FoundCommit>, LogError> {
        self.search.at_or_before(&self.trees, seq)
    }

    /// The first commit behind a place; without a place, the first of all.
    pub fn behind(&self, place: Option<CellPlace>) -> Result<Option<FoundCommit>, LogError> {
        search::commit_behind(&self.trees, place, usize::MAX)
    }

    /// The record that the next commit behind `seq` begins with, over leaves that cannot be read.
    pub fn readable_behind(&self, seq: Seq) -> Result<Option<Seq>, LogError> {
        search::readable_behind(&self.trees, seq)
    }

    /// The values from a place on.
    pub fn values_from(&self, place: CellPlace) -> ValuesFrom<'_> {
        ValuesFrom::new(&self.trees, place)
    }
}
