//! A scratch copy: how a log is read by another program than its daemon, without changing anything
//! in its folder. So the folder need not be writable, and a symbolic link in it makes nobody write
//! elsewhere.
//!
//! The store writes to what it opens. So the log is opened in a temporary folder, for its reader
//! alone. The small files are copied there at once, and each segment on demand; only a few segments
//! are there at a time. What is copied must be a file, not a link, and belong to the owner of the
//! folder, to root, or to the reader. The log's lock is held meanwhile, but nothing is written into
//! it.

use std::collections::VecDeque;
use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, openat, statat};

use super::error::LogError;
use super::{ballast, checksums, folder};
use crate::model::{Seq, limits};

/// The names of the folders begin with this; the number of the process follows.
const PREFIX: &str = "hookbox-read-";

/// The temporary folder, removed when it is dropped.
#[derive(Debug)]
pub struct ScratchCopy {
    dir: PathBuf,
    /// As long as somebody reads, no daemon starts to write.
    _lock: Option<File>,
    origin: Origin,
}

/// The log that is copied.
#[derive(Clone, Debug)]
pub struct Origin {
    path: PathBuf,
    owner: u32,
}

/// The segments that are in a scratch copy, the one copied longest ago first.
pub(super) type FetchedSegments = Mutex<VecDeque<Seq>>;

impl ScratchCopy {
    /// Creates one of the log in `path`, below the folder `under`.
    ///
    /// # Errors
    /// When a daemon has the log, when it is not what it should be, or the system refuses.
    pub fn new(path: &Path, under: &Path) -> Result<Self, LogError> {
        let failed = |source: io::Error| LogError::io("read", path)(source);
        let log =
            openat(CWD, path, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty());
        let log = log.map_err(|error| failed(error.into()))?;
        let owner = rustix::fs::fstat(&log).map_err(|error| failed(error.into()))?.st_uid;
        let origin = Origin { path: path.to_path_buf(), owner };

        let lock = origin.lock(&log)?;
        let copy = Self { dir: create(under)?, _lock: lock, origin };
        for entry in fs::read_dir(path).map_err(failed)? {
            let name = entry.map_err(failed)?.file_name();
            let Some(name) = name.to_str() else { continue };
            let to = copy.dir.join(name);
            if is_temporary(name) || name == "lock" || ballast::is_ballast(&to) {
                continue;
            }

            match folder::first_of(&to) {
                // Its files are copied on demand.
                Some(_) => create_private(&to)?,
                None => copy.origin.copy(&log, name, &to)?,
            }
        }
        Ok(copy)
    }

    /// The folder to open the log in.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// For [`super::Options::origin`].
    #[must_use]
    pub fn origin(&self) -> Origin {
        self.origin.clone()
    }

    /// A message about the scratch copy, with the paths of the log itself.
    #[must_use]
    pub fn with_original_paths(&self, message: &str) -> String {
        message.replace(&*self.dir.to_string_lossy(), &self.origin.path.to_string_lossy())
    }
}

impl Drop for ScratchCopy {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.dir);
    }
}

impl Origin {
    /// Copies the files of a segment to `dir`, unless they are there; removes those of segments
    /// copied long ago.
    pub(super) fn fetch(
        &self,
        dir: &Path,
        first: Seq,
        fetched: &FetchedSegments,
    ) -> Result<(), LogError> {
        let mut fetched = fetched.lock().unwrap_or_else(PoisonError::into_inner);
        if fetched.contains(&first) {
            return Ok(());
        }

        let to = folder::segment(dir, first);
        let from = folder::segment(&self.path, first);
        let failed = || LogError::io("read", &from);
        let segment = open_folder(&from)?;
        for entry in fs::read_dir(&from).map_err(failed())? {
            let name = entry.map_err(failed())?.file_name();
            let Some(name) = name.to_str().filter(|name| *name != checksums::AS_FOUND) else {
                continue;
            };
            if is_folder(&segment, name) {
                self.copy_folder(&from.join(name), &to.join(name))?;
            } else {
                self.copy(&segment, name, &to.join(name))?;
            }
        }
        fetched.push_back(first);

        while fetched.len() > limits::SCRATCH_SEGMENTS {
            // A segment that is still open keeps its files by their descriptors.
            if let Some(oldest) = fetched.pop_front() {
                let oldest = folder::segment(dir, oldest);
                fs::remove_dir_all(&oldest).map_err(LogError::io("remove", &oldest))?;
                create_private(&oldest)?;
            }
        }
        Ok(())
    }

    /// Copies a folder of files; the store keeps one in a segment.
    fn copy_folder(&self, from: &Path, to: &Path) -> Result<(), LogError> {
        let failed = || LogError::io("read", from);
        let folder = open_folder(from)?;
        create_private(to)?;
        for entry in fs::read_dir(from).map_err(failed())? {
            let name = entry.map_err(failed())?.file_name();
            if let Some(name) = name.to_str() {
                self.copy(&folder, name, &to.join(name))?;
            }
        }
        Ok(())
    }

    fn copy(&self, folder: &OwnedFd, name: &str, to: &Path) -> Result<(), LogError> {
        let mut from = self.open(folder, name)?;
        let new = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(to);
        let copied = new.and_then(|mut new| io::copy(&mut from, &mut new));
        copied.map(drop).map_err(LogError::io("copy the log (TMPDIR sets the folder) to", to))
    }

    /// Opens a file to be read: no link, nothing but a file, and none of another user, whose
    /// secrets the folder's owner might want to get at through us.
    fn open(&self, folder: &OwnedFd, name: &str) -> Result<File, LogError> {
        let path = self.path.join(name);
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let refuse = |what: &str| LogError::io("read", &path)(io::Error::other(what.to_owned()));
        let file = openat(folder.as_fd(), name, flags, Mode::empty());
        let file = file.map_err(|error| match error {
            rustix::io::Errno::LOOP => {
                refuse("it is a link, which is not followed: put the file in its place")
            }
            error => LogError::io("read", &path)(error.into()),
        })?;

        let file = File::from(file);
        let found = file.metadata().map_err(LogError::io("read", &path))?;
        let caller = rustix::process::geteuid().as_raw();
        if !found.is_file() {
            return Err(refuse("it is not a regular file"));
        }
        if ![self.owner, 0, caller].contains(&found.uid()) {
            return Err(refuse("it belongs to another user than its folder"));
        }
        Ok(file)
    }

    /// Takes the daemon's lock; `None` where there is no lock file.
    fn lock(&self, log: &OwnedFd) -> Result<Option<File>, LogError> {
        let file = match self.open(log, "lock") {
            Ok(file) => file,
            Err(LogError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
                return Ok(None);
            }
            Err(error) => return Err(error),
        };
        match folder::try_lock(&file) {
            Ok(()) => Ok(Some(file)),
            Err(TryLockError::WouldBlock) => Err(folder::in_use(&self.path, &file)),
            // Some file systems lock no file that is opened for reading alone: then the log is read
            // without the lock.
            Err(TryLockError::Error(_)) => Ok(None),
        }
    }
}

fn open_folder(path: &Path) -> Result<OwnedFd, LogError> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    openat(CWD, path, flags, Mode::empty())
        .map_err(|error| LogError::io("read", path)(error.into()))
}

fn is_folder(folder: &OwnedFd, name: &str) -> bool {
    let found = statat(folder.as_fd(), name, AtFlags::SYMLINK_NOFOLLOW);
    found.is_ok_and(|found| FileType::from_raw_mode(found.st_mode).is_dir())
}

/// Whether it is unfinished work, or a quarantined segment: not part of the log.
fn is_temporary(name: &str) -> bool {
    ["new-", "del-", "bad-"].iter().any(|prefix| name.starts_with(prefix)) || name.ends_with(".tmp")
}

/// Creates a folder for this user alone, unless it is there.
fn create_private(path: &Path) -> Result<(), LogError> {
    let created = DirBuilder::new().mode(0o700).recursive(true).create(path);
    created.map_err(LogError::io("create", path))
}

/// Removes the copies of readers that were killed: there are secrets in them.
fn remove_abandoned(under: &Path) {
    let caller = rustix::process::geteuid().as_raw();
    for entry in fs::read_dir(under).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let process = name.to_str().and_then(process_of);
        let is_gone = |process: u32| !Path::new("/proc").join(process.to_string()).exists();
        let found = fs::symlink_metadata(entry.path());
        if process.is_some_and(is_gone)
            && found.is_ok_and(|found| found.is_dir() && found.uid() == caller)
        {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

/// The process that the name of a scratch copy's folder names.
fn process_of(name: &str) -> Option<u32> {
    name.strip_prefix(PREFIX)?.split_once('-')?.0.parse().ok()
}

/// Creates a folder of its own, for this user alone.
fn create(under: &Path) -> Result<PathBuf, LogError> {
    remove_abandoned(under);

    let names = (0..).map(|n| under.join(format!("{PREFIX}{}-{n}", std::process::id())));
    for dir in names.take(limits::SCRATCH_FOLDERS) {
        match DirBuilder::new().mode(0o700).create(&dir) {
            Ok(()) => return Ok(dir),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(LogError::io("create (TMPDIR sets the folder)", &dir)(error)),
        }
    }
    Err(LogError::io("create a folder in", under)(io::ErrorKind::AlreadyExists.into()))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::{FetchedSegments, PREFIX, ScratchCopy};
    use crate::model::limits;

    fn origin(segments: u64) -> tempfile::TempDir {
        let log = tempfile::tempdir().expect("a folder");
        for first in 1..=segments {
            let segment = log.path().join(format!("seg-{first:020}"));
            fs::create_dir_all(segment.join("blobs")).expect("a folder");
            fs::write(segment.join("db"), format!("db {first}")).expect("written");
        }
        fs::write(log.path().join("watermark"), "w").expect("written");
        log
    }

    #[test]
    fn a_few_segments_stand_beside_at_a_time_and_nothing_is_left() {
        let (log, under) = (origin(9), tempfile::tempdir().expect("a folder"));
        // Left by a process that is gone: numbers of processes are smaller.
        let left = under.path().join(format!("{PREFIX}4294967295-0"));
        fs::create_dir(&left).expect("a folder");
        let copy = ScratchCopy::new(log.path(), under.path()).expect("made");
        assert!(!left.exists());
        assert_eq!(fs::read_to_string(copy.dir().join("watermark")).expect("copied"), "w");
        let fetched = FetchedSegments::default();
        let db = |first: u64| copy.dir().join(format!("seg-{first:020}/db"));
        for first in 1..=9 {
            copy.origin().fetch(copy.dir(), first, &fetched).expect("fetched");
            assert_eq!(fs::read_to_string(db(first)).expect("there"), format!("db {first}"));
            let there = (1..=9).filter(|first| db(*first).exists()).count();
            assert!(there <= limits::SCRATCH_SEGMENTS, "{there}");
        }
        drop(copy);
        assert_eq!(fs::read_dir(under.path()).expect("a folder").count(), 0);
    }

    #[test]
    fn links_and_what_is_no_file_are_not_read() {
        for what in ["watermark", "seg-00000000000000000001/db"] {
            let (log, under) = (origin(1), tempfile::tempdir().expect("a folder"));
            let victim = under.path().join("victim");
            fs::write(&victim, "precious").expect("written");
            fs::remove_file(log.path().join(what)).expect("there");
            symlink(&victim, log.path().join(what)).expect("a link");
            let read = ScratchCopy::new(log.path(), under.path())
                .and_then(|copy| copy.origin().fetch(copy.dir(), 1, &FetchedSegments::default()));
            let why = read.expect_err(what).to_string();
            assert!(why.contains("link"), "{why}");
        }
        let (log, under) = (origin(1), tempfile::tempdir().expect("a folder"));
        fs::remove_file(log.path().join("watermark")).expect("there");
        fs::create_dir(log.path().join("watermark")).expect("a folder");
        assert!(ScratchCopy::new(log.path(), under.path()).is_err());
    }
}
