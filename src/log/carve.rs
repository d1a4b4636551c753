//! Carving: reads a segment that the store itself cannot open. As in file forensics, its data file
//! is searched byte by byte for what frames consist of, without the store (see the `salvage` of
//! each layout).
//!
//! The whole file is in memory meanwhile: this is for `hookboxctl log salvage`, not for the daemon.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use super::checksums::AS_FOUND;
use super::error::LogError;
use super::folder;
use super::frame::{DecodedFrame, StoredFrame};
use super::layout::{SalvagedFrames, salvage};
use crate::model::Seq;
use crate::record::Record;

/// The frames and the checkpoint that were found in one segment.
#[derive(Debug)]
pub struct CarvedSegment {
    /// From its folder's name.
    pub first: Seq,
    /// The state before it, when all of it was found; not verified.
    pub checkpoint: Option<Vec<u8>>,
    frames: BTreeMap<Seq, StoredFrame>,
}

/// Searches a segment's folder, whatever its name is (`seg-N`, `bad-seg-N`).
///
/// # Errors
/// When its file cannot be read at all, or it is no segment's folder.
pub fn carve(segment: &Path) -> Result<CarvedSegment, LogError> {
    let Some(first) = first_of(segment) else {
        return Err(LogError::corrupt("salvage", segment, "it is not the folder of a segment"));
    };

    // Opening the file may have overwritten parts of it. They are in the copy that was made before,
    // if one was.
    let db = segment.join("db");
    let mut bytes = fs::read(segment.join(AS_FOUND)).unwrap_or_default();
    match fs::read(&db) {
        Ok(now) => bytes.extend(now),
        Err(error) if bytes.is_empty() => return Err(LogError::io("read", &db)(error)),
        Err(_) => {}
    }

    let SalvagedFrames { frames, checkpoint } = salvage(&bytes);
    Ok(CarvedSegment { first, checkpoint, frames })
}

/// The first record in the name of a segment's folder, which may be quarantined and then numbered.
fn first_of(segment: &Path) -> Option<Seq> {
    let name = segment.file_name()?.to_str()?.trim_start_matches("bad-");
    folder::first_of(Path::new(&name.chars().take(24).collect::<String>()))
}

impl CarvedSegment {
    /// The records that were found, ascending. A record that cannot be read within a good frame is
    /// of another version.
    pub fn records(&self) -> impl Iterator<Item = (Seq, Result<Record, String>)> + '_ {
        self.frames.values().flat_map(|frame| {
            let (first, last) = (frame.head.first, frame.head.last());
            let decoded = DecodedFrame::new(frame.clone());

            (first..=last).map(move |seq| {
                let record = match &decoded {
                    Ok(decoded) => decoded.record(seq).map_err(|fault| fault.to_string()),
                    Err(what) => Err(what.clone()),
                };
                (seq, record)
            })
        })
    }

    /// The ranges that were not found, up to the record `last`, or else up to the last one that was
    /// found.
    #[must_use]
    pub fn missing(&self, last: Option<Seq>) -> Vec<(Seq, Seq)> {
        let mut missing = Vec::new();
        let mut next = self.first;
        for frame in self.frames.values() {
            if frame.head.first > next {
                missing.push((next, frame.head.first - 1));
            }
            next = next.max(frame.head.last() + 1);
        }

        if let Some(last) = last.filter(|last| *last >= next) {
            missing.push((next, last));
        }
        missing
    }
}
