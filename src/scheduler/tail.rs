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
        /// The event that it repeats.
        event: EventId,
        at: WallMs,
    },
    Attempt {
        delivery: DeliveryId,
        event: u64,
        endpoint: String,
        number: u32,
        at: WallMs,
        duration_ms: u64,
        outcome: Outcome,
        status: Option<u16>,
        error: Option<String>,
        next: Consequence,
        /// When it goes out again at the latest, where it joins a batch first.
        next_by: Option<WallMs>,
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
        TailLine::Duplicate { event: EventId::in_log(state.salt, *event), at: *at }
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
        outcome: attempt.outcome(),
        status: report.response.as_ref().map(|response| response.status),
        error: attempt.error().map(str::to_owned),
        next: attempt.next.clone(),
        next_by: endpoint.and_then(|endpoint| attempt.joins_batch_by(&endpoint.settings)),
    }
}

#[cfg(test)]
mod tests {
    use super::{TailLine, lines};
    use crate::model::{Batch, BatchFormat, BatchId, Endpoint, Now, Outcome};
    use crate::queue::State;
    use crate::queue::testing::report;
    use crate::record::{
        BatchConsequence, BatchFinished, Consequence, MemberFinished, OTHERS_TAKEN, Record,
    };

    /// A batch of two that was answered 200: the second one was named in `failed`.
    fn half_taken(second: Consequence, next: BatchConsequence) -> Record {
        let member =
            |delivery, next| MemberFinished { delivery, event: delivery, number: 1, prev: 0, next };
        let report = report(Now::default(), Outcome::Delivered);

        Record::BatchFinished(Box::new(BatchFinished {
            endpoint: 1,
            batch: BatchId { seq: 9, part: 0 },
            number: 1,
            report,
            members: vec![member(7, Consequence::Delivered), member(8, second)],
            next,
            uncounted: false,
            failing_ms: 0,
            ran_ms: 0,
            restraint: None,
        }))
    }

    #[test]
    fn what_a_receiver_leaves_out_of_a_batch_is_not_shown_as_delivered() {
        let dead = Consequence::Dead { reason: "1 of 1 attempts failed".into() };
        let lines = lines(&half_taken(dead, BatchConsequence::Over), &State::new());
        let shown = lines.iter().map(|line| match &**line {
            TailLine::Attempt { outcome, error, next, .. } => {
                (outcome.clone(), error.as_deref(), matches!(next, Consequence::Dead { .. }))
            }
            other => panic!("{other:?}"),
        });
        let left_out = (Outcome::Retryable { after_ms: None }, Some(OTHERS_TAKEN), true);
        assert_eq!(shown.collect::<Vec<_>>(), [(Outcome::Delivered, None, false), left_out]);
    }

    #[test]
    fn what_is_tried_again_in_another_batch_says_by_when_that_closes() {
        let batch = Batch {
            max_events: 9,
            max_bytes: 1 << 20,
            max_wait_ms: 2_000,
            format: BatchFormat::Json,
        };
        let endpoint = Endpoint { batch: Some(batch), ..Endpoint::new("app", "http://a/") };
        let retry = Consequence::Retry { due_at: 50_000, delay_ms: 1_000, age_ms: 0 };
        let by = |next| {
            let record = half_taken(retry.clone(), next);
            record.attempts().map(|attempt| attempt.joins_batch_by(&endpoint)).collect::<Vec<_>>()
        };

        assert_eq!(by(BatchConsequence::Over), [None, Some(52_000)]);
        assert_eq!(by(BatchConsequence::Again), [None, None], "as it was, when it is due");
    }
}
