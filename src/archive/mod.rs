//! The log without a daemon, for the ctl: copies of a log, exports of its events, and what can be
//! salvaged of a damaged one. Knows model, record, queue (to fold), log.
//!
//! A log is read in pieces ([`PieceSource`]): those of a daemon come over its socket, those of a
//! folder from the folder itself, which is locked meanwhile. What is made of them is the same for
//! both.
//!
//! # Limits and invariants
//!
//! * The output can be read by its writer alone (0600, 0700), because it holds bodies and secrets.
//! * A copy is verified frame by frame on its way, and has another name until it is whole.
//! * An export states where each delivery stands at one moment: when it begins. Events accepted
//!   later are not in it.
//! * One segment at a time: memory does not grow with the log, but for the state, which is folded,
//!   and the last attempts of at most `limits::EXPORTED_DEAD_LETTERS` (100,000) dead letters.
//!
//! # Operations
//!
//! [`backup()`], [`export()`], [`slices`] (for an import), [`salvage()`], one file each;
//! [`OfflineLog::open`] for a log on the disk.
//!
//! # Refused
//!
//! Nothing is written over: a backup needs a folder without a log. A log that a daemon has open is
//! read through its socket, and its folder is refused. What cannot be read is listed in the summary
//! (`missing`) and does not end the operation; any other error does. Nothing is retried.

mod backup;
mod cloud_event;
mod error;
mod export;
mod fold;
mod import;
mod offline_log;
mod output;
mod salvage;
mod source;
#[cfg(test)]
mod testing;

pub use backup::{BackupSummary, backup};
pub use error::{ArchiveError, ArchiveResult};
pub use export::{ExportFilter, ExportSummary, LineFormat, export};
pub use import::slices;
pub use offline_log::{OfflineLog, hex, is_head};
pub use salvage::{SalvageSummary, damaged, holding, salvage};
pub use source::{PieceDecoder, PieceSource};

pub use crate::log::{LOG_FORMAT, Piece as LogPiece};
