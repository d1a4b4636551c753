//! Why a command did not succeed, and the exit code that follows.

use std::io;
use std::path::Path;

use crate::api::SpecError;
use crate::archive::ArchiveError;

/// The command line is wrong (sysexits: `EX_USAGE`).
pub(super) const USAGE: u8 = 64;
/// No daemon answers on the socket (sysexits: `EX_UNAVAILABLE`).
const UNREACHABLE: u8 = 69;
/// The daemon accepts no events: what monitoring calls critical.
const NOT_ACCEPTING: u8 = 2;

/// `diff` could not compare: as diff(1) has it, also for wrong options.
pub(super) const NOT_COMPARED: u8 = 2;

/// Why a command did not succeed.
#[derive(Debug, thiserror::Error)]
pub enum CtlError {
    /// The daemon refused the request.
    #[error("{0}")]
    Refused(String),
    /// The daemon cannot serve the request at the moment (503).
    #[error("{0}")]
    Busy(String),
    /// The arguments contradict each other, something is missing, or the daemon says that a value
    /// cannot be (400).
    #[error("{0}")]
    Usage(String),
    /// No daemon answers on the socket.
    #[error("{0}")]
    Unreachable(String),
    /// A file, or stdout, cannot be read or written.
    #[error("{what}: {error}")]
    Io { what: String, error: io::Error },
    /// It could not be found out whether files are the same (`diff`).
    #[error("{0}")]
    NotCompared(Box<CtlError>),
    /// The reader of stdout has closed it, as `head` does.
    #[error("stdout was closed")]
    OutputClosed,
    /// The command ran, and its result is negative (`log verify`); it has been printed.
    #[error("the result is negative")]
    NotOk,
    /// The daemon accepts no events (`status --check`); it has been printed.
    #[error("no events are accepted")]
    NotAccepting,
}

impl CtlError {
    /// Whether it says nothing that is not on standard output.
    pub(super) fn is_printed(&self) -> bool {
        matches!(self, Self::OutputClosed | Self::NotOk | Self::NotAccepting)
    }

    pub(super) fn exit_code(&self) -> u8 {
        match self {
            Self::Usage(_) => USAGE,
            Self::Unreachable(_) => UNREACHABLE,
            Self::NotCompared(_) => NOT_COMPARED,
            Self::NotAccepting => NOT_ACCEPTING,
            Self::OutputClosed => 0,
            Self::Refused(_) | Self::Busy(_) | Self::Io { .. } | Self::NotOk => 1,
        }
    }
}

impl CtlError {
    /// A new file that cannot be written.
    pub(super) fn of_new_file(file: &Path, error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::AlreadyExists => Self::Refused(format!(
                "{} is there already: choose another name, or remove it",
                file.display()
            )),
            _ => Self::Io { what: format!("cannot write {}", file.display()), error },
        }
    }
}

impl From<ArchiveError> for CtlError {
    fn from(error: ArchiveError) -> Self {
        match error {
            ArchiveError::NobodyReads => Self::OutputClosed,
            error => Self::Refused(error.to_string()),
        }
    }
}

impl From<SpecError> for CtlError {
    fn from(error: SpecError) -> Self {
        Self::Usage(error.to_string())
    }
}
