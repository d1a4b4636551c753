//! An endpoint begins to work, or stops.

use super::delivery::{SlotKind, TimerKey};
use super::endpoint_queue::{EndpointQueue, Runtime};
use super::prefetch::Prefetch;
use crate::model::Now;
use crate::queue::breaker::Breaker;
use crate::queue::bucket::TokenBucket;
use crate::queue::link;

/// Attempts that may be in flight before anything is known of the endpoint.
const FIRST_WINDOW: u32 = 4;

impl EndpointQueue {
    /// Begins with what is remembered: what waits keeps its remaining delay, at most the one that
    /// was decided.
    pub fn start(&mut self, now: Now) {
        let unread = (self.in_stream() > 0).then_some(self.low + 1);
        self.runtime = Runtime {
            prefetch: Prefetch::of_stream(unread),
            window: self.settings.concurrency.min(FIRST_WINDOW),
            locality: link::locality(&self.settings),
            // What it did last is what is known of it.
            has_succeeded: self.succeeded > 0
                && self.restraint.as_ref().is_none_or(|restraint| restraint.failures == 0),
            ..Runtime::default()
        };
        if let Some(restraint) = &self.remembered.restraint {
            self.runtime.breaker = Breaker::of(restraint, now);
            self.runtime.paused_until =
                restraint.paused.map_or(0, |paused| now.mono_ms + paused.left_ms(now.wall_ms));
        }

        // The lanes come first: what is behind others in one has no timer.
        self.fill_lanes();
        self.set_timers(now);

        self.reindex_ages();
        if let Some(rate) = self.settings.rate {
            let burst = self.settings.burst.unwrap_or(1);
            let last_at = self.last_attempt_at;
            self.runtime.rate = TokenBucket::after_start(rate, burst, last_at, now);
        }
    }

    /// Everything that waits stands in its lane.
    pub(super) fn fill_lanes(&mut self) {
        let Self { remembered, runtime } = self;
        for (delivery, waiting) in &remembered.retrying {
            let lane = remembered.lane_of_key(waiting.key);
            let position = remembered.position_in_lane(*delivery);
            runtime.lanes.wait(lane, position, *delivery, waiting.parked);
        }
    }

    fn set_timers(&mut self, now: Now) {
        let due = |due_at: u64, delay_ms: u64| {
            now.mono_ms + due_at.saturating_sub(now.wall_ms).min(delay_ms)
        };
        let alone = self.retrying.iter().filter(|(_, w)| w.batch.is_none() && !w.parked);
        let alone = alone.map(|(seq, w)| (TimerKey::One(*seq), due(w.due_at, w.delay_ms)));
        let batches = self.remembered.batches.iter();
        let batches = batches.map(|(id, b)| (TimerKey::Batch(*id), due(b.due_at, b.delay_ms)));

        let all: Vec<(TimerKey, u64)> = alone.chain(batches).collect();
        all.into_iter().for_each(|(timer, due)| self.wait_turn(timer, due));
    }

    /// The endpoint's settings have changed.
    pub fn settings_changed(&mut self) {
        self.runtime.locality = link::locality(&self.settings);
    }

    /// The endpoint was deleted: it does nothing any more. Returns the bytes that its prefetch
    /// held, and the slots that its attempts took.
    pub fn stop(&mut self) -> (usize, Vec<SlotKind>) {
        let freed = self.runtime.prefetch.drop_bodies();
        let slots = self.slots_taken().collect();
        self.runtime = Runtime::default();
        (freed, slots)
    }
}
