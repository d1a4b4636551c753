//! What is written ahead of its commit, in trees of its own: the blocks of a large body, some at a
//! time, between the commits of others.
//!
//! Until a commit names them they are nothing, and nothing removes them when no commit ever does:
//! they are gone with their segment. So no number of a tree is used twice.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::fill::TreeFill;
use super::leaf::{self, CELLS};
use super::names::TreeName;
use super::value::{PART_BYTES, PayloadPart, PlacedAhead};
use crate::log::database::Database;
use crate::log::error::LogError;
use crate::log::lazy_timers::LazyTimers;

/// Leaves of a tree.
const LEAVES: u16 = 64;

/// Writes bytes ahead of their commit.
pub(in crate::log) struct AheadWriter {
    database: Arc<Database>,
    /// The number of its first tree, and of the next one.
    first: u16,
    next: u16,
    /// The tree that is being filled.
    fill: Option<TreeFill>,
    parts: u32,
    written: usize,
    /// The beginning of the next part.
    rest: Vec<u8>,
}

impl AheadWriter {
    /// Begins behind all trees that there are.
    pub fn new(database: Arc<Database>) -> Self {
        let first = numbers(&database).last().map_or(0, |last| last.saturating_add(1));
        let rest = Vec::with_capacity(PART_BYTES);
        Self { database, first, next: first, fill: None, parts: 0, written: 0, rest }
    }

    /// Writes the next bytes; durable only after a sync.
    pub fn write(&mut self, mut bytes: &[u8]) -> Result<(), LogError> {
        let _timers = LazyTimers::begin();
        self.written += bytes.len();
        while self.rest.len() + bytes.len() >= PART_BYTES {
            let (now, later) = bytes.split_at(PART_BYTES - self.rest.len());
            self.rest.extend_from_slice(now);
            self.put()?;
            bytes = later;
        }
        self.rest.extend_from_slice(bytes);
        Ok(())
    }

    /// Writes what is left. Returns where all of it is; `None` when it has no place.
    pub fn finish(mut self) -> Result<Option<PlacedAhead>, LogError> {
        let _timers = LazyTimers::begin();
        if !self.rest.is_empty() {
            self.put()?;
        }
        let bytes = u32::try_from(self.written).ok().filter(|_| self.next > self.first);
        Ok(bytes.map(|bytes| PlacedAhead { tree: self.first, bytes }))
    }

    /// Writes a part.
    fn put(&mut self) -> Result<(), LogError> {
        let (of, number) = (PlacedAhead::of(self.first), self.parts);
        let value = PayloadPart { of, number, bytes: &self.rest }.to_value();
        let mut open = match self.fill.take().filter(|fill| fill.fits(value.len())) {
            Some(fill) => fill,
            None => self.begin_tree()?,
        };
        open.put(&self.database, &value)?;
        self.fill = Some(open);
        self.parts += 1;
        self.rest.clear();
        Ok(())
    }

    fn begin_tree(&mut self) -> Result<TreeFill, LogError> {
        let number = self.next;
        self.next = number.checked_add(1).ok_or_else(|| self.database.too_many_trees())?;
        let tree = self.database.tree(&TreeName::Ahead { number }.to_bytes())?;
        Ok(TreeFill::new(Arc::new(tree), LEAVES))
    }
}

/// The numbers of the trees that there are.
fn numbers(database: &Database) -> BTreeSet<u16> {
    let number = |name: Vec<u8>| match TreeName::read(&name) {
        Some(TreeName::Ahead { number }) => Some(number),
        _ => None,
    };
    database.tree_names().into_iter().filter_map(number).collect()
}

/// Appends what was written ahead, as far as its parts are there and can be read.
pub(super) fn read_ahead(
    database: &Database,
    placed: PlacedAhead,
    out: &mut Vec<u8>,
) -> Result<(), LogError> {
    let trees = numbers(database);
    let (mut next, end) = (0, placed.parts());

    for number in trees.range(placed.tree..) {
        let tree = database.tree(&TreeName::Ahead { number: *number }.to_bytes())?;
        let mut leaf = 0;
        while next < end && leaf < LEAVES {
            let cell = leaf * CELLS;
            let entries = match database.entries(&tree, cell..=cell + CELLS - 1) {
                // Only this frame is damaged, whatever the store makes of it.
                Err(error) if error.is_damage() => return Ok(()),
                entries => entries?,
            };
            let bytes = entries.iter().map(|(_, value)| value.len()).sum();
            database.access(&tree, cell, leaf::accesses(bytes))?;

            for (_, value) in entries.iter().filter(|(_, value)| !value.is_empty()) {
                let part = PayloadPart::read(value);
                let wanted = (PlacedAhead::of(placed.tree), next);
                let part = part.filter(|part| next < end && (part.of, part.number) == wanted);
                let Some(part) = part else { return Ok(()) };
                out.extend_from_slice(part.bytes);
                next += 1;
            }
            leaf += 1;
        }
        if next >= end {
            break;
        }
    }
    Ok(())
}
