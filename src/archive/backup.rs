//! A backup: a copy of the log in a folder that a daemon can start on.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::Path;

use super::error::{ArchiveError, ArchiveResult};
use super::source::{PieceSource, ROUNDS};
use crate::log::{Head, LogCopy, Piece, SegmentEnd};
use crate::model::Seq;
use crate::trust;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BackupSummary {
    pub head: Head,
    pub segments: usize,
    /// Records that could not be read, in words.
    pub missing: Vec<String>,
}

/// Copies a log into `data/log`.
///
/// When retention drops a segment before its turn comes, it has relocated what is alive in it to
/// the end of the log. Then the copy continues to the end of the log, wherever that is by then, and
/// so has everything.
///
/// # Errors
/// When others could change the folder or exchange one above it, when there is something in it
/// already, or when reading or writing fails; what was written so far then is in
/// `data/log.partial`.
pub fn backup(source: &dyn PieceSource, data: &Path) -> ArchiveResult<BackupSummary> {
    // Before anything is made: who can exchange a folder on the way gets the secrets of the log.
    let data = &trust::make_folder(data)?;
    let failed = |doing| move |source| ArchiveError::Io { doing, path: data.clone(), source };

    let (partial, whole) = (data.join("log.partial"), data.join("log"));
    if whole.exists() {
        let what = format!("{} is there already: choose another folder", whole.display());
        return Err(ArchiveError::Garbled(what));
    }
    if partial.exists() {
        let removed = fs::remove_dir_all(&partial);
        removed.map_err(failed("remove what is left of an earlier backup in"))?;
    }

    let mut copy = LogCopy::begin(&partial)?;
    let (segments, missing) = copy_segments(source, &mut copy)?;
    let head = copy.finish()?;

    // It counts as a log only now that it is whole.
    fs::rename(&partial, &whole).map_err(failed("name the copy in"))?;
    File::open(data).and_then(|folder| folder.sync_all()).map_err(failed("sync"))?;
    Ok(BackupSummary { head, segments, missing })
}

/// Copies all segments. Returns how many there were, and what could not be read.
fn copy_segments(
    source: &dyn PieceSource,
    copy: &mut LogCopy,
) -> ArchiveResult<(usize, Vec<String>)> {
    let mut copied = Copied::default();

    for round in 0.. {
        let listed = source.segments()?.into_iter().filter(|first| *first > copied.upto);
        let listed: Vec<_> = listed.collect();

        // The last segment of the first list is read to its end: that is the moment the backup is
        // of.
        let mut dropped = false;
        let mut before = None;
        for first in listed {
            before = copied.segment(source, copy, first, before)?;
            dropped |= before.is_none();
        }

        if !dropped {
            let segments = copied.segments.len();
            return Ok((segments, copied.segments.into_values().flatten().collect()));
        }
        if round == ROUNDS {
            break;
        }
    }
    let what = "retention drops segments faster than they are copied: try again".to_owned();
    Err(ArchiveError::Garbled(what))
}

/// What has been copied.
#[derive(Default)]
struct Copied {
    /// The segments, and what cannot be read in each, in words.
    segments: BTreeMap<Seq, Vec<String>>,
    /// Those up to the one that begins with this record need not be copied any more.
    upto: Seq,
}

impl Copied {
    /// Copies a segment, which comes behind one that ended so, by the same list. Returns how it
    /// ends; `None` when it is gone.
    fn segment(
        &mut self,
        source: &dyn PieceSource,
        copy: &mut LogCopy,
        first: Seq,
        before: Option<SegmentEnd>,
    ) -> ArchiveResult<Option<SegmentEnd>> {
        // A sealed segment does not grow. So what is missing behind it by the same list is missing
        // in the log, which reports it when it is verified, as the copy does.
        let is_gap = |end: &SegmentEnd| end.sealed_at.is_some() && end.last + 1 < first;
        if let Some(end) = before.filter(is_gap) {
            let what = format!("records {} to {} are missing", end.last + 1, first - 1);
            copy.take(Piece::Missing(what))?;
        }

        let (mut end, mut missing) = (None, Vec::new());
        let there = source.pieces(first, &mut |piece| {
            match &piece {
                Piece::Missing(what) => missing.push(what.clone()),
                Piece::End(found) => end = Some(found.clone()),
                Piece::Header(_) | Piece::Checkpoint(_) | Piece::Frame(_) => {}
            }
            Ok(copy.take(piece)?)
        })?;

        if !there {
            // Retention drops the oldest first, so those before it are gone as well.
            copy.start_over()?;
            *self = Self { upto: first, ..Self::default() };
            return Ok(None);
        }
        self.segments.insert(first, missing);
        // One that was not sealed yet is copied anew when there is another round: it has grown.
        let is_sealed = end.as_ref().is_some_and(|end| end.sealed_at.is_some());
        self.upto = if is_sealed { first } else { first - 1 };
        Ok(end)
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::{PieceSource, backup};
    use crate::archive::testing::BusyLog;
    use crate::log::Recovered;
    use crate::log::testing::open_log;
    use crate::model::Seq;

    /// The records of the backup, which has all from the first one on.
    fn backed_up(source: &BusyLog, data: &Path) -> Vec<Seq> {
        let summary = backup(source, data).expect("backs up");
        assert_eq!(summary.missing, Vec::<String>::new());

        let Recovered { reader, problems, .. } = open_log(data, 1);
        assert_eq!(problems, []);
        assert!(reader.verify(&mut |_| {}).ok);
        assert_eq!(
            (reader.durable(), reader.segments().len()),
            (summary.head.seq, summary.segments)
        );
        reader.forward(1).map(|item| item.expect("reads").0).collect()
    }

    #[test]
    fn a_backup_of_a_log_that_is_rolled_and_shortened_meanwhile_has_no_gap() {
        let dir = tempfile::tempdir().expect("a folder");
        let before = |busy: &BusyLog, first| {
            if first == 1 {
                busy.drop_segment(1);
            }
        };
        let behind = |busy: &BusyLog, first| {
            if first == 21 && busy.reader.durable() < 30 {
                busy.fill(5);
                busy.roll();
                busy.fill(5);
            }
        };
        let source = BusyLog::of_three(dir.path(), before, behind);
        let records = backed_up(&source, &dir.path().join("copy"));
        assert_eq!(records, (11..=36).collect::<Vec<_>>());
    }

    #[test]
    fn a_backup_leaves_out_what_is_dropped_behind_it() {
        let dir = tempfile::tempdir().expect("a folder");
        let behind = |busy: &BusyLog, first| {
            if first == 1 {
                busy.drop_segment(1);
                busy.drop_segment(11);
            }
        };
        let source = BusyLog::of_three(dir.path(), |_, _| {}, behind);
        let records = backed_up(&source, &dir.path().join("copy"));
        assert_eq!(records, (21..=27).collect::<Vec<_>>());
    }

    #[test]
    fn a_copy_takes_no_segment_that_does_not_follow() {
        let dir = tempfile::tempdir().expect("a folder");
        let source = BusyLog::of_three(dir.path(), |_, _| {}, |_, _| {});
        let mut copy = super::LogCopy::begin(&dir.path().join("copy")).expect("begins");
        source.pieces(1, &mut |piece| Ok(copy.take(piece)?)).expect("the first");
        let refused = source.pieces(21, &mut |piece| Ok(copy.take(piece)?));
        let refused = refused.expect_err("11 to 20 are not there").to_string();
        assert!(refused.contains("does not follow on record 10"), "{refused}");
    }
}
