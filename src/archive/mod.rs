//! The log without a daemon, for the ctl: copies of a log, exports of its events, and what can be salvaged of a damaged
//! one. Knows model, record, queue (to fold), log.
//!
//! A log is read in pieces ([`Pieces`]): those of a daemon come over its socket, those of a folder from the folder
//! itself, which is locked meanwhile. All that is made of them is the same for both.
//!
//! # Limits and invariants
//!
//! * What is written is its writer's alone (0600, 0700), because it holds bodies and secrets.
//! * A copy is checked frame by frame on its way, and counts only once it is whole: it stands under another name until
//!   then.
//! * An export says where each delivery stands at one moment: when it begins. Events accepted later are not in it.
//! * One segment at a time: memory does not grow with the log, but for the state, which is folded.
//!
//! # Operations
//!
//! [`backup`], [`export`], [`salvage`], one file each; [`Folder::open`] for a log on the disk.

mod backup;
mod export;
mod import;
mod salvage;

use std::io;
use std::path::{Path, PathBuf};

pub use backup::{Backup, backup};
pub use export::{Export, Filter, Format, export};
pub use import::slices;
pub use salvage::{Salvaged, damaged, salvage};

pub use crate::log::Piece as LogPiece;

use data_encoding::HEXLOWER_PERMISSIVE;
use serde_json::{Value, json};

use crate::log::{Expect, Log, LogError, Options, Piece, Problem, Reader, Recovered};
use crate::model::{Seq, WallMs};

/// Why something could not be done with a log.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    #[error("{0}")]
    Log(#[from] LogError),
    #[error("cannot {doing} {}: {source}", path.display())]
    Io { doing: &'static str, path: PathBuf, source: io::Error },
    /// What came from the daemon, or stands in a file, is not what it should be.
    #[error("{0}")]
    Garbled(String),
    #[error("there is no log in {}: name the folder that is hookboxd's --data", .0.display())]
    NoLog(PathBuf),
    /// The reader of what is written has gone.
    #[error("nobody reads")]
    NobodyReads,
}

pub type Done<T> = Result<T, ArchiveError>;

/// Where the pieces of a log come from.
pub trait Pieces {
    /// The first records of its segments, ascending; of those as well that cannot be read, whose piece says so.
    ///
    /// # Errors
    /// When they cannot be had.
    fn segments(&self) -> Done<Vec<Seq>>;

    /// Hands over the pieces of one segment. `false` when it is gone.
    ///
    /// # Errors
    /// When they cannot be had, or `take` fails.
    fn pieces(&self, first: Seq, take: &mut dyn FnMut(Piece) -> Done<()>) -> Done<bool>;
}

/// A log on the disk, of which this process is the only user meanwhile.
pub struct Folder {
    log: Log,
    reader: Reader,
    problems: Vec<Problem>,
}

impl Folder {
    /// Opens the log of a data folder. What is damaged is put aside, as a daemon would.
    ///
    /// # Errors
    /// When there is none, when a daemon has it, or when it cannot be read.
    pub fn open(data: &Path, wall_ms: WallMs) -> Done<Self> {
        let dir = data.join("log");
        if !dir.join("watermark").exists() && !dir.join("format").exists() {
            return Err(ArchiveError::NoLog(data.to_path_buf()));
        }
        let options = Options { dir, probe: std::env::current_exe().ok(), ..Options::default() };
        let Recovered { log, reader, problems, .. } = Log::open(options, wall_ms)?;
        Ok(Self { log, reader, problems })
    }

    /// The chain's head, as the daemon tells it.
    #[must_use]
    pub fn head_view(&self) -> Value {
        let head = self.reader.head();
        json!({"record": head.seq, "hash": hex(&head.hash)})
    }

    /// Reads everything and says what does not add up, what was found when it was opened included; as the daemon
    /// tells it.
    ///
    /// # Errors
    /// When `expect` is no head.
    pub fn verify_view(&self, expect: Option<&str>) -> Done<Value> {
        let mut report = match expect.map(expectation).transpose()? {
            Some(expect) => self.reader.verify_expecting(expect, &mut |_| {}),
            None => self.reader.verify(&mut |_| {}),
        };
        let new = |problem: &&Problem| !report.problems.contains(problem);
        let opening: Vec<_> = self.problems.iter().filter(new).cloned().collect();
        report.problems.extend(opening);
        let problem = |p: &Problem| json!({"segment": p.segment, "first": p.first, "last": p.last, "what": p.what});
        Ok(json!({
            "ok": report.problems.is_empty(),
            "records": report.records,
            "segments": report.segments,
            "first": report.first,
            "last": report.last,
            "head": hex(&report.head),
            "expected_at": report.expected_at,
            "problems": report.problems.iter().map(problem).collect::<Vec<_>>(),
        }))
    }

    /// Lets go of it.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn close(self) -> Done<()> {
        drop(self.reader);
        Ok(self.log.close()?)
    }
}

impl Pieces for Folder {
    fn segments(&self) -> Done<Vec<Seq>> {
        Ok(self.reader.segments().into_iter().map(|segment| segment.first).collect())
    }

    fn pieces(&self, first: Seq, take: &mut dyn FnMut(Piece) -> Done<()>) -> Done<bool> {
        let mut failed = None;
        let there = self.reader.pieces(first, &mut |piece| match take(piece) {
            Ok(()) => true,
            Err(error) => {
                failed = Some(error);
                false
            }
        })?;
        failed.map_or(Ok(there), Err)
    }
}

/// Pieces on their way over a socket, in any portions.
#[derive(Debug, Default)]
pub struct Wire {
    rest: Vec<u8>,
    ended: bool,
}

impl Wire {
    /// Takes in the next bytes and hands over what is complete by them.
    ///
    /// # Errors
    /// When these are no pieces, or `take` fails.
    pub fn take(&mut self, bytes: &[u8], take: &mut dyn FnMut(Piece) -> Done<()>) -> Done<()> {
        self.rest.extend_from_slice(bytes);
        let mut at = 0;
        let garbled = |what| ArchiveError::Garbled(format!("the daemon sent {what}: are it and this of one version?"));
        while let Some((piece, length)) = Piece::from_wire(&self.rest[at..]).map_err(garbled)? {
            at += length;
            self.ended = matches!(piece, Piece::End(_));
            take(piece)?;
        }
        self.rest.drain(..at);
        Ok(())
    }

    /// Whether a whole segment came.
    ///
    /// # Errors
    /// When it did not.
    pub fn end(self) -> Done<()> {
        if self.ended && self.rest.is_empty() {
            return Ok(());
        }
        Err(ArchiveError::Garbled("the daemon broke off while it read a segment: its log says why".to_owned()))
    }
}

/// Lower-case hexadecimal.
#[must_use]
pub fn hex(bytes: &[u8]) -> String {
    data_encoding::HEXLOWER.encode(bytes)
}

/// `HASH`, or `RECORD:HASH`.
fn expectation(text: &str) -> Done<Expect> {
    let bad = || ArchiveError::Garbled("a head is 64 hex digits, or RECORD:HASH, as `log head` prints it".to_owned());
    let (seq, hash) = match text.split_once(':') {
        Some((seq, hash)) => (Some(seq.parse().map_err(|_| bad())?), hash),
        None => (None, text),
    };
    let bytes = HEXLOWER_PERMISSIVE.decode(hash.as_bytes()).map_err(|_| bad())?;
    Ok(Expect { seq, head: bytes.try_into().map_err(|_| bad())? })
}
