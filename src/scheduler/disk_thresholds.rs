//! From which space left on which level follows, and what else follows from it.

use crate::log::DiskSpace;
use crate::model::limits;

/// How full it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum DiskLevel {
    #[default]
    Open,
    Low,
    Refusing,
    Halted,
}

impl DiskLevel {
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Low => "low",
            Self::Refusing => "refusing",
            Self::Halted => "halted",
        }
    }
}

/// Whether the oldest segments should go before their time: well before anything is refused.
pub(super) fn wants_trim(space: &DiskSpace) -> bool {
    space.left() <= space.reserve.saturating_add(ahead(space)) || space.is_short_of_files()
}

/// Whether disk space is so scarce that each source has to keep to its share. That is behind
/// where the oldest segments go, so that it comes to this only when what they hold is needed.
pub(super) fn is_contested(space: &DiskSpace) -> bool {
    space.quota > 0
        && space.left() <= space.reserve.saturating_add((ahead(space) / 2).max(space.reserve / 2))
}

/// How much above the reserve trimming begins.
fn ahead(space: &DiskSpace) -> u64 {
    (space.reserve / 2 + 2 * space.segment).min(space.quota / 4)
}

/// Bytes that relocation may take from what is left: it has to end above the floor.
pub(super) fn may_relocate(space: &DiskSpace) -> u64 {
    space.left().saturating_sub(floor(space))
}

/// Whether so many bytes can be relocated though little is left, because dropping the segment that
/// they are in gives back more. The quota is a limit for what stays, so it may be exceeded for that
/// moment, and the reserve is there for it; only the file system has to have the bytes, beside what
/// the log itself needs.
pub(super) fn may_exceed(space: &DiskSpace, bytes: u64) -> bool {
    space.free >= bytes.saturating_add(limits::DISK_FLOOR)
}

fn floor(space: &DiskSpace) -> u64 {
    (space.reserve / 8).max(limits::DISK_FLOOR)
}

/// The level that follows from what was measured. Each is left well above where it was entered.
pub(super) fn next(from: DiskLevel, space: &DiskSpace) -> DiskLevel {
    // Nobody measures: a log in a test, or before the first look.
    if space.quota == 0 {
        return DiskLevel::Open;
    }

    let (left, reserve) = (space.left(), space.reserve);
    let slack = |level| match level {
        level if from < level => 0,
        DiskLevel::Low => (reserve / 8).max((2 * space.segment).min(reserve / 2)),
        DiskLevel::Refusing => (reserve / 8).max(space.segment.min(reserve / 4)),
        _ => reserve / 8,
    };

    if left <= floor(space) + slack(DiskLevel::Halted) {
        DiskLevel::Halted
    } else if left <= reserve + slack(DiskLevel::Refusing) {
        DiskLevel::Refusing
    } else if left <= reserve + reserve / 2 + slack(DiskLevel::Low) || space.is_short_of_files() {
        DiskLevel::Low
    } else {
        DiskLevel::Open
    }
}

#[cfg(test)]
mod tests {
    use super::{DiskLevel, is_contested, may_exceed, next, wants_trim};
    use crate::log::DiskSpace;

    const MIB: u64 = 1 << 20;

    fn space(left: u64) -> DiskSpace {
        DiskSpace {
            quota: 1024 * MIB,
            reserve: 32 * MIB,
            used: 1024 * MIB - left,
            free: 1 << 40,
            segment: 64 * MIB,
            files: None,
            unrecorded: 0,
            growth: 0,
            unwritten: 0,
            checkpoint: 0,
        }
    }

    #[test]
    fn shares_count_between_trimming_and_refusing() {
        let seen = [500, 176, 104, 33]
            .map(|left| (wants_trim(&space(left * MIB)), is_contested(&space(left * MIB))));
        assert_eq!(seen, [(false, false), (true, false), (true, true), (true, true)]);
        assert!(!is_contested(&DiskSpace::default()), "nobody measures");
    }

    #[test]
    fn a_quota_may_be_exceeded_for_a_moment_and_a_file_system_may_not() {
        let full = DiskSpace { free: 100 * MIB, ..space(0) };
        assert!(may_exceed(&full, 98 * MIB) && !may_exceed(&full, 99 * MIB));
        assert_eq!(next(DiskLevel::Open, &full), DiskLevel::Halted);
    }
}
