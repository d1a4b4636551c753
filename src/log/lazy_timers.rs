//! Lets the store's threads sleep.
//!
//! sled keeps seven threads that write for it, and each of them wakes once a second for ever to see
//! whether there is work, though it is woken for work anyway: 420 times a minute on a machine where
//! nothing happens. The time cannot be set. But a thread may have its timers put off
//! (PR_SET_TIMERSLACK in prctl(2)), and a thread inherits that from the one which starts it. So the
//! calls in which sled may start a thread are made with slow timers. The work itself is not put
//! off: a thread that is woken for it runs at once.

use std::num::NonZeroU64;

use rustix::thread::set_current_timer_slack;

/// How long a timer of the store may be put off: what the reader sleeps at most, too.
const SLACK_NS: NonZeroU64 = NonZeroU64::new(60_000_000_000).expect("not zero");

/// While it lives, threads that this one starts have slow timers.
pub(super) struct LazyTimers(());

impl LazyTimers {
    #[must_use]
    pub fn begin() -> Self {
        // Where the system refuses it, the store's threads wake as they did.
        let _ = set_current_timer_slack(Some(SLACK_NS));
        Self(())
    }
}

impl Drop for LazyTimers {
    fn drop(&mut self) {
        // Back to what this thread had by itself.
        let _ = set_current_timer_slack(None);
    }
}

#[cfg(test)]
mod tests {
    use rustix::thread::gettid;

    use super::{LazyTimers, SLACK_NS};

    fn slack_ns() -> u64 {
        let path = format!("/proc/{}/timerslack_ns", gettid().as_raw_nonzero());
        let text = std::fs::read_to_string(path).expect("the thread lives");
        text.trim().parse().expect("a number")
    }

    #[test]
    fn threads_that_are_started_inherit_slow_timers_and_this_one_gets_its_own_back() {
        let before = slack_ns();
        let slow = LazyTimers::begin();
        let inherited = std::thread::spawn(slack_ns).join().expect("it ends");
        drop(slow);
        assert_eq!(inherited, SLACK_NS.get());
        assert_eq!(slack_ns(), before);
    }
}
