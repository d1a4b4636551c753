//! Records as lines for `tail`, made only while somebody watches.

use std::sync::Arc;

use super::handle::TailLine;
use crate::model::Outcome;
use crate::queue::State;
use crate::record::{Attempted, Next, Record};

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
        record => return record.attempts().map(|attempt| Arc::new(attempted(&attempt, state))).collect(),
    };
    vec![Arc::new(line)]
}

fn attempted(attempt: &Attempted<'_>, state: &State) -> TailLine {
    let report = attempt.report;
    let endpoint = state.lanes.get(&attempt.delivery.endpoint);
    TailLine::Attempt {
        delivery: attempt.delivery,
        event: attempt.event,
        endpoint: endpoint.map_or_else(String::new, |lane| lane.endpoint.name.clone()),
        number: attempt.number,
        at: report.started_at,
        duration_ms: report.duration_ms,
        outcome: outcome(&report.outcome, attempt.next),
        status: report.response.as_ref().map(|response| response.status),
        error: report.error.clone(),
        next_at: match attempt.next {
            Next::Retry { due_at, .. } => Some(*due_at),
            _ => None,
        },
    }
}

fn outcome(outcome: &Outcome, next: &Next) -> &'static str {
    match (outcome, next) {
        (Outcome::Delivered, _) => "delivered",
        (_, Next::Retry { .. }) => "retry",
        (_, Next::Dead { .. }) => "dead",
        (_, Next::Held { .. }) => "held",
        (_, Next::Parked { .. }) => "parked",
        (_, Next::Delivered | Next::Ended) => "ended",
    }
}
