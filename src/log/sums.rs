//! Sums: the lengths and CRC-32s of a segment's files, taken when it was closed and compared before it is opened.
//!
//! sled may panic over a flipped bit while it opens a segment, and where panics abort that ends the daemon. A closed
//! segment's files never change by themselves (the first opening after it was sealed writes sled's snapshot; from then
//! on opening it writes nothing), so one whose files are still what they were is safe to open. One that differs, or of
//! which nothing was noted, is opened by a child process first (see `probe`). Reading a segment of 64 MiB through costs
//! about as much as sled's own opening of it does.
//!
//! Against accidents alone: who changes a file on purpose changes its sum as well. The chain is what he cannot change.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::Read;
use std::path::Path;
use std::time::SystemTime;

use serde::{Deserialize, Serialize};

use super::{LogError, folder};
use crate::model::Seq;

const BUFFER: usize = 256 << 10;
/// The data file of a damaged segment as it was found.
pub(super) const EVIDENCE: &str = "db.as-found";

/// A segment's files, by name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Sums {
    files: Vec<FileSum>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct FileSum {
    name: String,
    bytes: u64,
    crc32: u32,
}

/// How a segment's files compare with what was noted of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Compared {
    Same,
    Different,
    /// Nothing was noted.
    Unknown,
}

pub(super) fn compare(dir: &Path, first: Seq) -> Compared {
    let note = folder::sums(dir, first);
    let Some(noted) = folder::read_checked::<Sums>(&note) else {
        return if note.exists() { Compared::Different } else { Compared::Unknown };
    };
    match take(&folder::segment(dir, first)) {
        Ok(found) if found == noted => Compared::Same,
        _ => Compared::Different,
    }
}

/// The files' names, lengths and times: equal ones were not written to meanwhile. Nothing is read for it.
pub(super) type Glance = Vec<(String, u64, Option<SystemTime>)>;

pub(super) fn glance(dir: &Path, first: Seq) -> Option<Glance> {
    let entries = fs::read_dir(folder::segment(dir, first)).ok()?;
    let seen = entries.flatten().filter(|entry| is_summed(&entry.file_name())).map(|entry| {
        let found = entry.metadata().ok()?;
        Some((entry.file_name().to_string_lossy().into_owned(), found.len(), found.modified().ok()))
    });
    let mut seen = seen.collect::<Option<Glance>>()?;
    seen.sort();
    Some(seen)
}

fn is_summed(name: &OsStr) -> bool {
    name == "db" || name == "conf" || name.as_encoded_bytes().starts_with(b"snap.")
}

/// Notes the files of a closed segment.
pub(super) fn keep(dir: &Path, first: Seq) -> Result<(), LogError> {
    let segment = folder::segment(dir, first);
    let sums = take(&segment).map_err(LogError::io("read", &segment))?;
    folder::write_checked(&folder::sums(dir, first), &sums)
}

/// sled makes free room of what it cannot read when it opens a file, and writes there. So the data file of a segment that
/// is not what it was is copied before anything opens it, for `log salvage`. Without room for that there is no copy.
///
/// A process that was killed leaves files that differ and are whole nevertheless, so the copy goes as soon as the
/// segment was found to hold everything: it takes as much room as the segment itself.
pub(super) fn keep_evidence(segment: &Path) {
    let (db, copy) = (segment.join("db"), segment.join(EVIDENCE));
    if !copy.exists() && fs::copy(&db, &copy).is_err() {
        let _ = fs::remove_file(&copy);
    }
}

pub(super) fn has_evidence(segment: &Path) -> bool {
    segment.join(EVIDENCE).exists()
}

/// Nothing is wrong with the segment.
pub(super) fn drop_evidence(segment: &Path) {
    // What cannot be removed now is removed when the segment was found whole the next time.
    let _ = fs::remove_file(segment.join(EVIDENCE));
}

/// Reads a segment's files through.
pub(super) fn take(segment: &Path) -> std::io::Result<Sums> {
    let mut sums = Sums::default();
    for entry in fs::read_dir(segment)? {
        let entry = entry?;
        if is_summed(&entry.file_name()) {
            let (bytes, crc32) = sum(&entry.path())?;
            let name = entry.file_name().to_string_lossy().into_owned();
            sums.files.push(FileSum { name, bytes, crc32 });
        }
    }
    sums.files.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(sums)
}

fn sum(path: &Path) -> std::io::Result<(u64, u32)> {
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
