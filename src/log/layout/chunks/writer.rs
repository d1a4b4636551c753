//! Cuts the frames of one commit into chunks, and the chunks into batches.
//!
//! The first chunk of each frame is written last: without it the others are not a frame yet, so a
//! torn commit cannot be seen.

use super::keys;
use crate::log::database::{Database, WriteBatch};
use crate::log::error::LogError;
use crate::log::failpoint;
use crate::log::frame::FrameHead;
use crate::log::layout::interface::CommitWriter;
use crate::model::{Seq, limits};

pub(super) struct ChunkWriter<'a> {
    database: &'a Database,
    batch: WriteBatch,
    /// The first chunks, by the first record of their frame.
    held_back: Vec<(Seq, Vec<u8>)>,
}

impl<'a> ChunkWriter<'a> {
    pub fn new(database: &'a Database) -> Self {
        Self { database, batch: WriteBatch::default(), held_back: Vec::new() }
    }

    fn put(&mut self, first: Seq, number: usize, chunk: &[u8]) -> Result<(), LogError> {
        if self.batch.is_full(limits::CHUNK + keys::FRAME_LEN) {
            self.database.apply(std::mem::take(&mut self.batch))?;
        }

        let key = keys::frame(first, number);
        // Small chunks of small commits take little of the cache.
        if chunk.len() > limits::CHUNK / 2 {
            self.batch.put_large(&key, chunk);
        } else {
            self.batch.put(&key, chunk);
        }
        Ok(())
    }
}

impl CommitWriter for ChunkWriter<'_> {
    fn frame(&mut self, head: &FrameHead, bytes: &[u8]) -> Result<(), LogError> {
        let mut chunks = bytes.chunks(limits::CHUNK).enumerate();
        if let Some((_, chunk)) = chunks.next() {
            self.held_back.push((head.first, chunk.to_vec()));
        }
        chunks.try_for_each(|(number, chunk)| self.put(head.first, number, chunk))
    }

    fn finish(mut self: Box<Self>) -> Result<(), LogError> {
        failpoint::reached("commit.parts");
        for (first, chunk) in std::mem::take(&mut self.held_back) {
            self.put(first, 0, &chunk)?;
        }
        self.database.apply(std::mem::take(&mut self.batch))
    }
}
