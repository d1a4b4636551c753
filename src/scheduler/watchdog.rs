//! The watchdog over commits.

use std::convert::Infallible;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread::Thread;
use std::time::Duration;

use super::doze::Doze;
use crate::log::WriteProgress;
use crate::model::{Clock, limits};

/// Ends the process; called with what went wrong. It does not return.
pub type Fatal = Arc<dyn Fn(&str) -> Infallible + Send + Sync>;

/// Ends the process.
pub(super) fn end(fatal: &Fatal, what: &str) -> ! {
    match fatal(what) {}
}

/// The pause between two looks at a commit.
const PAUSE: Duration = Duration::from_millis(500);

/// What one pause counts at most, however long it lasted.
const AWAKE_MS: u64 = 1_000;

/// When the commit under way began. Shared by the thread that commits and the watchdog, which
/// sleeps while there is none.
#[derive(Clone, Debug, Default)]
pub(super) struct CommitClock(Arc<CommitWatch>);

#[derive(Debug, Default)]
struct CommitWatch {
    /// In ms of the monotonic clock plus one; 0 when there is none.
    since: AtomicU64,
    /// The writes of the thread that commits.
    writes: OnceLock<WriteProgress>,
    doze: Doze,
    watchdog: OnceLock<Thread>,
}

impl CommitClock {
    /// Whose writes are watched.
    pub fn watch(&self, writes: WriteProgress) {
        let _ = self.0.writes.set(writes);
    }

    /// Something begins that only the disk can hold up.
    pub fn begin(&self, now_ms: u64) {
        self.0.since.store(now_ms + 1, Ordering::Release);
        self.wake_watchdog();
    }

    pub fn end(&self) {
        self.0.since.store(0, Ordering::Release);
    }

    /// Has the watchdog look, unless it is about to.
    pub fn wake_watchdog(&self) {
        if self.0.doze.must_wake()
            && let Some(watchdog) = self.0.watchdog.get()
        {
            watchdog.unpark();
        }
    }

    fn since(&self) -> u64 {
        self.0.since.load(Ordering::Acquire)
    }

    /// How many writes have returned.
    fn returned(&self) -> u64 {
        self.0.writes.get().map_or(0, WriteProgress::count)
    }

    #[cfg(test)]
    pub fn is_watched(&self) -> bool {
        self.since() != 0
    }

    /// The watchdog sleeps until a commit begins, or `stopped` is set and it is woken.
    fn sleep(&self, stopped: &AtomicBool) {
        self.0.watchdog.get_or_init(std::thread::current);
        self.0.doze.begin();
        if self.since() == 0 && !stopped.load(Ordering::Acquire) {
            std::thread::park();
        }
        self.0.doze.end();
    }
}

/// Ends the process when a write of a commit or a roll hangs: until it returns nobody knows whether
/// the disk will ever answer. How long all its writes take together does not matter: a slow disk
/// gets to the end of a large one, and an earlier end would come again at each start. Only time in
/// which this thread ran counts: a process that was stopped, or a machine that slept, has no slow
/// disk. While nothing is committed it sleeps.
pub(super) struct Watchdog {
    pub commit: CommitClock,
    /// Set when the thread has ended, which then wakes the watchdog.
    pub stopped: Arc<AtomicBool>,
    pub clock: Clock,
    pub fatal: Fatal,
}

impl Watchdog {
    pub fn run(&self) {
        let mut watched = Watched { woken: (self.clock)().mono_ms, ..Watched::default() };
        while !self.stopped.load(Ordering::Acquire) {
            match self.commit.since() {
                0 => self.commit.sleep(&self.stopped),
                _ => std::thread::park_timeout(PAUSE),
            }
            let (since, returned) = (self.commit.since(), self.commit.returned());
            if watched.hangs(since, returned, (self.clock)().mono_ms) {
                let seconds = limits::COMMIT_TIMEOUT_MS / 1000;
                let what = format!(
                    "a write to the log has not returned for {seconds} s: the disk does not answer"
                );
                end(&self.fatal, &what);
            }
        }
    }
}

/// The commit that the watchdog looks at.
#[derive(Debug, Default)]
struct Watched {
    /// When it began; 0 when there is none.
    since: u64,
    /// How many writes had returned when it was looked at last.
    returned: u64,
    /// How long it has been looked at since one returned.
    ms: u64,
    /// When it was looked at last.
    woken: u64,
}

impl Watched {
    /// Whether a write of the commit that began at `since` takes too long.
    fn hangs(&mut self, since: u64, returned: u64, now_ms: u64) -> bool {
        let awake_ms = now_ms.saturating_sub(self.woken).min(AWAKE_MS);
        self.woken = now_ms;
        if since == 0 || (since, returned) != (self.since, self.returned) {
            (self.since, self.returned, self.ms) = (since, returned, 0);
        } else {
            self.ms += awake_ms;
        }
        self.ms >= limits::COMMIT_TIMEOUT_MS
    }
}

#[cfg(test)]
mod tests {
    use super::{Watched, limits};

    #[test]
    fn d08_a_commit_that_hangs_is_seen_after_10_s_and_another_one_is_not() {
        let mut watched = Watched::default();
        let hangs: Vec<u64> =
            (0..30_000).step_by(500).filter(|now| watched.hangs(1, 0, *now)).collect();
        assert_eq!(hangs.first(), Some(&limits::COMMIT_TIMEOUT_MS));

        let mut watched = Watched::default();
        assert!(
            (0..30_000).step_by(500).all(|now| !watched.hangs(1 + now / 9_500, 0, now)),
            "each took 9.5 s"
        );
        assert!((0..30_000).step_by(500).all(|now| !watched.hangs(0, 0, now)), "there is none");
    }

    #[test]
    fn d08_a_large_commit_on_a_slow_disk_is_left_alone_while_its_writes_return() {
        let mut watched = Watched::default();
        let slow = |now: u64| now / 9_000;
        assert!(
            (0..300_000).step_by(500).all(|now| !watched.hangs(1, slow(now), now)),
            "five minutes, and no write took longer than 9 s"
        );
        let stuck = slow(299_500);
        let hangs = (300_000..320_000).step_by(500).find(|now| watched.hangs(1, stuck, *now));
        assert!(hangs.is_some(), "one does not return any more");
    }

    #[test]
    fn p08_the_time_in_which_the_process_was_stopped_is_no_slow_disk() {
        let mut watched = Watched::default();
        assert!(!watched.hangs(1, 0, 500));
        assert!(
            !watched.hangs(1, 0, 60_500),
            "it was stopped for a minute in the middle of a commit"
        );
        assert!((61_000..69_500).step_by(500).all(|now| !watched.hangs(1, 0, now)));
        assert!(watched.hangs(1, 0, 69_500), "now it is the disk");
    }
}
