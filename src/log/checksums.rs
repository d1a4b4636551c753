//! Checksums: the lengths and CRC-32s of a segment's files, recorded when it is closed and compared
//! before it is opened.
//!
//! sled may panic over a flipped bit while it opens a segment, and where panics abort that ends the
//! daemon. A closed segment's files never change by themselves (the first opening after it was
//! sealed writes sled's snapshot; from then on opening it writes nothing), so a segment whose files
//! are unchanged is safe to open. One whose files differ, or of which nothing was recorded, is
//! opened by a child process first (see [`super::probe`]). Reading a segment of 64 MiB through
//! costs about as much as sled's own opening of it does.
//!
//! This guards against accidents alone: somebody who changes a file on purpose changes its checksum
//! as well. The chain is what they cannot change.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::Read;
use std::path::Path;
use std::time::SystemTime;

use serde::{Deserialize, Serialize};

use super::error::LogError;
use super::folder;
use crate::model::Seq;

const BUFFER: usize = 256 << 10;
/// The data file of a suspect segment as it was found.
pub(super) const AS_FOUND: &str = "db.as-found";

/// The checksums of a segment's files, sorted by name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct SegmentChecksums {
    files: Vec<FileChecksum>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct FileChecksum {
    name: String,
    bytes: u64,
    crc32: u32,
}

/// The files' names, lengths and times: with equal stamps they were not written to in between.
/// Nothing is read for it.
pub(super) type FileStamps = Vec<(String, u64, Option<SystemTime>)>;

/// How a segment's files compare with the recorded checksums.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ChecksumMatch {
    Same,
    Different,
    /// Nothing was recorded.
    Unknown,
}

pub(super) fn compare(dir: &Path, first: Seq) -> ChecksumMatch {
    let path = folder::checksums(dir, first);
    let Some(recorded) = folder::read_checked::<SegmentChecksums>(&path) else {
        return if path.exists() { ChecksumMatch::Different } else { ChecksumMatch::Unknown };
    };

    match compute(&folder::segment(dir, first)) {
        Ok(found) if found == recorded => ChecksumMatch::Same,
        _ => ChecksumMatch::Different,
    }
}

/// The stamps of a segment's files; `None` when one cannot be read.
pub(super) fn stamps(dir: &Path, first: Seq) -> Option<FileStamps> {
    let entries = fs::read_dir(folder::segment(dir, first)).ok()?;
    let files = entries.flatten().filter(|entry| has_checksum(&entry.file_name()));

    let stamp = |entry: fs::DirEntry| {
        let found = entry.metadata().ok()?;
        let name = entry.file_name().to_string_lossy().into_owned();
        Some((name, found.len(), found.modified().ok()))
    };
    let mut stamps = files.map(stamp).collect::<Option<FileStamps>>()?;
    stamps.sort();
    Some(stamps)
}

fn has_checksum(name: &OsStr) -> bool {
    name == "db" || name == "conf" || name.as_encoded_bytes().starts_with(b"snap.")
}

/// The checksums of a closed segment's files, which are read through.
pub(super) fn of_files(dir: &Path, first: Seq) -> Result<SegmentChecksums, LogError> {
    let segment = folder::segment(dir, first);
    compute(&segment).map_err(LogError::io("read", &segment))
}

/// Records them.
pub(super) fn record(dir: &Path, first: Seq, checksums: &SegmentChecksums) -> Result<(), LogError> {
    folder::write_checked(&folder::checksums(dir, first), checksums)
}

/// Copies the data file of a suspect segment before anything opens it, for `log salvage`: when sled
/// opens a file, it overwrites what it cannot read. On a full disk there is no copy.
///
/// A process that was killed leaves files that differ and are whole nevertheless. So the copy,
/// which takes as much space as the segment itself, is removed as soon as the segment is found to
/// be complete.
pub(super) fn keep_as_found(segment: &Path) {
    let (db, copy) = (segment.join("db"), segment.join(AS_FOUND));
    if !copy.exists() && fs::copy(&db, &copy).is_err() {
        let _ = fs::remove_file(&copy);
    }
}

pub(super) fn has_as_found(segment: &Path) -> bool {
    segment.join(AS_FOUND).exists()
}

/// Removes the copy: nothing is wrong with the segment.
pub(super) fn remove_as_found(segment: &Path) {
    // A copy that cannot be removed now is removed when the segment is found complete the next
    // time.
    let _ = fs::remove_file(segment.join(AS_FOUND));
}

/// Reads a segment's files through.
fn compute(segment: &Path) -> std::io::Result<SegmentChecksums> {
    let mut checksums = SegmentChecksums::default();
    for entry in fs::read_dir(segment)? {
        let entry = entry?;
        if has_checksum(&entry.file_name()) {
            let (bytes, crc32) = checksum(&entry.path())?;
            let name = entry.file_name().to_string_lossy().into_owned();
            checksums.files.push(FileChecksum { name, bytes, crc32 });
        }
    }
    checksums.files.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(checksums)
}

fn checksum(path: &Path) -> std::io::Result<(u64, u32)> {
    let mut file = File::open(path)?;
    let mut buffer = vec![0; BUFFER];

    let (mut bytes, mut crc) = (0, crc32fast::Hasher::new());
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok((bytes, crc.finalize())),
            count => {
                crc.update(&buffer[..count]);
                bytes += count as u64;
            }
        }
    }
}
