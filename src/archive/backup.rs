//! A backup: the log copied into a folder that a daemon can start on.

use std::fs::{self, DirBuilder};
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;

use super::{ArchiveError, Done, Pieces};
use crate::log::{Head, LogCopy, Piece};

/// How often a copy begins again at segments that came while it was made.
const ROUNDS: usize = 1000;

/// What was copied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Backup {
    pub head: Head,
    pub segments: usize,
    /// Records that could not be had, in words.
    pub missing: Vec<String>,
}

/// Copies a log into `data/log`. What retention drops meanwhile, before its turn comes, has carried forward what lives
/// in it: then the copy goes on to the end of the log, wherever that is by then, and has it all.
///
/// # Errors
/// When there is something in the folder already, or reading or writing fails; what was written then stands under
/// another name, `log.partial`.
pub fn backup(source: &dyn Pieces, data: &Path) -> Done<Backup> {
    let failed = |doing| move |source| ArchiveError::Io { doing, path: data.to_path_buf(), source };
    let (partial, whole) = (data.join("log.partial"), data.join("log"));
    if whole.exists() {
        return Err(ArchiveError::Garbled(format!("{} is there already: choose another folder", whole.display())));
    }
    DirBuilder::new().recursive(true).mode(0o700).create(data).map_err(failed("make the folder"))?;
    if partial.exists() {
        fs::remove_dir_all(&partial).map_err(failed("remove what is left of an earlier backup in"))?;
    }
    let mut copy = LogCopy::begin(&partial)?;
    let (mut segments, mut missing) = (0, Vec::new());
    let mut done = 0;
    for round in 0.. {
        let listed: Vec<_> = source.segments()?.into_iter().filter(|first| *first > done).collect();
        // The last segment of the first list is read to its end: that is the moment the backup is of.
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
    let head = copy.finish()?;
    fs::rename(&partial, &whole).map_err(failed("name the copy in"))?;
    fs::File::open(data).and_then(|folder| folder.sync_all()).map_err(failed("sync"))?;
    Ok(Backup { head, segments, missing })
}
