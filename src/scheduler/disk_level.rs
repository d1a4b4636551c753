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

use tokio::sync::Notify;

use super::disk_reports::Reported;
use super::disk_thresholds::{DiskLevel, is_contested, next};
use crate::log::DiskSpace;
use crate::model::limits;
use crate::model::size::format_bytes;

/// What never goes by itself, and how it goes.
const FREE_SPACE: &str = "free disk space (`hookboxctl dlq discard --all` gives up dead letters, \
                          `hookboxctl delivery cancel --endpoint NAME` what waits for an \
                          endpoint), or raise [log] quota";
const FREE_DISK: &str = "free space on the file system, from other files too; a larger [log] \
                         quota does not help (`hookboxctl dlq discard --all` gives up dead \
                         letters, `hookboxctl delivery cancel --endpoint NAME` what waits)";

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

/// The level and the disk space it follows from. Part of [`super::Health`].
#[derive(Debug, Default)]
pub struct DiskState {
    seen: Mutex<DiskReading>,
    changed: Notify,
}

#[derive(Clone, Debug, Default)]
struct DiskReading {
    space: DiskSpace,
    level: DiskLevel,
    reported: Reported,
    /// Sources that hold more than their shares.
    shares: BTreeMap<String, OverShare>,
}

/// A source that was refused because of what it holds.
#[derive(Clone, Debug, Default)]
struct OverShare {
    /// When it was last reported, on the monotonic clock.
    reported_at: u64,
    /// How often it was refused since, and why the last time.
    refused: u64,
    why: String,
}

impl DiskReading {
    /// What is to be reported of sources that were refused since their last reports. Those that
    /// were not are forgotten.
    fn take_refused(&mut self, now_ms: u64) -> Vec<(String, OverShare)> {
        let mut refused = Vec::new();
        self.shares.retain(|source, share| {
            if now_ms.saturating_sub(share.reported_at) < limits::NOTICE_GAP_MS {
                return true;
            }
            if share.refused == 0 {
                return false;
            }
            refused.push((source.clone(), share.clone()));
            *share = OverShare { reported_at: now_ms, ..OverShare::default() };
            true
        });
        refused
    }
}

impl DiskState {
    /// The last run refused events. They are accepted again when there is as much space as that
    /// would have taken; until then it is reported anew, for those who look at this run alone.
    pub fn resume_refusing(&self) {
        self.locked().level = DiskLevel::Refusing;
    }

    /// Takes in what was measured at this time of the monotonic clock. Every change of the level
    /// goes through here, and is reported here.
    pub fn see(&self, space: DiskSpace, now_ms: u64) -> DiskLevel {
        let mut seen = self.locked();
        let to = next(seen.level, &space);
        let before = std::mem::replace(&mut seen.level, to);
        seen.space = space;
        let report = seen.reported.take(before, to, now_ms);
        let refused = seen.take_refused(now_ms);
        drop(seen);

        for (source, share) in refused {
            report_refused(&source, share.refused, &share.why);
        }
        if let Some((from, changes)) = report {
            announce(&DiskLevelChange { from, to, space, reason: reason(&space, to), changes });
            self.changed.notify_one();
        }
        to
    }

    /// Whether there is space, and nothing left to report of it.
    pub(super) fn is_settled(&self) -> bool {
        let seen = self.locked();
        seen.level == DiskLevel::Open
            && seen.reported.level == DiskLevel::Open
            && seen.shares.is_empty()
    }

    /// Resolves when a change of the level was reported.
    pub async fn reported(&self) {
        self.changed.notified().await;
    }

    /// The level that was reported to operators last: it does not follow the other while that goes
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
        self.locked().space
    }

    /// Reports that a source was refused because of what it holds: one line a minute for each.
    pub(super) fn report_share(&self, source: &str, why: &str, now_ms: u64) {
        let mut seen = self.locked();
        if let Some(share) = seen.shares.get_mut(source) {
            // It is reported when the disk is measured next, about once a second.
            share.refused += 1;
            why.clone_into(&mut share.why);
            return;
        }
        let first = OverShare { reported_at: now_ms, ..OverShare::default() };
        seen.shares.insert(source.to_owned(), first);
        drop(seen);
        report_refused(source, 1, why);
    }

    /// Whether each source has to keep to its share now.
    #[must_use]
    pub fn is_contested(&self) -> bool {
        is_contested(&self.locked().space)
    }

    /// Why events are refused; `None` when they are not.
    #[must_use]
    pub fn refusal(&self) -> Option<String> {
        let seen = self.locked();
        (seen.level >= DiskLevel::Refusing).then(|| reason(&seen.space, seen.level))
    }

    /// Why so many bytes of events more cannot be taken; `None` when they can.
    #[must_use]
    pub fn refuses(&self, bytes: u64) -> Option<String> {
        let seen = self.locked();
        if seen.level >= DiskLevel::Refusing {
            return Some(reason(&seen.space, seen.level));
        }
        // Small ones are looked after by the level; a large one must not take the reserve at once.
        let spare = seen.space.left().saturating_sub(seen.space.reserve);
        let fits = bytes < limits::STEP_BYTES as u64
            || bytes.saturating_mul(2) <= spare
            || seen.space.quota == 0;
        (!fits).then(|| {
            format!("it has {}, and {} are left", format_bytes(bytes), format_bytes(spare))
        })
    }

    fn locked(&self) -> MutexGuard<'_, DiskReading> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn report_refused(source: &str, refused: u64, why: &str) {
    tracing::warn!(
        event = "over_share",
        source,
        refused,
        "events of this source are refused; other sources are accepted: {why}"
    );
}

fn reason(space: &DiskSpace, level: DiskLevel) -> String {
    let left = format_bytes(space.left());
    let what = if space.is_quota() {
        format!("{left} of the quota of {} are left", format_bytes(space.quota))
    } else {
        format!("{left} are left on the file system")
    };
    let reserve = format_bytes(space.reserve);
    let cure = if space.is_quota() { FREE_SPACE } else { FREE_DISK };
    match level {
        DiskLevel::Open => what,
        DiskLevel::Low if space.is_short_of_files() => {
            "the file system takes no more files".to_owned()
        }
        DiskLevel::Low => format!("{what}, {reserve} of them are kept for outcomes"),
        DiskLevel::Refusing => format!("{what}, and {reserve} are kept for outcomes: {cure}"),
        DiskLevel::Halted => {
            format!("{what}, too little to store an outcome (log.reserve is {reserve}): {cure}")
        }
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
            report!(error, "events are refused; attempts are postponed, too: {reason}");
        }
        "refusing" => report!(error, "events are refused: {reason}"),
        "accepting" => report!(warn, "the disk has space again, events are accepted: {reason}"),
        "disk_low" => report!(warn, "disk space is getting low: {reason}"),
        _ => report!(info, was = from.name(), "the disk has space: {reason}"),
    }
}

#[cfg(test)]
mod tests {
    use super::{DiskLevel, DiskLevelChange, DiskState, next};
    use crate::log::DiskSpace;
    use crate::model::limits::NOTICE_GAP_MS;
    use crate::scheduler::disk_thresholds::wants_trim;

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
    fn levels_follow_each_other_and_do_not_flutter() {
        let state = DiskState::default();
        let seen = |left| state.see(space(left * MIB), 0);
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
            DiskLevelChange { from, to, space: space(0), reason: String::new(), changes: 1 }.event()
        };
        assert_eq!(change(DiskLevel::Open, DiskLevel::Low), "disk_low");
        assert_eq!(change(DiskLevel::Low, DiskLevel::Refusing), "refusing");
        assert_eq!(change(DiskLevel::Refusing, DiskLevel::Low), "accepting");
        assert_eq!(change(DiskLevel::Refusing, DiskLevel::Open), "accepting");
        assert_eq!(change(DiskLevel::Low, DiskLevel::Open), "disk_ok");
    }

    #[test]
    fn what_was_refused_before_a_start_is_refused_after_it() {
        let between = space(36 * MIB);
        let fresh = DiskState::default();
        assert_eq!(fresh.see(between, 0), DiskLevel::Low);

        let resumed = DiskState::default();
        resumed.resume_refusing();
        assert_eq!(resumed.see(between, 0), DiskLevel::Refusing);
        assert_eq!(resumed.reported_level(), DiskLevel::Refusing, "it is reported");
        assert_eq!(resumed.see(space(400 * MIB), 1), DiskLevel::Open);

        let relieved = DiskState::default();
        relieved.resume_refusing();
        assert_eq!(relieved.see(space(400 * MIB), 0), DiskLevel::Open);
        assert_eq!(relieved.reported_level(), DiskLevel::Open, "there is nothing to report");
    }

    #[test]
    fn the_disk_limits_as_the_quota_does_and_a_large_event_is_refused_first() {
        let disk = DiskSpace { free: 20 * MIB, ..space(500 * MIB) };
        assert_eq!(next(DiskLevel::Open, &disk), DiskLevel::Refusing);
        assert!(wants_trim(&disk) && !wants_trim(&space(500 * MIB)));
        let full = DiskState::default();
        full.see(disk, 0);
        let why = full.refusal().expect("it refuses");
        assert!(why.contains("left on the file system") && why.contains("does not help"), "{why}");
        let state = DiskState::default();
        state.see(space(60 * MIB), 0);
        assert_eq!(state.refuses(10_000), None);
        assert!(state.refuses(20 * MIB).is_some());
        let unmeasured = DiskState::default();
        assert_eq!(unmeasured.refuses(20 * MIB), None);
    }

    #[test]
    fn each_refusal_of_a_source_over_its_share_is_reported_in_the_end() {
        let state = DiskState::default();
        (0..3).for_each(|at| state.report_share("in", "it has too much", at));
        assert!(state.locked().clone().take_refused(NOTICE_GAP_MS - 1).is_empty());

        let due = state.locked().clone().take_refused(NOTICE_GAP_MS);
        let [(source, share)] = &due[..] else { panic!("{due:?}") };
        assert_eq!((source.as_str(), share.refused), ("in", 2), "the first one was reported");

        state.see(space(500 * MIB), NOTICE_GAP_MS);
        assert_eq!(state.locked().shares.len(), 1, "it was just reported");
        state.see(space(500 * MIB), 2 * NOTICE_GAP_MS);
        assert!(state.locked().shares.is_empty(), "nothing was refused for a while");
    }

    #[test]
    fn without_files_nothing_is_refused() {
        let state = DiskState::default();
        assert_eq!(state.see(DiskSpace { files: Some(3), ..space(500 * MIB) }, 0), DiskLevel::Low);
        assert_eq!(state.refuses(10), None);
    }
}
