//! The watchdog over commits.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use crate::model::{Clock, limits};

/// Ends the process; called with what went wrong. It does not return.
pub type Fatal = Arc<dyn Fn(&str) -> Infallible + Send + Sync>;

/// Ends the process.
pub(super) fn end(fatal: &Fatal, what: &str) -> ! {
    match fatal(what) {}
}

/// The pause between two looks.
const PAUSE: Duration = Duration::from_millis(500);

/// What one pause counts at most, however long it lasted.
const AWAKE_MS: u64 = 1_000;

/// When the commit under way began. Shared by the thread that commits and the watchdog.
#[derive(Clone, Debug, Default)]
pub(super) struct CommitClock(Arc<AtomicU64>);

impl CommitClock {
    /// Something begins that only the disk can hold up.
    pub fn begin(&self, now_ms: u64) {
        self.0.store(now_ms + 1, Ordering::Release);
    }

    pub fn end(&self) {
        self.0.store(0, Ordering::Release);
    }

    /// In ms of the monotonic clock plus one; 0 when there is none.
    fn since(&self) -> u64 {
        self.0.load(Ordering::Acquire)
    }
}

/// Ends the process when a commit hangs: until it returns nobody knows whether the disk will ever
/// answer. Only time in which this thread ran counts: a process that was stopped, or a machine that
/// slept, has no slow disk.
pub(super) struct Watchdog {
    /// Of the scheduler thread, and of the pipeline's.
    pub commits: [CommitClock; 2],
    /// Set when the thread has ended.
    pub stopped: Arc<AtomicBool>,
    pub clock: Clock,
    pub fatal: Fatal,
}

impl Watchdog {
    pub fn run(&self) {
        let woken = (self.clock)().mono_ms;
        let mut watched = [(); 2].map(|()| Watched { woken, ..Watched::default() });
        while !self.stopped.load(Ordering::Acquire) {
            std::thread::park_timeout(PAUSE);
            let now_ms = (self.clock)().mono_ms;
            let mut all = self.commits.iter().zip(&mut watched);
            if all.any(|(commit, watched)| watched.hangs(commit.since(), now_ms)) {
                let seconds = limits::COMMIT_TIMEOUT_MS / 1000;
                let what =
                    format!("a commit has taken longer than {seconds} s: the disk does not answer");
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
    /// How long it has been looked at.
    ms: u64,
    /// When it was looked at last.
    woken: u64,
}

impl Watched {
    /// Whether the commit that began at `since` takes too long.
    fn hangs(&mut self, since: u64, now_ms: u64) -> bool {
        let awake_ms = now_ms.saturating_sub(self.woken).min(AWAKE_MS);
        self.woken = now_ms;
        if since == 0 || since != self.since {
            (self.since, self.ms) = (since, 0);
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
            (0..30_000).step_by(500).filter(|now| watched.hangs(1, *now)).collect();
        assert_eq!(hangs.first(), Some(&limits::COMMIT_TIMEOUT_MS));

        let mut watched = Watched::default();
        assert!(
            (0..30_000).step_by(500).all(|now| !watched.hangs(1 + now / 9_500, now)),
            "each took 9.5 s"
        );
        assert!((0..30_000).step_by(500).all(|now| !watched.hangs(0, now)), "there is none");
    }

    #[test]
    fn p08_the_time_in_which_the_process_was_stopped_is_no_slow_disk() {
        let mut watched = Watched::default();
        assert!(!watched.hangs(1, 500));
        assert!(!watched.hangs(1, 60_500), "it was stopped for a minute in the middle of a commit");
        assert!((61_000..69_500).step_by(500).all(|now| !watched.hangs(1, now)));
        assert!(watched.hangs(1, 69_500), "now it is the disk");
    }
}
