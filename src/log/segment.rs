//! One segment: a database of its own with a header, a checkpoint and frames (see [`super::keys`]).
//!
//! Entries are only added, except that the remains of a commit that was never acknowledged are
//! removed. A segment is created under a temporary name and gets its own once it is durable.

use std::fs::{self, File};
use std::io::ErrorKind;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use sha2::{Digest, Sha256};

use super::database::{Database, WriteBatch};
use super::error::LogError;
use super::frame::{ChainHead, FrameHead, HEAD_LEN, StoredFrame};
use super::header::{NewSegment, SegmentHeader};
use super::{failpoint, folder, keys};
use crate::model::{Seq, limits};

/// The result of looking for a frame.
#[derive(Debug)]
pub(super) enum FrameLookup {
    Frame(StoredFrame),
    /// The remains of a frame that begins with `first`. The frame behind it begins with `next`, if
    /// there is one.
    Broken {
        first: Seq,
        next: Option<Seq>,
        what: String,
    },
}

/// An open segment.
pub(super) struct Segment {
    path: PathBuf,
    database: Database,
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
    /// Creates a segment, durable with its header and checkpoint, and opens it.
    pub fn create(dir: &Path, new: &NewSegment<'_>, skip_sync: bool) -> Result<Self, LogError> {
        let header = new.header_bytes(dir)?;
        Self::create_with(dir, new.first, &header, new.checkpoint, skip_sync)
    }

    /// Creates a segment whose header and checkpoint are those of another one, byte for byte.
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
            let database = Database::open(&temporary)?;
            failpoint::reached("roll.made");
            write_beginning(&database, header, checkpoint)?;
            failpoint::reached("roll.filled");
            for name in ["conf", "db", "blobs"] {
                let file = temporary.join(name);
                let synced = File::open(&file).and_then(|f| f.sync_all());
                synced.map_err(LogError::io("sync", &file))?;
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
        let bytes = self.database.get(keys::HEADER)?;
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

        let database = Database::open(&path)?;
        let bytes = database.get(keys::HEADER)?;
        let bytes = bytes.ok_or_else(|| LogError::corrupt("open", &path, "it has no header"))?;
        let header = SegmentHeader::read(&path, &bytes)?;
        if header.first != first {
            return Err(LogError::corrupt("open", &path, "its header names another segment"));
        }

        let chain = Sha256::new().chain_update(header.prev).chain_update(&bytes).finalize().into();
        let read = AtomicU64::new(0);
        Ok(Self { path, database, header, chain, skip_sync: false, marker: None, read })
    }

    /// The checkpoint, verified.
    pub fn checkpoint(&self) -> Result<Vec<u8>, LogError> {
        let bytes = self.database.get_all(keys::CHECKPOINT_PREFIX)?;

        let good = bytes.len() as u64 == self.header.checkpoint_len
            && <[u8; 32]>::from(Sha256::digest(&bytes)) == self.header.checkpoint_sha256;
        if good {
            Ok(bytes)
        } else {
            Err(LogError::corrupt("read", &self.path, "its checkpoint is damaged"))
        }
    }

    /// Bytes of its checkpoint.
    pub fn checkpoint_len(&self) -> u64 {
        self.header.checkpoint_len
    }

    /// Writes a batch; durable only after [`Segment::sync`].
    pub fn apply(&self, batch: WriteBatch) -> Result<(), LogError> {
        self.database.apply(batch)
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

    /// The frame that holds the record, or else the next one behind it.
    pub fn at_or_after(&self, seq: Seq) -> Result<Option<FrameLookup>, LogError> {
        self.database.reading(|| {
            if let Some(first) = self.frame_at_or_before(seq)? {
                match self.read_frame(first)? {
                    FrameLookup::Frame(frame) if !frame.head.holds(seq) => {}
                    // The remains of a frame matter only where the search begins in it.
                    FrameLookup::Broken { next: Some(next), .. } if next <= seq => {}
                    found => return Ok(Some(found)),
                }
            }
            match self.frame_after(seq)? {
                Some(first) => self.read_frame(first).map(Some),
                None => Ok(None),
            }
        })
    }

    /// The frame that holds the record, or else the one before it.
    pub fn at_or_before(&self, seq: Seq) -> Result<Option<FrameLookup>, LogError> {
        self.database.reading(|| match self.frame_at_or_before(seq)? {
            Some(first) => self.read_frame(first).map(Some),
            None => Ok(None),
        })
    }

    /// Removes all frames that begin at `from` or behind it: the remains of a commit that was never
    /// acknowledged.
    pub fn remove_from(&self, from: Seq) -> Result<usize, LogError> {
        self.database.remove(&(keys::frame(from, 0)..=keys::frame(Seq::MAX, usize::MAX)))
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
            if frame.as_ref().is_some_and(|f| chunks == f.head.chunks()) {
                break;
            }
        }

        match frame {
            Some(frame) if frame.stored.len() == frame.head.stored_len as usize => {
                self.read.fetch_add(u64::from(frame.head.stored_len), Ordering::Relaxed);
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
        LogError::Newer { path: self.path.clone(), written_by: self.header.hookbox.clone(), what }
    }

    fn broken(&self, first: Seq, what: &str) -> Result<FrameLookup, LogError> {
        Ok(FrameLookup::Broken { first, next: self.frame_after(first)?, what: what.to_owned() })
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

fn write_beginning(database: &Database, header: &[u8], checkpoint: &[u8]) -> Result<(), LogError> {
    let mut batch = WriteBatch::default();
    for (number, chunk) in checkpoint.chunks(limits::CHUNK).enumerate() {
        if batch.is_full() {
            database.apply(std::mem::take(&mut batch))?;
        }
        batch.put(&keys::checkpoint(number), chunk);
    }
    batch.put(keys::HEADER, header);
    database.apply(batch)?;

    database.flush()
}
