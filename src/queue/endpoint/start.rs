//! An endpoint begins to work, or stops.

use super::breaker::Breaker;
use super::bucket::TokenBucket;
use super::delivery::{SlotKind, TimerKey};
use super::endpoint_queue::{EndpointQueue, Runtime};
use super::prefetch::Prefetch;
use super::prefetch_memory::PrefetchMemory;
use crate::model::{Now, Seq};
use crate::queue::link;
use crate::record::Restraint;

/// Attempts that may be in flight before anything is known of the endpoint.
const FIRST_WINDOW: u32 = 4;

impl EndpointQueue {
    /// Begins with what is remembered: what waits keeps its remaining delay, at most the one that
    /// was decided.
    pub fn start(&mut self, now: Now, memory: &PrefetchMemory) {
        let unread = (self.in_stream() > 0).then(|| self.first_position());
        self.runtime = Runtime {
            prefetch: Prefetch::of_stream(unread, memory.share()),
            window: self.settings.concurrency.min(FIRST_WINDOW),
            locality: link::locality(&self.settings),
            // What it did last is what is known of it.
            has_succeeded: self.succeeded > 0
                && self.restraint.as_ref().is_none_or(|restraint| restraint.failures == 0),
            ..Runtime::default()
        };
        if let Some(restraint) = &self.remembered.restraint {
            self.runtime.breaker = Breaker::of(restraint, now);
            self.runtime.paused_until = paused_until(restraint, now);
        }

        // The lanes come first: what is behind others in one has no timer.
        self.fill_lanes();
        for (timer, due, _) in self.remembered_timers(now) {
            self.wait_turn(timer, due);
        }

        self.reindex_ages();
        if let Some(bucket) = self.remembered_rate(now) {
            self.runtime.rate = bucket;
        }
    }

    /// What its last attempt left it with keeps it back no longer than this time says.
    pub fn resume_restraint(&mut self, now: Now) {
        let Self { remembered, runtime } = self;
        let Some(restraint) = &remembered.restraint else { return };
        runtime.paused_until = runtime.paused_until.min(paused_until(restraint, now));
        if let (Some(open), Some(probe_at)) =
            (&mut runtime.breaker.open, Breaker::of(restraint, now).probe_at())
        {
            open.probe_at = open.probe_at.min(probe_at);
        }
    }

    /// The same of its rates.
    pub fn resume_rate(&mut self, now: Now) {
        if let Some(bucket) = self.remembered_rate(now) {
            self.runtime.rate = self.runtime.rate.sooner(bucket);
        }
        if self.runtime.catching_up.is_some() {
            let before = self.runtime.catching_up.as_ref().map(|catching| catching.bucket);
            self.pace_backlog_after_start(now);
            if let (Some(catching), Some(before)) = (&mut self.runtime.catching_up, before) {
                catching.bucket = catching.bucket.sooner(before);
            }
        }
    }

    /// What has waited since before record `first` waits no longer than this time says.
    pub fn resume_timers(&mut self, now: Now, first: Seq) {
        for (timer, due, last) in self.remembered_timers(now) {
            if last < first {
                self.runtime.timers.make_sooner(timer, due);
            }
        }
    }

    /// The bucket of its rate, as the time of its last attempt says.
    fn remembered_rate(&self, now: Now) -> Option<TokenBucket> {
        let burst = self.settings.burst.unwrap_or(1);
        let last_at = self.last_attempt_at;
        self.settings.rate.map(|rate| TokenBucket::after_start(rate, burst, last_at, now))
    }

    /// Everything that waits stands in its lane.
    pub(super) fn fill_lanes(&mut self) {
        let Self { remembered, runtime } = self;
        for (delivery, waiting) in remembered.retrying.iter() {
            let lane = remembered.lane_of_key(waiting.key);
            let position = remembered.position_in_lane(*delivery);
            runtime.lanes.wait(lane, position, *delivery, waiting.parked);
        }
    }

    /// When what waits is due, as records say it, and the record of its last attempt.
    fn remembered_timers(&self, now: Now) -> Vec<(TimerKey, u64, Seq)> {
        let due = |due_at: u64, delay_ms: u64| {
            now.mono_ms + due_at.saturating_sub(now.wall_ms).min(delay_ms)
        };
        let alone = self.retrying.iter().filter(|(_, w)| w.batch.is_none() && !w.parked);
        let alone = alone.map(|(seq, w)| (TimerKey::One(*seq), due(w.due_at, w.delay_ms), w.last));
        let batches = self.remembered.batches.iter().map(|(id, batch)| {
            let members = batch.members.iter().filter_map(|member| self.retrying.get(member));
            let last = members.map(|waiting| waiting.last).max().unwrap_or(0);
            (TimerKey::Batch(*id), due(batch.due_at, batch.delay_ms), last)
        });
        alone.chain(batches).collect()
    }

    /// The endpoint's settings have changed.
    pub fn settings_changed(&mut self) {
        self.runtime.locality = link::locality(&self.settings);
    }

    /// The endpoint was deleted: it does nothing any more. Returns the slots that its attempts
    /// took.
    pub fn stop(&mut self) -> Vec<SlotKind> {
        let slots = self.slots_taken().collect();
        self.runtime = Runtime::default();
        slots
    }
}

/// Until when its receiver asked to be left alone.
fn paused_until(restraint: &Restraint, now: Now) -> u64 {
    restraint.paused.map_or(0, |paused| now.mono_ms + paused.left_ms(now.wall_ms))
}
