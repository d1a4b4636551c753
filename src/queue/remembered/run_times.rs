//! Which time of the wall clock it was at a time of the run clock. Deliveries that wait are known
//! by the run clock, which stands while the daemon is down; people ask for how long something has
//! waited by their clocks.
//!
//! Records that have both times tell it. One is kept for each stretch in which the two clocks ran
//! alike: from a start of the daemon, or from a step of the wall clock.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use crate::model::{WallMs, limits};

/// By so much the clocks may differ within a stretch.
const ALIKE_MS: u64 = 1_000;

/// The beginnings of the last stretches, oldest first: by the run clock and by the wall clock.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunTimes(VecDeque<(u64, WallMs)>);

impl RunTimes {
    /// Both clocks were read together.
    pub(in crate::queue) fn note(&mut self, ran_ms: u64, wall_ms: WallMs) {
        let newest = self.0.back().copied();
        if ran_ms == 0 || newest.is_some_and(|(begin, _)| ran_ms < begin) {
            return;
        }
        if newest.is_some_and(|newest| wall_at(newest, ran_ms).abs_diff(wall_ms) <= ALIKE_MS) {
            return;
        }

        self.0.push_back((ran_ms, wall_ms));
        if self.0.len() > limits::RUN_STRETCHES {
            self.0.pop_front();
        }
    }

    /// The wall clock then; `None` where nothing is known of it.
    #[must_use]
    pub fn wall_ms(&self, ran_ms: u64) -> Option<WallMs> {
        let behind = self.0.partition_point(|(begin, _)| *begin <= ran_ms);
        // What lies before all that is known was at most that long before it.
        let stretch = self.0.get(behind.saturating_sub(1))?;
        Some(wall_at(*stretch, ran_ms))
    }
}

fn wall_at((begin, wall_ms): (u64, WallMs), ran_ms: u64) -> WallMs {
    match ran_ms.checked_sub(begin) {
        Some(since) => wall_ms.saturating_add(since),
        None => wall_ms.saturating_sub(begin - ran_ms),
    }
}

#[cfg(test)]
mod tests {
    use super::RunTimes;
    use crate::model::{DeliveryId, Endpoint, Outcome, limits};
    use crate::queue::testing::{TestQueue, report};
    use crate::queue::{EndpointsQuery, Queue, State};

    #[test]
    fn each_stretch_has_its_own_offset() {
        let mut times = RunTimes::default();
        assert_eq!(times.wall_ms(100), None);
        times.note(0, 5);
        times.note(1_000, 50_000);
        times.note(2_000, 51_400);
        times.note(3_000, 152_000);
        times.note(2_500, 9);
        assert_eq!(times.0.len(), 2, "as long as the clocks run alike nothing is kept: {times:?}");
        let wall = |ran| times.wall_ms(ran);
        assert_eq!(
            (wall(400), wall(1_000), wall(2_999)),
            (Some(49_400), Some(50_000), Some(51_999))
        );
        assert_eq!((wall(3_000), wall(4_000)), (Some(152_000), Some(153_000)));

        for n in 0..1_000 {
            times.note(10_000 + n, n * 10_000);
        }
        assert_eq!(times.0.len(), limits::RUN_STRETCHES);
    }

    /// The daemon is down for an hour, and the delivery has waited for that hour as well.
    #[test]
    fn what_waits_over_a_restart_has_waited_by_the_wall_clock() {
        let mut world = TestQueue::new([Endpoint::new("app", "http://app.example/")]);
        world.pass(60_000);
        let accepted_at = world.now.wall_ms;
        let failing = DeliveryId { seq: world.accept("{}").seq, endpoint: 1 };
        let failed = report(world.now, Outcome::Retryable { after_ms: None });
        world.finish(failing, failed);
        let oldest = |queue: &Queue, now| {
            queue.ask(now, &EndpointsQuery)[0].flow.oldest_waiting_at.expect("something waits")
        };
        assert_eq!(oldest(&world.queue, world.now), accepted_at);

        let mut state = State::new();
        for (seq, record) in (1..).zip(&world.records) {
            state.apply(seq, record).expect("it follows");
        }
        let state = State::from_checkpoint(&state.checkpoint()).expect("it reads back");
        let mut now = world.now;
        now.wall_ms += 3_600_000;
        now.mono_ms = 5;
        world.queue = Queue::new(state, 1, now);
        world.now = now;
        world.pass(1_000);
        world.accept("{}");
        assert_eq!(oldest(&world.queue, world.now), accepted_at);
    }
}
