//! Why something could not be done with a log.

use std::io;
use std::path::PathBuf;

use crate::log::LogError;
use crate::trust::Distrust;

#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    #[error("{0}")]
    Log(#[from] LogError),
    #[error("cannot {doing} {}: {source}", path.display())]
    Io { doing: &'static str, path: PathBuf, source: io::Error },
    /// What the daemon sent, or what a file holds, is not what it should be.
    #[error("{0}")]
    Garbled(String),
    #[error("there is no log in {}: name the folder that is hookboxd's --data", .0.display())]
    NoLog(PathBuf),
    /// Others could change what is written there, or exchange it.
    #[error("nothing was written: {0}")]
    Place(#[from] Distrust),
    /// The reader of the output has gone.
    #[error("the reader of the output has closed it")]
    NobodyReads,
}

impl ArchiveError {
    /// Whether a daemon, or another process, has the log open.
    #[must_use]
    pub fn is_in_use(&self) -> bool {
        matches!(self, Self::Log(LogError::InUse { .. }))
    }
}

pub type ArchiveResult<T> = Result<T, ArchiveError>;
