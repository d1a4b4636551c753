//! Dropping an old segment: what lives in it is carried forward first, by the same commit that says it is gone.

use std::collections::BTreeSet;

use roaring::RoaringTreemap;

use super::flow::{Flow, Job};
use super::input::{Action, AliveRange, CarriedEvent, Refusal, Reply};
use super::{Draft, Queue};
use crate::model::{DeliveryId, Now, Seq, limits};
use crate::record::{DeadLetter, Record, Waiting};

/// The records of a segment.
#[derive(Clone, Copy, Debug)]
pub struct Range {
    pub first: Seq,
    pub last: Seq,
}

/// What of a range is still needed.
#[derive(Debug, Default)]
pub struct Alive {
    /// Events, by their own numbers.
    events: BTreeSet<Seq>,
    graves: BTreeSet<Seq>,
    /// Deliveries whose place in the stream is in the range.
    waiting: Vec<Waiting>,
    /// Where the events stand.
    stand_at: Vec<Seq>,
}

impl Alive {
    /// For the reader: the records to read.
    pub fn range(self) -> AliveRange {
        AliveRange { events: self.stand_at, graves: self.graves.into_iter().collect() }
    }
}

impl Range {
    fn holds(self, seq: Seq) -> bool {
        self.first <= seq && seq <= self.last
    }
}

impl Queue {
    /// What lives in `range`; `None` when an endpoint has not read it yet, or when it is too much to carry: then the
    /// segment stays.
    pub(super) fn alive(&self, range: Range) -> Option<Alive> {
        let mut alive = Alive::default();
        for (id, lane) in &self.state.lanes {
            let flow = self.flows.get(id);
            let needed = |unread: Seq| unread <= lane.needs_until && lane.needs_from <= range.last;
            if flow.and_then(Flow::first_unread).is_some_and(|unread| unread <= range.last || needed(unread)) {
                return None;
            }
            alive.events.extend(lane.retrying.values().map(|w| w.event).filter(|e| range.holds(self.stands_at(*e))));
            for job in flow.into_iter().flat_map(Flow::outstanding).filter(|job| !job.ended) {
                if range.holds(self.stands_at(job.event)) {
                    alive.events.insert(job.event);
                }
                if let Some(position) = job.position.filter(|position| range.holds(*position)) {
                    alive.waiting.push(waiting(job, position));
                }
            }
            let replayed = lane.replayed_dead.values().filter(|e| range.holds(self.stands_at(**e)));
            alive.events.extend(replayed);
            let here = within(&lane.dead, range)
                .iter()
                .filter(|seq| !lane.replayed_dead.contains_key(seq))
                .collect::<Vec<_>>();
            alive.events.extend(here.into_iter().filter(|seq| range.holds(self.stands_at(*seq))));
            let carried = self.state.moved.iter().filter(|(_, at)| range.holds(**at)).map(|(seq, _)| *seq);
            alive.events.extend(carried.filter(|seq| lane.dead.contains(*seq)));
            if alive.events.len() > limits::CARRIED {
                return None;
            }
        }
        alive.graves.extend(within(&self.state.graves, range));
        alive.stand_at = alive.events.iter().map(|seq| self.stands_at(*seq)).collect();
        (alive.graves.len() <= limits::CARRIED).then_some(alive)
    }

    /// Carries forward and drops, or refuses when the segment came to hold more meanwhile.
    #[expect(clippy::too_many_arguments, reason = "they are the fields of one input")]
    pub(super) fn retire(
        &mut self,
        now: Now,
        range: Range,
        head: [u8; 32],
        events: Vec<CarriedEvent>,
        dead: Vec<(Seq, DeadLetter)>,
        expired: &[DeliveryId],
        draft: &mut Draft,
    ) -> Reply {
        let Some(alive) = self.alive(range) else { return Reply::Refused(Refusal::Busy) };
        let brought: BTreeSet<Seq> = events.iter().map(|carried| carried.seq).collect();
        let ended: BTreeSet<Seq> = dead.iter().map(|(grave, _)| *grave).collect();
        if !alive.events.is_subset(&brought) || alive.graves.len() > ended.len() + expired.len() {
            return Reply::Refused(Refusal::Busy);
        }
        for carried in events.into_iter().filter(|carried| alive.events.contains(&carried.seq)) {
            self.remember(
                Record::EventCarried { seq: carried.seq, event: carried.event, fan_out: carried.fan_out },
                draft,
            );
        }
        if !alive.waiting.is_empty() {
            self.carry_deliveries(now, alive.waiting, draft);
        }
        for (grave, dead) in dead.into_iter().filter(|(grave, _)| alive.graves.contains(grave)) {
            self.remember(Record::DeadCarried { dead, grave }, draft);
        }
        for delivery in expired {
            if self.delivery_state(*delivery) == crate::model::DeliveryState::Dead {
                let record = Record::DeliveryCancelled { delivery: *delivery, at: now.wall_ms, grave: None };
                self.remember(record, draft);
            }
        }
        let Range { first, last } = range;
        self.remember(Record::SegmentDropped { first, last, head, at: now.wall_ms }, draft);
        draft.actions.push(Action::DropSegment { first, last });
        Reply::Done { count: 1 }
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

    fn stands_at(&self, event: Seq) -> Seq {
        self.state.moved.get(&event).copied().unwrap_or(event)
    }
}

fn waiting(job: &Job, position: Seq) -> Waiting {
    Waiting { delivery: job.delivery, position, event: job.event, attempts: job.attempts, last: job.last, key: job.key }
}

fn within(set: &RoaringTreemap, range: Range) -> RoaringTreemap {
    let mut here = RoaringTreemap::new();
    here.insert_range(range.first..=range.last);
    here & set
}
