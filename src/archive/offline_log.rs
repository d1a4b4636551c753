//! A log on the disk, read without its daemon.

use std::path::Path;

use data_encoding::HEXLOWER_PERMISSIVE;

use super::error::{ArchiveError, ArchiveResult};
use super::fold::state_at_end;
use super::source::PieceSource;
use crate::api::values::Time;
use crate::api::views::{DamageView, LogHeadView, VerifyView};
use crate::log::{Expect, Log, LogProblem, Options, Piece, Reader, Recovered, ScratchCopy};
use crate::model::{Seq, WallMs};
use crate::queue::AcknowledgedDamage;

/// An open log whose only user is this process. Nothing in its folder is changed.
pub struct OfflineLog {
    log: Log,
    reader: Reader,
    /// The problems that were found when it was opened.
    problems: Vec<LogProblem>,
    copy: ScratchCopy,
}

impl OfflineLog {
    /// Opens the log of a data folder for reading. What a daemon would repair or quarantine is so
    /// only in a scratch copy, of which a few segments at a time are in a folder below `TMPDIR`.
    ///
    /// # Errors
    /// When there is none, when a daemon has it open, or when it cannot be read.
    pub fn open(data: &Path, wall_ms: WallMs) -> ArchiveResult<Self> {
        let dir = data.join("log");
        let has = |file: &str| {
            let found = dir.join(file).try_exists();
            found.map_err(|source| ArchiveError::Io { doing: "read", path: dir.join(file), source })
        };
        if !has("watermark")? && !has("format")? {
            return Err(ArchiveError::NoLog(data.to_path_buf()));
        }

        let copy = ScratchCopy::new(&dir, &std::env::temp_dir())?;
        let options = Options {
            dir: copy.dir().to_path_buf(),
            origin: Some(copy.origin()),
            probe: std::env::current_exe().ok(),
            ..Options::default()
        };
        let Recovered { log, reader, problems, .. } = Log::open(options, wall_ms)?;
        Ok(Self { log, reader, problems, copy })
    }

    /// The chain's head, as the admin API shows it.
    #[must_use]
    pub fn head_view(&self) -> LogHeadView {
        let head = self.reader.head();
        LogHeadView { record: head.seq, hash: hex(&head.hash) }
    }

    /// Reads everything and reports inconsistencies, including those found when it was opened, as
    /// the admin API shows them.
    ///
    /// # Errors
    /// When `expect` is not a head.
    pub fn verify_view(&self, expect: Option<&str>) -> ArchiveResult<VerifyView> {
        let mut report = match expect.map(parse_head).transpose()? {
            Some(expect) => self.reader.verify_expecting(expect, &mut |_| {}),
            None => self.reader.verify(&mut |_| {}),
        };
        // What was lost when it was opened is missing when it is read: one report of a range.
        let is_reported =
            |known: &&LogProblem| report.problems.iter().any(|p| p.is_about_the_same(known));
        let at_opening: Vec<_> =
            self.problems.iter().filter(|known| !is_reported(known)).cloned().collect();
        report.problems.extend(at_opening);

        let acknowledged = self.acknowledged(&report.problems);
        let problem = |p: &LogProblem| DamageView {
            segment: p.segment,
            first: p.first,
            last: p.last,
            what: self.copy.with_original_paths(&p.what),
            acknowledged_at: acknowledged.covers(p.first, p.last).map(Time),
        };
        Ok(VerifyView {
            ok: report.problems.is_empty(),
            records: report.records,
            segments: report.segments,
            first: report.first,
            last: report.last,
            head: hex(&report.head),
            expected_at: report.expected_at,
            problems: report.problems.iter().map(problem).collect(),
        })
    }

    /// Which damage was acknowledged, as far as the log can still say it: that is part of the state
    /// at its end.
    fn acknowledged(&self, problems: &[LogProblem]) -> AcknowledgedDamage {
        if problems.is_empty() {
            return AcknowledgedDamage::default();
        }
        state_at_end(self).map(|(_, state)| state.acknowledged).unwrap_or_default()
    }

    /// Closes it and removes the scratch copy.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn close(self) -> ArchiveResult<()> {
        drop(self.reader);
        let closed = self.log.close();
        drop(self.copy);
        Ok(closed?)
    }
}

impl PieceSource for OfflineLog {
    fn segments(&self) -> ArchiveResult<Vec<Seq>> {
        Ok(self.reader.segments().into_iter().map(|segment| segment.first).collect())
    }

    fn pieces(
        &self,
        first: Seq,
        take: &mut dyn FnMut(Piece) -> ArchiveResult<()>,
    ) -> ArchiveResult<bool> {
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

/// Lower-case hexadecimal.
#[must_use]
pub fn hex(bytes: &[u8]) -> String {
    data_encoding::HEXLOWER.encode(bytes)
}

/// Whether this is a head, as `log head` prints it.
#[must_use]
pub fn is_head(text: &str) -> bool {
    parse_head(text).is_ok()
}

/// `HASH`, or `RECORD:HASH`.
fn parse_head(text: &str) -> ArchiveResult<Expect> {
    let bad = || {
        let what = "a head is 64 hex digits, or RECORD:HASH, as `log head` prints it";
        ArchiveError::Garbled(what.to_owned())
    };

    let (seq, hash) = match text.split_once(':') {
        Some((seq, hash)) => (Some(seq.parse().map_err(|_| bad())?), hash),
        None => (None, text),
    };
    let bytes = HEXLOWER_PERMISSIVE.decode(hash.as_bytes()).map_err(|_| bad())?;
    Ok(Expect { seq, head: bytes.try_into().map_err(|_| bad())? })
}

#[cfg(test)]
mod tests {
    use super::OfflineLog;

    #[test]
    fn what_cannot_be_looked_at_is_not_said_to_be_missing() {
        let home = tempfile::tempdir().expect("a folder");
        let why = |data: &std::path::Path| match OfflineLog::open(data, 0) {
            Ok(_) => panic!("there is no log"),
            Err(error) => error.to_string(),
        };
        assert!(why(home.path()).starts_with("there is no log in "), "{}", why(home.path()));

        // As where somebody else may not read the folder, which root always may.
        let file = home.path().join("file");
        std::fs::write(&file, "").expect("written");
        let said = why(&file);
        assert!(said.starts_with("cannot read ") && said.contains("ot a directory"), "{said}");
    }
}
