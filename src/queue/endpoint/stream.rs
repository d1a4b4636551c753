//! What an endpoint takes from its stream ahead of the attempts, and what goes back to it.
//!
//! A position in the stream goes through three states:
//!
//! * **Unread:** its record was not looked at yet. Everything from `Prefetch::unread` on is unread.
//! * **Outstanding:** its delivery was read, and stands in the prefetch, is gathered for a batch,
//!   or is in flight. `Prefetch::outstanding` has these positions.
//! * **Taken up:** a record says that nothing waits there any more, because the delivery ended or
//!   waits among the retries. The remembered half has these: all up to `low`, and those in `ahead`.
//!
//! An outstanding position is *released* when it is taken up, or goes back to the stream. It goes
//! back in two ways: *skipped*, one by one, where its lane is blocked (see `lanes`), and *read
//! again*, with all behind it, where the prefetch was emptied. While a backlog is worked off from
//! its newest end there is a second front of unread positions (see `backlog`), which moves
//! backward.

use super::backlog::CatchingUp;
use super::delivery::{ActiveDelivery, SlotKind, TimerKey};
use super::endpoint_queue::EndpointQueue;
use super::prefetch::Prefetch;
use crate::model::{Seq, limits};
use crate::queue::input::StreamRead;
use crate::queue::remembered::age::RUN_START;
use crate::queue::stream::kept::KeptRead;
use crate::queue::stream::relocation::SegmentRange;
use crate::queue::stream::stream_entry::StreamEntry;

impl EndpointQueue {
    /// What was read ahead.
    #[must_use]
    pub fn prefetch(&self) -> &Prefetch {
        &self.runtime.prefetch
    }

    /// The `low` that the next record may state: the last position before everything that is unread
    /// or outstanding.
    #[must_use]
    pub fn low_for_record(&self, next_seq: Seq) -> Seq {
        let first_open = self.first_unread().into_iter().chain(self.prefetch().first_outstanding());
        first_open.min().unwrap_or(next_seq).min(next_seq).saturating_sub(1)
    }

    /// The first position of the stream that has not been read, or was left for later.
    #[must_use]
    pub fn first_unread(&self) -> Option<Seq> {
        let skipped = self.runtime.lanes.first_skipped();
        let backward = self.catching_up().and_then(CatchingUp::first_unread);
        let left_out = self.runtime.left_out.first_position();
        [self.prefetch().unread(), skipped, left_out, backward].into_iter().flatten().min()
    }

    /// The first position at which something may wait.
    #[must_use]
    pub fn first_position(&self) -> Seq {
        self.kept.first().map_or(self.low + 1, |first| first.min(self.low + 1))
    }

    /// The first position from `from` on at which something may wait: one that is kept, or one
    /// whose own record is still there.
    #[must_use]
    pub fn position_from(&self, from: Seq) -> Seq {
        self.kept.first_from(from).unwrap_or_else(|| from.max(self.low + 1))
    }

    /// Whether something of its stream may wait at records of this range.
    #[must_use]
    pub fn waits_in(&self, range: SegmentRange) -> bool {
        let unread = self.first_unread().map(|unread| unread.max(self.low + 1));
        let is_unread = unread.is_some_and(|unread| unread <= range.last);
        let has_keys = self.is_latest() && self.may_wait_before(range.last);
        let mut open = self.open_positions().map(|position| self.record_of_position(position));
        is_unread
            || has_keys
            || open.any(|record| range.holds(record))
            || !self.kept.held_by(range).is_empty()
    }

    /// What came before `from` in the stream is not there any more.
    pub fn forget_before(&mut self, from: Seq) {
        self.runtime.prefetch.forget_before(from);
        self.runtime.lanes.forget_before(from);
        self.runtime.left_out.forget_before(from);
        if let Some(catching) = &mut self.runtime.catching_up {
            catching.forget_before(from);
        }
    }

    /// The stream has a new entry at `position`, of a delivery that was accepted at `ran_ms`.
    pub fn stream_grew(&mut self, position: Seq, ran_ms: u64) {
        if self.first_unread().is_none() {
            self.runtime.ages.begin(position, ran_ms);
        }
        self.runtime.prefetch.stream_grew(position);
    }

    /// The stream has been read forward up to before `unread`, or to its end.
    pub fn read_forward_to(&mut self, unread: Option<Seq>) {
        self.runtime.prefetch.set_unread(unread);
    }

    /// The stream is to be read from `position` at the latest.
    pub fn read_again_from(&mut self, position: Seq) {
        self.runtime.prefetch.read_again_from(position);
    }

    /// The part of the stream that is read next: forward from a position, or backward from before
    /// it down to another one, with the records where these are kept. Parts of which nothing is
    /// there any more are passed over: the log has the records from `first_seq` to before
    /// `next_seq`.
    pub fn next_part(
        &mut self,
        (first_seq, next_seq): (Seq, Seq),
    ) -> Option<(Seq, Option<Seq>, Option<KeptRead>)> {
        if let Some(unread) = self.prefetch().unread() {
            let from = self.position_from(unread);
            self.runtime.prefetch.set_unread((from < next_seq).then_some(from));
            if from < next_seq {
                return Some((from, None, self.kept.read_from(from)));
            }
        }

        // The newest have records of their own, and what is kept comes before them. What has been
        // taken up is read as well: see `catch_up`.
        let (before, until) = self.reads_back()?;
        let first_own = until.max(first_seq);
        if before > first_own {
            return Some((before, Some(first_own), None));
        }
        let kept = self.kept.read_back_from(before, self.is_latest());
        if let Some(kept) = kept.filter(|kept| kept.parts.iter().any(|part| part.last >= until)) {
            return Some((before, Some(until), Some(kept)));
        }
        self.read_back_to(until, false);
        None
    }

    /// Whether what was read of the stream was still held by the records that were asked for. What
    /// has been relocated since may have been dropped before it was read.
    #[must_use]
    pub fn holds_still(&self, read: &StreamRead, first_seq: Seq) -> bool {
        match &read.kept {
            Some(kept) => kept.parts.iter().all(|part| self.kept.holds(*part)),
            None if read.next > read.from => {
                self.kept.first_from(read.from).is_none_or(|kept| kept >= read.next)
            }
            None => !self.kept.covers_any(read.next, read.from.min(first_seq)),
        }
    }

    /// The log is being read for its stream, or was.
    pub fn set_reading(&mut self, is_reading: bool) {
        self.runtime.prefetch.set_reading(is_reading);
    }

    /// Everything in the prefetch or in flight that came from the stream.
    pub fn outstanding(&self) -> impl Iterator<Item = &ActiveDelivery> {
        let in_flight = self.runtime.in_flight.values().chain(&self.runtime.gathering);
        self.prefetch().iter().chain(in_flight.filter(|job| job.position.is_some()))
    }

    /// The same as records: those that made the deliveries, and their positions.
    pub fn outstanding_records(&self) -> impl Iterator<Item = Seq> + '_ {
        self.outstanding().flat_map(|job| self.records_of(job))
    }

    /// The record that made a delivery, its position, and the record that holds that.
    pub(super) fn records_of(&self, job: &ActiveDelivery) -> impl Iterator<Item = Seq> + use<> {
        let held_by = job.position.and_then(|position| self.kept.record_of(position));
        job.records().chain(held_by)
    }

    /// Positions of the stream that are in memory and have not been taken up.
    pub fn open_positions(&self) -> impl Iterator<Item = Seq> {
        let positions = self.outstanding().filter(|job| !job.ended).filter_map(|job| job.position);
        positions.filter(|position| !self.taken_up(*position))
    }

    /// Whether the stream still has positions to be read that need older events.
    #[must_use]
    pub fn reads_on(&self) -> bool {
        self.needs_until > 0 && self.first_unread().is_some_and(|unread| unread <= self.needs_until)
    }

    /// How many deliveries the prefetch holds at most.
    #[must_use]
    pub fn prefetch_capacity(&self) -> usize {
        self.settings
            .batch
            .map_or(limits::PREFETCH, |batch| limits::PREFETCH.max(2 * batch.max_events as usize))
    }

    /// How many deliveries may still be prefetched.
    #[must_use]
    pub fn prefetch_left(&self) -> usize {
        self.prefetch_capacity().saturating_sub(self.prefetch().len())
    }

    #[must_use]
    pub fn may_prefetch(&self) -> bool {
        self.prefetch_left() > 0
    }

    /// Takes an entry of the stream into the prefetch, unless it is there already, needs no attempt
    /// any more, or has to stay in the stream, for its lane or for other sources. Its event is kept
    /// in memory only if the endpoint keeps events, and there is memory for it.
    pub fn take_into_prefetch(&mut self, mut entry: StreamEntry, now_mono: u64, front: bool) {
        let delivery = entry.delivery.seq;
        if !self.stands_in_stream(&entry) || self.is_at_hand(delivery) {
            return;
        }

        let (latest, keeps_events) = (self.is_latest(), self.keeps_events());
        let skips = self.runtime.lanes.must_skip(entry.key, entry.position, latest);
        if skips || self.leaves_out(entry.source) {
            self.leave_at(entry.position, entry.key, entry.source);
            self.runtime.ages.left_in_stream(entry.position, entry.born);
            return;
        }

        let runtime = &mut self.runtime;
        let size = entry.loaded.as_ref().map_or(0, |event| event.body.len() as u64);
        let may_keep = |cost| keeps_events && runtime.prefetch.has_memory_for(cost);
        entry.loaded = entry.loaded.filter(|event| may_keep(event.cost()));
        // Records of earlier versions do not say it: what they accepted begins with the run clock.
        let born = entry.born.max(RUN_START);
        runtime.lanes.enter_prefetch(entry.key);
        runtime.ages.enter(born, delivery);

        let job = ActiveDelivery {
            delivery: entry.delivery,
            event: entry.event,
            position: Some(entry.position),
            attempts: entry.attempts,
            last: entry.last,
            born,
            arrived: now_mono,
            loaded: entry.loaded,
            ended: false,
            read_at: None,
            slot: SlotKind::Plain,
            lane: entry.key,
            size,
            own: false,
            source: entry.source,
        };
        runtime.prefetch.insert(job, front);
    }

    /// Whether a delivery was prefetched or is under way.
    #[must_use]
    pub fn is_at_hand(&self, delivery: Seq) -> bool {
        self.prefetch().contains(delivery) || self.is_in_flight(delivery)
    }

    /// Takes a delivery out of prefetch and timers.
    pub fn withdraw(&mut self, delivery: Seq) {
        self.runtime.timers.forget(TimerKey::One(delivery));
        if let Some(at) = self.prefetch().position(delivery) {
            let job = self.take_out(at);
            self.runtime.prefetch.release_position(&job);
        }
    }

    /// A delivery that came from the stream is part of something else now: its position is
    /// nobody's.
    pub fn release_position(&mut self, job: &ActiveDelivery) {
        self.runtime.prefetch.release_position(job);
    }

    /// Takes the delivery at this place out of the prefetch. Its position in the stream stays
    /// outstanding.
    ///
    /// # Panics
    /// When there is none: whoever takes it out has just found it there.
    pub fn take_out(&mut self, at: usize) -> ActiveDelivery {
        let job = self.runtime.prefetch.take_out(at).unwrap_or_else(|| {
            panic!("endpoint '{}': nothing is prefetched at place {at}", self.settings.name)
        });
        self.runtime.lanes.leave_prefetch(job.lane);
        self.read_lane_again(job.lane);
        job
    }

    /// Puts a delivery back at the front of the prefetch, without its event.
    pub(super) fn put_back(&mut self, mut job: ActiveDelivery) {
        job.loaded = None;
        self.runtime.lanes.enter_prefetch(job.lane);
        self.runtime.ages.enter(job.born, job.delivery.seq);
        self.runtime.prefetch.insert(job, true);
    }

    /// Drops the events in the prefetch; they are read again when their turn comes.
    pub fn drop_bodies(&mut self) {
        self.runtime.prefetch.drop_bodies();
    }

    /// Empties the prefetch; what was in it is to be read again from the first position of it,
    /// which is returned.
    pub(super) fn clear_prefetch(&mut self) -> Option<Seq> {
        let runtime = &mut self.runtime;
        let mut first = None;
        for job in runtime.prefetch.take_all() {
            runtime.lanes.leave_prefetch(job.lane);
            if let Some(position) = job.position {
                runtime.prefetch.release_position(&job);
                runtime.ages.left_in_stream(position, job.born);
                first = Some(first.map_or(position, |other: Seq| other.min(position)));
            }
        }
        first
    }

    /// The position in the stream of one that is under way or being gathered is another one.
    pub fn change_position(&mut self, delivery: Seq, to: Seq) {
        let runtime = &mut self.runtime;
        let in_flight = runtime.in_flight.get_mut(&delivery).into_iter();
        let gathering = runtime.gathering.iter_mut().filter(|job| job.delivery.seq == delivery);
        for job in in_flight.chain(gathering) {
            runtime.prefetch.moved(job.position.replace(to), to);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::{EndpointQueue, RUN_START};
    use crate::model::{DeliveryId, Endpoint};
    use crate::queue::StreamEntry;
    use crate::queue::remembered::endpoint_state::EndpointState;
    use crate::record::WaitingDelivery;

    #[test]
    fn what_was_accepted_before_there_was_a_run_clock_is_known_by_one_age() {
        let settings = Endpoint { id: 1, ..Endpoint::new("app", "http://app.example/") };
        let mut endpoint = EndpointQueue::new(EndpointState::new(Arc::new(settings), 1));
        let delivery = DeliveryId { seq: 5, endpoint: 1 };
        let waiting = WaitingDelivery::asked_again(delivery, 5, 0, 0, 0);
        let entry = StreamEntry::new(WaitingDelivery { position: 5, ..waiting }, None);
        endpoint.take_into_prefetch(entry, 1_000, false);
        // What its attempt says of it is what the state knows it by then: see `Retrying::born`.
        assert_eq!(endpoint.prefetch().get(0).map(|job| job.born), Some(RUN_START));
    }
}
