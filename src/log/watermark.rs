//! The watermark: a file beside the segments that says how far the log must reach.
//!
//! Two slots of 64 bytes, written in turn after each commit, so that a torn write leaves the other
//! one: counter u64, sequence number u64, chain head 32, CRC-32 u32, zeros (numbers big-endian). It
//! is not synced with each commit: it guards against a store that comes back shorter than it was,
//! and that is detected as well with a mark that is a little behind. It is synced every
//! [`SYNC_EVERY`] commits, when the log is rolled, and when it is closed.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use super::error::LogError;
use super::frame::ChainHead;
use super::write_progress::done;
use crate::model::Seq;

const SLOT: usize = 64;
const USED: usize = 52;
/// Commits after which the mark is synced.
const SYNC_EVERY: u64 = 64;

/// How far the log must reach.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Mark {
    pub seq: Seq,
    pub head: ChainHead,
}

/// The open file.
#[derive(Debug)]
pub(super) struct Watermark {
    path: PathBuf,
    file: File,
    counter: u64,
    skip_sync: bool,
}

impl Watermark {
    /// Opens or creates the file; the mark is that of the newest slot that can be read.
    pub fn open(dir: &Path, skip_sync: bool) -> Result<(Self, Option<Mark>), LogError> {
        let path = dir.join("watermark");
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false).mode(0o600);
        let file = options.open(&path).map_err(LogError::io("open", &path))?;

        let mut bytes = [0u8; 2 * SLOT];
        // A short file was never written to its end, so it has no valid slot.
        let len = file.metadata().map_err(LogError::io("read", &path))?.len();
        if len >= bytes.len() as u64 {
            file.read_exact_at(&mut bytes, 0).map_err(LogError::io("read", &path))?;
        }

        let newest =
            bytes.chunks_exact(SLOT).filter_map(read_slot).max_by_key(|(counter, _)| *counter);
        let counter = newest.map_or(0, |(counter, _)| counter);
        Ok((Self { path, file, counter, skip_sync }, newest.map(|(_, mark)| mark)))
    }

    /// Writes the mark into the older slot.
    pub fn set(&mut self, mark: Mark) -> Result<(), LogError> {
        self.counter += 1;
        let mut slot = [0u8; SLOT];
        slot[..8].copy_from_slice(&self.counter.to_be_bytes());
        slot[8..16].copy_from_slice(&mark.seq.to_be_bytes());
        slot[16..48].copy_from_slice(&mark.head);
        let crc = crc32fast::hash(&slot[..48]);
        slot[48..USED].copy_from_slice(&crc.to_be_bytes());

        let at = (self.counter % 2) * SLOT as u64;
        done(self.file.write_all_at(&slot, at)).map_err(LogError::io("write", &self.path))?;
        if self.counter == 1 {
            // The file has its full length from the first mark on.
            self.file.set_len(2 * SLOT as u64).map_err(LogError::io("write", &self.path))?;
        }

        if self.counter.is_multiple_of(SYNC_EVERY) { self.sync() } else { Ok(()) }
    }

    pub fn sync(&self) -> Result<(), LogError> {
        if self.skip_sync {
            return Ok(());
        }
        done(self.file.sync_all()).map_err(LogError::io("sync", &self.path))
    }
}

fn read_slot(slot: &[u8]) -> Option<(u64, Mark)> {
    let (counter, rest) = slot.split_first_chunk::<8>()?;
    let (seq, rest) = rest.split_first_chunk::<8>()?;
    let (head, rest) = rest.split_first_chunk::<32>()?;
    let (crc, _) = rest.split_first_chunk::<4>()?;

    let counter = u64::from_be_bytes(*counter);
    let good = counter > 0 && crc32fast::hash(&slot[..48]) == u32::from_be_bytes(*crc);
    good.then(|| (counter, Mark { seq: u64::from_be_bytes(*seq), head: *head }))
}
