//! What waits too long ends: at its `max_age`, whatever it waits for, and without an attempt.
//!
//! Deliveries at hand (prefetched, or waiting for a retry) stand in an index by when they were
//! accepted. Those that are still in the stream are not looked at one by one: the stream is in the
//! order of acceptance, so a bound below all of them says when to read on. What is read then is a
//! slice; those in it that are too old end, and the first that is not gives the next bound. The
//! last attempt of a delivery falls on the end of its `max_age`, so there is a little time for it
//! to start.

use crate::model::{BatchId, DeliveryId, EndpointId, Now, Seq, limits, time};
use crate::queue::action::{Action, ReadOrder};
use crate::queue::endpoint::EndpointQueue;
use crate::queue::input::StreamRead;
use crate::queue::stream::stream_entry::StreamEntry;
use crate::queue::{Draft, Queue};
use crate::record::{DeadLetter, Record};

impl Queue {
    /// Ends what is too old by now, a bounded number of deliveries; the others have their turn at
    /// once.
    pub(in crate::queue) fn run_ages(&mut self, now: Now, draft: &mut Draft) {
        for _ in 0..limits::LAG_SLICE {
            let Some(id) = self.next_changed() else { break };
            self.plan_ages(id, now);
            self.plan_lag(id, now);
        }

        let mut left = limits::AGE_SLICE;
        while left > 0
            && let Some(id) = self.ages_due.pop_due(now.mono_ms)
        {
            self.state.endpoint_mut(id).ages_looked_at(now.mono_ms);
            left = self.end_too_old(id, now, left, draft);
            self.plan_ages(id, now);
        }
        self.run_lags(now, draft);
        self.mark_the_clock(now, draft);
    }

    /// When `run_ages` has something to do, on the monotonic clock.
    pub(in crate::queue) fn ages_wake(&self, now: Now) -> Option<u64> {
        let changed = (!self.ages_changed.is_empty()).then_some(now.mono_ms);
        let mark = Some(self.clock_record_at).filter(|at| *at < u64::MAX);
        [self.ages_due.first(), self.lags_due.first(), changed, mark].into_iter().flatten().min()
    }

    /// The next endpoint of which something has changed, in turns: those that change all the time
    /// keep no other one waiting.
    fn next_changed(&mut self) -> Option<EndpointId> {
        let following = self.ages_changed.range(self.ages_turn..).next();
        let id = following.or_else(|| self.ages_changed.first()).copied()?;
        self.ages_changed.remove(&id);
        self.ages_turn = id.saturating_add(1);
        Some(id)
    }

    fn plan_ages(&mut self, id: EndpointId, now: Now) {
        let ran_ms = self.ran_ms;
        let endpoint = self.state.endpoint_mut(id);
        endpoint.tidy_ages();
        // A look that comes too early costs little, and plans the next one.
        if let Some(at) = endpoint.next_too_old(now, ran_ms) {
            self.ages_due.set_sooner(id, at);
        }
    }

    /// Ends what is too old at this endpoint, `left` deliveries at most. Returns how many more may
    /// end in this step.
    fn end_too_old(
        &mut self,
        id: EndpointId,
        now: Now,
        mut left: usize,
        draft: &mut Draft,
    ) -> usize {
        if self.state.endpoint(id).age_pauses.is_paused() {
            return left;
        }

        while left > 0
            && let Some((born, delivery)) = self.state.endpoint_mut(id).pop_too_old(self.ran_ms)
        {
            left -= 1;
            if self.state.endpoint(id).waits_since(born, delivery) {
                self.die_of_age(now, DeliveryId { seq: delivery, endpoint: id }, draft);
            }
        }

        match left {
            0 => self.state.endpoint_mut(id).look_at_ages_again(),
            _ => self.read_ages(id, draft),
        }
        left
    }

    /// Has the stream read on when something in it may be too old.
    fn read_ages(&mut self, id: EndpointId, draft: &mut Draft) {
        let (ran_ms, next_seq) = (self.ran_ms, self.state.next_seq);
        let endpoint = self.state.endpoint_mut(id);
        if !endpoint.has_ages_to_read(ran_ms) || self.loads >= limits::LOADS {
            return;
        }

        let from = endpoint.start_reading_ages(ran_ms, next_seq);
        let (kept, max_entries) = (endpoint.kept.read_from(from), limits::SLICE);
        let order = ReadOrder::Ages { endpoint: id, from, kept, max_entries };
        draft.actions.push(Action::Read(order));
        self.loads += 1;
    }

    /// A slice of the stream was read.
    pub(in crate::queue) fn ages_read(
        &mut self,
        now: Now,
        id: EndpointId,
        read: StreamRead,
        draft: &mut Draft,
    ) {
        self.load_ended();
        let (ran_ms, first_seq) = (self.ran_ms, self.state.first_seq);
        // The endpoint may have been deleted while the log was read.
        let Some(endpoint) = self.state.find_mut(id) else { return };

        if !endpoint.holds_still(&read, first_seq) {
            endpoint.stop_reading_ages();
            return self.wake(id);
        }
        let found = endpoint.ages_read(read, ran_ms);
        for entry in found.old {
            self.end_in_stream(now, &entry, draft);
        }

        if let Some(first) = found.nothing_before {
            let next_seq = self.state.next_seq;
            let endpoint = self.state.endpoint_mut(id);
            endpoint.forget_before(first);
            let unread = endpoint.prefetch().unread().filter(|unread| *unread < next_seq);
            endpoint.read_forward_to(unread);
        }
        self.wake(id);
    }

    /// A delivery in the stream that was never at hand dies of its age.
    fn end_in_stream(&mut self, now: Now, entry: &StreamEntry, draft: &mut Draft) {
        let StreamEntry { delivery, event, attempts, last, .. } = *entry;
        let reason = self.too_old(delivery.endpoint);
        let (died_at, kept_since) = (now.wall_ms, None);
        let dead = DeadLetter { delivery, event, attempts, died_at, reason, last, kept_since };
        self.end_without_attempt(now, dead, false, draft);
    }

    fn too_old(&self, id: EndpointId) -> String {
        let max_age_ms = self.state.endpoint(id).settings.retry.max_age_ms;
        format!("older than its max age of {}", time::format_duration_ms(max_age_ms))
    }

    /// A delivery that waits for a retry or was prefetched dies of its age.
    fn die_of_age(&mut self, now: Now, delivery: DeliveryId, draft: &mut Draft) {
        let reason = self.too_old(delivery.endpoint);
        let endpoint = self.state.endpoint_mut(delivery.endpoint);
        if let Some(waiting) = endpoint.retrying.get(&delivery.seq) {
            let event = waiting.event;
            return self.die(now, delivery, event, &reason, draft);
        }

        let job = endpoint.prefetch().find(delivery.seq);
        let job = job.expect("what waits, and not for a retry, was prefetched");
        let (event, attempts, last, lane) = (job.event, job.attempts, job.last, job.lane);
        let own = job.loaded.as_ref().is_some_and(|event| event.is_own());
        endpoint.withdraw(delivery.seq);

        let (died_at, kept_since) = (now.wall_ms, None);
        let dead = DeadLetter { delivery, event, attempts, died_at, reason, last, kept_since };
        self.end_without_attempt(now, dead, own, draft);
        self.free(delivery.endpoint, lane, now);
    }

    /// A delivery that waits for a retry dies without another attempt.
    pub(in crate::queue) fn die(
        &mut self,
        now: Now,
        delivery: DeliveryId,
        event: Seq,
        reason: &str,
        draft: &mut Draft,
    ) {
        let endpoint = self.state.endpoint(delivery.endpoint);
        let waiting = *endpoint.waiting(delivery.seq);
        let lane = endpoint.lane_of_key(waiting.key);

        let dead = DeadLetter {
            delivery,
            event,
            attempts: waiting.attempts,
            died_at: now.wall_ms,
            reason: reason.to_owned(),
            last: waiting.last,
            kept_since: None,
        };
        let seq = self.end_without_attempt(now, dead, false, draft);

        let endpoint = self.state.endpoint_mut(delivery.endpoint);
        endpoint.wait_no_more(lane, delivery.seq);
        if let Some(batch) = waiting.batch {
            endpoint.rename_batch(batch, BatchId { seq, part: 0 });
        }
        self.free(delivery.endpoint, lane, now);
    }

    /// Remembers a death without an attempt. Returns its record.
    fn end_without_attempt(
        &mut self,
        now: Now,
        dead: DeadLetter,
        own: bool,
        draft: &mut Draft,
    ) -> Seq {
        let seq = self.remember(Record::DeliveryDied { dead: dead.clone() }, draft);
        // What it was about is not always known here: one who subscribes to the daemon's own events
        // makes no more of them.
        let subscribes = self.gets_own(dead.delivery.endpoint);
        self.notify_dead(now, &dead, None, own || subscribes, draft);
        seq
    }

    /// While something waits and nothing else says how long the daemon has run, that is remembered
    /// from time to time, so that a restart makes nothing young again.
    fn mark_the_clock(&mut self, now: Now, draft: &mut Draft) {
        if now.mono_ms < self.clock_record_at {
            return;
        }

        let waits =
            |endpoint: &&EndpointQueue| endpoint.undone > 0 && !endpoint.age_pauses.is_paused();
        let Some(gap_ms) = self.state.living().filter(waits).map(mark_gap_ms).min() else {
            self.clock_record_at = u64::MAX;
            return;
        };
        let gap_ms = gap_ms.min(self.first_mark_gap_ms());

        if self.ran_ms >= self.state.ran_ms + gap_ms {
            self.remember(Record::ClockRan { ran_ms: self.ran_ms }, draft);
        }
        let next = (self.state.ran_ms + gap_ms).saturating_sub(self.ran_offset_ms);
        self.clock_record_at = next.max(now.mono_ms + 1);
    }

    /// The same gap, soon after a start: as long as the daemon had run when that was remembered.
    fn first_mark_gap_ms(&self) -> u64 {
        let at_start = self.ran_offset_ms + self.started.mono_ms;
        self.state.ran_ms.saturating_sub(at_start).max(limits::CLOCK_MARK_FIRST_MS)
    }

    /// Something waits at this endpoint from now on.
    pub(in crate::queue) fn mark_sooner(&mut self, id: EndpointId) {
        let gap_ms = mark_gap_ms(self.state.endpoint(id));
        let gap_ms = gap_ms.min(self.first_mark_gap_ms());
        let at = (self.ran_ms + gap_ms).saturating_sub(self.ran_offset_ms);
        self.clock_record_at = self.clock_record_at.min(at);
    }
}

/// How long the run clock may go on unremembered while something waits at this endpoint.
fn mark_gap_ms(endpoint: &EndpointQueue) -> u64 {
    let gap_ms = endpoint.settings.retry.max_age_ms / limits::CLOCK_MARKS;
    gap_ms.clamp(limits::CLOCK_MARK_MS, limits::CLOCK_MARK_MAX_MS)
}
