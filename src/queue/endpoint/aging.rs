//! Which of an endpoint's deliveries are too old. See `waiting::aging`, which ends them.

use super::endpoint_queue::EndpointQueue;
use crate::model::{Now, Seq, limits};
use crate::queue::input::StreamRead;
use crate::queue::stream::stream_entry::StreamEntry;

/// What was found in a slice of the stream that was read for ages.
#[derive(Debug)]
pub struct AgesFound {
    /// Those that are too old.
    pub old: Vec<StreamEntry>,
    /// Nothing waits in the stream before this position; `None` where that is not known, because
    /// something went back to it meanwhile.
    pub nothing_before: Option<Seq>,
}

/// When the oldest delivery that waits was accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OldestWaiting {
    Nothing,
    /// The stream is being read.
    Unknown,
    /// By the run clock. Where it stands in the stream, no later than this.
    Since(u64),
}

impl EndpointQueue {
    /// The oldest that waits, but for what is being attempted and what waits for the operator.
    pub fn oldest_waiting(&mut self) -> OldestWaiting {
        // Those that have ended leave the index here, each once.
        while let Some(&(born, delivery)) = self.runtime.ages.at_hand.first()
            && !self.is_in_flight(delivery)
            && !self.waits_since(born, delivery)
        {
            self.runtime.ages.at_hand.pop_first();
        }

        let at_hand = self.runtime.ages.at_hand.iter().take(limits::LAG_LOOKED_AT);
        let waits = |(born, delivery): &&(u64, Seq)| self.waits_since(*born, *delivery);
        if let Some((born, _)) = at_hand.clone().find(waits) {
            return OldestWaiting::Since(*born);
        }
        match (self.first_unread().is_some(), self.runtime.ages.reading.is_some()) {
            (true, false) => OldestWaiting::Since(self.runtime.ages.in_stream),
            (true, true) => OldestWaiting::Unknown,
            (false, _) => OldestWaiting::Nothing,
        }
    }

    /// When the oldest of what is being attempted, or read for that, was accepted.
    #[must_use]
    pub fn attempted_since(&self) -> Option<u64> {
        self.runtime.ages.oldest_under_way()
    }

    /// The same, by looking at all of them.
    #[must_use]
    pub fn attempted_since_by_looking(&self) -> Option<u64> {
        let runtime = &self.runtime;
        let single = runtime.in_flight.values().chain(&runtime.gathering).map(|job| job.born);
        let batched = runtime.batches_in_flight.values().flat_map(|batch| &batch.members);
        single.chain(batched.map(|member| member.born)).min()
    }

    /// Makes the index of ages anew.
    pub(super) fn reindex_ages(&mut self) {
        let waiting = self.retrying.iter().filter(|(_, waiting)| !waiting.parked);
        let waiting = waiting.map(|(delivery, waiting)| (waiting.born(), *delivery));
        let prefetched = self.prefetch().iter().map(|job| (job.born, job.delivery.seq));
        self.runtime.ages.at_hand = waiting.chain(prefetched).collect();
    }

    /// Forgets those of the index that have ended, once they are most of it.
    pub fn tidy_ages(&mut self) {
        let waiting = self.retrying.len() + self.prefetch().len();
        if self.runtime.ages.at_hand.len() > 2 * waiting + limits::PREFETCH {
            self.reindex_ages();
        }
    }

    /// The age at which a delivery ends that waits.
    fn too_old_ms(&self) -> u64 {
        self.settings.retry.max_age_ms.saturating_add(limits::AGE_GRACE_MS)
    }

    fn is_too_old(&self, born: u64, ran_ms: u64) -> bool {
        self.age_ms(born, ran_ms) >= self.too_old_ms()
    }

    /// When the first that waits is too old, on the monotonic clock.
    #[must_use]
    pub fn next_too_old(&self, now: Now, ran_ms: u64) -> Option<u64> {
        if self.age_pauses.is_paused() {
            return None;
        }

        let ages = &self.runtime.ages;
        let at_hand = ages.at_hand.first().map(|(born, _)| *born);
        let in_stream = ages.reading.is_none() && self.first_unread().is_some();
        let oldest = at_hand.into_iter().chain(in_stream.then_some(ages.in_stream)).min()?;

        let left_ms = self.too_old_ms().saturating_sub(self.age_ms(oldest, ran_ms));
        let earliest = ages.looked_at + limits::AGE_LOOK_MS;
        Some(now.mono_ms.saturating_add(left_ms).max(earliest))
    }

    /// It is looked at now, and then not again for a moment.
    pub fn ages_looked_at(&mut self, now_mono: u64) {
        self.runtime.ages.looked_at = now_mono;
    }

    /// There is more to end than one look does: it is looked at again at once.
    pub fn look_at_ages_again(&mut self) {
        self.runtime.ages.looked_at = 0;
    }

    /// The first at hand that is too old, which leaves the index; with when it was accepted.
    pub fn pop_too_old(&mut self, ran_ms: u64) -> Option<(u64, Seq)> {
        let (born, delivery) = *self.runtime.ages.at_hand.first()?;
        if !self.is_too_old(born, ran_ms) {
            return None;
        }
        self.runtime.ages.at_hand.pop_first();
        Some((born, delivery))
    }

    /// Whether one that was in the index waits still, and not for the operator. One that is under
    /// way comes back to the index if it fails.
    #[must_use]
    pub fn waits_since(&self, born: u64, delivery: Seq) -> bool {
        let waiting = self.retrying.get(&delivery);
        let waits = waiting.is_some_and(|waiting| waiting.born() == born && !waiting.parked);
        // One that has died and was asked for again is a younger one than the index may say.
        let prefetched = || self.prefetch().find(delivery).is_some_and(|job| job.born == born);
        (waits || prefetched()) && !self.is_in_flight(delivery)
    }

    /// Whether something in the stream may be too old, so that it has to be read on.
    #[must_use]
    pub fn has_ages_to_read(&self, ran_ms: u64) -> bool {
        let ages = &self.runtime.ages;
        ages.reading.is_none()
            && self.first_unread().is_some()
            && self.is_too_old(ages.in_stream, ran_ms)
    }

    /// The stream is read for ages from now on. Returns from where.
    pub fn start_reading_ages(&mut self, ran_ms: u64, next_seq: Seq) -> Seq {
        let first_unread = self.first_unread().unwrap_or(next_seq);
        let read_to = self.position_from(self.runtime.ages.read_to.max(first_unread));
        let ages = &mut self.runtime.ages;
        ages.read_to = read_to;
        ages.reading = Some((ran_ms, next_seq));
        ages.returned = false;
        ages.read_to
    }

    /// What was read is of no use.
    pub fn stop_reading_ages(&mut self) {
        self.runtime.ages.reading = None;
    }

    /// A slice of the stream was read.
    pub fn ages_read(&mut self, read: StreamRead, ran_ms: u64) -> AgesFound {
        let StreamRead { from, entries, next, .. } = read;
        let (since, end) = self.runtime.ages.reading.take().unwrap_or((0, Seq::MAX));
        // When all was read that there was, what came later was accepted later; else later than the
        // last of the slice.
        let last = entries.last().map_or(self.runtime.ages.in_stream, |entry| entry.born);
        let (mut to, mut bound) = (next, if next >= end { since } else { last });

        let mut old = Vec::new();
        for entry in entries {
            if !self.stands_in_stream(&entry) || self.is_at_hand(entry.delivery.seq) {
                continue;
            }
            if self.age_pauses.is_paused() || !self.is_too_old(entry.born, ran_ms) {
                (to, bound) = (entry.position, entry.born);
                break;
            }
            old.push(entry);
        }

        let ages = &mut self.runtime.ages;
        let still = !ages.returned && ages.read_to == from;
        if still {
            (ages.read_to, ages.in_stream) = (to, bound);
        }
        if !old.is_empty() {
            ages.looked_at = 0;
        }
        AgesFound { old, nothing_before: still.then_some(to) }
    }
}
