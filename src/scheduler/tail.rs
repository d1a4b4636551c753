//! Records as lines for `tail`, made only while somebody watches.

use std::sync::Arc;

use crate::model::{DeliveryId, EventId, Outcome, WallMs};
use crate::queue::State;
use crate::record::{Consequence, DeliveryAttempt, Record};

/// One thing that happened, for `tail`.
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

/// What there is to see of a record: events, duplicates and attempts.
pub(super) fn lines(record: &Record, state: &State) -> Vec<Arc<TailLine>> {
    let line = if let Record::EventAccepted { event, fan_out, .. } = record {
        TailLine::Event {
            id: event.id,
            source: event.source_name.clone(),
            kind: event.kind.clone(),
            at: event.received_at,
            size: event.body.len(),
            deliveries: fan_out.len(),
        }
    } else if let Record::DuplicateSeen { event, at } = record {
        TailLine::Duplicate { event: *event, at: *at }
    } else {
        return record.attempts().map(|attempt| Arc::new(attempted(&attempt, state))).collect();
    };
    vec![Arc::new(line)]
}

fn attempted(attempt: &DeliveryAttempt<'_>, state: &State) -> TailLine {
    let report = attempt.report;
    let endpoint = state.endpoints.get(&attempt.delivery.endpoint);
    TailLine::Attempt {
        delivery: attempt.delivery,
        event: attempt.event,
        endpoint: endpoint.map_or_else(String::new, |endpoint| endpoint.settings.name.clone()),
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
