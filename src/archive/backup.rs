//! A backup: a copy of the log in a folder that a daemon can start on.

use std::fs::{self, File};
use std::path::Path;

use super::error::{ArchiveError, ArchiveResult};
use super::source::PieceSource;
use crate::log::{Head, LogCopy, Piece};
use crate::trust;

/// How often a copy continues with segments that came while it was made.
const ROUNDS: usize = 1000;

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
    let (mut segments, mut missing) = (0, Vec::new());
    let mut done = 0;

    for round in 0.. {
        let listed = source.segments()?.into_iter().filter(|first| *first > done);
        let listed: Vec<_> = listed.collect();

        // The last segment of the first list is read to its end: that is the moment the backup is
        // of.
        let mut dropped = false;
        for first in listed {
            let there = source.pieces(first, &mut |piece| {
                if let Piece::Missing(what) = &piece {
                    missing.push(what.clone());
                }
                Ok(copy.take(piece)?)
            })?;
            segments += usize::from(there);
            dropped |= !there;
            done = first;
        }

        if !dropped || round == ROUNDS {
            break;
        }
    }
    Ok((segments, missing))
}
