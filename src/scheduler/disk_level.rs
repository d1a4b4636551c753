//! How full the disk is, and what follows from it. One place decides, and reports each change once.
//!
//! | level | from here on | what follows |
//! |---|---|---|
//! | open | | nothing. Long before the next level the oldest segments are retired early, see `retention` |
//! | (shares) | where trimming did not help | a source that holds more than its share is refused, others go on |
//! | low | half a reserve above it | outcomes are remembered without what was captured of request and response |
//! | refusing | the reserve | events are answered 503; what waits is attempted, its outcomes take from the reserve |
//! | halted | the floor | no attempt is started any more: its outcome would find no space |
//!
//! Each level is left well above where it was entered: a roll, or a segment that is dropped, must
//! not change it back. The space may still go back and forth, so that reports have a memory, too
//! ([`Reported`]): what gets worse is reported at once, what gets better once it has stayed so, for
//! longer each time it did not. Changes in between are counted. Nothing here ever ends the process
//! or loses an event: when there is space again, it goes on by itself.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::disk_reports::Reported;
use super::disk_thresholds::{DiskLevel, is_contested, is_short_of_files, next};
use crate::log::DiskSpace;
use crate::model::limits;
use crate::model::size::format_bytes;

/// What never goes by itself, and how it goes.
const MAKE_ROOM: &str =
    "make room (`hookboxctl dlq discard` gives up dead letters), or raise [log] quota";

/// The level changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DiskLevelChange {
    pub from: DiskLevel,
    pub to: DiskLevel,
    pub space: DiskSpace,
    pub reason: String,
    /// How often the level has changed since the last report.
    pub changes: u64,
}

impl DiskLevelChange {
    /// `refusing`, `accepting`, `disk_low` or `disk_ok`: the name under which it is reported.
    #[must_use]
    pub fn event(&self) -> &'static str {
        let refused = self.from >= DiskLevel::Refusing;
        match self.to {
            DiskLevel::Refusing | DiskLevel::Halted => "refusing",
            DiskLevel::Low | DiskLevel::Open if refused => "accepting",
            DiskLevel::Low => "disk_low",
            DiskLevel::Open => "disk_ok",
        }
    }
}

/// The level and the room it follows from. Part of [`super::Health`].
#[derive(Debug, Default)]
pub struct DiskState {
    seen: Mutex<DiskReading>,
}

#[derive(Clone, Debug, Default)]
struct DiskReading {
    room: DiskSpace,
    level: DiskLevel,
    reported: Reported,
    /// When it was last reported that a source holds more than its share, and how often it was
    /// refused since.
    shares: BTreeMap<String, (u64, u64)>,
}

impl DiskState {
    /// Takes in what was measured at this time of the monotonic clock. Every change of the level
    /// goes through here, and is reported here.
    pub fn see(&self, room: DiskSpace, now_ms: u64) -> DiskLevel {
        let mut seen = self.locked();
        let to = next(seen.level, &room);
        let before = std::mem::replace(&mut seen.level, to);
        seen.room = room;
        let report = seen.reported.take(before, to, now_ms);
        drop(seen);
        if let Some((from, changes)) = report {
            announce(&DiskLevelChange {
                from,
                to,
                space: room,
                reason: reason(&room, to),
                changes,
            });
        }
        to
    }

    /// The level that operators were told of last: it does not follow the other while that goes
    /// back and forth.
    #[must_use]
    pub fn reported_level(&self) -> DiskLevel {
        self.locked().reported.level
    }

    #[must_use]
    pub fn level(&self) -> DiskLevel {
        self.locked().level
    }

    #[must_use]
    pub fn space(&self) -> DiskSpace {
        self.locked().room
    }

    /// Reports that a source was refused because of what it holds: one line a minute for each.
    pub(super) fn report_share(&self, source: &str, why: &str, now_ms: u64) {
        let mut seen = self.locked();
        if let Some((reported_at, count)) = seen.shares.get_mut(source)
            && now_ms.saturating_sub(*reported_at) < limits::NOTICE_GAP_MS
        {
            *count += 1;
            return;
        }
        // Those of long ago are forgotten.
        seen.shares.retain(|_, (at, count)| {
            *count > 0 || now_ms.saturating_sub(*at) < limits::NOTICE_GAP_MS
        });
        let (_, refused) = seen.shares.insert(source.to_owned(), (now_ms, 0)).unwrap_or_default();
        drop(seen);
        tracing::warn!(
            event = "over_share",
            source,
            refused = refused + 1,
            "a source is refused, others go on: {why}"
        );
    }

    /// Whether each source has to keep to its share now.
    #[must_use]
    pub fn is_contested(&self) -> bool {
        is_contested(&self.locked().room)
    }

    /// Why events are refused; `None` when they are not.
    #[must_use]
    pub fn refusal(&self) -> Option<String> {
        let seen = self.locked();
        (seen.level >= DiskLevel::Refusing).then(|| reason(&seen.room, seen.level))
    }

    /// Why so many bytes of events more cannot be taken; `None` when they can.
    #[must_use]
    pub fn refuses(&self, bytes: u64) -> Option<String> {
        let seen = self.locked();
        if seen.level >= DiskLevel::Refusing {
            return Some(reason(&seen.room, seen.level));
        }
        // Small ones are looked after by the level; a large one must not take the reserve at once.
        let spare = seen.room.left().saturating_sub(seen.room.reserve);
        let fits = bytes < limits::STEP_BYTES as u64
            || bytes.saturating_mul(2) <= spare
            || seen.room.quota == 0;
        (!fits).then(|| {
            format!("it has {}, and {} are left", format_bytes(bytes), format_bytes(spare))
        })
    }

    fn locked(&self) -> MutexGuard<'_, DiskReading> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn reason(room: &DiskSpace, level: DiskLevel) -> String {
    let left = format_bytes(room.left());
    let what = if room.is_quota() {
        format!("{left} of the quota of {} are left", format_bytes(room.quota))
    } else {
        format!("{left} are left on the file system")
    };
    let reserve = format_bytes(room.reserve);
    match level {
        DiskLevel::Open => what,
        DiskLevel::Low if is_short_of_files(room) => {
            "the file system has no room for more files".to_owned()
        }
        DiskLevel::Low => format!("{what}, {reserve} of them are kept for outcomes"),
        DiskLevel::Refusing => format!("{what}, and {reserve} are kept for outcomes: {MAKE_ROOM}"),
        DiskLevel::Halted => format!("{what}, too little to remember an outcome: {MAKE_ROOM}"),
    }
}

/// Reports a change: the one place for that.
fn announce(change: &DiskLevelChange) {
    let DiskLevelChange { from, to, space, reason, changes } = change;
    let event = change.event();
    let (level, left, free) = (to.name(), space.left(), space.free);
    let (quota, reserve) = (space.quota, space.reserve);

    macro_rules! report {
        ($log:ident, $($message:tt)*) => {
            tracing::$log!(event, level, left, free, quota, reserve, changes, $($message)*)
        };
    }
    match event {
        "refusing" if *to == DiskLevel::Halted => {
            report!(error, "events are refused; attempts are put off, too: {reason}");
        }
        "refusing" => report!(error, "events are refused: {reason}"),
        "accepting" => report!(warn, "the disk has space again, events are accepted: {reason}"),
        "disk_low" => report!(warn, "disk space gets low: {reason}"),
        _ => report!(info, was = from.name(), "the disk has space: {reason}"),
    }
}

#[cfg(test)]
mod tests {
    use super::{DiskLevel, DiskLevelChange, DiskState, next};
    use crate::log::DiskSpace;
    use crate::scheduler::disk_thresholds::wants_trim;

    const MIB: u64 = 1 << 20;

    fn room(left: u64) -> DiskSpace {
        DiskSpace {
            quota: 1024 * MIB,
            reserve: 32 * MIB,
            used: 1024 * MIB - left,
            free: 1 << 40,
            segment: 64 * MIB,
            files: None,
        }
    }

    #[test]
    fn levels_follow_each_other_and_do_not_flutter() {
        let state = DiskState::default();
        let seen = |left| state.see(room(left * MIB), 0);
        assert_eq!(
            [seen(500), seen(49), seen(48), seen(64), seen(65)].map(DiskLevel::name),
            ["open", "open", "low", "low", "open"]
        );

        assert_eq!(
            [seen(33), seen(32), seen(40), seen(41)].map(DiskLevel::name),
            ["low", "refusing", "refusing", "low"]
        );

        assert_eq!(
            [seen(5), seen(4), seen(7), seen(9)].map(DiskLevel::name),
            ["refusing", "halted", "halted", "refusing"]
        );
        assert!(
            state.refusal().is_some_and(|why| why.contains("9.0 MiB of the quota")),
            "{:?}",
            state.refusal()
        );
        assert_eq!(seen(100), DiskLevel::Open);
        assert_eq!(state.refusal(), None);
    }

    #[test]
    fn changes_are_named_as_operators_know_them() {
        let change = |from, to| {
            DiskLevelChange { from, to, space: room(0), reason: String::new(), changes: 1 }.event()
        };
        assert_eq!(change(DiskLevel::Open, DiskLevel::Low), "disk_low");
        assert_eq!(change(DiskLevel::Low, DiskLevel::Refusing), "refusing");
        assert_eq!(change(DiskLevel::Refusing, DiskLevel::Low), "accepting");
        assert_eq!(change(DiskLevel::Refusing, DiskLevel::Open), "accepting");
        assert_eq!(change(DiskLevel::Low, DiskLevel::Open), "disk_ok");
    }

    #[test]
    fn the_disk_limits_as_the_quota_does_and_a_large_event_is_refused_first() {
        let disk = DiskSpace { free: 20 * MIB, ..room(500 * MIB) };
        assert_eq!(next(DiskLevel::Open, &disk), DiskLevel::Refusing);
        assert!(wants_trim(&disk) && !wants_trim(&room(500 * MIB)));
        let state = DiskState::default();
        state.see(room(60 * MIB), 0);
        assert_eq!(state.refuses(10_000), None);
        assert!(state.refuses(20 * MIB).is_some());
        let unmeasured = DiskState::default();
        assert_eq!(unmeasured.refuses(20 * MIB), None);
    }

    #[test]
    fn without_files_nothing_is_refused() {
        let state = DiskState::default();
        assert_eq!(state.see(DiskSpace { files: Some(3), ..room(500 * MIB) }, 0), DiskLevel::Low);
        assert_eq!(state.refuses(10), None);
    }
}
