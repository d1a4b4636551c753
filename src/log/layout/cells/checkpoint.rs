//! The checkpoint, in trees of its own.

use std::sync::Arc;

use super::fill::TreeFill;
use super::leaf::{self, CELLS};
use super::names::TreeName;
use super::value::{CHECKPOINT, PART_BYTES, PayloadPart};
use crate::log::database::Database;
use crate::log::error::LogError;

/// Leaves of a tree.
const LEAVES: u16 = 64;

/// Writes the checkpoint of a segment that is being created.
pub(in crate::log::layout) fn write_checkpoint(
    database: &Database,
    checkpoint: &[u8],
) -> Result<(), LogError> {
    let mut fill: Option<TreeFill> = None;
    let mut trees = 0;

    for (number, bytes) in (0u32..).zip(checkpoint.chunks(PART_BYTES)) {
        let value = PayloadPart { of: CHECKPOINT, number, bytes }.to_value();
        let mut open = match fill.take().filter(|fill| fill.fits(value.len())) {
            Some(fill) => fill,
            None => {
                let tree = database.tree(&TreeName::Checkpoint { number: trees }.to_bytes())?;
                trees += 1;
                TreeFill::new(Arc::new(tree), LEAVES)
            }
        };
        open.put(database, &value)?;
        fill = Some(open);
    }
    Ok(())
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
