//! What waited when the daemon started, and how long it still waits.
//!
//! How much of a wait is left at a start says the wall clock: never more than was decided. A box
//! without a clock of its own starts in 1970, or with the time at which it was switched off, and
//! then waits the whole time again, after each start. So all of this is looked at once more when
//! the clock is set: what is due earlier by it is due earlier. What was decided since the start
//! stands, because it was decided by a clock that does not jump.

use crate::model::{EndpointId, Now, Seq};
use crate::queue::Queue;
use crate::queue::endpoint::EndpointQueue;
use crate::record::Wait;

impl Queue {
    /// The clock was set: what has waited since before the start waits no longer than it says.
    pub(in crate::queue) fn resume_waits(&mut self, now: Now) {
        let first = self.resumed.first;
        let ids: Vec<EndpointId> = self.state.living().map(|e| e.settings.id).collect();
        for id in ids {
            self.state.endpoint_mut(id).resume_waits(now, first);
            self.wake(id);
        }

        for id in &self.resumed.replays {
            let Some(replay) = self.state.replays.get(id) else { continue };
            let wait = Wait { until: replay.due_at, wait_ms: replay.pause_ms };
            if let Some(Some(due)) = self.replay_due.get_mut(id) {
                *due = (*due).min(now.mono_ms + wait.left_ms(now.wall_ms));
            }
        }
    }
}

impl EndpointQueue {
    /// What has waited since before record `first` is due at the earlier of what was taken for it
    /// and what this time says.
    fn resume_waits(&mut self, now: Now, first: Seq) {
        self.resume_timers(now, first);
        // An attempt since then has decided anew what keeps the endpoint back.
        if self.last_failure.max(self.last_taken) < first {
            self.resume_restraint(now);
            if self.under_way() == 0 {
                self.resume_rate(now);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::model::{Endpoint, Now, Order, Outcome, Rate, limits};
    use crate::queue::testing::{START, TestQueue, answered, report};
    use crate::record::Record;

    const HOUR: u64 = 3_600_000;
    const RETRY: Outcome = Outcome::Retryable { after_ms: None };

    impl TestQueue {
        /// The wall clock is set, while no time passes.
        fn set_clock(&mut self, wall_ms: u64) {
            self.now.wall_ms = wall_ms;
            self.run();
        }

        fn next_wake_in(&self) -> u64 {
            self.queue.next_wake(self.now).map_or(u64::MAX, |at| at - self.now.mono_ms)
        }
    }

    /// An endpoint that is asked again after an hour.
    fn hourly() -> Endpoint {
        // On this machine, so that nothing is the link's fault; and nothing is signed.
        let mut endpoint = Endpoint::new("app", "http://127.0.0.1:1/");
        (endpoint.retry.base_ms, endpoint.retry.max_ms) = (HOUR, HOUR);
        endpoint.retry.jitter = 0.0;
        endpoint
    }

    const IN_1970: Now = Now { mono_ms: 500, wall_ms: 500 };

    #[test]
    fn a_retry_comes_when_its_time_is_over_by_the_clock_that_was_set() {
        for order in [Order::None, Order::Strict] {
            let mut world = TestQueue::new([Endpoint { order, ..hourly() }]);
            world.accept("{}");
            let delivery = world.attempts[0];
            world.finish(delivery, report(world.now, RETRY));

            // Switched off and on again, more often than an hour passes.
            for minutes in [20, 40] {
                let on_at = START.wall_ms + minutes * 60_000;
                world.restart(IN_1970);
                world.pass(30_000);
                world.set_clock(on_at);
                assert_eq!(world.attempts.len(), 1, "{minutes} minutes are no hour");
                world.pass(19 * 60_000);
                assert_eq!(world.attempts.len(), 1);
            }
            world.restart(IN_1970);
            world.pass(30_000);
            assert_eq!(world.attempts.len(), 1, "it is not known how late it is");
            world.set_clock(START.wall_ms + HOUR + 60_000);
            assert_eq!(world.attempts, [delivery, delivery], "{order:?}");

            // What was decided in this run stands, though the clock is set once more.
            world.finish(delivery, report(world.now, RETRY));
            world.set_clock(START.wall_ms + 12 * HOUR);
            assert_eq!(world.attempts.len(), 2);
        }
    }

    /// Its time is that at which it was switched off, so nothing looks suspect.
    #[test]
    fn a_clock_that_goes_on_where_it_was_switched_off_is_set_as_well() {
        let mut world = TestQueue::new([hourly()]);
        world.accept("{}");
        let delivery = world.attempts[0];
        world.finish(delivery, report(world.now, RETRY));
        world.restart(Now { mono_ms: 500, wall_ms: START.wall_ms + 1_000 });
        world.set_clock(START.wall_ms + 2 * HOUR);
        assert_eq!(world.attempts, [delivery, delivery]);
    }

    #[test]
    fn a_breaker_a_pause_and_a_rate_end_by_the_clock_that_was_set() {
        // The receiver asks for a pause of an hour.
        let mut world = TestQueue::new([hourly()]);
        world.accept("{}");
        let busy = Outcome::Retryable { after_ms: Some(HOUR) };
        world.finish(world.attempts[0], answered(world.now, busy, 503));
        world.accept("{}");
        world.restart(IN_1970);
        assert!(world.next_wake_in() > 0 && world.attempts.len() == 1);
        world.set_clock(START.wall_ms + HOUR);
        // The window is one, as after each start.
        assert_eq!(world.attempts.len(), 2, "it goes on");

        // The gap before the next probe has grown to 5 minutes.
        let mut world = TestQueue::new([Endpoint::new("app", "http://127.0.0.1:1/")]);
        world.accept("{}");
        let mut ended = 0;
        while world.queue.state().endpoints[&1].breaker().probe_at().unwrap_or(0)
            < world.now.mono_ms + limits::PROBE_GAP_MAX_MS - 1_000
        {
            world.pass(60_000);
            while ended < world.attempts.len() {
                world.finish(world.attempts[ended], report(world.now, RETRY));
                ended += 1;
            }
        }
        let (before, off_at) = (world.attempts.len(), world.now.wall_ms);
        world.restart(IN_1970);
        world.pass(100_000);
        assert_eq!(world.attempts.len(), before);
        world.set_clock(off_at + limits::PROBE_GAP_MAX_MS + HOUR);
        assert_eq!(world.attempts.len(), before + 1, "the probe");

        // One attempt an hour.
        let rate = Some(Rate { count: 1, per_ms: HOUR });
        let mut endpoint = Endpoint { rate, ..hourly() };
        (endpoint.retry.base_ms, endpoint.retry.max_ms) = (1, 1);
        let mut world = TestQueue::new([endpoint]);
        world.accept("{}");
        world.finish(world.attempts[0], report(world.now, RETRY));
        world.restart(IN_1970);
        assert_eq!(world.attempts.len(), 1);
        world.set_clock(START.wall_ms + HOUR);
        assert_eq!(world.attempts.len(), 2);
    }

    #[test]
    fn what_waits_grows_old_in_sessions_that_are_shorter_than_the_gap_between_two_marks() {
        let mut endpoint = hourly();
        (endpoint.retry.max_age_ms, endpoint.retry.max_attempts) = (72 * HOUR, None);
        let mut world = TestQueue::new([endpoint]);
        world.accept("{}");
        world.finish(world.attempts[0], report(world.now, RETRY));

        let mut sessions = 0;
        while world.queue.state().endpoints[&1].undone > 0 {
            sessions += 1;
            assert!(sessions < 1_000, "it never grows old");
            world.restart(IN_1970);
            // The time never comes, and after a minute each session is cut off any time.
            let begun = world.records.len();
            let mut left = 20 * 60_000;
            while left > 0 {
                let step = world.next_wake_in().clamp(1, left);
                world.pass(step);
                left -= step;
            }
            let marks = world.records[begun..].iter();
            let marks = marks.filter(|record| matches!(record, Record::ClockRan { .. }));
            assert!(marks.count() <= 6, "it is not marked all the time");
        }
        assert_eq!(world.queue.state().endpoints[&1].dead.len(), 1);
    }
}
