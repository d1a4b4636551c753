//! Cuts the frames of one commit into chunks, and the chunks into batches.
//!
//! The first chunk of each frame is written last: without it the others are not a frame yet, so a
//! torn commit cannot be seen.

use super::database::WriteBatch;
use super::error::LogError;
use super::failpoint;
use super::frame::{FrameHead, HEAD_LEN};
use super::segment::Segment;
use crate::model::{Seq, limits};

pub(super) struct FrameWriter<'a> {
    segment: &'a Segment,
    batch: WriteBatch,
    /// The first chunks, by the first record of their frame.
    held_back: Vec<(Seq, Vec<u8>)>,
    bytes: u64,
}

impl<'a> FrameWriter<'a> {
    pub fn new(segment: &'a Segment) -> Self {
        Self { segment, batch: WriteBatch::default(), held_back: Vec::new(), bytes: 0 }
    }

    /// Adds a frame, head and payload together.
    pub fn frame(&mut self, head: &FrameHead, bytes: &[u8]) -> Result<(), LogError> {
        let mut chunks = bytes.chunks(limits::CHUNK).enumerate();
        if let Some((_, chunk)) = chunks.next() {
            self.held_back.push((head.first, chunk.to_vec()));
        }
        for (number, chunk) in chunks {
            self.put(head.first, number, chunk)?;
        }
        self.bytes += (bytes.len() - HEAD_LEN) as u64;
        Ok(())
    }

    /// Writes what is left. Returns the stored payload of all frames.
    pub fn finish(mut self) -> Result<u64, LogError> {
        failpoint::reached("commit.chunks");
        for (first, chunk) in std::mem::take(&mut self.held_back) {
            self.put(first, 0, &chunk)?;
        }
        self.segment.apply(self.batch)?;
        Ok(self.bytes)
    }

    fn put(&mut self, first: Seq, number: usize, chunk: &[u8]) -> Result<(), LogError> {
        if self.batch.is_full() {
            self.segment.apply(std::mem::take(&mut self.batch))?;
        }
        self.batch.put_chunk(first, number, chunk);
        Ok(())
    }
}
