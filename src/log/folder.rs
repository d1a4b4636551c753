//! The log's folder: the names in it, how a small file is replaced, and the lock.
//!
//! | name | content |
//! |---|---|
//! | `seg-N/` | a segment that begins with record N |
//! | `seg-N.seal` | how it ended, once it is sealed |
//! | `seg-N.sums` | checksums of its files when it was closed |
//! | `seg-N.open` | exists while a process has it open |
//! | `new-N/`, `del-N/` | a segment that is being created or deleted |
//! | `bad-seg-N…/` | a quarantined segment: it could not be opened; `log salvage` reads it |

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{Seek, SeekFrom, Write};
use std::os::unix::fs::{DirBuilderExt, FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::error::LogError;
use super::failpoint;
use super::write_progress::done;
use crate::model::Seq;

/// How often, and how long each time, a lock is waited for whose holder is gone.
const LOCK_TRIES: u32 = 400;
const LOCK_WAIT: Duration = Duration::from_millis(5);
/// Files are never written through a symbolic link.
const NOFOLLOW: i32 = rustix::fs::OFlags::NOFOLLOW.bits().cast_signed();

pub(super) fn segment(dir: &Path, first: Seq) -> PathBuf {
    dir.join(format!("seg-{first:020}"))
}

pub(super) fn seal(dir: &Path, first: Seq) -> PathBuf {
    dir.join(format!("seg-{first:020}.seal"))
}

/// Exists beside a segment while a process has it open; one left over means that the process died.
pub(super) fn open_marker(dir: &Path, first: Seq) -> PathBuf {
    dir.join(format!("seg-{first:020}.open"))
}

/// The checksums of a segment's files when it was last closed.
pub(super) fn checksums(dir: &Path, first: Seq) -> PathBuf {
    dir.join(format!("seg-{first:020}.sums"))
}

pub(super) fn is_checksums(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "sums")
}

/// The first record of a segment, by its folder's name.
pub(super) fn first_of(path: &Path) -> Option<Seq> {
    number_of(path.file_name()?.to_str()?.strip_prefix("seg-")?)
}

pub(super) fn creating(dir: &Path, first: Seq) -> PathBuf {
    dir.join(format!("new-{first:020}"))
}

pub(super) fn deleting(dir: &Path, first: Seq) -> PathBuf {
    dir.join(format!("del-{first:020}"))
}

/// A free name for a segment that is quarantined.
pub(super) fn quarantined(dir: &Path, first: Seq) -> PathBuf {
    let plain = dir.join(format!("bad-seg-{first:020}"));
    let numbered = |n: u32| match n {
        1 => plain.clone(),
        _ => dir.join(format!("bad-seg-{first:020}-{n}")),
    };
    (1..).map(numbered).find(|path| !path.exists()).unwrap_or(plain.clone())
}

/// The entries of the folder that opening it needs.
#[derive(Debug, Default)]
pub(super) struct FolderListing {
    /// Ascending.
    pub segments: Vec<Seq>,
    pub seals: Vec<Seq>,
    /// Half-created and half-deleted segments, and half-written files.
    pub leftovers: Vec<PathBuf>,
}

pub(super) fn list(dir: &Path) -> Result<FolderListing, LogError> {
    let failed = || LogError::io("list the folder", dir);

    let mut listing = FolderListing::default();
    for entry in fs::read_dir(dir).map_err(failed())? {
        let entry = entry.map_err(failed())?;
        let name = entry.file_name();
        let Some(name) = name.to_str() else { continue };

        if name.starts_with("new-") || name.starts_with("del-") || name.ends_with(".tmp") {
            listing.leftovers.push(entry.path());
        } else if let Some(number) = name.strip_prefix("seg-") {
            match (number.strip_suffix(".seal").and_then(number_of), number_of(number)) {
                (Some(first), _) => listing.seals.push(first),
                (None, Some(first)) => listing.segments.push(first),
                (None, None) => {}
            }
        }
    }

    listing.segments.sort_unstable();
    listing.seals.sort_unstable();
    Ok(listing)
}

fn number_of(text: &str) -> Option<Seq> {
    (text.len() == 20).then(|| text.parse().ok()).flatten().filter(|n| *n > 0)
}

/// Creates the folder (for its owner alone) when it is missing.
pub(super) fn create(dir: &Path) -> Result<(), LogError> {
    if dir.is_dir() {
        return Ok(());
    }

    let created = DirBuilder::new().recursive(true).mode(0o700).create(dir);
    created.map_err(LogError::io("create the folder", dir))?;
    if let Some(parent) = dir.parent().filter(|p| !p.as_os_str().is_empty()) {
        sync(parent)?;
    }
    Ok(())
}

/// Locks the folder for this process, for as long as the file lives.
pub(super) fn lock(dir: &Path) -> Result<File, LogError> {
    let path = dir.join("lock");
    let failed = || LogError::io("lock", &path);
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false).mode(0o600);
    options.custom_flags(NOFOLLOW);
    let mut file = options.open(&path).map_err(failed())?;

    // It is written to: a link would lead to somebody else's file, and so would a second name of
    // one.
    let found = file.metadata().map_err(failed())?;
    if !found.is_file() || found.nlink() > 1 {
        let what = "it is not a file of its own: remove it, it is created again";
        return Err(failed()(std::io::Error::other(what)));
    }

    match try_lock(&file) {
        Ok(()) => {}
        Err(TryLockError::Error(source)) => return Err(failed()(source)),
        Err(TryLockError::WouldBlock) => return Err(in_use(dir, &file)),
    }

    // The process id is for error messages only: the lock itself is the operating system's.
    file.set_len(0).map_err(failed())?;
    file.seek(SeekFrom::Start(0)).map_err(failed())?;
    writeln!(file, "{}", std::process::id()).map_err(failed())?;
    Ok(file)
}

/// The error that names the holder of the lock.
pub(super) fn in_use(dir: &Path, file: &File) -> LogError {
    let holder =
        holder(file).map_or_else(|| "another process".to_owned(), |pid| format!("process {pid}"));
    LogError::InUse { dir: dir.to_path_buf(), holder }
}

/// A child that is being started has the locks of its process until it runs its own program, and
/// keeps them for that moment when the process was killed or let them go. So as long as the process
/// that the file names is gone, or is this one, the lock is tried again.
pub(super) fn try_lock(file: &File) -> Result<(), TryLockError> {
    let own = std::process::id();
    let is_gone = |pid: u32| pid == own || !Path::new("/proc").join(pid.to_string()).exists();

    for _ in 0..LOCK_TRIES {
        match file.try_lock() {
            Err(TryLockError::WouldBlock) if holder(file).is_some_and(is_gone) => {
                std::thread::park_timeout(LOCK_WAIT);
            }
            done => return done,
        }
    }
    file.try_lock()
}

/// The process that a lock file names.
fn holder(file: &File) -> Option<u32> {
    let mut bytes = [0; 20];
    let len = file.read_at(&mut bytes, 0).ok()?;
    std::str::from_utf8(&bytes[..len]).ok()?.trim().parse().ok()
}

/// Makes the names in a folder durable.
pub(super) fn sync(dir: &Path) -> Result<(), LogError> {
    let synced = done(File::open(dir).and_then(|d| d.sync_all()));
    synced.map_err(LogError::io("sync the folder", dir))
}

pub(super) fn rename(from: &Path, to: &Path) -> Result<(), LogError> {
    done(fs::rename(from, to)).map_err(LogError::io("rename", from))?;
    to.parent().map_or(Ok(()), sync)
}

/// Removes a file or a whole folder; it is no error that it is gone already.
pub(super) fn remove(path: &Path) -> Result<(), LogError> {
    let removed = if path.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) };
    match done(removed) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(LogError::io("remove", path)(e)),
        _ => Ok(()),
    }
}

/// Bytes that the files in a folder take on the disk, one level deep.
pub(super) fn disk_bytes(dir: &Path) -> u64 {
    let Ok(entries) = fs::read_dir(dir) else { return 0 };
    let files = entries.flatten().filter_map(|e| e.metadata().ok()).filter(fs::Metadata::is_file);
    files.map(|m| m.blocks() * 512).sum()
}

/// Replaces a small file as a whole: one line of JSON, one line with its CRC-32.
pub(super) fn write_checked(path: &Path, value: &impl Serialize) -> Result<(), LogError> {
    let json = serde_json::to_string(value).map_err(|e| LogError::io("encode", path)(e.into()))?;
    let text = format!("{json}\n{:08x}\n", crc32fast::hash(json.as_bytes()));

    let mut name = path.as_os_str().to_owned();
    name.push(".tmp");
    let tmp = PathBuf::from(name);
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true).mode(0o600).custom_flags(NOFOLLOW);
    let written = options.open(&tmp).and_then(|mut f| {
        f.write_all(text.as_bytes())?;
        f.sync_all()
    });
    done(written).map_err(LogError::io("write", &tmp))?;

    failpoint::reached("checked.written");
    rename(&tmp, path)
}

/// Reads what [`write_checked`] wrote; `None` when the file is missing or its checksum is wrong.
pub(super) fn read_checked<T: DeserializeOwned>(path: &Path) -> Option<T> {
    let text = fs::read_to_string(path).ok()?;
    let (json, crc) = text.split_once('\n')?;
    let crc = u32::from_str_radix(crc.trim_end(), 16).ok()?;
    (crc32fast::hash(json.as_bytes()) == crc).then(|| serde_json::from_str(json).ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::{lock, try_lock};
    use std::fs::File;
    use std::io::Write as _;

    #[test]
    fn a_lock_that_a_dead_process_left_to_its_child_is_waited_for() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let mut held = File::create(dir.path().join("lock")).expect("a lock file");
        // No process has this number: it is beyond the kernel's largest.
        writeln!(held, "{}", u32::MAX).expect("a holder");
        try_lock(&held).expect("nobody has it");

        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| lock(dir.path()).map(|_| ()));
            // The child that had it begins its own program.
            std::thread::park_timeout(super::LOCK_WAIT * 4);
            drop(held);
            waiting.join().expect("no panic").expect("it gets the lock");
        });

        let _ours = lock(dir.path()).expect("free again");
        let refused = lock(dir.path()).expect_err("it is ours");
        assert!(refused.to_string().contains(&std::process::id().to_string()), "{refused}");
    }
}
