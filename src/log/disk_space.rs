//! Disk space: what the log may take, what it takes, and what is left.
//!
//! The limit is the quota, or what the file system has free, whichever is less: other programs
//! write there as well. The reserve is the part of it that events may not take.

use crate::model::limits;

/// The configured limits. A value that is not configured gets its default when the log is opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DiskBudget {
    pub quota: Option<u64>,
    pub reserve: Option<u64>,
}

/// The space as it was last measured, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DiskSpace {
    pub quota: u64,
    /// What events may not take: it is for outcomes, for rolling, and for relocation.
    pub reserve: u64,
    /// What the log takes on the disk, without its ballast.
    pub used: u64,
    /// What the file system has free for this user. The ballast counts as free.
    pub free: u64,
    /// Files that can still be created; `None` where the file system has no such limit.
    pub files: Option<u64>,
    /// Sealed segments whose checksums are not recorded yet. Each gets more files when it is opened
    /// and closed the next time.
    pub unrecorded: u64,
    /// What the files of sealed segments still grow by: each is completed to a whole number of
    /// sled's own segments the first time it is opened again.
    pub growth: u64,
    /// Bytes of a checkpoint that are still to be written into the active segment.
    pub unwritten: u64,
    /// Stored payload at which a segment is rolled.
    pub segment: u64,
    /// Bytes of the newest complete checkpoint.
    pub checkpoint: u64,
}

impl DiskSpace {
    /// Bytes left before nothing can be written any more, including the reserve.
    #[must_use]
    pub fn left(&self) -> u64 {
        let free = self.quota.saturating_sub(self.used).min(self.free);
        free.saturating_sub(self.growth).saturating_sub(self.unwritten)
    }

    /// Whether the quota is the limit, and not the file system.
    #[must_use]
    pub fn is_quota(&self) -> bool {
        self.quota.saturating_sub(self.used) <= self.free
    }

    /// Whether a new segment with a checkpoint of this size can be begun.
    #[must_use]
    pub fn fits_roll(&self, checkpoint: u64) -> bool {
        // In a segment of format 1 sled writes a value into a link and a leaf before it writes
        // anything else; in the later ones, once.
        let needed = limits::ROLL_BYTES + 2 * checkpoint;

        self.left() >= needed && !self.is_short_of_files()
    }

    /// Whether the files that can still be created would not do for a new segment and for reading
    /// all those that are there.
    #[must_use]
    pub fn is_short_of_files(&self) -> bool {
        let needed = limits::ROLL_FILES + limits::READ_FILES.saturating_mul(self.unrecorded);
        self.files.is_some_and(|files| files < needed)
    }
}

#[cfg(test)]
mod tests {
    use super::DiskSpace;
    use crate::model::limits;

    #[test]
    fn what_is_left_is_the_lesser_of_quota_and_disk() {
        let space = DiskSpace { quota: 100, used: 60, free: 70, ..DiskSpace::default() };
        assert_eq!((space.left(), space.is_quota()), (40, true));

        let full = DiskSpace { free: 10, ..space };
        assert_eq!((full.left(), full.is_quota()), (10, false));
        assert_eq!(DiskSpace { used: 200, ..space }.left(), 0);
        // What was sealed and not read since grows when it is read.
        assert_eq!(DiskSpace { growth: 15, ..space }.left(), 25);
        assert_eq!(DiskSpace { growth: 15, ..full }.left(), 0);
        // Nor is there space for events where a checkpoint is going to be.
        assert_eq!(DiskSpace { growth: 15, unwritten: 5, ..space }.left(), 20);

        let free = limits::ROLL_BYTES + 10;
        let fits = DiskSpace { quota: u64::MAX, used: 0, free, ..DiskSpace::default() };
        assert!(fits.fits_roll(5) && !fits.fits_roll(6));
        assert!(!DiskSpace { files: Some(limits::ROLL_FILES - 1), ..fits }.fits_roll(5));

        // A segment that was sealed and not read since needs files to be read.
        let sealed = DiskSpace { files: Some(limits::ROLL_FILES), unrecorded: 1, ..fits };
        assert!(!sealed.fits_roll(5));
        let files = Some(limits::ROLL_FILES + limits::READ_FILES);
        assert!(DiskSpace { files, ..sealed }.fits_roll(5));
    }
}
