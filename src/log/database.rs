//! The store of a segment: one sled database. The only file that names sled.
//!
//! Three things that sled does not do are done here:
//!
//! * `flush()` is not an fsync, so our own descriptor of the file `db` is synced after it;
//! * a `snap.*.generating` file left by a kill keeps a database from opening, so it is removed
//!   before;
//! * a snapshot that cannot be read is set aside once, and sled reads its log instead.
//!
//! sled may panic over flipped bits (mostly while opening): that is caught where panics unwind, and
//! ends the process where they abort.

use std::fs::{self, File};
use std::io::ErrorKind;
use std::ops::RangeInclusive;
use std::os::unix::fs::MetadataExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::error::{EIO, FULL, LogError, StoreFault};
use super::lazy_timers::LazyTimers;
use super::write_progress::done;
use super::{failpoint, folder};
use crate::model::limits;

/// sled looks for pages to evict only after 64 accesses to one of its cache's 256 shards. A scan,
/// which accesses each page once, would keep a whole segment in memory. So what is read is accessed
/// a few more times: as often as it takes for a page of eight or nine chunks to fill its shard's
/// list by itself, so that no shard keeps more than two.
const ACCESSES_READ: usize = 8;
/// The same for what is written, which accesses a page about three times for each chunk.
const ACCESSES_WRITTEN: usize = 6;
/// sled's own threads may hold the file's lock for a moment after a database was closed.
const LOCK_TRIES: u32 = 500;
const LOCK_WAIT: Duration = Duration::from_millis(4);
/// Keys removed in one batch: sled needs memory for each of them.
const REMOVED_AT_ONCE: usize = 100;

/// A key of the first format's entries.
type LongKey = [u8; 13];

/// Entries that are written together.
#[derive(Default)]
pub(super) struct WriteBatch {
    inner: sled::Batch,
    /// The keys of large values, which are to leave the cache again.
    large: Vec<Vec<u8>>,
    ops: usize,
    bytes: usize,
}

impl WriteBatch {
    pub fn put(&mut self, key: &[u8], value: &[u8]) {
        self.inner.insert(key, value);
        self.ops += 1;
        self.bytes += key.len() + value.len();
    }

    /// Adds a value that is to leave the cache again once it is written.
    pub fn put_large(&mut self, key: &[u8], value: &[u8]) {
        self.put(key, value);
        self.large.push(key.to_vec());
    }

    /// Whether one more entry of `bytes` would be too much.
    pub fn is_full(&self, bytes: usize) -> bool {
        self.ops >= limits::BATCH_OPS || self.bytes + bytes > limits::BATCH_BYTES
    }
}

/// A tree of the database beside the default one, with keys of two bytes.
pub(super) struct Tree(sled::Tree);

/// A value as the store gives it.
pub(super) type StoredValue = sled::IVec;

/// The name of a tree, those of its keys that cannot be read, and why.
#[cfg(test)]
pub(super) type ReadFault = (Vec<u8>, RangeInclusive<u16>, StoreFault);

/// An open database.
pub(super) struct Database {
    path: PathBuf,
    db: sled::Db,
    /// Our own descriptor of sled's file, to sync it by.
    data: File,
    /// Bytes that were written since the last flush.
    unflushed: AtomicU64,
    /// What tests want not to be readable.
    #[cfg(test)]
    pub faults: std::sync::Mutex<Vec<ReadFault>>,
}

impl Database {
    /// Opens the database in a folder, or creates one there. A snapshot that keeps it from opening
    /// is set aside.
    pub fn open(path: &Path) -> Result<Self, LogError> {
        remove_half_snapshots(path)?;

        let db = match open_database(path) {
            Err(error) if error.is_damage() => {
                if set_aside_dispensable(path)? == 0 {
                    return Err(error);
                }
                open_database(path)?
            }
            opened => opened?,
        };
        let data = File::open(path.join("db")).map_err(LogError::io("open", path))?;
        Ok(Self {
            path: path.to_path_buf(),
            db,
            data,
            unflushed: AtomicU64::new(0),
            #[cfg(test)]
            faults: std::sync::Mutex::default(),
        })
    }

    pub fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, LogError> {
        let found = caught("read", &self.path, || self.db.get(key))?;
        Ok(found.map(|bytes| bytes.to_vec()))
    }

    /// All values whose keys begin with `prefix`, concatenated.
    pub fn get_all(&self, prefix: &[u8]) -> Result<Vec<u8>, LogError> {
        caught("read", &self.path, || {
            let mut bytes = Vec::new();
            for entry in self.db.scan_prefix(prefix) {
                bytes.extend_from_slice(&entry?.1);
            }
            Ok(bytes)
        })
    }

    /// The entries of a range of keys. To be called within [`Database::reading`].
    pub fn range(
        &self,
        range: RangeInclusive<LongKey>,
    ) -> impl DoubleEndedIterator<Item = Result<(impl AsRef<[u8]>, impl AsRef<[u8]>), LogError>>
    {
        self.db.range(range).map(|entry| entry.map_err(|e| self.read_error(&e)))
    }

    /// Lets the pages of an entry that was read leave the cache. To be called within
    /// [`Database::reading`].
    pub fn let_go(&self, key: &[u8]) -> Result<(), LogError> {
        for _ in 0..ACCESSES_READ {
            self.db.contains_key(key).map_err(|e| self.read_error(&e))?;
        }
        Ok(())
    }

    /// Runs a work of several reads: sled's panics (where they unwind) become errors.
    pub fn reading<T>(&self, work: impl FnOnce() -> Result<T, LogError>) -> Result<T, LogError> {
        guarded("read", &self.path, work)
    }

    /// Writes a batch; durable only after [`Database::sync`].
    pub fn apply(&self, batch: WriteBatch) -> Result<(), LogError> {
        if batch.ops == 0 {
            return Ok(());
        }

        let _timers = LazyTimers::begin();
        let bytes = batch.bytes;
        caught("write to", &self.path, || {
            self.db.apply_batch(batch.inner)?;
            for key in batch.large.iter().flat_map(|key| [key; ACCESSES_WRITTEN]) {
                // Only for the cache's sake: whether the batch was written shows at the sync.
                let _ = self.db.contains_key(key);
            }
            Ok(())
        })?;
        self.flush_if_much(bytes)
    }

    /// Removes all entries of a range. Returns how many there were.
    pub fn remove(&self, range: &RangeInclusive<LongKey>) -> Result<usize, LogError> {
        let _timers = LazyTimers::begin();
        let mut removed = 0;
        loop {
            let count = caught("write to", &self.path, || {
                let mut batch = sled::Batch::default();
                let mut count = 0;
                for key in self.db.range(range.clone()).keys().take(REMOVED_AT_ONCE) {
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

    /// Writes one entry of the default tree.
    pub fn put(&self, key: &[u8], value: &[u8]) -> Result<(), LogError> {
        caught("write to", &self.path, || self.db.insert(key, value)).map(|_| ())
    }

    /// The names of all trees but the default one.
    pub fn tree_names(&self) -> Vec<Vec<u8>> {
        let default = self.db.name();
        let names = self.db.tree_names().into_iter().filter(|name| *name != default);
        names.map(|name| name.to_vec()).collect()
    }

    /// Opens a tree, or creates one.
    pub fn tree(&self, name: &[u8]) -> Result<Tree, LogError> {
        caught("write to", &self.path, || self.db.open_tree(name)).map(Tree)
    }

    /// The error of a database that can have no more trees.
    pub fn too_many_trees(&self) -> LogError {
        LogError::corrupt("write to", &self.path, "it has too many trees")
    }

    /// Writes one entry of a tree, all of it or nothing; durable only after [`Database::sync`].
    pub fn insert(&self, tree: &Tree, key: u16, value: &[u8]) -> Result<(), LogError> {
        caught("write to", &self.path, || tree.0.insert(key.to_be_bytes(), value))?;
        self.flush_if_much(value.len())
    }

    /// The entries of a tree from one key to another.
    pub fn entries(
        &self,
        tree: &Tree,
        keys: RangeInclusive<u16>,
    ) -> Result<Vec<(u16, StoredValue)>, LogError> {
        #[cfg(test)]
        self.fail(tree, &keys)?;
        caught("read", &self.path, || {
            let mut entries = Vec::new();
            for entry in tree.0.range(keys.start().to_be_bytes()..=keys.end().to_be_bytes()) {
                let (key, value) = entry?;
                let number = number_of(&key);
                entries.push((number, value));
                // sled would read the next leaf to find out that there is nothing more.
                if number == *keys.end() {
                    break;
                }
            }
            Ok(entries)
        })
    }

    /// The largest key of a tree.
    pub fn last_key(&self, tree: &Tree) -> Result<Option<u16>, LogError> {
        let last = caught("read", &self.path, || tree.0.last())?;
        let last = last.map(|(key, _)| number_of(&key));
        #[cfg(test)]
        last.map_or(Ok(()), |last| self.fail(tree, &(last..=last)))?;
        Ok(last)
    }

    /// Fails where a test wants these keys not to be readable.
    #[cfg(test)]
    fn fail(&self, tree: &Tree, keys: &RangeInclusive<u16>) -> Result<(), LogError> {
        let faults = self.faults.lock().expect("not poisoned");
        let hit = faults.iter().find(|(name, bad, _)| {
            tree.0.name() == name[..] && bad.start() <= keys.end() && keys.start() <= bad.end()
        });
        hit.map_or(Ok(()), |(_, _, fault)| {
            let (path, what) = (self.path.clone(), "a test wants it so".to_owned());
            Err(LogError::Store { doing: "read", path, fault: *fault, what })
        })
    }

    /// Accesses an entry so many times, for the cache's sake alone: see [`ACCESSES_READ`].
    pub fn access(&self, tree: &Tree, key: u16, times: usize) -> Result<(), LogError> {
        caught("read", &self.path, || {
            (0..times).try_for_each(|_| tree.0.contains_key(key.to_be_bytes()).map(drop))
        })
    }

    /// Hands what was written to the operating system.
    pub fn flush(&self) -> Result<(), LogError> {
        let _timers = LazyTimers::begin();
        self.unflushed.store(0, Ordering::Relaxed);
        done(caught("flush", &self.path, || self.db.flush())).map(|_| ())
    }

    /// Flushes once much was written since the last time, so that no flush of a large commit or
    /// checkpoint takes as long as a disk that does not answer.
    fn flush_if_much(&self, bytes: usize) -> Result<(), LogError> {
        let before = self.unflushed.fetch_add(bytes as u64, Ordering::Relaxed);
        if before + bytes as u64 >= limits::FLUSH_BYTES { self.flush() } else { Ok(()) }
    }

    /// Makes durable what was written. Never to be tried again after an error. `skip_sync` leaves
    /// out our fdatasync.
    pub fn sync(&self, skip_sync: bool) -> Result<(), LogError> {
        self.flush()?;
        failpoint::reached("commit.flushed");

        if skip_sync {
            return Ok(());
        }
        done(self.data.sync_data()).map_err(LogError::io("sync", &self.path))
    }

    /// Bytes that its data takes on the disk.
    pub fn disk_bytes(&self) -> u64 {
        self.data.metadata().map_or(0, |m| m.blocks() * 512)
    }

    /// Files in `blobs/`, which has to stay empty: sled does not make them durable.
    pub fn blobs(&self) -> usize {
        fs::read_dir(self.path.join("blobs")).map_or(0, Iterator::count)
    }

    fn read_error(&self, error: &sled::Error) -> LogError {
        store_error("read", &self.path, error)
    }
}

fn number_of(key: &[u8]) -> u16 {
    key.iter().fold(0, |number, byte| (number << 8) | u16::from(*byte))
}

fn open_database(path: &Path) -> Result<sled::Db, LogError> {
    let config = sled::Config::new()
        .path(path)
        .segment_size(limits::SLED_SEGMENT)
        .cache_capacity(limits::SLED_CACHE)
        .flush_every_ms(None)
        .use_compression(false);

    for _ in 0..LOCK_TRIES {
        let timers = LazyTimers::begin();
        let opened = caught("open", path, || config.open());
        drop(timers);
        match opened {
            Err(LogError::Store { what, .. }) if what.contains("could not acquire lock") => {
                #[expect(
                    clippy::disallowed_methods,
                    reason = "sled frees its lock late, and signals nothing"
                )]
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
            let is_snapshot = |p: &PathBuf| {
                p.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"snap."))
            };
            Ok(entries.flatten().map(|e| e.path()).filter(is_snapshot).collect())
        }
    }
}

fn remove_half_snapshots(path: &Path) -> Result<(), LogError> {
    let is_half = |p: &PathBuf| p.extension().is_some_and(|e| e == "generating");
    snapshots(path)?.into_iter().filter(is_half).try_for_each(|file| folder::remove(&file))
}

/// Renames the files that sled can do without. The snapshot only saves sled some reading: without
/// it, sled reads its whole log. And its `conf` repeats what [`open_database`] passes. Returns how
/// many there were.
pub(super) fn set_aside_dispensable(path: &Path) -> Result<usize, LogError> {
    let mut files = snapshots(path)?;
    files.extend(Some(path.join("conf")).filter(|conf| conf.exists()));

    for file in &files {
        let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
        fs::rename(file, path.join(format!("aside-{name}")))
            .map_err(LogError::io("rename", file))?;
    }
    Ok(files.len())
}

/// Runs one of sled's functions: its errors become ours, and its panics (where they unwind) errors.
fn caught<T>(
    doing: &'static str,
    path: &Path,
    work: impl FnOnce() -> sled::Result<T>,
) -> Result<T, LogError> {
    guarded(doing, path, || work().map_err(|e| store_error(doing, path, &e)))
}

fn guarded<T>(
    doing: &'static str,
    path: &Path,
    work: impl FnOnce() -> Result<T, LogError>,
) -> Result<T, LogError> {
    let panicked =
        |_| Err(LogError::corrupt(doing, path, "the store panicked over what it found there"));
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(panicked)
}

fn store_error(doing: &'static str, path: &Path, error: &sled::Error) -> LogError {
    let fault = match error {
        sled::Error::Io(e) if e.raw_os_error() == Some(EIO) => StoreFault::Disk,
        sled::Error::Io(e) if e.raw_os_error().is_some_and(|code| FULL.contains(&code)) => {
            StoreFault::Full
        }
        sled::Error::Io(e)
            if !matches!(e.kind(), ErrorKind::UnexpectedEof | ErrorKind::InvalidData) =>
        {
            StoreFault::Io
        }
        _ => StoreFault::Corrupt,
    };
    LogError::Store { doing, path: path.to_path_buf(), fault, what: error.to_string() }
}
