//! Ballast: two files beside the segments without content, whose space can be given up in an
//! emergency.
//!
//! Where other programs fill the file system, the reserve is only a number; the ballast is space
//! that is really allocated. The first file is removed when the log cannot be opened for lack of
//! space, so that a full disk can be opened. The second one is removed also while the daemon runs,
//! so that waiting deliveries can be sent. Both are created again once the file system has the
//! reserve and the file free. The ballast is part of the reserve: whoever measures free space
//! counts it in.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::FallocateFlags;

use super::disk_space::DiskSpace;
use crate::model::limits;

const NAMES: [&str; 2] = ["ballast-open", "ballast-run"];
/// Bytes written at once where a file cannot be allocated without writing it.
const FILL_BUFFER: usize = 64 << 10;

/// Bytes of one of the two files.
fn size(reserve: u64) -> u64 {
    (reserve / 4).clamp(limits::BALLAST_MIN, limits::BALLAST)
}

pub(super) fn is_ballast(path: &Path) -> bool {
    path.file_name().and_then(|name| name.to_str()).is_some_and(|name| NAMES.contains(&name))
}

/// Bytes that it holds on the disk.
pub(super) fn allocated_bytes(dir: &Path) -> u64 {
    paths(dir).iter().filter_map(|path| fs::metadata(path).ok()).map(|m| m.blocks() * 512).sum()
}

/// Before the log is opened: removes what opening may need. Returns whether it removed anything.
pub(super) fn release_to_open(dir: &Path) -> bool {
    let free =
        || rustix::fs::statvfs(dir).map_or(u64::MAX, |fs| fs.f_bavail.saturating_mul(fs.f_frsize));

    let mut released = false;
    for path in paths(dir).iter().rev() {
        released |= free() < limits::OPEN_BYTES && fs::remove_file(path).is_ok();
    }
    released
}

/// Removes both files, whatever is free: something has failed for lack of space.
pub(super) fn release(dir: &Path) -> bool {
    let removed = paths(dir).iter().filter(|path| fs::remove_file(path).is_ok()).count();
    removed > 0
}

/// Removes the second file when the file system is nearly full, and creates both again when there
/// is space.
pub(super) fn maintain(dir: &Path, space: &DiskSpace) {
    let size = size(space.reserve);
    let free = space.free.saturating_sub(allocated_bytes(dir));
    let [open, run] = paths(dir);

    if free < limits::OPEN_BYTES / 2 && fs::remove_file(&run).is_ok() {
        tracing::warn!(bytes = size, "the file system is nearly full: released ballast");
        return;
    }

    let mut spare = free.saturating_sub(space.reserve);
    let spare_files = space.files.is_none_or(|files| files > 2 * limits::ROLL_FILES);
    for path in [open, run] {
        if spare_files && spare > size && !path.exists() && create(&path, size).is_ok() {
            spare -= size;
        }
    }
}

fn create(path: &Path, size: u64) -> std::io::Result<()> {
    let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;

    let allocated = match rustix::fs::fallocate(&file, FallocateFlags::empty(), 0, size) {
        Ok(()) => Ok(()),
        // Not every file system supports it.
        Err(_) => fill(&file, size),
    };
    if allocated.is_err() {
        let _ = fs::remove_file(path);
    }
    allocated
}

fn fill(mut file: &File, size: u64) -> std::io::Result<()> {
    let zeros = vec![0u8; FILL_BUFFER];
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
    use super::{allocated_bytes, maintain, release};
    use crate::log::disk_space::DiskSpace;

    #[test]
    fn it_is_made_when_there_is_disk_space_and_given_up_when_there_is_none() {
        let dir = tempfile::tempdir().expect("a folder");
        let dir = dir.path();
        let reserve = 4 << 20;
        let space = |free| DiskSpace { quota: 1 << 30, reserve, free, ..DiskSpace::default() };

        maintain(dir, &space(4 << 20));
        assert_eq!(allocated_bytes(dir), 0, "the reserve itself is not spare");
        maintain(dir, &space(1 << 30));
        assert_eq!(allocated_bytes(dir), 2 << 20);

        maintain(dir, &space((3 << 20) - 1));
        assert_eq!(allocated_bytes(dir), 1 << 20, "one of the two is kept for opening");
        maintain(dir, &space(1 << 20));
        assert_eq!(allocated_bytes(dir), 1 << 20);
        assert!(release(dir) && allocated_bytes(dir) == 0 && !release(dir));
    }
}
