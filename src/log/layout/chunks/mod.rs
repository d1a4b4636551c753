//! Format 1: a frame is cut into chunks, and each has a key of its own (see [`keys`]). A frame is
//! found by its record: the last key at or before its number.
//!
//! sled writes each value about four times, because keys that only grow split its leaves and merge
//! their parts again and again. Segments are no longer created so, but read and continued.

mod keys;
mod salvage;
mod writer;

use std::path::{Path, PathBuf};
use std::sync::Arc;

pub(super) use self::salvage::salvage;
use self::writer::ChunkWriter;
#[cfg(test)]
use super::interface::Tampering;
use super::interface::{CommitWriter, FrameLookup, SegmentLayout};
use crate::log::database::{Database, WriteBatch};
use crate::log::error::LogError;
use crate::log::frame::{FrameHead, HEAD_LEN, StoredFrame};
use crate::log::header::SegmentHeader;
use crate::model::{Seq, limits};

/// See the module.
pub(super) struct ChunkLayout {
    database: Arc<Database>,
    path: PathBuf,
    /// The version that created the segment.
    hookbox: String,
}

impl ChunkLayout {
    pub fn new(database: &Arc<Database>, path: &Path, header: &SegmentHeader) -> Self {
        let (path, hookbox) = (path.to_path_buf(), header.hookbox.clone());
        Self { database: database.clone(), path, hookbox }
    }

    /// The first record of the last frame that begins at `seq` or before it.
    fn frame_at_or_before(&self, seq: Seq) -> Result<Option<Seq>, LogError> {
        let mut range = self.database.range(keys::frame(0, 0)..=keys::frame(seq, usize::MAX));
        let last = range.next_back().transpose()?;
        Ok(last.and_then(|(key, _)| keys::first_record(key.as_ref())))
    }

    /// The first record of the first frame that begins behind `seq`.
    fn frame_after(&self, seq: Seq) -> Result<Option<Seq>, LogError> {
        let Some(behind) = seq.checked_add(1) else { return Ok(None) };
        let mut range =
            self.database.range(keys::frame(behind, 0)..=keys::frame(Seq::MAX, usize::MAX));
        let next = range.next().transpose()?;
        Ok(next.and_then(|(key, _)| keys::first_record(key.as_ref())))
    }

    /// Puts together the chunks of the frame that begins with `first`.
    fn read_frame(&self, first: Seq) -> Result<FrameLookup, LogError> {
        let mut frame: Option<StoredFrame> = None;
        let mut chunks = 0;
        let mut why = "its beginning is missing".to_owned();

        for entry in self.database.range(keys::frame(first, 0)..=keys::frame(first, usize::MAX)) {
            let (key, chunk) = entry?;
            let (key, chunk) = (key.as_ref(), chunk.as_ref());
            self.database.let_go(key)?;
            if key != keys::frame(first, chunks).as_slice() {
                why = format!("its chunk {chunks} is missing");
                break;
            }

            match &mut frame {
                None if FrameHead::is_newer(chunk) => return Err(self.newer_frame(chunk)),
                None => match FrameHead::read(chunk) {
                    Ok(head) if head.first == first => {
                        let mut stored = Vec::with_capacity(head.stored_len as usize);
                        stored.extend_from_slice(&chunk[HEAD_LEN..]);
                        frame = Some(StoredFrame { head, stored });
                    }
                    Ok(_) => return self.broken(first, "its head names another record"),
                    Err(what) => return self.broken(first, &what),
                },
                Some(frame) => frame.stored.extend_from_slice(chunk),
            }
            chunks += 1;
            if frame.as_ref().is_some_and(|f| chunks == chunks_of(&f.head)) {
                break;
            }
        }

        match frame {
            Some(frame) if frame.stored.len() == frame.head.stored_len as usize => {
                Ok(FrameLookup::Frame(frame))
            }
            Some(_) if chunks > 0 => {
                self.broken(first, &format!("its chunk {chunks} is missing or damaged"))
            }
            _ => self.broken(first, &why),
        }
    }

    fn newer_frame(&self, chunk: &[u8]) -> LogError {
        let what = FrameHead::read(chunk).err().unwrap_or_default();
        LogError::Newer { path: self.path.clone(), written_by: self.hookbox.clone(), what }
    }

    fn broken(&self, first: Seq, what: &str) -> Result<FrameLookup, LogError> {
        Ok(FrameLookup::Broken { first, next: self.frame_after(first)?, what: what.to_owned() })
    }
}

impl SegmentLayout for ChunkLayout {
    fn checkpoint(&self) -> Result<Vec<u8>, LogError> {
        self.database.get_all(keys::CHECKPOINT_PREFIX)
    }

    fn commit(&self) -> Box<dyn CommitWriter + '_> {
        Box::new(ChunkWriter::new(&self.database))
    }

    fn at_or_before(&self, seq: Seq) -> Result<Option<FrameLookup>, LogError> {
        self.frame_at_or_before(seq)?.map(|first| self.read_frame(first)).transpose()
    }

    fn after(&self, seq: Seq) -> Result<Option<FrameLookup>, LogError> {
        self.frame_after(seq)?.map(|first| self.read_frame(first)).transpose()
    }

    /// Keys lie in pages that only the store knows.
    fn readable_behind(&self, _seq: Seq) -> Result<Option<Seq>, LogError> {
        Ok(None)
    }

    fn remove_unfinished(&self, from: Seq) -> Result<bool, LogError> {
        let behind = keys::frame(from, 0)..=keys::frame(Seq::MAX, usize::MAX);
        self.database.remove(&behind).map(|_| true)
    }

    fn set_reading_through(&self, _is_reading: bool) {}

    fn is_crowded(&self) -> bool {
        false
    }

    #[cfg(test)]
    fn tamper(&self, with: &Tampering) -> Result<(), LogError> {
        let mut batch = WriteBatch::default();

        match with {
            Tampering::Frame { first, bytes } => {
                for (number, chunk) in bytes.chunks(limits::CHUNK).enumerate() {
                    batch.put(&keys::frame(*first, number), chunk);
                }
            }
            Tampering::LoseMiddle { first } => batch.put(&keys::frame(*first, 2), &[]),
            Tampering::Remains { first, parts } => {
                let numbers = 1..=usize::from(*parts);
                numbers.for_each(|number| batch.put(&keys::frame(*first, number), &[2; 10]));
            }
            Tampering::CutFrom { first } => return self.remove_unfinished(*first).map(drop),
            Tampering::Beginning { first, change } => {
                let key = keys::frame(*first, 0);
                let mut chunk = self.database.get(&key)?.expect("a frame");
                change(&mut chunk);
                batch.put(&key, &chunk);
            }
            Tampering::Checkpoint(bytes) => batch.put(&keys::checkpoint(0), bytes),
            Tampering::Ahead { .. } | Tampering::NoTreesAhead => {
                unreachable!("nothing is written ahead in this format")
            }
        }

        self.database.apply(batch)
    }
}

/// Chunks that a frame is cut into.
fn chunks_of(head: &FrameHead) -> usize {
    (HEAD_LEN + head.stored_len as usize).div_ceil(limits::CHUNK)
}

/// Writes the checkpoint of a segment that is being created.
pub(super) fn write_checkpoint(database: &Database, checkpoint: &[u8]) -> Result<(), LogError> {
    let mut batch = WriteBatch::default();
    for (number, chunk) in checkpoint.chunks(limits::CHUNK).enumerate() {
        if batch.is_full(limits::CHUNK + keys::FRAME_LEN) {
            database.apply(std::mem::take(&mut batch))?;
        }
        batch.put(&keys::checkpoint(number), chunk);
    }
    database.apply(batch)
}
