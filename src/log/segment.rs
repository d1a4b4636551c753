//! One segment: a sled database of its own. The only file that names sled.
//!
//! Keys: `h` the header, `c ‖ number` the chunks of the checkpoint, `r ‖ first ‖ number` the chunks of the frame that
//! begins with record `first` (numbers big-endian). Only ever added, but for the remains of a commit that never was.
//!
//! What sled does not do, and is done here: `flush()` is not an fsync, so our own descriptor of `db` is synced after
//! it; a `snap.*.generating` file left by a kill keeps a database from opening, so it is removed before; a snapshot
//! that cannot be read is put aside once, sled then reads its log instead. sled may panic where it meets flipped bits
//! (mostly while opening): that is caught where panics unwind, and ends the process where they abort.

use std::fs::{self, File};
use std::io::ErrorKind;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use sha2::{Digest, Sha256};

use super::error::{EIO, FULL, Fault};
use super::frame::{ChainHead, FrameHead, HEAD_LEN, StoredFrame};
use super::header::{Beginning, Header};
use super::{LogError, failpoint, folder};
use crate::model::{Seq, limits};

const HEADER_KEY: &[u8] = b"h";
const FRAME_KEY_LEN: usize = 13;
/// sled looks for pages to evict only after 64 accesses to one of its cache's 256 shards. A scan, which accesses each
/// page once, would keep a whole segment in memory; so what is read is touched a few more times: as often as it takes
/// for a page of eight or nine chunks to fill its shard's list by itself, so that no shard keeps more than two.
const TOUCHES: usize = 8;
/// The same for what is written, which accesses a page about three times for each chunk.
const TOUCHES_WRITTEN: usize = 6;
/// sled's own threads may hold the file's lock for a moment after a database was closed.
const LOCK_TRIES: u32 = 500;
const LOCK_WAIT: Duration = Duration::from_millis(4);

/// What stands at a place in a segment.
#[derive(Debug)]
pub(super) enum Found {
    Frame(StoredFrame),
    /// The remains of a frame that begins with `first`. What comes behind it begins with `next`, if anything does.
    Broken {
        first: Seq,
        next: Option<Seq>,
        what: String,
    },
}

/// Entries that are written together.
#[derive(Default)]
pub(super) struct Batch {
    inner: sled::Batch,
    /// The chunks of frames among them that are large: the small ones of small commits take little memory.
    chunks: Vec<[u8; FRAME_KEY_LEN]>,
    ops: usize,
    bytes: usize,
}

impl Batch {
    pub fn put(&mut self, key: &[u8], value: &[u8]) {
        self.inner.insert(key, value);
        self.ops += 1;
        self.bytes += key.len() + value.len();
    }

    /// Adds a chunk of a frame.
    pub fn chunk(&mut self, first: Seq, number: usize, value: &[u8]) {
        let key = frame_key(first, number);
        self.put(&key, value);
        if value.len() > limits::CHUNK / 2 {
            self.chunks.push(key);
        }
    }

    /// Whether one more chunk would be too much.
    pub fn is_full(&self) -> bool {
        self.ops >= limits::BATCH_OPS || self.bytes + limits::CHUNK + FRAME_KEY_LEN > limits::BATCH_BYTES
    }
}

/// An open segment.
pub(super) struct Segment {
    path: PathBuf,
    db: sled::Db,
    /// Our own descriptor of sled's file, to sync it by.
    data: File,
    pub header: Header,
    /// Where the chain of this segment begins.
    pub chain: ChainHead,
    skip_sync: bool,
    /// See [`folder::opened`].
    marker: Option<PathBuf>,
    /// Bytes of frames that were read since it was opened.
    read: AtomicU64,
}

impl Drop for Segment {
    fn drop(&mut self) {
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
    /// Makes a segment, durable with its header and checkpoint, under a passing name, then gives it its own.
    pub fn create(dir: &Path, beginning: &Beginning<'_>, skip_sync: bool) -> Result<Self, LogError> {
        let header = beginning.bytes(dir)?;
        Self::create_with(dir, beginning.first, &header, beginning.checkpoint, skip_sync)
    }

    /// Makes a segment that begins as another one does, byte for byte.
    pub fn create_copy(dir: &Path, first: Seq, header: &[u8], checkpoint: &[u8]) -> Result<Self, LogError> {
        Self::create_with(dir, first, header, checkpoint, false)
    }

    fn create_with(
        dir: &Path,
        first: Seq,
        header: &[u8],
        checkpoint: &[u8],
        skip_sync: bool,
    ) -> Result<Self, LogError> {
        let made = folder::making(dir, first);
        let path = folder::segment(dir, first);
        folder::remove(&made)?;
        {
            let db = open_db(&made)?;
            failpoint::reached("roll.made");
            write_beginning(&db, &made, header, checkpoint)?;
            failpoint::reached("roll.filled");
            for name in ["conf", "db", "blobs"] {
                let file = made.join(name);
                File::open(&file).and_then(|f| f.sync_all()).map_err(LogError::io("sync", &file))?;
            }
        }
        folder::sync(&made)?;
        failpoint::reached("roll.synced");
        mark(dir, first);
        folder::rename(&made, &path)?;
        failpoint::reached("roll.renamed");
        Self::open(dir, first, skip_sync)
    }

    /// The header as it is stored, which is what the chain was made of.
    pub fn header_bytes(&self) -> Result<Vec<u8>, LogError> {
        let bytes = caught("read", &self.path, || self.db.get(HEADER_KEY))?;
        bytes.map(|bytes| bytes.to_vec()).ok_or_else(|| LogError::corrupt("read", &self.path, "it has no header"))
    }

    /// Opens the segment that begins with `first`, and marks it as open.
    pub fn open(dir: &Path, first: Seq, skip_sync: bool) -> Result<Self, LogError> {
        let marker = Some(mark(dir, first));
        let mut segment = Self::open_unmarked(dir, first).inspect_err(|error| {
            if let Some(marker) = marker.as_ref().filter(|_| error.is_newer()) {
                let _ = fs::remove_file(marker);
            }
        })?;
        (segment.skip_sync, segment.marker) = (skip_sync, marker);
        Ok(segment)
    }

    /// Opens it without a trace.
    pub fn open_unmarked(dir: &Path, first: Seq) -> Result<Self, LogError> {
        let path = folder::segment(dir, first);
        match fs::metadata(path.join("db")) {
            Ok(found) if found.is_file() => {}
            Err(e) if e.kind() != ErrorKind::NotFound => return Err(LogError::io("open", &path)(e)),
            // sled would make a new one in its place.
            _ => return Err(LogError::corrupt("open", &path, "its file 'db' is missing")),
        }
        let db = open_db(&path)?;
        let data = File::open(path.join("db")).map_err(LogError::io("open", &path))?;
        let bytes = caught("read", &path, || db.get(HEADER_KEY))?
            .ok_or_else(|| LogError::corrupt("open", &path, "it has no header"))?;
        let header = Header::read(&path, &bytes)?;
        if header.first != first {
            return Err(LogError::corrupt("open", &path, "its header names another segment"));
        }
        let chain = Sha256::new().chain_update(header.prev).chain_update(&bytes).finalize().into();
        Ok(Self { path, db, data, header, chain, skip_sync: false, marker: None, read: AtomicU64::new(0) })
    }

    /// The checkpoint, checked.
    pub fn checkpoint(&self) -> Result<Vec<u8>, LogError> {
        let bytes = caught("read", &self.path, || {
            let mut bytes = Vec::new();
            for entry in self.db.scan_prefix(b"c") {
                bytes.extend_from_slice(&entry?.1);
            }
            Ok(bytes)
        })?;
        let good = bytes.len() as u64 == self.header.checkpoint_len
            && <[u8; 32]>::from(Sha256::digest(&bytes)) == self.header.checkpoint_sha256;
        if good { Ok(bytes) } else { Err(LogError::corrupt("read", &self.path, "its checkpoint is damaged")) }
    }

    /// Writes a batch; durable only after [`Segment::sync`].
    pub fn apply(&self, batch: Batch) -> Result<(), LogError> {
        if batch.ops == 0 {
            return Ok(());
        }
        caught("write to", &self.path, || {
            self.db.apply_batch(batch.inner)?;
            for key in batch.chunks.iter().flat_map(|key| [key; TOUCHES_WRITTEN]) {
                // Only for the cache's sake: whether the batch is there, the sync tells.
                let _ = self.db.contains_key(key);
            }
            Ok(())
        })
    }

    /// Makes durable what was written. Never to be tried again after an error.
    pub fn sync(&self) -> Result<(), LogError> {
        caught("flush", &self.path, || self.db.flush())?;
        failpoint::reached("commit.flushed");
        if self.skip_sync {
            return Ok(());
        }
        self.data.sync_data().map_err(LogError::io("sync", &self.path))
    }

    /// Bytes that its data takes on the disk.
    pub fn disk_bytes(&self) -> u64 {
        self.data.metadata().map_or(0, |m| m.blocks() * 512)
    }

    /// Whether so much was read from it that closing it and opening it again is worth the memory that sled keeps.
    pub fn is_worn(&self) -> bool {
        self.read.load(Ordering::Relaxed) >= limits::READ_FROM_SEGMENT
    }

    /// Bytes of its checkpoint.
    pub fn checkpoint_len(&self) -> u64 {
        self.header.checkpoint_len
    }

    /// The frame that holds the record, or else the next one behind it.
    pub fn at_or_after(&self, seq: Seq) -> Result<Option<Found>, LogError> {
        guarded("read", &self.path, || self.find_after(seq))
    }

    /// The frame that holds the record, or else the one before it.
    pub fn at_or_before(&self, seq: Seq) -> Result<Option<Found>, LogError> {
        guarded("read", &self.path, || match self.floor(seq)? {
            Some(first) => self.found(first).map(Some),
            None => Ok(None),
        })
    }

    fn find_after(&self, seq: Seq) -> Result<Option<Found>, LogError> {
        if let Some(first) = self.floor(seq)? {
            match self.found(first)? {
                Found::Frame(frame) if !frame.head.holds(seq) => {}
                // What remains of a frame is of interest only where the search begins in it.
                Found::Broken { next: Some(next), .. } if next <= seq => {}
                found => return Ok(Some(found)),
            }
        }
        match self.ceiling(seq)? {
            Some(first) => self.found(first).map(Some),
            None => Ok(None),
        }
    }

    /// Removes all frames that begin at `from` or behind it: the remains of a commit that was never acknowledged.
    pub fn remove_from(&self, from: Seq) -> Result<usize, LogError> {
        // sled needs memory for each key removed at once.
        const AT_ONCE: usize = 100;
        let mut removed = 0;
        loop {
            let count = caught("write to", &self.path, || {
                let mut batch = sled::Batch::default();
                let mut count = 0;
                for key in self.db.range(frame_key(from, 0)..=frame_key(Seq::MAX, usize::MAX)).keys().take(AT_ONCE) {
                    batch.remove(key?);
                    count += 1;
                }
                if count > 0 { self.db.apply_batch(batch).map(|()| count) } else { Ok(0) }
            })?;
            if count == 0 {
                return Ok(removed);
            }
            removed += count;
        }
    }

    /// Files in `blobs/`, which has to stay empty: sled does not make them durable.
    pub fn blobs(&self) -> usize {
        fs::read_dir(self.path.join("blobs")).map_or(0, Iterator::count)
    }

    /// The last key of a frame that begins at `seq` or before it.
    fn floor(&self, seq: Seq) -> Result<Option<Seq>, LogError> {
        let mut range = self.db.range(frame_key(0, 0)..=frame_key(seq, usize::MAX));
        self.first_in(range.next_back())
    }

    /// The first key of a frame that begins behind `seq`.
    fn ceiling(&self, seq: Seq) -> Result<Option<Seq>, LogError> {
        let Some(behind) = seq.checked_add(1) else { return Ok(None) };
        let mut range = self.db.range(frame_key(behind, 0)..=frame_key(Seq::MAX, usize::MAX));
        self.first_in(range.next())
    }

    fn first_in(&self, entry: Option<sled::Result<(sled::IVec, sled::IVec)>>) -> Result<Option<Seq>, LogError> {
        let entry = entry.transpose().map_err(|e| store_error("read", &self.path, &e))?;
        Ok(entry.and_then(|(key, _)| first_of(&key)))
    }

    /// Reads what stands under the keys of the frame that begins with `first`.
    fn found(&self, first: Seq) -> Result<Found, LogError> {
        let mut frame: Option<StoredFrame> = None;
        let mut wanted = 0;
        let mut why = "its beginning is missing".to_owned();
        for entry in self.db.range(frame_key(first, 0)..=frame_key(first, usize::MAX)) {
            let (key, chunk) = entry.map_err(|e| store_error("read", &self.path, &e))?;
            for _ in 0..TOUCHES {
                self.db.contains_key(&key).map_err(|e| store_error("read", &self.path, &e))?;
            }
            if key.as_ref() != frame_key(first, wanted).as_slice() {
                why = format!("its chunk {wanted} is missing");
                break;
            }
            match &mut frame {
                None if FrameHead::is_newer(&chunk) => return Err(self.newer_frame(&chunk)),
                None => match FrameHead::read(&chunk) {
                    Ok(head) if head.first == first => {
                        let mut stored = Vec::with_capacity(head.stored_len as usize);
                        stored.extend_from_slice(&chunk[HEAD_LEN..]);
                        frame = Some(StoredFrame { head, stored });
                    }
                    Ok(_) => return self.broken(first, "its head names another record"),
                    Err(what) => return self.broken(first, &what),
                },
                Some(frame) => frame.stored.extend_from_slice(&chunk),
            }
            wanted += 1;
            if frame.as_ref().is_some_and(|f| wanted == f.head.chunks()) {
                break;
            }
        }
        match frame {
            Some(frame) if frame.stored.len() == frame.head.stored_len as usize => {
                self.read.fetch_add(u64::from(frame.head.stored_len), Ordering::Relaxed);
                Ok(Found::Frame(frame))
            }
            Some(_) if wanted > 0 => self.broken(first, &format!("its chunk {wanted} is missing or damaged")),
            _ => self.broken(first, &why),
        }
    }

    fn newer_frame(&self, chunk: &[u8]) -> LogError {
        let what = FrameHead::read(chunk).err().unwrap_or_default();
        LogError::Newer { path: self.path.clone(), written_by: self.header.hookbox.clone(), what }
    }

    fn broken(&self, first: Seq, what: &str) -> Result<Found, LogError> {
        Ok(Found::Broken { first, next: self.ceiling(first)?, what: what.to_owned() })
    }
}

/// Removes all of a segment that could not be made for want of room. Returns whether nothing of it is left.
pub(super) fn unmake(dir: &Path, first: Seq) -> bool {
    let (making, made) = (folder::making(dir, first), folder::segment(dir, first));
    if made.exists() && folder::rename(&made, &folder::deleting(dir, first)).is_err() {
        return false;
    }
    for path in [making, folder::deleting(dir, first), folder::opened(dir, first)] {
        let _ = folder::remove(&path);
    }
    !made.exists()
}

/// Leaves the mark of an open segment. Without room for it the segment is opened nevertheless.
fn mark(dir: &Path, first: Seq) -> PathBuf {
    let marker = folder::opened(dir, first);
    let _ = fs::OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(&marker);
    marker
}

fn frame_key(first: Seq, number: usize) -> [u8; FRAME_KEY_LEN] {
    let mut key = [0; FRAME_KEY_LEN];
    key[0] = b'r';
    key[1..9].copy_from_slice(&first.to_be_bytes());
    key[9..].copy_from_slice(&u32::try_from(number).unwrap_or(u32::MAX).to_be_bytes());
    key
}

fn first_of(key: &[u8]) -> Option<Seq> {
    let (seq, _) = key.strip_prefix(b"r")?.split_first_chunk::<8>()?;
    Some(u64::from_be_bytes(*seq))
}

fn write_beginning(db: &sled::Db, path: &Path, header: &[u8], checkpoint: &[u8]) -> Result<(), LogError> {
    let mut batch = Batch::default();
    for (number, chunk) in checkpoint.chunks(limits::CHUNK).enumerate() {
        if batch.is_full() {
            caught("write to", path, || db.apply_batch(std::mem::take(&mut batch.inner)))?;
            batch = Batch::default();
        }
        let mut key = [b'c'; 5];
        key[1..].copy_from_slice(&u32::try_from(number).unwrap_or(u32::MAX).to_be_bytes());
        batch.put(&key, chunk);
    }
    batch.put(HEADER_KEY, header);
    caught("write to", path, || db.apply_batch(batch.inner))?;
    caught("flush", path, || db.flush()).map(|_| ())
}

fn open_db(path: &Path) -> Result<sled::Db, LogError> {
    remove_half_snapshots(path)?;
    match open_once(path) {
        Err(error) if error.is_damage() => {
            if put_aside_what_can_be_spared(path)? == 0 {
                Err(error)
            } else {
                open_once(path)
            }
        }
        opened => opened,
    }
}

fn open_once(path: &Path) -> Result<sled::Db, LogError> {
    let config = sled::Config::new()
        .path(path)
        .segment_size(limits::SLED_SEGMENT)
        .cache_capacity(limits::SLED_CACHE)
        .flush_every_ms(None)
        .use_compression(false);
    for _ in 0..LOCK_TRIES {
        match caught("open", path, || config.open()) {
            Err(LogError::Store { what, .. }) if what.contains("could not acquire lock") => {
                #[expect(clippy::disallowed_methods, reason = "sled frees its lock late, and tells nobody")]
                std::thread::sleep(LOCK_WAIT);
            }
            opened => return opened,
        }
    }
    Err(LogError::InUse { dir: path.to_path_buf(), holder: "another process".into() })
}

fn snapshots(path: &Path) -> Result<Vec<PathBuf>, LogError> {
    match fs::read_dir(path) {
        Err(e) if e.kind() == ErrorKind::NotFound => Ok(Vec::new()),
        Err(e) => Err(LogError::io("list", path)(e)),
        Ok(entries) => {
            let names = entries.flatten().map(|e| e.path());
            Ok(names.filter(|p| p.file_name().is_some_and(|n| n.as_encoded_bytes().starts_with(b"snap."))).collect())
        }
    }
}

fn remove_half_snapshots(path: &Path) -> Result<(), LogError> {
    let half = snapshots(path)?.into_iter().filter(|p| p.extension().is_some_and(|e| e == "generating"));
    half.into_iter().try_for_each(|file| folder::remove(&file))
}

/// The snapshot only spares sled some reading: without it, sled reads its whole log. And its `conf` says what
/// [`open_once`] says as well.
pub(super) fn put_aside_what_can_be_spared(path: &Path) -> Result<usize, LogError> {
    let mut files = snapshots(path)?;
    files.extend(Some(path.join("conf")).filter(|conf| conf.exists()));
    for file in &files {
        let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
        fs::rename(file, path.join(format!("aside-{name}"))).map_err(LogError::io("rename", file))?;
    }
    Ok(files.len())
}

/// Runs one of sled's functions: its errors in our words, and its panics (where they unwind) as errors.
fn caught<T>(doing: &'static str, path: &Path, work: impl FnOnce() -> sled::Result<T>) -> Result<T, LogError> {
    guarded(doing, path, || work().map_err(|e| store_error(doing, path, &e)))
}

fn guarded<T>(doing: &'static str, path: &Path, work: impl FnOnce() -> Result<T, LogError>) -> Result<T, LogError> {
    catch_unwind(AssertUnwindSafe(work))
        .unwrap_or_else(|_| Err(LogError::corrupt(doing, path, "the store panicked over what it found there")))
}

fn store_error(doing: &'static str, path: &Path, error: &sled::Error) -> LogError {
    let fault = match error {
        sled::Error::Io(e) if e.raw_os_error() == Some(EIO) => Fault::Disk,
        sled::Error::Io(e) if e.raw_os_error().is_some_and(|code| FULL.contains(&code)) => Fault::Full,
        sled::Error::Io(e) if !matches!(e.kind(), ErrorKind::UnexpectedEof | ErrorKind::InvalidData) => Fault::Io,
        _ => Fault::Corrupt,
    };
    LogError::Store { doing, path: path.to_path_buf(), fault, what: error.to_string() }
}
