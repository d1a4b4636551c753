//! What attempts say of an endpoint: its window, its breaker, pauses, and whether the link to it is
//! down.

use super::breaker::{Breaker, BreakerChange};
use super::endpoint_queue::EndpointQueue;
use crate::model::{Now, limits};
use crate::queue::link::Locality;
use crate::record::{Restraint, Wait};

impl EndpointQueue {
    #[must_use]
    pub fn breaker(&self) -> &Breaker {
        &self.runtime.breaker
    }

    /// Where it leads, as far as the link is concerned.
    #[must_use]
    pub fn locality(&self) -> &Locality {
        &self.runtime.locality
    }

    #[cfg(test)]
    pub fn set_locality(&mut self, locality: Locality) {
        self.runtime.locality = locality;
    }

    #[must_use]
    pub fn is_failing(&self) -> bool {
        self.runtime.breaker.failures_in_row >= limits::FAILING_AFTER
    }

    /// Whether it keeps failing, or may do so for all that is known.
    #[must_use]
    pub fn is_on_probation(&self) -> bool {
        !self.runtime.has_succeeded || self.is_failing()
    }

    /// Whether nothing is known of it, and nothing is under way from which something would be.
    #[must_use]
    pub fn is_unknown(&self) -> bool {
        let has_failed = self.runtime.breaker.failures_in_row > 0;
        !self.runtime.has_succeeded && !has_failed && self.under_way() == 0
    }

    /// Whether events stay in memory while their deliveries wait in the prefetch. Endpoints on hold
    /// and failing ones keep only the positions: their prefetches are filled nevertheless, so that
    /// what waits there can be relocated.
    #[must_use]
    pub fn keeps_events(&self) -> bool {
        self.hold.is_none() && !self.is_failing()
    }

    /// No attempt before this: its receiver asked to be left alone.
    #[must_use]
    pub fn paused_until(&self) -> u64 {
        self.runtime.paused_until
    }

    /// No attempt before this: a pause, or the gap before the breaker's next probe.
    #[must_use]
    pub(super) fn kept_back_until(&self) -> u64 {
        self.runtime.paused_until.max(self.runtime.breaker.probe_at().unwrap_or(0))
    }

    /// Whether its receiver asked to be left alone, or its breaker waits for the next probe.
    #[must_use]
    pub fn is_kept_back(&self, now_mono: u64) -> bool {
        self.kept_back_until() > now_mono
    }

    /// What keeps it back now, for the record of an attempt.
    #[must_use]
    pub fn restraint_now(&self, now: Now) -> Option<Box<Restraint>> {
        let mut restraint = self.runtime.breaker.remembered(now);
        let wait_ms = self.runtime.paused_until.saturating_sub(now.mono_ms);
        restraint.paused =
            (wait_ms > 0).then(|| Wait { until: now.wall_ms.saturating_add(wait_ms), wait_ms });
        (restraint != Restraint::default()).then(|| Box::new(restraint))
    }

    /// Learns from an attempt: the window, the breaker, and the pause that the receiver asked for.
    pub fn learn(&mut self, succeeded: bool, pause_ms: Option<u64>, now: Now) -> BreakerChange {
        let Self { remembered, runtime } = self;
        runtime.has_succeeded |= succeeded;
        runtime.window = match succeeded {
            true => (runtime.window + 1).min(remembered.settings.concurrency),
            false => (runtime.window / 2).max(1),
        };

        if let Some(pause_ms) = pause_ms {
            runtime.paused_until = runtime.paused_until.max(now.mono_ms + pause_ms);
        }
        runtime.breaker.learn(succeeded, now, remembered.settings.retry.max_ms)
    }

    /// How long the endpoint has done nothing but fail, with an attempt that has ended now. One
    /// that does not count changes nothing.
    pub fn measure_failing_ms(&mut self, succeeded: bool, uncounted: bool, now_mono: u64) -> u64 {
        if succeeded {
            self.runtime.failed_at = None;
            return 0;
        }
        if uncounted {
            return self.remembered.failing_ms;
        }

        let clock = self.failure_clock(now_mono);
        let before = self.runtime.failed_at.replace(clock);
        self.remembered.failing_ms + before.map_or(0, |before| clock.saturating_sub(before))
    }

    /// Time in which there is nothing to send says nothing of the endpoint: its run of failures
    /// stands still.
    pub fn look_for_silence(&mut self) {
        if self.runtime.failed_at.is_some() && !self.has_something_to_send() {
            self.runtime.failed_at = None;
        }
    }

    /// The clock by which runs of failures grow: the monotonic one without the time that the link
    /// was down.
    fn failure_clock(&self, now_mono: u64) -> u64 {
        let away = self.runtime.away_since.map_or(0, |since| now_mono.saturating_sub(since));
        now_mono.saturating_sub(self.runtime.away_ms + away)
    }

    /// Whether the link to it is down.
    #[must_use]
    pub fn is_away(&self) -> bool {
        self.runtime.away_since.is_some()
    }

    /// The time until the link is back does not count as a run of failures.
    pub fn link_went_down(&mut self, now_mono: u64) {
        self.runtime.away_since.get_or_insert(now_mono);
    }

    pub fn link_came_back(&mut self, now_mono: u64) {
        if let Some(since) = self.runtime.away_since.take() {
            self.runtime.away_ms += now_mono.saturating_sub(since);
        }
    }
}
