//! Dropping an old segment. What is needed of it is relocated first, in bounded slices: events,
//! dead letters, and positions in the endpoints' streams. A slice is decided on when it comes, by
//! the state of that moment. What was relocated is not needed of the segment any more, so after a
//! crash between two slices only the rest is left.
//!
//! A delivery that waits in the stream for its first attempt goes on waiting in the stream, at a
//! later position, so that a backlog of weeks costs no more memory than one of minutes. Where order
//! matters it waits among the retries instead, which are attempted before everything else. There is
//! a limit of these, and a segment with more of them stays.

use std::collections::{BTreeMap, BTreeSet};

use roaring::RoaringTreemap;

use super::action::{Action, Maintenance};
use super::decision::Refusal;
use super::endpoint::EndpointQueue;
use super::input::AliveRange;
use super::order::Keys;
use super::order::NO_VALUE;
use super::relocation::{PositionKeys, RelocatedEvent, RelocationSlice, SegmentRange};
use super::request::QueueRequest;
use super::stream_entry::StreamEntry;
use super::{Draft, Queue};
use crate::model::{DeliveryId, EndpointId, Now, Order, Seq, limits};
use crate::record::{Record, WaitingDelivery};

/// A segment is to be dropped: writes anew what of this slice still lives in it. Answers how many
/// events that were, and their bytes.
#[derive(Clone, Debug)]
pub struct Relocate {
    pub first: Seq,
    pub last: Seq,
    pub slice: RelocationSlice,
}

impl QueueRequest for Relocate {
    type Answer = (usize, u64);

    fn decide(
        self,
        queue: &mut Queue,
        now: Now,
        draft: &mut Draft,
    ) -> Result<(usize, u64), Refusal> {
        let Self { first, last, slice } = self;
        queue.relocate(now, SegmentRange { first, last }, slice, draft)
    }
}

/// Drops a segment; refused while something lives in it. `walked`: all of it was read, and what
/// waits in streams was relocated.
#[derive(Clone, Copy, Debug)]
pub struct RetireSegment {
    pub first: Seq,
    pub last: Seq,
    pub head: [u8; 32],
    pub walked: bool,
}

impl QueueRequest for RetireSegment {
    type Answer = ();

    fn decide(self, queue: &mut Queue, now: Now, draft: &mut Draft) -> Result<(), Refusal> {
        let Self { first, last, head, walked } = self;
        queue.retire(now, SegmentRange { first, last }, head, walked, draft)
    }
}

impl Queue {
    /// What is needed of `range`, or a part of it when that is much; `None` when it is not known,
    /// and the segment stays.
    pub(super) fn alive(&self, range: SegmentRange) -> Option<AliveRange> {
        if self.state.living().any(|endpoint| needs_are_unknown(endpoint, range)) {
            return None;
        }

        let needed = self.needed(range);
        let events = needed
            .iter()
            .filter_map(|seq| self.state.stands_at(*seq))
            .take(limits::SLICE)
            .collect();
        let dead_letter_seqs =
            within(&self.state.dead_letter_seqs, range).iter().take(limits::SLICE).collect();
        let walk = self.state.living().any(|endpoint| waits_in(endpoint, range));
        let orders = match walk {
            true => self.state.living().filter_map(order_of).collect(),
            false => BTreeMap::new(),
        };
        Some(AliveRange { events, known: needed.len(), dead_letter_seqs, walk, orders })
    }

    /// The events that are held by `range` and needed by deliveries that the state knows of: those
    /// that wait for a retry, that are in flight, dead, or asked for again. Those that wait in the
    /// stream for their first attempts are not known here.
    fn needed(&self, range: SegmentRange) -> BTreeSet<Seq> {
        let mut needed = BTreeSet::new();
        let here = |seq: &Seq| self.state.stands_at(*seq).is_some_and(|at| range.holds(at));

        // Only deliveries of events that are held by the range have to be looked at.
        let moved: RoaringTreemap =
            self.state.moved.iter().filter(|(_, at)| range.holds(**at)).map(|(s, _)| *s).collect();
        let mut standing = RoaringTreemap::new();
        standing.insert_range(range.first..=range.last);
        standing |= &moved;

        for endpoint in self.state.endpoints.values() {
            needed.extend(endpoint.retrying.values().map(|waiting| waiting.event).filter(here));

            // A dead letter's event has the delivery's own number, unless it was a replay.
            needed.extend(endpoint.replayed_dead.values().copied().filter(here));
            let dead = &endpoint.dead & &standing;
            let own = dead.iter().filter(|seq| !endpoint.replayed_dead.contains_key(seq));
            needed.extend(own.filter(here));

            // Asked for again, or about to be attempted.
            needed.extend((&endpoint.revived & &standing).iter().filter(here));
            let in_memory = endpoint.outstanding().filter(|job| !job.ended);
            needed.extend(in_memory.map(|job| job.event).filter(here));

            // Replays that wait in the stream.
            if endpoint.reads_on() {
                needed.extend((&endpoint.needed_events & &standing).iter().filter(here));
            }
        }
        needed
    }

    /// How many events of a slice are needed of `range`, and their bytes.
    pub(super) fn lives(&self, range: SegmentRange, slice: &RelocationSlice) -> (usize, u64) {
        let mut needed = self.needed(range);
        let waiting =
            slice.positions.iter().filter(|entry| range.holds(entry.position) && self.waits(entry));
        needed.extend(waiting.map(|entry| entry.event));

        let here = |e: &&RelocatedEvent| {
            needed.contains(&e.seq) && self.state.stands_at(e.seq) == Some(e.at)
        };
        let living = slice.events.iter().filter(here);
        living.fold((0, 0), |(count, bytes), relocated| {
            (count + 1, bytes + relocated.event.cost() as u64)
        })
    }

    /// Relocates what of a slice is still needed of `range`.
    pub(super) fn relocate(
        &mut self,
        now: Now,
        range: SegmentRange,
        slice: RelocationSlice,
        draft: &mut Draft,
    ) -> Result<(usize, u64), Refusal> {
        let RelocationSlice { events, positions, keys, dead, expired } = slice;
        let limit = limits::RELOCATED_EVENTS;
        if self.state.moved.len() + events.len() > limit {
            return Err(Refusal::TooMany { what: "relocated events", limit });
        }

        // Deliveries in order are to wait in memory, where there is a limit. The others stay in
        // streams.
        let waiting =
            positions.into_iter().filter(|entry| range.holds(entry.position) && self.waits(entry));
        let (mut ordered, free): (Vec<WaitingDelivery>, Vec<WaitingDelivery>) =
            waiting.partition(|entry| self.in_order(entry, &keys));
        if !self.give_keys(&mut ordered, &keys) {
            return Err(Refusal::Busy);
        }
        if let Some(refusal) = self.too_many_in_order(&ordered) {
            return Err(refusal);
        }

        // Events before the deliveries that need them.
        let mut needed = self.needed(range);
        needed.extend(ordered.iter().chain(&free).map(|entry| entry.event));
        let (count, bytes) = self.relocate_events(events, &needed, draft);
        if !ordered.is_empty() {
            self.relocate_ordered(now, ordered, draft);
        }
        free.into_iter().for_each(|entry| self.relocate_position(entry, draft));

        self.relocate_dead_letters(now, range, dead, expired, draft);
        Ok((count, bytes))
    }

    /// Relocates the events that are needed. Returns how many, and their bytes.
    fn relocate_events(
        &mut self,
        events: Vec<RelocatedEvent>,
        needed: &BTreeSet<Seq>,
        draft: &mut Draft,
    ) -> (usize, u64) {
        let (mut count, mut bytes) = (0, 0);
        for RelocatedEvent { seq, at, event, fan_out } in events {
            // It may have been relocated by an earlier slice.
            if needed.contains(&seq) && self.state.stands_at(seq) == Some(at) {
                count += 1;
                bytes += event.cost() as u64;
                self.remember(Record::EventRelocated { seq, event, fan_out }, draft);
            }
        }
        (count, bytes)
    }

    /// Drops the segment, or refuses while something of it is needed. `walked`: all of it was read,
    /// and the positions in streams were relocated.
    pub(super) fn retire(
        &mut self,
        now: Now,
        range: SegmentRange,
        head: [u8; 32],
        walked: bool,
        draft: &mut Draft,
    ) -> Result<(), Refusal> {
        let Some(alive) = self.alive(range) else { return Err(Refusal::Busy) };
        let holds_something = !alive.events.is_empty() || !alive.dead_letter_seqs.is_empty();
        let is_unread = alive.walk && !walked;
        if holds_something || is_unread {
            return Err(Refusal::Busy);
        }

        let SegmentRange { first, last } = range;
        self.state.living_mut().for_each(|endpoint| endpoint.forget_before(last + 1));
        self.remember(Record::SegmentDropped { first, last, head, at: now.wall_ms }, draft);
        draft.actions.push(Action::Maintain(Maintenance::DropSegment { first, last }));
        Ok(())
    }

    /// Whether the delivery waits at this position of the stream.
    fn waits(&self, entry: &WaitingDelivery) -> bool {
        let delivery = entry.delivery.seq;
        let Some(endpoint) = self.state.endpoints.get(&entry.delivery.endpoint) else {
            return false;
        };
        // At its own number it waits unless it was cancelled. At a later one it waits only if it is
        // still asked for again there: it may have ended, or stand at another one by now.
        let waits = if entry.position == delivery {
            !endpoint.cancelled.contains(delivery)
        } else {
            endpoint.is_revived_at(delivery, entry.position)
        };
        waits && endpoint.deleted.is_none() && !endpoint.taken_up(entry.position)
    }

    /// Whether the order of this delivery and others matters.
    fn in_order(&self, entry: &WaitingDelivery, keys: &PositionKeys) -> bool {
        let id = entry.delivery.endpoint;
        let Some(endpoint) = self.state.endpoints.get(&id) else { return false };
        if endpoint.settings.order != Order::None {
            return true;
        }

        // Where only the latest of a key counts, an old delivery must not follow a newer one. That
        // does not hold for replays, and for what the operator asked for again: they stand for
        // themselves.
        let is_replay = entry.event != entry.delivery.seq;
        let asked_again = entry.position != entry.delivery.seq && entry.attempts > 0;
        if !endpoint.is_latest() || is_replay || asked_again {
            return false;
        }

        // Without a value at the pointer it has no newer ones.
        let is_read = keys.pointers.get(&id) == Keys::of(&endpoint.settings).of_lanes().as_ref();
        let has_none = is_read && keys.found.get(&(id, entry.position)) == Some(&NO_VALUE);
        !has_none
    }

    /// Fills in the ordering keys. Returns false when they are not known: an event was not at hand,
    /// or the endpoint's order has changed since. No event is parsed here.
    fn give_keys(&self, positions: &mut [WaitingDelivery], keys: &PositionKeys) -> bool {
        positions.iter_mut().all(|entry| {
            let id = entry.delivery.endpoint;
            let Some(endpoint) = self.state.endpoints.get(&id) else { return true };
            let Some(pointer) = Keys::of(&endpoint.settings).of_lanes() else { return true };
            if keys.pointers.get(&id) != Some(&pointer) {
                return false;
            }

            entry.key = keys.found.get(&(id, entry.position)).copied();
            entry.key.is_some()
        })
    }

    /// The refusal when these are too many to wait in memory.
    fn too_many_in_order(&self, positions: &[WaitingDelivery]) -> Option<Refusal> {
        let mut counts: BTreeMap<EndpointId, usize> = BTreeMap::new();
        for entry in positions {
            *counts.entry(entry.delivery.endpoint).or_default() += 1;
        }

        let retrying =
            |id| self.state.endpoints.get(id).map_or(0, |endpoint| endpoint.retrying.len());
        let all: usize =
            self.state.endpoints.values().map(|endpoint| endpoint.retrying.len()).sum();
        let fits = counts.iter().all(|(id, more)| retrying(id) + more <= limits::RETRYING)
            && all + positions.len() <= limits::RETRYING_ALL;
        let what = "deliveries in order that wait in memory";
        (!fits).then_some(Refusal::TooMany { what, limit: limits::RETRYING })
    }

    /// Moves a delivery that waits in the stream to the end of the stream.
    pub(super) fn relocate_position(&mut self, entry: WaitingDelivery, draft: &mut Draft) {
        let delivery = entry.delivery;
        let position =
            self.remember(Record::StreamPositionRelocated { waiting: entry.clone() }, draft);
        let endpoint = self.state.endpoint_mut(delivery.endpoint);
        match endpoint.is_in_flight(delivery.seq) {
            // Whatever becomes of it: until that is remembered it waits at its new position.
            true => endpoint.change_position(delivery.seq, position),
            false => self.prefetched_bytes -= endpoint.withdraw(delivery.seq),
        }

        self.recent.push_single(StreamEntry::new(WaitingDelivery { position, ..entry }, None));
        self.stream_grew(delivery.endpoint, position);
    }

    /// Lets deliveries in order wait in memory.
    fn relocate_ordered(&mut self, now: Now, waiting: Vec<WaitingDelivery>, draft: &mut Draft) {
        let deliveries: Vec<DeliveryId> = waiting.iter().map(|w| w.delivery).collect();
        self.remember(Record::DeliveriesRelocated { waiting }, draft);
        for delivery in deliveries {
            let endpoint = self.state.endpoint_mut(delivery.endpoint);
            if !endpoint.is_in_flight(delivery.seq) {
                let lane = endpoint.lane_of_waiting(delivery.seq);
                let born = endpoint.waiting(delivery.seq).born();
                self.prefetched_bytes -= endpoint.withdraw(delivery.seq);
                self.prefetched_bytes -=
                    endpoint.wait_in_lane(lane, delivery.seq, born, now.mono_ms);
            }
            self.leave_stale(delivery.endpoint, [delivery.seq], now, draft);
            self.wake(delivery.endpoint);
        }
    }
}

/// Whether it is not known which events the replays of this endpoint need of the range: a log of an
/// earlier version does not say it.
fn needs_are_unknown(endpoint: &EndpointQueue, range: SegmentRange) -> bool {
    endpoint.reads_on() && endpoint.needed_events.is_empty() && endpoint.needs_from <= range.last
}

/// Whether something of this endpoint may wait at a position of the range, so that all of it has to
/// be read before it is dropped.
fn waits_in(endpoint: &EndpointQueue, range: SegmentRange) -> bool {
    let is_unread = endpoint.first_unread().is_some_and(|unread| unread <= range.last);
    let mut in_memory = endpoint.outstanding().filter_map(|job| job.position);
    is_unread || in_memory.any(|at| range.holds(at) && !endpoint.taken_up(at))
}

/// The pointer to what decides on an endpoint's lanes.
fn order_of(endpoint: &EndpointQueue) -> Option<(EndpointId, String)> {
    let pointer = Keys::of(&endpoint.settings).of_lanes()?;
    Some((endpoint.settings.id, pointer))
}

pub(super) fn within(set: &RoaringTreemap, range: SegmentRange) -> RoaringTreemap {
    let mut here = RoaringTreemap::new();
    here.insert_range(range.first..=range.last);
    here & set
}

#[cfg(test)]
mod tests {
    use crate::model::{DeliveryId, Endpoint};
    use crate::queue::testing::TestQueue;
    use crate::queue::{AliveQuery, Relocate, RelocatedEvent, RelocationSlice};
    use crate::record::{Record, WaitingDelivery};

    /// Where retention has moved the position of a delivery in flight, that position keeps its
    /// segment: if the attempt fails with the process, nothing else says that the delivery waits.
    #[test]
    fn a_delivery_in_flight_waits_at_the_position_to_which_it_was_moved() {
        let mut world = TestQueue::new([Endpoint::new("app", "http://app.example/")]);
        let event = world.accept("{}");
        let delivery = DeliveryId { seq: event.seq, endpoint: 1 };
        assert_eq!(world.attempts, [delivery]);

        let at = event.seq;
        let entry = WaitingDelivery {
            delivery,
            position: at,
            event: at,
            attempts: 0,
            last: 0,
            key: None,
            born: world.queue.state().ran_ms,
        };
        let event = RelocatedEvent { seq: at, at, event: world.event(event), fan_out: vec![1] };
        let slice = RelocationSlice {
            events: vec![event],
            positions: vec![entry],
            ..RelocationSlice::default()
        };
        world.input(Relocate { first: at, last: at, slice });
        let last = world.records.last();
        assert!(matches!(last, Some(Record::StreamPositionRelocated { .. })), "{last:?}");

        let to = world.queue.state().next_seq - 1;
        world.accept("{}");
        let query = AliveQuery { first: to, last: to };
        let alive = world.queue.ask(world.now, &query).expect("it is known");
        assert!(alive.walk, "nothing waits there: {alive:?}");
    }
}
