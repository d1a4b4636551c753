//! Errors of the log, and the inconsistencies that are found in it.

use std::io;
use std::path::{Path, PathBuf};

use crate::model::Seq;

/// An inconsistency in the log, with the exact range of records that it concerns.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("records {first} to {last} (segment {segment}): {what}")]
pub struct LogProblem {
    /// The first record of the segment concerned, which is its name.
    pub segment: Seq,
    pub first: Seq,
    pub last: Seq,
    pub what: String,
}

impl LogProblem {
    /// Whether the other one concerns the same records.
    #[must_use]
    pub fn is_about_the_same(&self, other: &Self) -> bool {
        (self.first, self.last) == (other.first, other.last)
    }
}

/// `errno` values, the same on every Linux.
pub(super) const EIO: i32 = 5;
/// ENOSPC, EDQUOT, EFBIG: the file system, a user's share of it, or one file is full.
pub(super) const FULL: [i32; 3] = [28, 122, 27];

/// The kind of a failure that the store reported.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StoreFault {
    /// The operating system refused the call: try again later, or repair the disk.
    Io,
    /// The disk itself failed to read or write.
    Disk,
    /// No space was left.
    Full,
    /// The files do not hold what was written.
    Corrupt,
}

/// Why the log refused or failed.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    #[error(
        "the log in {} is in use by {holder}: stop it first, or choose another folder",
        dir.display()
    )]
    InUse { dir: PathBuf, holder: String },
    #[error("cannot {doing} {}: {source}", path.display())]
    Io { doing: &'static str, path: PathBuf, source: io::Error },
    #[error("cannot {doing} segment {}: {what}", path.display())]
    Store { doing: &'static str, path: PathBuf, fault: StoreFault, what: String },
    /// An earlier commit failed and its outcome is unknown, so the process has to start anew.
    #[error(
        "an earlier commit failed and its outcome is unknown: the process must end and open the \
         log again"
    )]
    Poisoned,
    #[error("the log is damaged: {0}")]
    Damaged(#[from] LogProblem),
    /// Written by a later version; nothing was changed.
    #[error(
        "{} was written by hookbox {written_by}: {what}; this is hookbox {}: use hookbox \
         {written_by}, or a later one",
        path.display(),
        env!("CARGO_PKG_VERSION")
    )]
    Newer { path: PathBuf, written_by: String, what: String },
    #[error("there is no sealed segment that begins with record {first}")]
    NoSuchSegment { first: Seq },
    #[error("the segment that begins with record {first} is needed until a checkpoint is complete")]
    StillNeeded { first: Seq },
    #[error("the segment that begins with record {first} is just being opened or closed")]
    BeingOpened { first: Seq },
    #[error("a record of {len} bytes does not fit into the log, the limit is {limit}")]
    TooLarge { len: usize, limit: usize },
    #[error("a commit of more than {limit} frames, of half a MiB each, does not fit into the log")]
    TooManyFrames { limit: usize },
}

impl LogError {
    pub(super) fn io(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io { doing, path: path.to_path_buf(), source }
    }

    pub(super) fn corrupt(doing: &'static str, path: &Path, what: impl Into<String>) -> Self {
        let (path, what) = (path.to_path_buf(), what.into());
        Self::Store { doing, path, fault: StoreFault::Corrupt, what }
    }

    pub(super) fn damaged(segment: Seq, first: Seq, last: Seq, what: impl Into<String>) -> Self {
        Self::Damaged(LogProblem { segment, first, last, what: what.into() })
    }

    /// Whether the files are damaged. Everything else may pass.
    #[must_use]
    pub fn is_damage(&self) -> bool {
        matches!(self, Self::Damaged(_) | Self::Store { fault: StoreFault::Corrupt, .. })
    }

    /// Whether it failed for lack of disk space.
    #[must_use]
    pub fn is_full(&self) -> bool {
        match self {
            Self::Io { source, .. } => {
                source.raw_os_error().is_some_and(|code| FULL.contains(&code))
            }
            Self::Store { fault, .. } => *fault == StoreFault::Full,
            _ => false,
        }
    }

    /// Whether trying again cannot help.
    #[must_use]
    pub fn is_lasting(&self) -> bool {
        self.is_damage() || self.is_newer()
    }

    /// Whether a later version wrote what was to be read: no damage, and never quarantined.
    #[must_use]
    pub fn is_newer(&self) -> bool {
        matches!(self, Self::Newer { .. })
    }

    /// The path at which the disk itself failed (EIO).
    pub(super) fn disk_failed_at(&self) -> Option<&Path> {
        match self {
            Self::Io { path, source, .. } if source.raw_os_error() == Some(EIO) => Some(path),
            Self::Store { path, fault: StoreFault::Disk, .. } => Some(path),
            _ => None,
        }
    }
}
