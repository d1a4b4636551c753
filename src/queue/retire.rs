//! Dropping an old segment. What lives in it is carried forward first, in bounded slices: the events, the dead letters,
//! and the places in the endpoints' streams. A slice is decided on when it comes, against the state of that moment;
//! what was moved does not live in the segment any more, so a crash between two slices only means that the rest is left.
//!
//! A delivery that waits in the stream for its first attempt goes on waiting in the stream, at a later place, so that a
//! backlog of weeks costs no more memory than one of minutes. Where order matters it waits among the retries instead,
//! which are attempted before everything else; of these there is a limit, and a segment with more of them stays.

use std::collections::{BTreeMap, BTreeSet};

use roaring::RoaringTreemap;

use super::flow::Flow;
use super::input::{Action, AliveRange, Carriage, CarriedEvent, Keys, Refusal, Reply, StreamEntry};
use super::state::Lane;
use super::{Draft, Queue};
use crate::model::{DeliveryId, EndpointId, Now, Order, Seq, limits};
use crate::record::{Record, Waiting};

/// The records of a segment.
#[derive(Clone, Copy, Debug)]
pub struct Range {
    pub first: Seq,
    pub last: Seq,
}

impl Range {
    fn holds(self, seq: Seq) -> bool {
        self.first <= seq && seq <= self.last
    }
}

impl Queue {
    /// What lives in `range`, or a part of it when that is much; `None` when it is not known, then the segment stays.
    pub(super) fn alive(&self, range: Range) -> Option<AliveRange> {
        let lanes = || self.state.living().filter_map(|lane| Some((lane, self.flows.get(&lane.endpoint.id)?)));
        // A log of an earlier version does not say which events its replays need.
        let unknown = |(lane, flow): (&Lane, &Flow)| {
            lane.wanted.is_empty() && lane.needs_from <= range.last && reads_on(lane, flow)
        };
        if lanes().any(unknown) {
            return None;
        }
        let unread = |(lane, flow): (&Lane, &Flow)| {
            flow.first_unread().is_some_and(|unread| unread <= range.last)
                || flow.outstanding().filter_map(|job| job.position).any(|at| range.holds(at) && !lane.taken_up(at))
        };
        let needed = self.needed(range);
        let events = needed.iter().filter_map(|seq| self.state.stands_at(*seq)).take(limits::SLICE).collect();
        let graves = within(&self.state.graves, range).iter().take(limits::SLICE).collect();
        Some(AliveRange { events, known: needed.len(), graves, walk: lanes().any(unread) })
    }

    /// The events that stand in `range` and are needed by deliveries that the state knows of: those that wait for a
    /// retry, that are under way, dead, or asked for again. Those that wait in the stream untried are not known here.
    fn needed(&self, range: Range) -> BTreeSet<Seq> {
        let mut needed = BTreeSet::new();
        let here = |seq: &Seq| self.state.stands_at(*seq).is_some_and(|at| range.holds(at));
        let moved: RoaringTreemap =
            self.state.moved.iter().filter(|(_, at)| range.holds(**at)).map(|(s, _)| *s).collect();
        let mut standing = RoaringTreemap::new();
        standing.insert_range(range.first..=range.last);
        standing |= &moved;
        for (id, lane) in &self.state.lanes {
            needed.extend(lane.retrying.values().map(|waiting| waiting.event).filter(here));
            needed.extend(lane.replayed_dead.values().copied().filter(here));
            let dead = &lane.dead & &standing;
            needed.extend(dead.iter().filter(|seq| !lane.replayed_dead.contains_key(seq)).filter(here));
            needed.extend((&lane.revived & &standing).iter().filter(here));
            if let Some(flow) = self.flows.get(id) {
                needed.extend(flow.outstanding().filter(|job| !job.ended).map(|job| job.event).filter(here));
                if reads_on(lane, flow) {
                    needed.extend((&lane.wanted & &standing).iter().filter(here));
                }
            }
        }
        needed
    }

    /// How many events of a slice live in `range`, and how many bytes they have.
    pub(super) fn lives(&self, range: Range, slice: &Carriage) -> (usize, u64) {
        let mut needed = self.needed(range);
        let waiting = slice.places.iter().filter(|place| range.holds(place.position) && self.waits(place));
        needed.extend(waiting.map(|place| place.event));
        let here = |e: &&CarriedEvent| needed.contains(&e.seq) && self.state.stands_at(e.seq) == Some(e.at);
        let living = slice.events.iter().filter(here);
        living.fold((0, 0), |(count, bytes), carried| (count + 1, bytes + carried.event.cost() as u64))
    }

    /// Carries forward what of a slice still lives in `range`.
    pub(super) fn carry(&mut self, now: Now, range: Range, slice: Carriage, draft: &mut Draft) -> Reply {
        let Carriage { events, places, dead, expired } = slice;
        if self.state.moved.len() + events.len() > limits::CARRIED {
            return Reply::Refused(Refusal::TooMany { what: "events carried forward", limit: limits::CARRIED });
        }
        let waiting = places.into_iter().filter(|place| range.holds(place.position) && self.waits(place));
        let (mut ordered, free): (Vec<Waiting>, Vec<Waiting>) = waiting.partition(|place| self.in_order(place));
        if !self.give_keys(&mut ordered, &events) {
            return Reply::Refused(Refusal::Busy);
        }
        if let Some(refusal) = self.too_many_in_order(&ordered) {
            return Reply::Refused(refusal);
        }
        let mut needed = self.needed(range);
        needed.extend(ordered.iter().chain(&free).map(|place| place.event));
        let (mut count, mut bytes) = (0, 0);
        for carried in events {
            if needed.contains(&carried.seq) && self.state.stands_at(carried.seq) == Some(carried.at) {
                (count, bytes) = (count + 1, bytes + carried.event.cost() as u64);
                let record = Record::EventCarried { seq: carried.seq, event: carried.event, fan_out: carried.fan_out };
                self.remember(record, draft);
            }
        }
        if !ordered.is_empty() {
            self.carry_deliveries(now, ordered, draft);
        }
        free.into_iter().for_each(|place| self.carry_place(place, draft));
        for (grave, dead) in dead {
            if self.state.graves.contains(grave) && range.holds(grave) {
                self.remember(Record::DeadCarried { dead, grave }, draft);
            }
        }
        for (grave, delivery) in expired {
            if self.state.graves.contains(grave) && range.holds(grave) {
                self.remember(Record::DeliveryCancelled { delivery, at: now.wall_ms, grave: Some(grave) }, draft);
            }
        }
        Reply::Carried { events: count, bytes }
    }

    /// Drops the segment, or refuses when something lives in it. `walked`: all of it was read, and what waits in
    /// streams was carried.
    pub(super) fn retire(&mut self, now: Now, range: Range, head: [u8; 32], walked: bool, draft: &mut Draft) -> Reply {
        let Some(alive) = self.alive(range) else { return Reply::Refused(Refusal::Busy) };
        if !alive.events.is_empty() || !alive.graves.is_empty() || (alive.walk && !walked) {
            return Reply::Refused(Refusal::Busy);
        }
        let Range { first, last } = range;
        self.flows.values_mut().for_each(|flow| flow.read_from(last + 1));
        self.remember(Record::SegmentDropped { first, last, head, at: now.wall_ms }, draft);
        draft.actions.push(Action::DropSegment { first, last });
        Reply::Done { count: 1 }
    }

    /// Whether the delivery waits at this place of the stream.
    fn waits(&self, place: &Waiting) -> bool {
        let key = place.delivery.seq;
        let Some(lane) = self.state.lanes.get(&place.delivery.endpoint) else { return false };
        let wanted = if place.position == key { !lane.cancelled.contains(key) } else { lane.revived.contains(key) };
        wanted && lane.deleted.is_none() && !lane.taken_up(place.position)
    }

    fn in_order(&self, place: &Waiting) -> bool {
        let lane = self.state.lanes.get(&place.delivery.endpoint);
        lane.is_some_and(|lane| lane.endpoint.order != Order::None)
    }

    /// Says which lanes these belong to, by their events; false when one of these is not at hand.
    fn give_keys(&self, places: &mut [Waiting], events: &[CarriedEvent]) -> bool {
        places.iter_mut().all(|place| {
            let Some(lane) = self.state.lanes.get(&place.delivery.endpoint) else { return true };
            let keys = Keys::of(&lane.endpoint);
            if keys.order.is_none() {
                return true;
            }
            let Some(carried) = events.iter().find(|carried| carried.seq == place.event) else { return false };
            let Waiting { delivery, position, event, attempts, last, .. } = *place;
            let (key, latest_key) = (None, None);
            let mut entry = StreamEntry { position, delivery, event, loaded: None, attempts, last, key, latest_key };
            keys.fill(&mut entry, &carried.event);
            place.key = entry.key;
            true
        })
    }

    /// Why these cannot wait among the retries; `None` when they can.
    fn too_many_in_order(&self, places: &[Waiting]) -> Option<Refusal> {
        let mut counts: BTreeMap<EndpointId, usize> = BTreeMap::new();
        for place in places {
            *counts.entry(place.delivery.endpoint).or_default() += 1;
        }
        let retrying = |id| self.state.lanes.get(id).map_or(0, |lane| lane.retrying.len());
        let all: usize = self.state.lanes.values().map(|lane| lane.retrying.len()).sum();
        let fits = counts.iter().all(|(id, more)| retrying(id) + more <= limits::RETRYING)
            && all + places.len() <= limits::RETRYING_ALL;
        let what = "deliveries in order that wait in memory";
        (!fits).then_some(Refusal::TooMany { what, limit: limits::RETRYING })
    }

    /// Puts a delivery that waits in the stream at the stream's end.
    fn carry_place(&mut self, place: Waiting, draft: &mut Draft) {
        let Waiting { delivery, event, attempts, last, .. } = place;
        let position = self.remember(Record::PlaceCarried { waiting: place }, draft);
        if let Some(flow) = self.flows.get_mut(&delivery.endpoint)
            && !flow.is_flying(delivery.seq)
        {
            self.window_bytes -= flow.remove(delivery.seq);
        }
        let (key, latest_key) = (None, None);
        let entry = StreamEntry { position, delivery, event, loaded: None, attempts, last, key, latest_key };
        self.recent.push_single(entry);
        self.stream_grew(delivery.endpoint, position);
    }

    fn carry_deliveries(&mut self, now: Now, waiting: Vec<Waiting>, draft: &mut Draft) {
        let deliveries: Vec<DeliveryId> = waiting.iter().map(|w| w.delivery).collect();
        self.remember(Record::DeliveriesCarried { waiting }, draft);
        for delivery in deliveries {
            let Some(flow) = self.flows.get_mut(&delivery.endpoint) else { continue };
            if !flow.is_flying(delivery.seq) {
                let key = self.state.lanes.get(&delivery.endpoint).and_then(|lane| lane.key_of_waiting(delivery.seq));
                self.window_bytes -= flow.remove(delivery.seq);
                let since = flow.age_clock(now.mono_ms);
                flow.wait_in_lane(key, delivery.seq, now.mono_ms, since);
            }
            self.wake(delivery.endpoint);
        }
    }
}

/// Whether the lane's stream still has places to be read that need older events.
fn reads_on(lane: &Lane, flow: &Flow) -> bool {
    lane.needs_until > 0 && flow.first_unread().is_some_and(|unread| unread <= lane.needs_until)
}

fn within(set: &RoaringTreemap, range: Range) -> RoaringTreemap {
    let mut here = RoaringTreemap::new();
    here.insert_range(range.first..=range.last);
    here & set
}
