//! What stands in a record, for those who read it: one table of all kinds, and the questions that
//! are answered from it.
//!
//! Whoever reads the log asks a record for the event that it holds or for what it says of
//! deliveries, and does not tell kinds apart. So a new kind is entered here once, and all readers
//! know it: the prefetch, relocation, lists, exports, and the fold over records that are missing.

use std::sync::Arc;

use super::attempt::{AttemptFinished, Consequence};
use super::batch::{BatchFinished, BatchMember};
use super::delivery::{DeadLetter, WaitingDelivery};
use super::history::{DeliveryAttempt, DeliveryFact};
use super::variants::Record;
use crate::model::{DeliveryId, EndpointId, Event, EventId, Seq, WallMs};

/// The event that a record holds.
#[derive(Clone, Copy, Debug)]
pub struct HeldEvent<'a> {
    pub event: &'a Arc<Event>,
    /// The endpoints that it is for.
    pub fan_out: &'a [EndpointId],
    /// The record that held it first, when it was relocated to this one.
    pub relocated_from: Option<Seq>,
    /// The earlier event that has the same dedupe key, and says something else.
    pub conflicts_with: Option<EventId>,
}

/// A delivery, from the record that made it.
#[derive(Clone, Copy, Debug)]
pub struct NewDelivery<'a> {
    pub event: Seq,
    /// The event, where this record holds it as well.
    pub held: Option<&'a Arc<Event>>,
    pub at: WallMs,
}

/// The parts of a record that its readers ask for.
#[derive(Default)]
struct Contents<'a> {
    ran_ms: Option<u64>,
    event: Option<HeldEvent<'a>>,
    replayed: Option<Replayed>,
    /// A delivery that this record puts into the stream anew, at its own number, whatever
    /// `position` says.
    positioned: Option<WaitingDelivery>,
    /// Deliveries that wait at positions which this record holds.
    kept: &'a [WaitingDelivery],
    of_deliveries: OfDeliveries<'a>,
}

/// A delivery that a replay makes.
struct Replayed {
    event: Seq,
    endpoint: EndpointId,
    at: WallMs,
}

/// What a record says of deliveries, as it holds it.
#[derive(Default)]
enum OfDeliveries<'a> {
    #[default]
    Nothing,
    One(DeliveryId, DeliveryFact<'a>),
    Attempt(&'a AttemptFinished),
    Batch(&'a BatchFinished),
    Batched(EndpointId, &'a [BatchMember]),
    Superseded(EndpointId, &'a [Seq], WallMs),
    Relocated(&'a [WaitingDelivery]),
}

/// The table of all kinds. None is left out, so that a new one is entered.
fn contents(record: &Record) -> Contents<'_> {
    match record {
        // Events and new deliveries.
        Record::EventAccepted { event, fan_out, beside, ran_ms, .. } => {
            Contents::event(event, fan_out, None, beside.conflicts_with).at(*ran_ms)
        }
        Record::EventRelocated { seq, event, fan_out } => {
            Contents::event(event, fan_out, Some(*seq), None)
        }
        Record::Replayed { event, endpoint, at, ran_ms } => {
            Contents::replayed(*event, *endpoint, *at).at(*ran_ms)
        }

        // Deliveries under way.
        Record::AttemptFinished(attempt) => about(OfDeliveries::Attempt(attempt)),
        Record::BatchFinished(finished) => about(OfDeliveries::Batch(finished)),
        Record::BatchFormed { endpoint, members, .. } => {
            about(OfDeliveries::Batched(*endpoint, members))
        }
        Record::Superseded { endpoint, deliveries, at, .. } => {
            about(OfDeliveries::Superseded(*endpoint, deliveries, *at))
        }
        Record::DeliveriesRelocated { waiting } => relocated(waiting),
        Record::PositionsRelocated { waiting } => Contents { kept: waiting, ..relocated(waiting) },
        Record::StreamPositionRelocated { waiting } => {
            one(waiting.delivery, DeliveryFact::Relocated).in_stream(waiting.clone())
        }

        // What was decided about deliveries.
        Record::DeliveryCancelled { delivery, at, .. } => {
            one(*delivery, DeliveryFact::Cancelled { at: *at })
        }
        Record::DeliveryRetried {
            delivery, at, event, attempts, last, in_stream, ran_ms, ..
        } => {
            let retried = one(*delivery, DeliveryFact::Retried { at: *at }).at(*ran_ms);
            let again = WaitingDelivery::asked_again(*delivery, *event, *attempts, *last, *ran_ms);
            if *in_stream { retried.in_stream(again) } else { retried }
        }
        Record::DeliveryDied { dead } => one(dead.delivery, DeliveryFact::Died(dead)),
        Record::DeadLetterRecorded { dead, .. } => one(dead.delivery, DeliveryFact::WasDead(dead)),

        // Those that only hold the run clock.
        Record::EndpointHeld { ran_ms, .. }
        | Record::EndpointReleased { ran_ms, .. }
        | Record::EndpointAway { ran_ms, .. }
        | Record::EndpointBack { ran_ms, .. }
        | Record::EndpointLagged { ran_ms, .. }
        | Record::EndpointCaughtUp { ran_ms, .. }
        | Record::ClockRan { ran_ms } => Contents::default().at(*ran_ms),

        // Settings, and what the log notes for itself.
        Record::LogStarted { .. }
        | Record::SourceSet { .. }
        | Record::SourceDeleted { .. }
        | Record::EndpointSet { .. }
        | Record::EndpointDeleted { .. }
        | Record::DuplicateSeen { .. }
        | Record::ReplayStarted { .. }
        | Record::ReplayAdvanced { .. }
        | Record::SegmentDropped { .. }
        | Record::RateSpent { .. }
        | Record::EventImported { .. }
        | Record::RecordsLost { .. }
        | Record::DeadLettersForgotten { .. }
        | Record::FilterUndecided { .. }
        | Record::KeysLearned { .. }
        | Record::DamageAcknowledged { .. } => Contents::default(),
    }
}

/// The contents of a record about deliveries.
fn about(of_deliveries: OfDeliveries<'_>) -> Contents<'_> {
    let ran_ms = match &of_deliveries {
        OfDeliveries::Attempt(attempt) => Some(attempt.ran_ms),
        OfDeliveries::Batch(finished) => Some(finished.ran_ms),
        _ => None,
    };
    Contents { ran_ms, of_deliveries, ..Contents::default() }
}

/// The contents of a record that holds deliveries from now on.
fn relocated(waiting: &[WaitingDelivery]) -> Contents<'_> {
    about(OfDeliveries::Relocated(waiting))
}

/// The contents of a record about one delivery.
fn one(delivery: DeliveryId, fact: DeliveryFact<'_>) -> Contents<'_> {
    about(OfDeliveries::One(delivery, fact))
}

impl<'a> Contents<'a> {
    fn event(
        event: &'a Arc<Event>,
        fan_out: &'a [EndpointId],
        relocated_from: Option<Seq>,
        conflicts_with: Option<EventId>,
    ) -> Self {
        let held = HeldEvent { event, fan_out, relocated_from, conflicts_with };
        Self { event: Some(held), ..Self::default() }
    }

    fn replayed(event: Seq, endpoint: EndpointId, at: WallMs) -> Self {
        Self { replayed: Some(Replayed { event, endpoint, at }), ..Self::default() }
    }

    /// The record puts this delivery into the stream.
    fn in_stream(self, waiting: WaitingDelivery) -> Self {
        Self { positioned: Some(waiting), ..self }
    }

    /// The record holds this time of the run clock.
    fn at(self, ran_ms: u64) -> Self {
        Self { ran_ms: Some(ran_ms), ..self }
    }
}

impl Record {
    /// The run clock at this record, where the record holds it.
    #[must_use]
    pub fn ran_ms(&self) -> Option<u64> {
        contents(self).ran_ms
    }

    /// The event that it holds, and the endpoints that it is for.
    #[must_use]
    pub fn held_event(&self) -> Option<HeldEvent<'_>> {
        contents(self).event
    }

    /// The delivery `id`, when this record, number `id.seq`, made it.
    #[must_use]
    pub fn new_delivery(&self, id: DeliveryId) -> Option<NewDelivery<'_>> {
        let contents = contents(self);
        if let Some(Replayed { event, endpoint, at }) = contents.replayed {
            return (endpoint == id.endpoint).then_some(NewDelivery { event, held: None, at });
        }
        let accepted = contents
            .event
            .filter(|held| held.relocated_from.is_none() && held.fan_out.contains(&id.endpoint))?;
        let (held, at) = (Some(accepted.event), accepted.event.received_at);
        Some(NewDelivery { event: id.seq, held, at })
    }

    /// The deliveries whose positions in the streams of their endpoints it holds, as record `seq`.
    pub fn stream_positions(&self, seq: Seq) -> impl Iterator<Item = WaitingDelivery> + '_ {
        let Contents { ran_ms, event, replayed, positioned, kept, .. } = contents(self);
        let accepted = event.filter(|held| held.relocated_from.is_none());
        let fan_out = accepted.map_or(&[][..], |held| held.fan_out);

        let source = accepted.map_or(0, |held| held.event.source);

        let new = move |event: Seq, endpoint: EndpointId| WaitingDelivery {
            delivery: DeliveryId { seq, endpoint },
            position: seq,
            event,
            attempts: 0,
            last: 0,
            key: None,
            born: ran_ms.unwrap_or(0),
            source,
        };
        let of_event = fan_out.iter().map(move |endpoint| new(seq, *endpoint));
        let of_replay = replayed.map(|replayed| new(replayed.event, replayed.endpoint));
        let again = positioned.map(|waiting| WaitingDelivery { position: seq, ..waiting });
        of_event.chain(of_replay).chain(again).chain(kept.iter().cloned())
    }

    /// The attempts that this record reports: one, one for each member of a batch, or none.
    pub fn attempts(&self) -> impl Iterator<Item = DeliveryAttempt<'_>> {
        let (single, batch) = match contents(self).of_deliveries {
            OfDeliveries::Attempt(attempt) => (Some(attempt), None),
            OfDeliveries::Batch(finished) => (None, Some(finished)),
            _ => (None, None),
        };
        let of_batch = batch.into_iter().flat_map(DeliveryAttempt::of_batch);
        single.map(DeliveryAttempt::of_single).into_iter().chain(of_batch)
    }

    /// What it says of deliveries that were made before.
    #[must_use]
    pub fn delivery_facts(&self) -> Vec<(DeliveryId, DeliveryFact<'_>)> {
        match contents(self).of_deliveries {
            OfDeliveries::Nothing => Vec::new(),
            OfDeliveries::One(delivery, fact) => vec![(delivery, fact)],
            OfDeliveries::Attempt(_) | OfDeliveries::Batch(_) => {
                self.attempts().map(|a| (a.delivery, DeliveryFact::Attempted(a))).collect()
            }
            OfDeliveries::Batched(endpoint, members) => {
                let id = |m: &BatchMember| DeliveryId { seq: m.delivery, endpoint };
                members.iter().map(|member| (id(member), DeliveryFact::Batched)).collect()
            }
            OfDeliveries::Superseded(endpoint, deliveries, at) => {
                let id = |seq: &Seq| DeliveryId { seq: *seq, endpoint };
                let fact = DeliveryFact::Superseded { at };
                deliveries.iter().map(|seq| (id(seq), fact)).collect()
            }
            OfDeliveries::Relocated(waiting) => {
                waiting.iter().map(|w| (w.delivery, DeliveryFact::Relocated)).collect()
            }
        }
    }

    /// The dead letter that this record, number `seq`, holds, when it holds one. That of a batch
    /// has a record of its own.
    #[must_use]
    pub fn dead_letter(&self, seq: Seq) -> Option<DeadLetter> {
        match contents(self).of_deliveries {
            OfDeliveries::One(_, DeliveryFact::Died(dead) | DeliveryFact::WasDead(dead)) => {
                Some(dead.clone())
            }
            OfDeliveries::Attempt(attempt) => {
                let Consequence::Dead { reason } = &attempt.next else { return None };
                Some(DeadLetter {
                    delivery: attempt.delivery,
                    event: attempt.event,
                    attempts: attempt.number,
                    died_at: attempt.report.started_at + attempt.report.duration_ms,
                    reason: reason.clone(),
                    last: seq,
                    kept_since: None,
                })
            }
            _ => None,
        }
    }
}
