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

impl Record {
    /// The table of all kinds. None is left out, so that a new one is entered.
    fn contents(&self) -> Contents<'_> {
        let clock = |ran_ms: &u64| Contents { ran_ms: Some(*ran_ms), ..Contents::default() };
        let about = |of_deliveries| Contents { of_deliveries, ..Contents::default() };
        let one = |delivery: &DeliveryId, fact| about(OfDeliveries::One(*delivery, fact));

        match self {
            // Events and new deliveries.
            Self::EventAccepted { event, fan_out, beside, ran_ms, .. } => {
                let conflicts_with = beside.conflicts_with;
                let held = HeldEvent { event, fan_out, relocated_from: None, conflicts_with };
                Contents { event: Some(held), ..clock(ran_ms) }
            }
            Self::EventRelocated { seq, event, fan_out } => {
                let relocated_from = Some(*seq);
                let held = HeldEvent { event, fan_out, relocated_from, conflicts_with: None };
                Contents { event: Some(held), ..Contents::default() }
            }
            Self::Replayed { event, endpoint, at, ran_ms } => {
                let replayed = Replayed { event: *event, endpoint: *endpoint, at: *at };
                Contents { replayed: Some(replayed), ..clock(ran_ms) }
            }

            // Deliveries under way.
            Self::AttemptFinished(attempt) => {
                Contents { of_deliveries: OfDeliveries::Attempt(attempt), ..clock(&attempt.ran_ms) }
            }
            Self::BatchFinished(finished) => {
                Contents { of_deliveries: OfDeliveries::Batch(finished), ..clock(&finished.ran_ms) }
            }
            Self::BatchFormed { endpoint, members, .. } => {
                about(OfDeliveries::Batched(*endpoint, members))
            }
            Self::Superseded { endpoint, deliveries, at, .. } => {
                about(OfDeliveries::Superseded(*endpoint, deliveries, *at))
            }
            Self::DeliveriesRelocated { waiting } => about(OfDeliveries::Relocated(waiting)),
            Self::StreamPositionRelocated { waiting } => Contents {
                positioned: Some(waiting.clone()),
                ..one(&waiting.delivery, DeliveryFact::Relocated)
            },

            // What was decided about deliveries.
            Self::DeliveryCancelled { delivery, at, .. } => {
                one(delivery, DeliveryFact::Cancelled { at: *at })
            }
            Self::DeliveryRetried {
                delivery,
                at,
                event,
                attempts,
                last,
                in_stream,
                ran_ms,
                ..
            } => {
                let positioned = in_stream.then_some(WaitingDelivery {
                    delivery: *delivery,
                    position: 0,
                    event: *event,
                    attempts: *attempts,
                    last: *last,
                    key: None,
                    born: *ran_ms,
                });
                let ran_ms = Some(*ran_ms);
                Contents { ran_ms, positioned, ..one(delivery, DeliveryFact::Retried { at: *at }) }
            }
            Self::DeliveryDied { dead } => one(&dead.delivery, DeliveryFact::Died(dead)),
            Self::DeadLetterRecorded { dead, .. } => {
                one(&dead.delivery, DeliveryFact::WasDead(dead))
            }

            // Those that only hold the run clock.
            Self::EndpointHeld { ran_ms, .. }
            | Self::EndpointReleased { ran_ms, .. }
            | Self::EndpointAway { ran_ms, .. }
            | Self::EndpointBack { ran_ms, .. }
            | Self::EndpointLagged { ran_ms, .. }
            | Self::EndpointCaughtUp { ran_ms, .. }
            | Self::ClockRan { ran_ms } => clock(ran_ms),

            // Settings, and what the log notes for itself.
            Self::LogStarted { .. }
            | Self::SourceSet { .. }
            | Self::SourceDeleted { .. }
            | Self::EndpointSet { .. }
            | Self::EndpointDeleted { .. }
            | Self::DuplicateSeen { .. }
            | Self::ReplayStarted { .. }
            | Self::ReplayAdvanced { .. }
            | Self::SegmentDropped { .. }
            | Self::RateSpent { .. }
            | Self::EventImported { .. }
            | Self::RecordsLost { .. }
            | Self::DeadLettersForgotten { .. }
            | Self::FilterUndecided { .. }
            | Self::KeysLearned { .. } => Contents::default(),
        }
    }

    /// The run clock at this record, where the record holds it.
    #[must_use]
    pub fn ran_ms(&self) -> Option<u64> {
        self.contents().ran_ms
    }

    /// The event that it holds, and the endpoints that it is for.
    #[must_use]
    pub fn held_event(&self) -> Option<HeldEvent<'_>> {
        self.contents().event
    }

    /// The delivery `id`, when this record, number `id.seq`, made it.
    #[must_use]
    pub fn new_delivery(&self, id: DeliveryId) -> Option<NewDelivery<'_>> {
        let contents = self.contents();
        if let Some(Replayed { event, endpoint, at }) = contents.replayed {
            return (endpoint == id.endpoint).then_some(NewDelivery { event, held: None, at });
        }
        let accepted = contents
            .event
            .filter(|held| held.relocated_from.is_none() && held.fan_out.contains(&id.endpoint))?;
        let (held, at) = (Some(accepted.event), accepted.event.received_at);
        Some(NewDelivery { event: id.seq, held, at })
    }

    /// The deliveries that it puts into the streams of their endpoints, as record `seq`.
    pub fn stream_positions(&self, seq: Seq) -> impl Iterator<Item = WaitingDelivery> + '_ {
        let Contents { ran_ms, event, replayed, positioned, .. } = self.contents();
        let accepted = event.filter(|held| held.relocated_from.is_none());
        let fan_out = accepted.map_or(&[][..], |held| held.fan_out);

        let new = move |event: Seq, endpoint: EndpointId| WaitingDelivery {
            delivery: DeliveryId { seq, endpoint },
            position: seq,
            event,
            attempts: 0,
            last: 0,
            key: None,
            born: ran_ms.unwrap_or(0),
        };
        let of_event = fan_out.iter().map(move |endpoint| new(seq, *endpoint));
        let of_replay = replayed.map(|replayed| new(replayed.event, replayed.endpoint));
        let again = positioned.map(|waiting| WaitingDelivery { position: seq, ..waiting });
        of_event.chain(of_replay).chain(again)
    }

    /// The attempts that this record reports: one, one for each member of a batch, or none.
    pub fn attempts(&self) -> impl Iterator<Item = DeliveryAttempt<'_>> {
        let (single, batch) = match self.contents().of_deliveries {
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
        match self.contents().of_deliveries {
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
        match self.contents().of_deliveries {
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
                })
            }
            _ => None,
        }
    }
}
