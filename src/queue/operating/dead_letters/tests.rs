use crate::model::{AttemptFault, AttemptReport, DeliveryId, Endpoint, HoldReason, Outcome, Seq};
use crate::queue::testing::{TestQueue, report};
use crate::queue::{
    AliveQuery, DeleteEndpoint, DeliveriesChanged, DiscardDeadLetters, Relocate, RelocationSlice,
    RetryDeliveries, Revive,
};
use crate::record::{DeadLetter, Record};

/// A queue with a dead letter; its delivery, and the record that holds it.
fn with_dead_letter() -> (TestQueue, DeliveryId, Seq) {
    let mut endpoint = Endpoint::new("app", "http://app.example/");
    endpoint.retry.max_attempts = Some(1);
    let mut world = TestQueue::new([endpoint]);

    let event = world.accept("{}");
    let delivery = DeliveryId { seq: event.seq, endpoint: 1 };
    world.finish(delivery, report(world.now, Outcome::Retryable { after_ms: None }));
    let held_by: Vec<Seq> = world.queue.state().dead_letter_seqs.iter().collect();
    assert_eq!(held_by.len(), 1);
    (world, delivery, held_by[0])
}

fn read_at(delivery: DeliveryId, dead_letter_seq: Seq) -> Revive {
    Revive {
        delivery,
        event: delivery.seq,
        attempts: 1,
        last: dead_letter_seq,
        dead_letter_seq: Some(dead_letter_seq),
    }
}

fn dead_letter(delivery: DeliveryId, at: Seq) -> DeadLetter {
    DeadLetter {
        delivery,
        event: delivery.seq,
        attempts: 1,
        died_at: 0,
        reason: "it failed".into(),
        last: at,
        kept_since: None,
    }
}

/// Retention relocates the dead letter; gives the record that holds it now.
fn relocated(world: &mut TestQueue, delivery: DeliveryId, at: Seq) -> Seq {
    let dead = vec![(at, dead_letter(delivery, at))];
    let slice = RelocationSlice { dead, ..RelocationSlice::default() };
    world.input(Relocate { first: at, last: at, slice });

    let last = world.records.last();
    assert!(matches!(last, Some(Record::DeadLetterRecorded { .. })), "{last:?}");
    world.queue.state().next_seq - 1
}

#[test]
fn a_dead_letter_that_was_relocated_after_it_was_read_is_read_again_first() {
    let (mut world, delivery, at) = with_dead_letter();
    let now_at = relocated(&mut world, delivery, at);

    let stale = vec![read_at(delivery, at)];
    let now = world.now;
    let moved = Ok(DeliveriesChanged { moved: vec![delivery], ..DeliveriesChanged::default() });
    let discard = DiscardDeadLetters { deliveries: stale.clone() };
    assert_eq!(world.queue.handle(now, discard).answer, moved);
    assert_eq!(world.queue.handle(now, RetryDeliveries { deliveries: stale }).answer, moved);

    // The record that holds it is still known, and it is discarded by that one.
    assert!(world.queue.state().dead_letter_seqs.contains(now_at));
    let deliveries = vec![read_at(delivery, now_at)];
    assert_eq!(world.input(DiscardDeadLetters { deliveries }).count, 1);
    assert!(world.queue.state().dead_letter_seqs.is_empty());
}

/// Where the record of a retry was lost, the record of the dead letter is still known.
fn with_stale_record() -> (TestQueue, DeliveryId, Seq) {
    let (mut world, delivery, at) = with_dead_letter();
    world.input(RetryDeliveries { deliveries: vec![read_at(delivery, at)] });
    world.queue.know_dead_letter_at(at);
    assert!(world.queue.state().dead_letter_seqs.contains(at));
    (world, delivery, at)
}

#[test]
fn retention_forgets_records_of_dead_letters_that_are_dead_no_more() {
    for is_expired in [false, true] {
        let (mut world, delivery, at) = with_stale_record();
        let undone = world.queue.state().endpoints[&1].undone;

        let slice = match is_expired {
            true => RelocationSlice { expired: vec![(at, delivery)], ..Default::default() },
            false => {
                let dead = vec![(at, dead_letter(delivery, at))];
                RelocationSlice { dead, ..Default::default() }
            }
        };
        world.input(Relocate { first: at, last: at, slice });

        let state = world.queue.state();
        assert!(state.dead_letter_seqs.is_empty(), "nothing keeps the segment");
        assert_eq!(state.endpoints[&1].undone, undone, "the delivery goes on");
        let alive = world.queue.ask(world.now, &AliveQuery { first: at, last: at });
        assert!(alive.is_some_and(|alive| alive.dead_letter_seqs.is_empty()));
    }
}

#[test]
fn discarding_forgets_records_of_dead_letters_that_are_dead_no_more() {
    let (mut world, delivery, at) = with_stale_record();
    let deliveries = vec![read_at(delivery, at), read_at(delivery, at)];
    assert_eq!(world.input(DiscardDeadLetters { deliveries }).count, 0);
    assert!(world.queue.state().dead_letter_seqs.is_empty());
}

#[test]
fn dead_letters_of_deleted_endpoints_say_why_they_are_not_attempted_again() {
    let mut endpoint = Endpoint::new("app", "http://app.example/");
    endpoint.retry.max_attempts = Some(1);
    let mut world = TestQueue::new([endpoint]);
    let events = [world.accept("{}"), world.accept("{}")];
    for event in events {
        let delivery = DeliveryId { seq: event.seq, endpoint: 1 };
        world.finish(delivery, report(world.now, Outcome::Retryable { after_ms: None }));
    }
    world.input(DeleteEndpoint { name: "app".into() });

    let held_by: Vec<Seq> = world.queue.state().dead_letter_seqs.iter().collect();
    let read = |(event, at): (crate::model::EventId, &Seq)| {
        read_at(DeliveryId { seq: event.seq, endpoint: 1 }, *at)
    };
    let deliveries: Vec<Revive> = events.into_iter().zip(&held_by).map(read).collect();
    let left_out = world.input(RetryDeliveries { deliveries: deliveries.clone() }).left_out;
    assert_eq!(
        left_out.into_iter().collect::<Vec<_>>(),
        [(crate::queue::operating::left_out::ENDPOINT_DELETED, 2)]
    );
    assert_eq!(world.input(DiscardDeadLetters { deliveries }).count, 2);
}

#[test]
fn deleting_an_endpoint_says_how_many_deliveries_are_cancelled_with_it() {
    let mut world = TestQueue::new([Endpoint::new("app", "http://app.example/")]);
    for _ in 0..3 {
        world.accept("{}");
    }
    assert_eq!(world.input(DeleteEndpoint { name: "app".into() }), 3);
}

#[test]
fn events_that_no_request_can_be_made_of_do_not_make_the_receiver_look_ill() {
    let mut endpoint = Endpoint::new("app", "http://app.example/");
    endpoint.hold_after_ms = 1_000;
    let mut world = TestQueue::new([endpoint]);

    for _ in 0..50 {
        let event = world.accept("{}");
        let not_made = AttemptReport {
            fault: Some(AttemptFault::NotMade),
            ..report(world.now, Outcome::Refused)
        };
        world.finish(DeliveryId { seq: event.seq, endpoint: 1 }, not_made);
        world.pass(1_000);
    }

    let endpoint = &world.queue.state().endpoints[&1];
    assert_eq!(endpoint.dead.len(), 50);
    assert!(endpoint.breaker().open.is_none(), "the next event goes out at once");
    assert!(!matches!(endpoint.hold, Some((HoldReason::Failing, _))));
    let event = world.accept("{}");
    assert_eq!(world.attempts.last().map(|delivery| delivery.seq), Some(event.seq));
}
