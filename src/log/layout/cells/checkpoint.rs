//! The checkpoint, in trees of its own.

use std::sync::Arc;

use super::fill::TreeFill;
use super::leaf::{self, CELLS};
use super::names::TreeName;
use super::value::{CHECKPOINT, PART_BYTES, PayloadPart};
use crate::log::database::Database;
use crate::log::error::LogError;
use crate::log::lazy_timers::LazyTimers;

/// Leaves of a tree.
const LEAVES: u16 = 64;

/// Writes a checkpoint, all of it or some parts at a time.
pub(in crate::log) struct CheckpointWriter {
    database: Arc<Database>,
    /// The tree that is being filled.
    fill: Option<TreeFill>,
    trees: u16,
    /// Parts that have been written.
    parts: u32,
}

impl CheckpointWriter {
    pub fn new(database: Arc<Database>) -> Self {
        Self { database, fill: None, trees: 0, parts: 0 }
    }

    /// Writes the next parts of the checkpoint, of so many bytes together, and at least one;
    /// durable only after a sync. Returns how many of its bytes are written by now.
    pub fn write(&mut self, checkpoint: &[u8], bytes: usize) -> Result<usize, LogError> {
        let _timers = LazyTimers::begin();
        let written = self.written();
        let rest = checkpoint.get(written..).unwrap_or_default();

        for bytes in rest.chunks(PART_BYTES).take(bytes.div_ceil(PART_BYTES).max(1)) {
            let value = PayloadPart { of: CHECKPOINT, number: self.parts, bytes }.to_value();
            let mut open = match self.fill.take().filter(|fill| fill.fits(value.len())) {
                Some(fill) => fill,
                None => self.begin_tree()?,
            };
            open.put(&self.database, &value)?;
            self.fill = Some(open);
            self.parts += 1;
        }
        Ok(self.written().min(checkpoint.len()))
    }

    fn written(&self) -> usize {
        (self.parts as usize).saturating_mul(PART_BYTES)
    }

    fn begin_tree(&mut self) -> Result<TreeFill, LogError> {
        let tree = self.database.tree(&TreeName::Checkpoint { number: self.trees }.to_bytes())?;
        self.trees += 1;
        Ok(TreeFill::new(Arc::new(tree), LEAVES))
    }
}

/// Reads the checkpoint, as far as its parts are there.
pub(super) fn read_checkpoint(database: &Database) -> Result<Vec<u8>, LogError> {
    let names = database.tree_names().into_iter().filter_map(|name| TreeName::read(&name));
    let mut names: Vec<_> =
        names.filter(|name| matches!(name, TreeName::Checkpoint { .. })).collect();
    names.sort_unstable();

    let (mut checkpoint, mut next) = (Vec::new(), 0);
    for name in names {
        let tree = database.tree(&name.to_bytes())?;
        let last = database.last_key(&tree)?.unwrap_or(0);
        for leaf in 0..=last / CELLS {
            let cell = leaf * CELLS;
            let entries = database.entries(&tree, cell..=cell + CELLS - 1)?;
            database.access(
                &tree,
                cell,
                leaf::accesses(entries.iter().map(|(_, value)| value.len()).sum()),
            )?;

            for (_, value) in entries.iter().filter(|(_, value)| !value.is_empty()) {
                let part = PayloadPart::read(value);
                let expected = part.filter(|part| (part.of, part.number) == (CHECKPOINT, next));
                let Some(part) = expected else { return Ok(checkpoint) };
                checkpoint.extend_from_slice(part.bytes);
                next += 1;
            }
        }
    }
    Ok(checkpoint)
}
