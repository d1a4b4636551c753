//! Fills a tree: cells are prepared empty, and then written once each.
//!
//! Before the first cell of a leaf is written, there are empty ones up to the 17th: sled splits the
//! leaf then, while it holds nothing, and its nine cells are written into a leaf that is never
//! split again. A leaf is left before it holds more than `limits::LEAF` bytes.

use std::sync::Arc;

use super::leaf::{self, CELLS, CELLS_AHEAD};
use crate::log::database::{Database, Tree};
use crate::log::error::LogError;
use crate::model::limits;

/// Accesses of a leaf that preparing and writing it takes, about.
const ACCESSES_OF_FILLING: usize = 24;

pub(super) struct TreeFill {
    tree: Arc<Tree>,
    /// Leaves that may be begun.
    most_leaves: u16,
    /// The next cell, and the first one that is not prepared.
    next: u16,
    prepared: u16,
    /// Bytes of the values in the leaf that is being written.
    bytes: usize,
}

impl TreeFill {
    /// Fills a new tree.
    pub fn new(tree: Arc<Tree>, most_leaves: u16) -> Self {
        Self { tree, most_leaves, next: 0, prepared: 0, bytes: 0 }
    }

    /// Goes on with the leaf `leaf` of a tree, the first one behind all that hold something; `last`
    /// is the last cell that was prepared. The first leaves may be split otherwise than those of a
    /// new tree, so sled may write them more than once.
    pub fn go_on(tree: Arc<Tree>, most_leaves: u16, leaf: u16, last: u16) -> Self {
        let (next, prepared) = (leaf.saturating_mul(CELLS), last.saturating_add(1));
        Self { tree, most_leaves, next, prepared, bytes: 0 }
    }

    /// Whether a value of so many bytes has a cell in this tree.
    pub fn fits(&self, bytes: usize) -> bool {
        self.cell_for(bytes) / CELLS < self.most_leaves
    }

    fn cell_for(&self, bytes: usize) -> u16 {
        let begun = !self.next.is_multiple_of(CELLS);
        if begun && self.bytes + bytes > limits::LEAF {
            return self.next.next_multiple_of(CELLS);
        }
        self.next
    }

    /// Writes a value that fits. Returns its cell.
    pub fn put(&mut self, database: &Database, value: &[u8]) -> Result<u16, LogError> {
        let cell = self.cell_for(value.len());
        if cell.is_multiple_of(CELLS) {
            self.leave(database)?;
            self.prepare(database, cell + CELLS_AHEAD)?;
        }

        database.insert(&self.tree, cell, value)?;
        self.bytes += value.len();
        self.next = cell + 1;
        Ok(cell)
    }

    fn prepare(&mut self, database: &Database, upto: u16) -> Result<(), LogError> {
        while self.prepared < upto {
            database.insert(&self.tree, self.prepared, &[])?;
            self.prepared += 1;
        }
        Ok(())
    }

    /// Lets the leaf that was written leave sled's cache.
    fn leave(&mut self, database: &Database) -> Result<(), LogError> {
        let bytes = std::mem::take(&mut self.bytes);
        let times = leaf::accesses(bytes).saturating_sub(ACCESSES_OF_FILLING);
        let last = self.next.saturating_sub(1);
        database.access(&self.tree, last, times)
    }
}
