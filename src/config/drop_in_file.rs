//! How drop-ins are read: only what nobody else can have put there.
//!
//! The folders are read without being named by anybody, and one of them, `/run/hookbox/conf.d`,
//! lies in a folder that belongs to the daemon's own user. So a folder, a file and a link count
//! only when they belong to root or to the user who reads them, and when neither group nor others
//! can write to them. Nothing is read but files, and `/dev/null` as an empty one: a pipe would keep
//! whoever reads it waiting.

use std::fs::{self, Metadata, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::Path;

use crate::trust;

/// Opening a pipe or a device does not wait for it.
const NONBLOCK: i32 = rustix::fs::OFlags::NONBLOCK.bits().cast_signed();
/// The device that `/dev/null` is.
const NULL: (u32, u32) = (1, 3);

/// Why a drop-in, or a folder of them, is not read.
#[derive(Debug, thiserror::Error)]
pub(super) enum DropInError {
    #[error("{0}")]
    Io(#[from] io::Error),
    #[error(
        "it can be changed by others (it belongs to user {owner} and has mode {mode:04o}): \
         drop-ins and their folders must belong to root, or to the user who reads them, and be \
         writable by neither group nor others (chmod go-w)"
    )]
    Open { owner: u32, mode: u32 },
    #[error("it is not a file: a drop-in is a file, or a link to one or to /dev/null")]
    NoFile,
    #[error("it is larger than {} MiB", most >> 20)]
    TooLarge { most: u64 },
}

impl DropInError {
    pub(super) fn is_missing(&self) -> bool {
        matches!(self, Self::Io(error) if error.kind() == io::ErrorKind::NotFound)
    }
}

/// Whether the files of a folder may be read.
pub(super) fn check_folder(folder: &Path) -> Result<(), DropInError> {
    check(&fs::symlink_metadata(folder)?)?;
    check(&fs::metadata(folder)?)
}

/// Whether a link to `/dev/null` stands there, which leaves out the files of that name.
pub(super) fn is_masked(file: &Path) -> bool {
    fs::metadata(file).is_ok_and(|meta| is_null(&meta))
}

/// The text of a drop-in of at most so many bytes.
pub(super) fn read(file: &Path, most: u64) -> Result<String, DropInError> {
    check(&fs::symlink_metadata(file)?)?;

    // Looked at once more when it is open: another one may have the name by then.
    check_file(&fs::metadata(file)?)?;
    let opened = OpenOptions::new().read(true).custom_flags(NONBLOCK).open(file)?;
    check_file(&opened.metadata()?)?;

    let mut text = String::new();
    opened.take(most + 1).read_to_string(&mut text)?;
    if text.len() as u64 > most {
        return Err(DropInError::TooLarge { most });
    }
    Ok(text)
}

fn check_file(meta: &Metadata) -> Result<(), DropInError> {
    if meta.is_file() || is_null(meta) { check(meta) } else { Err(DropInError::NoFile) }
}

fn check(meta: &Metadata) -> Result<(), DropInError> {
    // Of a device others may write to, nothing is read.
    if trust::is_ours(meta) || is_null(meta) {
        return Ok(());
    }
    Err(DropInError::Open { owner: meta.uid(), mode: meta.mode() & 0o7777 })
}

fn is_null(meta: &Metadata) -> bool {
    let device = meta.rdev();
    meta.file_type().is_char_device()
        && (rustix::fs::major(device), rustix::fs::minor(device)) == NULL
}
