//! Measures the disk space of the log.
//!
//! The quota that was not configured is computed once, at the first start, and saved in the checked
//! file `budget`, so that it does not creep with what other programs do. The [`super::ballast`]
//! counts as free: it is there to be released.
//!
//! Space is measured in two ways. A full measurement lists the folder, from the reader's thread;
//! the sizes of sealed segments are remembered when there are many, because they hardly change. The
//! quick one asks only for the active segment's file and the file system, after each commit, so
//! that no burst outruns the measuring.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};

use super::disk_space::{DiskBudget, DiskSpace};
use super::error::LogError;
use super::{ballast, folder};
use crate::model::{Seq, limits};

/// Segments above which the sizes of sealed ones are remembered.
const MANY_SEGMENTS: usize = 256;
/// Full measurements after which remembered sizes are read again: closing and opening a segment
/// adds a little to it.
const SIZES_VALID_FOR: u32 = 60;
/// A segment is at least this large however small the quota is.
const SEGMENT_MIN: u64 = 1 << 20;

/// The content of the file `budget`.
#[derive(Serialize, Deserialize)]
struct SavedQuota {
    quota: u64,
}

#[derive(Debug)]
pub(super) struct DiskGauge {
    dir: PathBuf,
    folder: File,
    last: Mutex<SpaceMeasurement>,
}

/// What a sealed segment takes.
#[derive(Clone, Copy, Debug)]
struct SealedSize {
    on_disk: u64,
    /// See [`DiskSpace::growth`].
    growth: u64,
}

/// What the folder holds.
#[derive(Default)]
struct Listing {
    /// Bytes of everything but the ballast and the active segment's data.
    others: u64,
    /// The sizes of the other segments.
    sizes: HashMap<Seq, SealedSize>,
    /// Those of them whose checksums are not recorded.
    unrecorded: u64,
    /// See [`DiskSpace::growth`].
    growth: u64,
}

/// The last measurement, and what the next one starts from.
#[derive(Debug, Default)]
struct SpaceMeasurement {
    space: DiskSpace,
    /// Everything but the active segment's data file and the ballast.
    others: u64,
    ballast: u64,
    /// Sizes of sealed segments by their first record.
    sizes: HashMap<Seq, SealedSize>,
    /// Full measurements since the sizes were read.
    sizes_age: u32,
    rolls: u64,
}

impl DiskGauge {
    /// Determines the budget and measures. `segment` is the configured size of a segment.
    pub fn new(dir: &Path, budget: DiskBudget, segment: u64) -> Result<Self, LogError> {
        let folder = File::open(dir).map_err(LogError::io("open the folder", dir))?;
        let gauge = Self { dir: dir.to_path_buf(), folder, last: Mutex::default() };
        let space = gauge.measure(0);

        let quota = budget.quota.unwrap_or_else(|| gauge.quota_of_first_start(&space));
        let least = limits::DISK_RESERVE_MIN.min(quota / 2);
        let default_reserve = (quota / 50).max(limits::DISK_RESERVE).min(quota / 4);
        let reserve = budget.reserve.unwrap_or(default_reserve).max(least);

        let mut last = gauge.locked();
        last.space.quota = quota;
        last.space.reserve = reserve;
        // A few segments at least, so that the oldest can be dropped while the newest is written.
        last.space.segment = segment.min((quota / 16).max(SEGMENT_MIN));
        drop(last);
        Ok(gauge)
    }

    /// The saved quota; at the first start four fifths of the file system, or less where less is
    /// free.
    fn quota_of_first_start(&self, space: &DiskSpace) -> u64 {
        let path = self.dir.join("budget");
        let total = rustix::fs::fstatvfs(&self.folder)
            .map_or(0, |fs| fs.f_blocks.saturating_mul(fs.f_frsize));
        let most = total / 5 * 4;

        // The folder may have been moved to a smaller file system since.
        if let Some(SavedQuota { quota }) = folder::read_checked(&path)
            && (quota <= most || total == 0)
        {
            return quota;
        }
        let quota = most.min(space.free.saturating_add(space.used));

        // On a full disk this fails, and the next start computes it again.
        let _ = folder::write_checked(&path, &SavedQuota { quota });
        quota
    }

    /// The space as it was last measured.
    pub fn space(&self) -> DiskSpace {
        self.locked().space
    }

    /// The newest complete checkpoint has so many bytes.
    pub fn set_checkpoint(&self, bytes: u64) {
        self.locked().space.checkpoint = bytes;
    }

    /// So many bytes of a checkpoint are still to be written.
    pub fn set_unwritten(&self, bytes: u64) {
        self.locked().space.unwritten = bytes;
    }

    /// Measures everything. `active` is the first record of the segment that is written to. The
    /// folder is listed without the lock, so that no commit waits for it.
    pub fn measure(&self, active: Seq) -> DiskSpace {
        let (known, rolls) = {
            let mut last = self.locked();
            last.sizes_age += 1;
            if last.sizes_age > SIZES_VALID_FOR || last.sizes.len() <= MANY_SEGMENTS {
                (last.sizes_age, last.sizes) = (0, HashMap::new());
            }
            (std::mem::take(&mut last.sizes), last.rolls)
        };

        let Listing { others, sizes, unrecorded, growth } = self.list(active, known);
        let ballast = ballast::allocated_bytes(&self.dir);
        let data = data_bytes(&folder::segment(&self.dir, active));

        let mut last = self.locked();
        if last.rolls != rolls {
            // The active segment is another one by now: the next measurement sees it.
            return last.space;
        }
        (last.others, last.sizes, last.ballast) = (others, sizes, ballast);
        (last.space.unrecorded, last.space.growth) = (unrecorded, growth);
        self.update(&mut last, data)
    }

    /// Whether the folder is gone, or the segment that is written to: what is written reaches no
    /// disk that is read again.
    pub fn is_gone(&self, active: Seq) -> bool {
        let folder = rustix::fs::fstat(&self.folder).is_ok_and(|found| found.st_nlink == 0);
        let data = folder::segment(&self.dir, active).join("db");
        let is_missing = || {
            let found = fs::symlink_metadata(&data);
            found.is_err_and(|error| error.kind() == ErrorKind::NotFound)
        };
        folder || (active > 0 && is_missing())
    }

    /// Measures what a commit changes: the active segment's file, which takes `active` bytes, and
    /// the file system.
    pub fn measure_commit(&self, active: u64) {
        let mut last = self.locked();
        self.update(&mut last, active);
    }

    /// Measures what changes without a commit: the file system.
    pub fn measure_free(&self) {
        let mut last = self.locked();
        let active = last.space.used.saturating_sub(last.others);
        self.update(&mut last, active);
    }

    /// The active segment, which takes `sealed` bytes, was sealed, and a new one begun that takes
    /// `active`.
    pub fn rolled(&self, sealed: u64, active: u64) {
        let mut last = self.locked();
        last.rolls += 1;
        last.others += sealed;
        last.space.unrecorded += 1;
        last.space.growth += growth_of(sealed);
        self.update(&mut last, active);
    }

    fn update(&self, last: &mut SpaceMeasurement, active: u64) -> DiskSpace {
        last.space.used = last.others + active;
        if let Ok(fs) = rustix::fs::fstatvfs(&self.folder) {
            let free = fs.f_bavail.saturating_mul(fs.f_frsize);
            last.space.free = free.saturating_add(last.ballast);
            last.space.files = (fs.f_files > 0).then_some(fs.f_favail);
        }
        last.space
    }

    /// Lists the folder. `known` are sizes of sealed segments that are not measured again.
    fn list(&self, active: Seq, known: HashMap<Seq, SealedSize>) -> Listing {
        let mut listing = Listing::default();
        let mut recorded = 0;
        for entry in fs::read_dir(&self.dir).into_iter().flatten().flatten() {
            let path = entry.path();
            let Ok(meta) = entry.metadata() else { continue };
            if ballast::is_ballast(&path) {
                continue;
            }

            listing.others += meta.blocks() * 512;
            if !meta.is_dir() {
                recorded += u64::from(folder::is_checksums(&path));
                continue;
            }
            listing.others += match folder::first_of(&path) {
                Some(first) if first != active => {
                    let size = known.get(&first).copied();
                    let size = size.unwrap_or_else(|| sealed_size(&path));
                    listing.sizes.insert(first, size);
                    listing.growth += size.growth;
                    size.on_disk
                }
                Some(_) => folder::disk_bytes(&path).saturating_sub(data_bytes(&path)),
                None => folder::disk_bytes(&path),
            };
        }

        listing.unrecorded = (listing.sizes.len() as u64).saturating_sub(recorded);
        listing
    }

    fn locked(&self) -> MutexGuard<'_, SpaceMeasurement> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Bytes of a segment's data file on the disk.
fn data_bytes(segment: &Path) -> u64 {
    fs::metadata(segment.join("db")).map_or(0, |m| m.blocks() * 512)
}

fn sealed_size(segment: &Path) -> SealedSize {
    let data = fs::metadata(segment.join("db")).map_or(0, |m| m.len());
    SealedSize { on_disk: folder::disk_bytes(segment), growth: growth_of(data) }
}

/// How much a data file of so many bytes grows when it is opened again.
fn growth_of(data: u64) -> u64 {
    data.next_multiple_of(limits::SLED_SEGMENT as u64) - data
}

#[cfg(test)]
mod tests {
    use super::{DiskBudget, DiskGauge, SavedQuota, folder};

    #[test]
    fn the_quota_of_a_larger_file_system_does_not_stay() {
        let dir = tempfile::tempdir().expect("a folder");
        let saved = SavedQuota { quota: u64::MAX / 2 };
        folder::write_checked(&dir.path().join("budget"), &saved).expect("written");
        let measured = || {
            DiskGauge::new(dir.path(), DiskBudget::default(), 64 << 20).expect("measured").space()
        };

        let first = measured();
        assert!(first.quota <= first.free.saturating_add(first.used), "{first:?}");
        assert_eq!(measured().quota, first.quota, "the new one stays");
    }

    #[test]
    fn the_log_is_gone_once_its_folder_or_its_active_segment_is() {
        let dir = tempfile::tempdir().expect("a folder");
        let log = dir.path().join("log");
        let segment = folder::segment(&log, 1);
        std::fs::create_dir_all(&segment).expect("made");
        std::fs::write(segment.join("db"), "records").expect("written");
        let gauge = DiskGauge::new(&log, DiskBudget::default(), 64 << 20).expect("measured");
        assert!(!gauge.is_gone(1));

        std::fs::remove_file(segment.join("db")).expect("removed");
        assert!(gauge.is_gone(1) && !gauge.is_gone(0));

        std::fs::remove_dir_all(&log).expect("removed");
        assert!(gauge.is_gone(0));
    }

    #[test]
    fn the_quota_of_the_first_start_stays() {
        let dir = tempfile::tempdir().expect("a folder");
        let measured =
            |budget| DiskGauge::new(dir.path(), budget, 64 << 20).expect("measured").space();
        let first = measured(DiskBudget::default());
        assert!(
            first.quota > 0 && first.quota <= first.free.saturating_add(first.used),
            "{first:?}"
        );
        assert_eq!(first.reserve, (first.quota / 50).max(32 << 20).min(first.quota / 4));

        std::fs::write(dir.path().join("others"), vec![1; 1 << 20]).expect("written");
        assert_eq!(measured(DiskBudget::default()).quota, first.quota);

        let third = measured(DiskBudget { quota: Some(100 << 20), reserve: Some(8 << 20) });
        let found = (third.quota, third.reserve, third.segment);
        assert_eq!(found, (100 << 20, 8 << 20, (100 << 20) / 16));
    }
}
