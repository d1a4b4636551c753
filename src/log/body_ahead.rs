//! A large body while it is written ahead of its commit.

use std::sync::Arc;

use super::blocks::BodyBlocks;
use super::error::LogError;
use super::layout::{AheadWriter, PlacedAhead};

/// A body that is being written.
pub(super) struct BodyAhead {
    pub blocks: Arc<BodyBlocks>,
    writer: AheadWriter,
    /// Blocks that were written, and their bytes.
    count: usize,
    pub written: usize,
}

impl std::fmt::Debug for BodyAhead {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("BodyAhead")
            .field("blocks", &self.blocks)
            .field("count", &self.count)
            .finish_non_exhaustive()
    }
}

impl BodyAhead {
    pub fn new(blocks: Arc<BodyBlocks>, writer: AheadWriter) -> Self {
        Self { blocks, writer, count: 0, written: 0 }
    }

    pub fn is_of(&self, blocks: &Arc<BodyBlocks>) -> bool {
        Arc::ptr_eq(&self.blocks, blocks)
    }

    /// Bytes that are left to be written.
    pub fn left(&self) -> usize {
        self.blocks.stored_len() - self.written
    }

    /// Writes the next blocks, of so many bytes together and at least one.
    pub fn write(&mut self, bytes: usize) -> Result<(), LogError> {
        let upto = self.written.saturating_add(bytes);
        for block in self.blocks.stored().skip(self.count) {
            self.writer.write(block)?;
            self.count += 1;
            self.written += block.len();
            if self.written >= upto {
                break;
            }
        }
        Ok(())
    }

    /// Writes all that is left. Returns where the body is.
    pub fn finish(mut self) -> Result<Option<PlacedAhead>, LogError> {
        self.write(usize::MAX)?;
        self.writer.finish()
    }
}
