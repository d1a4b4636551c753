//! Records as lines for `tail`, made only while somebody watches.

use std::sync::Arc;

use crate::model::{DeliveryId, EventId, Outcome, WallMs};
use crate::queue::State;
use crate::record::{Consequence, DeliveryAttempt, Record};

/// One thing that passed, for `tail`.
#[derive(Clone, Debug)]
pub enum TailLine {
    Event {
        id: EventId,
        source: String,
        kind: String,
        at: WallMs,
        size: usize,
        deliveries: usize,
    },
    Duplicate {
        event: u64,
        at: WallMs,
    },
    Attempt {
        delivery: DeliveryId,
        event: u64,
        endpoint: String,
        number: u32,
        at: WallMs,
        duration_ms: u64,
        outcome: &'static str,
        status: Option<u16>,
        error: Option<String>,
        next_at: Option<WallMs>,
    },
}

/// What there is to see of a record.
pub(super) fn lines(record: &Record, state: &State) -> Vec<Arc<TailLine>> {
    let line = match record {
        Record::EventAccepted { event, fan_out, .. } => TailLine::Event {
            id: event.id,
            source: event.source_name.clone(),
            kind: event.kind.clone(),
            at: event.received_at,
            size: event.body.len(),
            deliveries: fan_out.len(),
        },
        Record::DuplicateSeen { event, at } => TailLine::Duplicate { event: *event, at: *at },

        Record::LogStarted { .. }
        | Record::SourceSet { .. }
        | Record::SourceDeleted { .. }
        | Record::EndpointSet { .. }
        | Record::EndpointDeleted { .. }
        | Record::EndpointHeld { .. }
        | Record::EndpointReleased { .. }
        | Record::DeliveryCancelled { .. }
        | Record::DeliveryRetried { .. }
        | Record::ReplayStarted { .. }
        | Record::Replayed { .. }
        | Record::ReplayAdvanced { .. }
        | Record::EventRelocated { .. }
        | Record::DeliveriesRelocated { .. }
        | Record::DeadLetterRecorded { .. }
        | Record::SegmentDropped { .. }
        | Record::BatchFormed { .. }
        | Record::RateSpent { .. }
        | Record::Superseded { .. }
        | Record::DeliveryDied { .. }
        | Record::EventImported { .. }
        | Record::StreamPositionRelocated { .. }
        | Record::RecordsLost { .. }
        | Record::FilterUndecided { .. }
        | Record::EndpointAway { .. }
        | Record::EndpointBack { .. }
        | Record::ClockRan { .. }
        | Record::KeysLearned { .. } => return Vec::new(),
        Record::AttemptFinished(_) | Record::BatchFinished(_) => {
            return record.attempts().map(|attempt| Arc::new(attempted(&attempt, state))).collect();
        }
    };
    vec![Arc::new(line)]
}

fn attempted(attempt: &DeliveryAttempt<'_>, state: &State) -> TailLine {
    let report = attempt.report;
    let endpoint = state.endpoints.get(&attempt.delivery.endpoint);
    TailLine::Attempt {
        delivery: attempt.delivery,
        event: attempt.event,
        endpoint: endpoint.map_or_else(String::new, |lane| lane.settings.name.clone()),
        number: attempt.number,
        at: report.started_at,
        duration_ms: report.duration_ms,
        outcome: outcome(&report.outcome, attempt.next),
        status: report.response.as_ref().map(|response| response.status),
        error: report.error.clone(),
        next_at: match attempt.next {
            Consequence::Retry { due_at, .. } => Some(*due_at),
            _ => None,
        },
    }
}

fn outcome(outcome: &Outcome, next: &Consequence) -> &'static str {
    match (outcome, next) {
        (Outcome::Delivered, _) => "delivered",
        (_, Consequence::Retry { .. }) => "retry",
        (_, Consequence::Dead { .. }) => "dead",
        (_, Consequence::Held { .. }) => "held",
        (_, Consequence::Parked { .. }) => "parked",
        (_, Consequence::Delivered | Consequence::Ended) => "ended",
    }
}
