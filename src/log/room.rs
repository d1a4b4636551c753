//! Room: what the log may take, what it takes, and what is left.
//!
//! The limit is the quota, or what the file system has free, whichever is less: others write there as well. The quota
//! that was not configured is settled once, at the first start, and stands in the checked file `budget` from then on,
//! so that it does not creep with what others do. The [`super::ballast`] counts as free: it is there to be given up.
//!
//! Measured in two ways. A full look lists the folder, from the reader's thread; the sizes of sealed segments are
//! remembered when there are many, for they hardly change. The quick one asks only for the active segment's file and the file system, after
//! each commit, so that no burst outruns the measuring.

use std::collections::HashMap;
use std::fs::{self, File};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use serde::{Deserialize, Serialize};

use super::{LogError, ballast, folder};
use crate::model::{Seq, limits};

/// Segments above which the sizes of sealed ones are remembered, and looks after which they are asked for anew: closing
/// and opening one adds a little to it.
const MANY: usize = 256;
const TRUST: u32 = 60;

/// What the log may take, as it was configured. What is not said has its default.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Budget {
    pub quota: Option<u64>,
    pub reserve: Option<u64>,
}

/// The room as it was last measured, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Room {
    pub quota: u64,
    /// What events may not take: it is for outcomes, for rolling, and for carrying forward.
    pub reserve: u64,
    /// What the log takes on the disk, but for its ballast.
    pub used: u64,
    /// What the file system has for this user, the ballast counted in.
    pub free: u64,
    /// Files that can still be made; `None` where the file system knows no such limit.
    pub files: Option<u64>,
    /// Stored payload at which a segment is rolled.
    pub segment: u64,
}

impl Room {
    /// What is left before nothing can be written any more, the reserve counted in.
    #[must_use]
    pub fn left(&self) -> u64 {
        self.quota.saturating_sub(self.used).min(self.free)
    }

    /// Whether the quota is what limits, and not the file system.
    #[must_use]
    pub fn is_quota(&self) -> bool {
        self.quota.saturating_sub(self.used) <= self.free
    }

    /// Whether a new segment with a checkpoint of this size can be begun.
    #[must_use]
    pub fn takes_roll(&self, checkpoint: u64) -> bool {
        // sled writes a value into a link and a leaf before it writes anything else.
        let needed = limits::ROLL_BYTES + 2 * checkpoint;
        self.left() >= needed && self.files.is_none_or(|files| files >= limits::ROLL_FILES)
    }
}

/// What stands in the file `budget`.
#[derive(Serialize, Deserialize)]
struct Settled {
    quota: u64,
}

/// Measures.
#[derive(Debug)]
pub(super) struct Gauge {
    dir: PathBuf,
    folder: File,
    seen: Mutex<Seen>,
}

#[derive(Debug, Default)]
struct Seen {
    room: Room,
    /// Everything but the active segment's data file and the ballast.
    others: u64,
    ballast: u64,
    sizes: HashMap<Seq, u64>,
    looks: u32,
    rolls: u64,
}

impl Gauge {
    /// Settles the budget and measures. `segment` is the configured size of a segment.
    pub fn new(dir: &Path, budget: Budget, segment: u64) -> Result<Self, LogError> {
        let folder = File::open(dir).map_err(LogError::io("open the folder", dir))?;
        let gauge = Self { dir: dir.to_path_buf(), folder, seen: Mutex::default() };
        let room = gauge.look(0);
        let quota = match budget.quota {
            Some(quota) => quota,
            None => gauge.settled(&room),
        };
        let least = limits::ROOM_RESERVE_MIN.min(quota / 2);
        let reserve =
            budget.reserve.unwrap_or_else(|| (quota / 50).max(limits::ROOM_RESERVE).min(quota / 4)).max(least);
        let mut seen = gauge.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.room.quota = quota;
        seen.room.reserve = reserve;
        // A few segments at least, so that the oldest can go while the newest is written.
        seen.room.segment = segment.min((quota / 16).max(1 << 20));
        drop(seen);
        Ok(gauge)
    }

    /// The quota of the first start.
    fn settled(&self, room: &Room) -> u64 {
        let path = self.dir.join("budget");
        if let Some(Settled { quota }) = folder::read_checked(&path) {
            return quota;
        }
        let total = rustix::fs::fstatvfs(&self.folder).map_or(0, |fs| fs.f_blocks.saturating_mul(fs.f_frsize));
        let quota = (total / 5 * 4).min(room.free.saturating_add(room.used));
        // Without room for it, the next start settles it.
        let _ = folder::write_checked(&path, &Settled { quota });
        quota
    }

    /// As it was last measured.
    pub fn room(&self) -> Room {
        self.locked().room
    }

    /// Measures everything. `active` is the first record of the segment that is written to. The folder is listed
    /// without the lock, so that no commit waits for it.
    pub fn look(&self, active: Seq) -> Room {
        let (known, rolls) = {
            let mut seen = self.locked();
            seen.looks += 1;
            if seen.looks > TRUST || seen.sizes.len() <= MANY {
                (seen.looks, seen.sizes) = (0, HashMap::new());
            }
            (std::mem::take(&mut seen.sizes), seen.rolls)
        };
        let (others, sizes) = self.list(active, known);
        let ballast = ballast::present(&self.dir);
        let data = fs::metadata(folder::segment(&self.dir, active).join("db")).map_or(0, |m| m.blocks() * 512);
        let mut seen = self.locked();
        if seen.rolls != rolls {
            // The active segment is another one by now: the next look sees it.
            return seen.room;
        }
        (seen.others, seen.sizes, seen.ballast) = (others, sizes, ballast);
        self.take(&mut seen, data)
    }

    /// Measures what a commit changes: the active segment's file, which takes `active` bytes, and the file system.
    pub fn note(&self, active: u64) {
        let mut seen = self.locked();
        self.take(&mut seen, active);
    }

    /// The active segment, which takes `sealed` bytes, was sealed, and a new one begun that takes `active`.
    pub fn rolled(&self, sealed: u64, active: u64) {
        let mut seen = self.locked();
        seen.rolls += 1;
        seen.others += sealed;
        self.take(&mut seen, active);
    }

    fn take(&self, seen: &mut Seen, active: u64) -> Room {
        seen.room.used = seen.others + active;
        if let Ok(fs) = rustix::fs::fstatvfs(&self.folder) {
            seen.room.free = fs.f_bavail.saturating_mul(fs.f_frsize).saturating_add(seen.ballast);
            seen.room.files = (fs.f_files > 0).then_some(fs.f_favail);
        }
        seen.room
    }

    /// Bytes of all but the ballast and the active segment's data, and the sizes of the other segments.
    fn list(&self, active: Seq, known: HashMap<Seq, u64>) -> (u64, HashMap<Seq, u64>) {
        let mut sizes = HashMap::new();
        let mut others = 0;
        for entry in fs::read_dir(&self.dir).into_iter().flatten().flatten() {
            let path = entry.path();
            let Ok(meta) = entry.metadata() else { continue };
            if ballast::is_ballast(&path) {
                continue;
            }
            others += meta.blocks() * 512;
            if !meta.is_dir() {
                continue;
            }
            match folder::first_of(&path) {
                Some(first) if first != active => {
                    let size = known.get(&first).copied().unwrap_or_else(|| folder::disk_bytes(&path));
                    sizes.insert(first, size);
                    others += size;
                }
                Some(_) => {
                    let data = fs::metadata(path.join("db")).map_or(0, |m| m.blocks() * 512);
                    others += folder::disk_bytes(&path).saturating_sub(data);
                }
                None => others += folder::disk_bytes(&path),
            }
        }
        (others, sizes)
    }

    fn locked(&self) -> std::sync::MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::{Budget, Gauge, Room, limits};
    use crate::log::{Log, Options};
    use crate::record::Record;

    #[test]
    fn the_quota_of_the_first_start_stays() {
        let dir = tempfile::tempdir().expect("a folder");
        let first = Gauge::new(dir.path(), Budget::default(), 64 << 20).expect("measured").room();
        assert!(first.quota > 0 && first.quota <= first.free.saturating_add(first.used), "{first:?}");
        assert_eq!(first.reserve, (first.quota / 50).max(32 << 20).min(first.quota / 4));
        std::fs::write(dir.path().join("others"), vec![1; 1 << 20]).expect("written");
        let second = Gauge::new(dir.path(), Budget::default(), 64 << 20).expect("measured").room();
        assert_eq!(second.quota, first.quota);
        let said = Budget { quota: Some(100 << 20), reserve: Some(8 << 20) };
        let third = Gauge::new(dir.path(), said, 64 << 20).expect("measured").room();
        assert_eq!((third.quota, third.reserve, third.segment), (100 << 20, 8 << 20, (100 << 20) / 16));
    }

    #[test]
    fn a_roll_without_room_is_put_off() {
        let dir = tempfile::tempdir().expect("a folder");
        let budget = |quota| Budget { quota: Some(quota), reserve: None };
        let options = |quota| Options {
            dir: dir.path().join("log"),
            segment_bytes: 1,
            budget: budget(quota),
            ..Options::default()
        };
        let record = || Record::LogStarted { at: 1, version: "1".into(), salt: 1 };
        let mut log = Log::open(options(1 << 20), 1).expect("opens").log;
        let _durable = log.commit(&[record()]).expect("commits");
        assert!(!log.wants_roll(1), "{:?}", log.room());
        log.roll(b"checkpoint", 1).expect("it is put off");
        assert_eq!(log.commit(&[record()]).expect("it goes on").last, 2);
        log.close().expect("closes");
        let opened = Log::open(options(1 << 30), 1).expect("opens");
        assert_eq!((opened.reader.segments().len(), opened.reader.verify(&mut |_| {}).ok), (1, true));
        let mut log = opened.log;
        assert!(log.wants_roll(1), "{:?}", log.room());
        log.roll(b"checkpoint", 1).expect("rolls");
        assert_eq!(opened.reader.segments().len(), 2);
    }

    #[test]
    fn what_is_left_is_the_lesser_of_quota_and_disk() {
        let room = Room { quota: 100, used: 60, free: 70, ..Room::default() };
        assert_eq!((room.left(), room.is_quota()), (40, true));
        let full = Room { free: 10, ..room };
        assert_eq!((full.left(), full.is_quota()), (10, false));
        assert_eq!(Room { used: 200, ..room }.left(), 0);
        let fits = Room { quota: u64::MAX, used: 0, free: limits::ROLL_BYTES + 10, ..Room::default() };
        assert!(fits.takes_roll(5) && !fits.takes_roll(6));
        assert!(!Room { files: Some(limits::ROLL_FILES - 1), ..fits }.takes_roll(5));
    }
}
