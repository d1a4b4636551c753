//! Dropping an old segment. What is needed of it is relocated first, in bounded slices: events,
//! dead letters, and positions in the endpoints' streams. A slice is decided on when it comes, by
//! the state of that moment. What was relocated is not needed of the segment any more, so after a
//! crash between two slices only the rest is left.
//!
//! A delivery that waits in the stream goes on waiting there, at the same position: only the record
//! that says so is another one (see `kept`). So a backlog of weeks keeps its order and costs hardly
//! more memory than one of minutes, whatever its endpoint does.
//!
//! What of a segment is known to be needed is found once, for all of it; whoever reads the segment
//! marks with it what it has read. What has become needed since is found before the segment goes.

use std::collections::BTreeMap;

use roaring::RoaringTreemap;

use crate::model::{EndpointId, Now, Seq, limits};
use crate::queue::action::{Action, Maintenance};
use crate::queue::decision::Refusal;
use crate::queue::endpoint::EndpointQueue;
use crate::queue::input::AliveRange;
use crate::queue::request::QueueRequest;
use crate::queue::stream::relocation::{RelocatedEvent, RelocationSlice, SegmentRange};
use crate::queue::stream::stream_entry::StreamEntry;
use crate::queue::{Draft, Queue};
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
/// waits in streams was relocated. `without_events`: records that were read, and hold no event.
#[derive(Clone, Debug)]
pub struct RetireSegment {
    pub first: Seq,
    pub last: Seq,
    pub head: [u8; 32],
    pub walked: bool,
    pub without_events: RoaringTreemap,
}

impl QueueRequest for RetireSegment {
    type Answer = ();

    fn decide(self, queue: &mut Queue, now: Now, draft: &mut Draft) -> Result<(), Refusal> {
        queue.retire(now, self, draft)
    }
}

impl Queue {
    /// What is needed of `range`; `None` when it is not known, and the segment stays.
    pub(in crate::queue) fn alive(&self, range: SegmentRange) -> Option<AliveRange> {
        if self.state.living().any(|endpoint| needs_are_unknown(endpoint, range)) {
            return None;
        }

        let dead_letter_seqs = within(&self.state.dead_letter_seqs, range);
        let walk = self.state.living().any(|endpoint| endpoint.waits_in(range));
        let latest = match walk {
            true => self.state.living().filter_map(latest_of).collect(),
            false => BTreeMap::new(),
        };
        Some(AliveRange { events: self.needed(range), dead_letter_seqs, walk, latest })
    }

    /// The records in `range` that hold events which are needed by deliveries that the state knows
    /// of: those that wait for a retry, that are in flight, dead, or asked for again. Those that
    /// wait in the stream for their first attempts are not known here.
    fn needed(&self, range: SegmentRange) -> RoaringTreemap {
        // The events that stand there: those that were accepted there, and not relocated since, and
        // those that were relocated to it.
        let relocated = self.state.moved.events_in(range);
        let own = within_range(range) - self.state.moved.events();
        let here = &own | &relocated;

        let mut needed = RoaringTreemap::new();
        for endpoint in self.state.endpoints.values() {
            needed |= needed_by(endpoint, &here);
        }

        let mut records = &needed & &own;
        let relocated = (needed & relocated).into_iter();
        records.extend(relocated.filter_map(|event| self.state.moved.get(event)));
        records - &self.state.lost
    }

    /// How many events of a slice are needed of `range`, and their bytes.
    pub(in crate::queue) fn lives(
        &self,
        range: SegmentRange,
        slice: &RelocationSlice,
    ) -> (usize, u64) {
        let waiting = slice.positions.iter().filter(|(at, entry)| self.waits(range, *at, entry));
        let needed = waiting.map(|(_, entry)| entry.event).collect();

        let living = slice.events.iter().filter(|event| self.is_needed(event, &needed));
        living.fold((0, 0), |(count, bytes), relocated| {
            (count + 1, bytes + relocated.event.cost() as u64)
        })
    }

    /// Whether an event that was read is still to be written again. `needed` are those that
    /// positions of the same slice need.
    fn is_needed(&self, event: &RelocatedEvent, needed: &RoaringTreemap) -> bool {
        // It may have been relocated by an earlier slice.
        let is_here = self.state.stands_at(event.seq) == Some(event.at);
        is_here && (event.known || needed.contains(event.seq))
    }

    /// Relocates what of a slice is still needed of `range`.
    pub(in crate::queue) fn relocate(
        &mut self,
        now: Now,
        range: SegmentRange,
        slice: RelocationSlice,
        draft: &mut Draft,
    ) -> Result<(usize, u64), Refusal> {
        let RelocationSlice { events, mut positions, latest, dead, expired } = slice;
        let limit = limits::RELOCATED_EVENTS;
        if self.state.moved.len() + events.len() as u64 > limit as u64 {
            return Err(Refusal::TooMany { what: "relocated events", limit });
        }

        if !self.check_keys(&mut positions, &latest) {
            return Err(Refusal::Busy);
        }

        // Events before the deliveries that need them.
        let mut needed = RoaringTreemap::new();
        positions.retain(|(at, entry)| {
            let waits = self.waits(range, *at, entry);
            if waits {
                needed.insert(entry.event);
            }
            waits || self.keeps_key(range, *at, entry)
        });
        let (count, bytes) = self.relocate_events(events, &needed, draft);
        self.relocate_positions(range, positions, draft);

        self.relocate_dead_letters(now, range, dead, expired, draft);
        Ok((count, bytes))
    }

    /// Relocates the events that are needed. Returns how many, and their bytes.
    fn relocate_events(
        &mut self,
        events: Vec<RelocatedEvent>,
        needed: &RoaringTreemap,
        draft: &mut Draft,
    ) -> (usize, u64) {
        let (mut count, mut bytes) = (0, 0);
        for event in events {
            if self.is_needed(&event, needed) {
                count += 1;
                bytes += event.event.cost() as u64;
                let RelocatedEvent { seq, event, fan_out, .. } = event;
                self.remember(Record::EventRelocated { seq, event, fan_out }, draft);
            }
        }
        (count, bytes)
    }

    /// Takes out the keys that are not those of their endpoints any more. Returns false when some
    /// were not looked up as their endpoints want it by now. No event is parsed here.
    fn check_keys(
        &self,
        positions: &mut [(Seq, WaitingDelivery)],
        looked_up: &BTreeMap<EndpointId, String>,
    ) -> bool {
        positions.iter_mut().all(|(at, entry)| {
            let id = entry.delivery.endpoint;
            let Some(endpoint) = self.state.find(id) else { return true };
            let is_relocated = *at != entry.position;
            if !endpoint.is_latest() || (is_relocated && *at < endpoint.latest_since) {
                entry.key = None;
                return true;
            }
            looked_up.get(&id) == endpoint.keys().latest.as_ref()
        })
    }

    /// Whether the key of this position is still to be known, though nothing waits there.
    fn keeps_key(&self, range: SegmentRange, at: Seq, entry: &WaitingDelivery) -> bool {
        let endpoint = self.state.find(entry.delivery.endpoint);
        range.holds(at) && endpoint.is_some_and(|endpoint| endpoint.keeps_key(at, entry))
    }

    /// Writes down anew what waits at these positions, each of which is held by a record of the
    /// range.
    fn relocate_positions(
        &mut self,
        range: SegmentRange,
        positions: Vec<(Seq, WaitingDelivery)>,
        draft: &mut Draft,
    ) {
        // What one record held, and what came in since, for each endpoint.
        let mut groups: BTreeMap<(EndpointId, Option<Seq>), Vec<WaitingDelivery>> = BTreeMap::new();
        for (at, waiting) in positions {
            let holder = (at != waiting.position).then_some(at);
            groups.entry((waiting.delivery.endpoint, holder)).or_default().push(waiting);
        }

        for ((id, _), mut waiting) in groups {
            waiting.sort_by_key(|waiting| waiting.position);
            for waiting in self.in_blocks(id, range, waiting) {
                self.remember(Record::PositionsRelocated { waiting }, draft);
            }
        }
    }

    /// Positions in ascending order, in blocks: within each of them no other record holds any.
    fn in_blocks(
        &self,
        id: EndpointId,
        range: SegmentRange,
        waiting: Vec<WaitingDelivery>,
    ) -> Vec<Vec<WaitingDelivery>> {
        let kept = &self.state.endpoint(id).kept;
        let mut blocks: Vec<Vec<WaitingDelivery>> = Vec::new();
        for waiting in waiting {
            let last = blocks.last_mut().filter(|block| {
                let before = block.last().map_or(0, |before| before.position);
                !kept.has_others_between(before, waiting.position, range)
            });
            match last {
                Some(block) => block.push(waiting),
                None => blocks.push(vec![waiting]),
            }
        }
        blocks
    }

    /// Drops the segment, or refuses while something of it is needed.
    fn retire(
        &mut self,
        now: Now,
        segment: RetireSegment,
        draft: &mut Draft,
    ) -> Result<(), Refusal> {
        let RetireSegment { first, last, head, walked, without_events } = segment;
        let Some(alive) = self.alive(SegmentRange { first, last }) else {
            return Err(Refusal::Busy);
        };
        // Of a replay that was asked for again it is not known here that its record holds no event.
        let holds_events = !alive.events.is_subset(&without_events);
        let is_unread = alive.walk && !walked;
        if holds_events || !alive.dead_letter_seqs.is_empty() || is_unread {
            return Err(Refusal::Busy);
        }

        self.remember(Record::SegmentDropped { first, last, head, at: now.wall_ms }, draft);
        draft.actions.push(Action::Maintain(Maintenance::DropSegment { first, last }));
        Ok(())
    }

    /// Whether the delivery waits at this position of the stream, which record `at` of the range
    /// holds.
    fn waits(&self, range: SegmentRange, at: Seq, entry: &WaitingDelivery) -> bool {
        let (delivery, position) = (entry.delivery.seq, entry.position);
        let Some(endpoint) = self.state.find(entry.delivery.endpoint) else { return false };
        if !range.holds(at) || endpoint.record_of_position(position) != at {
            return false;
        }

        // At its own number it waits unless it was cancelled. At a later one it waits only if it is
        // still asked for again there: it may have ended, or stand at another one by now.
        let waits = if position == delivery {
            !endpoint.cancelled.contains(delivery)
        } else {
            endpoint.is_revived_at(delivery, entry.position)
        };
        waits && !endpoint.taken_up(position)
    }

    /// Moves a delivery that waits in the stream, and whose position is lost, to the end of the
    /// stream.
    pub(in crate::queue) fn relocate_position(
        &mut self,
        entry: WaitingDelivery,
        draft: &mut Draft,
    ) {
        let delivery = entry.delivery;
        let position =
            self.remember(Record::StreamPositionRelocated { waiting: entry.clone() }, draft);
        let endpoint = self.state.endpoint_mut(delivery.endpoint);
        match endpoint.is_in_flight(delivery.seq) {
            // Whatever becomes of it: until that is remembered it waits at its new position.
            true => endpoint.change_position(delivery.seq, position),
            false => endpoint.withdraw(delivery.seq),
        }

        self.recent.push_single(StreamEntry::new(WaitingDelivery { position, ..entry }, None));
        self.stream_grew(delivery.endpoint, position);
    }
}

/// The pointer to that of which an endpoint wants the latest.
fn latest_of(endpoint: &EndpointQueue) -> Option<(EndpointId, String)> {
    let pointer = endpoint.keys().latest.filter(|_| endpoint.is_latest())?;
    Some((endpoint.settings.id, pointer))
}

/// The events among these that an endpoint is known to need.
fn needed_by(endpoint: &EndpointQueue, here: &RoaringTreemap) -> RoaringTreemap {
    // A dead letter's event has the delivery's own number, unless it was a replay.
    let mut needed = &*endpoint.dead & here;
    for delivery in endpoint.replayed_dead.keys() {
        needed.remove(*delivery);
    }
    // Asked for again, or kept in the stream; replays that wait there.
    needed |= &endpoint.revived & here;
    if endpoint.reads_on() {
        needed |= &endpoint.needed_events & here;
    }

    let retrying = endpoint.retrying.values().map(|waiting| waiting.event);
    let replayed_dead = endpoint.replayed_dead.values().copied();
    let in_memory = endpoint.outstanding().filter(|job| !job.ended).map(|job| job.event);
    let known = retrying.chain(replayed_dead).chain(in_memory);
    needed.extend(known.filter(|event| here.contains(*event)));
    needed
}

/// Whether it is not known which events the replays of this endpoint need of the range: a log of an
/// earlier version does not say it.
fn needs_are_unknown(endpoint: &EndpointQueue, range: SegmentRange) -> bool {
    endpoint.reads_on() && endpoint.needed_events.is_empty() && endpoint.needs_from <= range.last
}

fn within_range(range: SegmentRange) -> RoaringTreemap {
    let mut here = RoaringTreemap::new();
    here.insert_range(range.first..=range.last);
    here
}

pub(in crate::queue) fn within(set: &RoaringTreemap, range: SegmentRange) -> RoaringTreemap {
    within_range(range) & set
}

#[cfg(test)]
mod tests;
