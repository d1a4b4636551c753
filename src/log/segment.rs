//! One segment: a database of its own with a header, a checkpoint and frames (see
//! [`super::layout`]).
//!
//! Entries are only added, except that in format 1 the remains of a commit that was never completed
//! are removed. A segment is created under a temporary name and gets its own once it is durable.

use std::fs::{self, File};
use std::io::ErrorKind;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use sha2::{Digest, Sha256};

use super::database::Database;
#[cfg(test)]
use super::database::ReadFault;
use super::error::LogError;
use super::frame::{ChainHead, FrameHead};
use super::header::{NewSegment, SegmentHeader};
#[cfg(test)]
use super::layout::Tampering;
use super::layout::{
    self, AheadWriter, CheckpointWriter, CommitWriter, FrameLookup, SegmentLayout,
};
use super::write_progress::done;
use super::{failpoint, folder};
use crate::model::{Seq, limits};

/// The key of the header, the same in every format.
const HEADER: &[u8] = b"h";
/// The key of the mark that the checkpoint is complete, in format 3. Its value is the checkpoint's
/// SHA-256.
const COMPLETE: &[u8] = b"w";

/// An open segment.
pub(super) struct Segment {
    path: PathBuf,
    database: Arc<Database>,
    layout: Box<dyn SegmentLayout>,
    pub header: SegmentHeader,
    /// Where the chain of this segment begins.
    pub chain: ChainHead,
    skip_sync: bool,
    /// See [`folder::open_marker`].
    marker: Option<PathBuf>,
    /// Bytes of frames that were read since it was opened.
    read: AtomicU64,
}

impl Drop for Segment {
    fn drop(&mut self) {
        // After a panic the marker stays: the next process then opens the segment with care.
        if let Some(marker) = self.marker.as_ref().filter(|_| !std::thread::panicking()) {
            let _ = fs::remove_file(marker);
        }
    }
}

impl std::fmt::Debug for Segment {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Segment").field("path", &self.path).finish_non_exhaustive()
    }
}

impl Segment {
    /// Creates a segment, durable with its header and checkpoint, and opens it. A gradual one has
    /// its checkpoint written later.
    pub fn create(dir: &Path, new: &NewSegment<'_>, skip_sync: bool) -> Result<Self, LogError> {
        let header = new.header_bytes(dir)?;
        let checkpoint = if new.is_gradual { &[][..] } else { new.checkpoint };
        Self::create_with(dir, new.first, &header, checkpoint, skip_sync)
    }

    /// Creates a segment whose header and checkpoint are those of another one, byte for byte; an
    /// empty checkpoint where that of the other one was never completed.
    pub fn create_copy(
        dir: &Path,
        first: Seq,
        header: &[u8],
        checkpoint: &[u8],
    ) -> Result<Self, LogError> {
        Self::create_with(dir, first, header, checkpoint, false)
    }

    fn create_with(
        dir: &Path,
        first: Seq,
        header: &[u8],
        checkpoint: &[u8],
        skip_sync: bool,
    ) -> Result<Self, LogError> {
        let temporary = folder::creating(dir, first);
        let path = folder::segment(dir, first);
        folder::remove(&temporary)?;

        {
            let database = Arc::new(Database::open(&temporary)?);
            failpoint::reached("roll.made");
            let facts = SegmentHeader::read(&temporary, header)?;
            // Salvage takes the first header in the file, and others may have sent what is in the
            // checkpoint.
            database.put(HEADER, header)?;
            layout::write_checkpoint(&database, facts.format(&temporary)?, checkpoint)?;
            if facts.may_lack_checkpoint() && !checkpoint.is_empty() {
                database.put(COMPLETE, &facts.checkpoint_sha256)?;
            }
            database.flush()?;
            failpoint::reached("roll.filled");
            for name in ["conf", "db", "blobs"] {
                let file = temporary.join(name);
                let synced = File::open(&file).and_then(|f| f.sync_all());
                done(synced).map_err(LogError::io("sync", &file))?;
            }
        }
        folder::sync(&temporary)?;
        failpoint::reached("roll.synced");

        create_marker(dir, first);
        folder::rename(&temporary, &path)?;
        failpoint::reached("roll.renamed");
        Self::open(dir, first, skip_sync)
    }

    /// The header as it is stored.
    pub fn header_bytes(&self) -> Result<Vec<u8>, LogError> {
        let bytes = self.database.get(HEADER)?;
        bytes.ok_or_else(|| LogError::corrupt("read", &self.path, "it has no header"))
    }

    /// Opens the segment that begins with `first`, and marks it as open.
    pub fn open(dir: &Path, first: Seq, skip_sync: bool) -> Result<Self, LogError> {
        let marker = create_marker(dir, first);

        let mut segment = Self::open_unmarked(dir, first).inspect_err(|error| {
            // A later version's segment is to stay exactly as it was.
            if error.is_newer() {
                let _ = fs::remove_file(&marker);
            }
        })?;
        (segment.skip_sync, segment.marker) = (skip_sync, Some(marker));
        Ok(segment)
    }

    /// Opens it without the marker.
    pub fn open_unmarked(dir: &Path, first: Seq) -> Result<Self, LogError> {
        let path = folder::segment(dir, first);
        match fs::metadata(path.join("db")) {
            Ok(found) if found.is_file() => {}
            Err(e) if e.kind() != ErrorKind::NotFound => {
                return Err(LogError::io("open", &path)(e));
            }
            // sled would create a new database in its place.
            _ => return Err(LogError::corrupt("open", &path, "its file 'db' is missing")),
        }

        let database = Arc::new(Database::open(&path)?);
        let bytes = database.get(HEADER)?;
        let bytes = bytes.ok_or_else(|| LogError::corrupt("open", &path, "it has no header"))?;
        let header = SegmentHeader::read(&path, &bytes)?;
        if header.first != first {
            return Err(LogError::corrupt("open", &path, "its header names another segment"));
        }

        let chain = SegmentHeader::chain(&header.prev, &bytes);
        let layout = layout::open(&database, &path, &header)?;
        let (read, marker) = (AtomicU64::new(0), None);
        Ok(Self { path, database, layout, header, chain, skip_sync: false, marker, read })
    }

    /// The checkpoint, verified; `None` where it was never completed, or is not yet.
    pub fn checkpoint(&self) -> Result<Option<Vec<u8>>, LogError> {
        let bytes = self.layout.checkpoint()?;

        let good = bytes.len() as u64 == self.header.checkpoint_len
            && <[u8; 32]>::from(Sha256::digest(&bytes)) == self.header.checkpoint_sha256;
        if good {
            return Ok(Some(bytes));
        }
        if self.header.may_lack_checkpoint() && self.database.get(COMPLETE)?.is_none() {
            return Ok(None);
        }
        Err(LogError::corrupt("read", &self.path, "its checkpoint is damaged"))
    }

    /// Begins to write the checkpoint of a gradual segment. Only one is written at a time.
    pub fn checkpoint_writer(&self) -> CheckpointWriter {
        CheckpointWriter::new(self.database.clone())
    }

    /// Begins to write something ahead of its commit; `None` in formats that have nothing of the
    /// kind. Only one thing is written so at a time.
    pub fn ahead_writer(&self) -> Result<Option<AheadWriter>, LogError> {
        let has_blocks = self.header.format(&self.path)?.has_blocks();
        Ok(has_blocks.then(|| AheadWriter::new(self.database.clone())))
    }

    /// Marks the checkpoint as complete; durable only after [`Segment::sync`]. All of it has to be
    /// durable before.
    pub fn mark_checkpoint(&self) -> Result<(), LogError> {
        self.database.put(COMPLETE, &self.header.checkpoint_sha256)
    }

    /// Bytes of its checkpoint.
    pub fn checkpoint_len(&self) -> u64 {
        self.header.checkpoint_len
    }

    /// Begins a commit; durable only after [`Segment::sync`]. Only one is written at a time.
    pub fn commit(&self) -> Box<dyn CommitWriter + '_> {
        self.layout.commit()
    }

    /// Whether it should be rolled before it is full: it has very many commits.
    pub fn is_crowded(&self) -> bool {
        self.layout.is_crowded()
    }

    /// Makes durable what was written. Never to be tried again after an error.
    pub fn sync(&self) -> Result<(), LogError> {
        self.database.sync(self.skip_sync)
    }

    /// Bytes that its data takes on the disk.
    pub fn disk_bytes(&self) -> u64 {
        self.database.disk_bytes()
    }

    /// See [`Database::blobs`].
    pub fn blobs(&self) -> usize {
        self.database.blobs()
    }

    /// Whether so much was read from it that closing and opening it again is worth the memory that
    /// sled keeps.
    pub fn is_worn(&self) -> bool {
        self.read.load(Ordering::Relaxed) >= limits::READ_FROM_SEGMENT
    }

    /// Marks it as being read once, from its beginning to its end, as long as this lives.
    pub fn reading_through(&self) -> ReadingThrough<'_> {
        self.layout.set_reading_through(true);
        ReadingThrough(self)
    }

    /// The frame that holds the record, or else the next one behind it.
    pub fn at_or_after(&self, seq: Seq) -> Result<Option<FrameLookup>, LogError> {
        self.database.reading(|| {
            match self.counted(self.layout.at_or_before(seq)?) {
                Some(FrameLookup::Frame(frame)) if !frame.head.holds(seq) => {}
                // The remains of a frame matter only where the search begins in it.
                Some(FrameLookup::Broken { next: Some(next), .. }) if next <= seq => {}
                Some(found) => return Ok(Some(found)),
                None => {}
            }
            Ok(self.counted(self.layout.after(seq)?))
        })
    }

    /// The frame that holds the record, or else the one before it.
    pub fn at_or_before(&self, seq: Seq) -> Result<Option<FrameLookup>, LogError> {
        self.database.reading(|| Ok(self.counted(self.layout.at_or_before(seq)?)))
    }

    /// The record that the frame behind this one begins with, whatever this one says of its own
    /// end; that is believed only where what is behind it cannot be read.
    pub fn begins_behind(&self, head: &FrameHead) -> Result<Option<Seq>, LogError> {
        match self.database.reading(|| self.layout.after(head.first)) {
            Ok(Some(FrameLookup::Frame(next))) => Ok(Some(next.head.first)),
            Ok(Some(FrameLookup::Broken { first, .. })) => Ok(Some(first)),
            Ok(None) => Ok(None),
            Err(error) if error.is_damage() => Ok(head.last().checked_add(1)),
            Err(error) => Err(error),
        }
    }

    /// See [`SegmentLayout::readable_behind`].
    pub fn readable_behind(&self, seq: Seq) -> Result<Option<Seq>, LogError> {
        match self.database.reading(|| self.layout.readable_behind(seq)) {
            Err(error) if error.is_damage() => Ok(None),
            found => found,
        }
    }

    /// See [`SegmentLayout::remove_unfinished`].
    pub fn remove_unfinished(&self, from: Seq) -> Result<bool, LogError> {
        self.layout.remove_unfinished(from)
    }

    /// Counts what was read.
    fn counted(&self, found: Option<FrameLookup>) -> Option<FrameLookup> {
        if let Some(FrameLookup::Frame(frame)) = &found {
            self.read.fetch_add(u64::from(frame.head.stored_len), Ordering::Relaxed);
        }
        found
    }

    /// See [`SegmentLayout::tamper`].
    #[cfg(test)]
    pub fn tamper(&self, with: &Tampering) {
        self.layout.tamper(with).expect("writes");
    }

    /// Makes some of its keys unreadable, as long as it is open.
    #[cfg(test)]
    pub fn fail_reads(&self, fault: ReadFault) {
        self.database.faults.lock().expect("not poisoned").push(fault);
    }

    /// Replaces the header, whatever its bytes are.
    #[cfg(test)]
    pub fn replace_header(&self, bytes: &[u8]) {
        self.database.put(HEADER, bytes).expect("writes");
    }
}

/// See [`Segment::reading_through`].
pub(super) struct ReadingThrough<'a>(&'a Segment);

impl Drop for ReadingThrough<'_> {
    fn drop(&mut self) {
        self.0.layout.set_reading_through(false);
    }
}

/// Removes all of a segment that could not be created for lack of space. Returns whether nothing of
/// it is left.
pub(super) fn undo_create(dir: &Path, first: Seq) -> bool {
    let (temporary, created) = (folder::creating(dir, first), folder::segment(dir, first));
    if created.exists() && folder::rename(&created, &folder::deleting(dir, first)).is_err() {
        return false;
    }

    for path in [temporary, folder::deleting(dir, first), folder::open_marker(dir, first)] {
        let _ = folder::remove(&path);
    }
    !created.exists()
}

/// Creates the marker of an open segment. On a full disk the segment is opened without it.
fn create_marker(dir: &Path, first: Seq) -> PathBuf {
    let marker = folder::open_marker(dir, first);
    let mut options = fs::OpenOptions::new();
    let _ = options.write(true).create(true).truncate(false).mode(0o600).open(&marker);
    marker
}
