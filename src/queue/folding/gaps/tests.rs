use std::collections::BTreeMap;

use crate::model::{
    AttemptReport, Batch, BatchFormat, DeliveryId, DeliveryState, Endpoint, EndpointId, Outcome,
    Seq,
};
use crate::queue::testing::{TestQueue, report};
use crate::queue::{Accept, CancelDeliveries, HoldEndpoint, Input, RetryDeliveries, Revive, State};
use crate::record::Record;

impl TestQueue {
    /// Starts what is due, and ends each attempt by its number.
    fn attempt_all(&mut self, ends: &mut u64) {
        self.pass(20_000);
        let mut report_next = || {
            *ends += 1;
            let outcome = match *ends % 4 {
                0 => Outcome::Delivered,
                1 => Outcome::Refused,
                _ => Outcome::Retryable { after_ms: None },
            };
            AttemptReport { error: Some("no".to_owned()), ..report(self.now, outcome) }
        };
        let singles = std::mem::take(&mut self.attempts);
        let singles = singles.into_iter().map(|delivery| (delivery, report_next()));
        let singles: Vec<_> = singles.collect();
        let batches = std::mem::take(&mut self.batches);
        let batches: Vec<_> = batches.into_iter().map(|sent| (sent.id, report_next())).collect();

        for (delivery, report) in singles {
            self.decide(Input::Finished { delivery, report });
        }
        for (batch, report) in batches {
            self.decide(Input::BatchFinished { endpoint: 3, batch, report, failed: Vec::new() });
        }
    }

    /// The operator asks for the oldest dead letter again.
    fn retry_dead_letter(&mut self) {
        let Some(seq) = self.queue.state().dead_letter_seqs.iter().next() else { return };
        let record = &self.records[usize::try_from(seq).expect("small") - 1];
        let dead = record.dead_letter(seq).expect("a dead letter");
        let dead = Revive {
            delivery: dead.delivery,
            event: dead.event,
            attempts: dead.attempts,
            last: dead.last,
            dead_letter_seq: Some(seq),
        };
        self.decide(RetryDeliveries { deliveries: vec![dead] });
    }
}

/// The records of a queue with three endpoints, one on hold and one that takes batches.
fn story() -> Vec<Record> {
    let endpoint = |name: &str| Endpoint::new(name, "http://127.0.0.1:9/");
    let batch = Batch { max_events: 3, max_bytes: 1000, max_wait_ms: 1, format: BatchFormat::Json };
    let batched = Endpoint { batch: Some(batch), ..endpoint("batched") };
    let mut world = TestQueue::new([endpoint("one"), endpoint("held"), batched]);
    world.decide(HoldEndpoint { name: "held".to_owned() });

    let mut ends = 0;
    for round in 0..16 {
        for _ in 0..4 {
            let event = world.matched(Vec::new(), "{}");
            world.decide(Accept(vec![event]));
        }
        world.attempt_all(&mut ends);

        if round % 2 == 0 {
            world.retry_dead_letter();
        }
        // The operator cancels a delivery that is held.
        let event = world.matched(Vec::new(), "{}");
        let held = world.queue.state().next_seq;
        world.decide(Accept(vec![event]));
        let deliveries = vec![DeliveryId { seq: held, endpoint: 2 }];
        world.decide(CancelDeliveries { deliveries });
        world.attempt_all(&mut ends);
    }
    world.records
}

/// How many deliveries wait for each endpoint, by the records that are there and the state.
fn waiting(state: &State, records: &BTreeMap<Seq, Record>) -> BTreeMap<EndpointId, u64> {
    let mut found = BTreeMap::new();
    for (id, endpoint) in &state.endpoints {
        let made = records.iter().filter_map(|(seq, record)| match record {
            Record::EventAccepted { fan_out, .. } => fan_out.contains(id).then_some(*seq),
            Record::Replayed { endpoint, .. } => (endpoint == id).then_some(*seq),
            _ => None,
        });
        let waits = |seq: &Seq| {
            matches!(endpoint.state_of(*seq), DeliveryState::Pending | DeliveryState::Held)
        };
        let there = made.filter(waits).count();
        let without_record =
            endpoint.retrying.keys().filter(|key| !records.contains_key(key)).count();
        found.insert(*id, (there + without_record) as u64);
    }
    found
}

#[test]
fn a_fold_without_some_records_counts_what_it_still_knows() {
    let records = story();
    assert!(records.len() > 60, "{}", records.len());

    for (from, length) in
        (1..records.len()).flat_map(|from| [1, 2, 7, 30].map(|length| (from, length)))
    {
        // The dead letters of a batch are in the commit that ended it: they are lost with it, never
        // alone.
        if matches!(records[from], Record::DeadLetterRecorded { dead_letter_seq: 0, .. }) {
            continue;
        }

        let gone = from as Seq + 1..(from + length) as Seq + 1;
        let left: BTreeMap<Seq, Record> =
            (1..).zip(records.iter().cloned()).filter(|(seq, _)| !gone.contains(seq)).collect();
        let mut state = State::new();
        for (seq, record) in &left {
            state.skip_lost(*seq);
            let applied = state.apply(*seq, record);
            applied.unwrap_or_else(|error| panic!("without {gone:?}: {error}"));
        }
        state.fold_is_over();

        let counted: BTreeMap<EndpointId, u64> =
            state.endpoints.iter().map(|(id, endpoint)| (*id, endpoint.undone)).collect();
        assert_eq!(counted, waiting(&state, &left), "without {gone:?}");
    }
}
