//! Ballast: two files beside the segments that hold nothing, so that there is something to throw overboard.
//!
//! Where others fill the file system, the reserve is only a number; the ballast is room that is really held. The first
//! file is given up when the log cannot be opened for want of room, so that a full disk can be opened; the second one
//! also while the daemon runs, so that what waits can be carried out. Both are made again once the file system has the
//! reserve and the file free. They are part of the reserve: whoever counts what is free counts them in.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::FallocateFlags;

use super::room::Room;
use crate::model::limits;

const NAMES: [&str; 2] = ["ballast-open", "ballast-run"];

/// Bytes of one of the two files.
fn size(reserve: u64) -> u64 {
    (reserve / 4).clamp(limits::BALLAST_MIN, limits::BALLAST)
}

pub(super) fn is_ballast(path: &Path) -> bool {
    path.file_name().and_then(|name| name.to_str()).is_some_and(|name| NAMES.contains(&name))
}

/// Bytes that it holds on the disk.
pub(super) fn present(dir: &Path) -> u64 {
    paths(dir).iter().filter_map(|path| fs::metadata(path).ok()).map(|m| m.blocks() * 512).sum()
}

/// Before the log is opened: gives up what opening may need. Returns whether it gave up anything.
pub(super) fn release_to_open(dir: &Path) -> bool {
    let free = || rustix::fs::statvfs(dir).map_or(u64::MAX, |fs| fs.f_bavail.saturating_mul(fs.f_frsize));
    let mut gave = false;
    for path in paths(dir).iter().rev() {
        gave |= free() < limits::OPEN_BYTES && fs::remove_file(path).is_ok();
    }
    gave
}

/// Gives up everything, whatever is free: something has failed for want of room.
pub(super) fn release(dir: &Path) -> bool {
    let gone = paths(dir).iter().filter(|path| fs::remove_file(path).is_ok()).count();
    gone > 0
}

/// Gives up the second file when the file system is all but full, and makes both again when there is room.
pub(super) fn keep(dir: &Path, room: &Room) {
    let size = size(room.reserve);
    let free = room.free.saturating_sub(present(dir));
    let [open, run] = paths(dir);
    if free < limits::OPEN_BYTES / 2 && fs::remove_file(&run).is_ok() {
        tracing::warn!(bytes = size, "the file system is all but full: gave up ballast");
        return;
    }
    let mut spare = free.saturating_sub(room.reserve);
    let spare_files = room.files.is_none_or(|files| files > 2 * limits::ROLL_FILES);
    for path in [open, run] {
        if spare_files && spare > size && !path.exists() && make(&path, size).is_ok() {
            spare -= size;
        }
    }
}

fn make(path: &Path, size: u64) -> std::io::Result<()> {
    let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    let made = match rustix::fs::fallocate(&file, FallocateFlags::empty(), 0, size) {
        Ok(()) => Ok(()),
        // Not every file system can.
        Err(_) => fill(&file, size),
    };
    if made.is_err() {
        let _ = fs::remove_file(path);
    }
    made
}

fn fill(mut file: &File, size: u64) -> std::io::Result<()> {
    let zeros = vec![0u8; 64 << 10];
    let mut left = size;
    while left > 0 {
        let now = usize::try_from(left).unwrap_or(zeros.len()).min(zeros.len());
        file.write_all(&zeros[..now])?;
        left -= now as u64;
    }
    Ok(())
}

fn paths(dir: &Path) -> [PathBuf; 2] {
    NAMES.map(|name| dir.join(name))
}

#[cfg(test)]
mod tests {
    use super::super::room::Room;
    use super::{keep, present, release};

    #[test]
    fn it_is_made_when_there_is_room_and_given_up_when_there_is_none() {
        let dir = tempfile::tempdir().expect("a folder");
        let dir = dir.path();
        let reserve = 4 << 20;
        let room = |free| Room { quota: 1 << 30, reserve, free, ..Room::default() };
        keep(dir, &room(4 << 20));
        assert_eq!(present(dir), 0, "the reserve itself is not spare");
        keep(dir, &room(1 << 30));
        assert_eq!(present(dir), 2 << 20);
        keep(dir, &room((3 << 20) - 1));
        assert_eq!(present(dir), 1 << 20, "one of the two is kept for opening");
        keep(dir, &room(1 << 20));
        assert_eq!(present(dir), 1 << 20);
        assert!(release(dir) && present(dir) == 0 && !release(dir));
    }
}
