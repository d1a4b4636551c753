//! Order, and what a batch does to it.

use hookbox::model::{
    Batch, BatchFormat, CatchUp, CatchUpMode, DeliveryId, Endpoint, Order, RetryPolicy, Seq,
};
use hookbox::queue::{CancelDeliveries, RetryDeliveries, Revive, UpdateEndpoint};

use super::endpoint;
use crate::sim::script::{Says, Script};

#[test]
fn what_waits_behind_others_goes_on_when_its_endpoint_keeps_no_order_any_more() {
    let batch = Some(Batch {
        max_events: 5,
        max_bytes: 1 << 20,
        max_wait_ms: 50,
        format: BatchFormat::Json,
    });
    let strict = Endpoint { order: Order::Strict, batch, ..endpoint("app") };
    let free = Endpoint { order: Order::None, ..strict.clone() };

    let mut first = true;
    let mut script = Script::new([strict], None, move |_, events, _| {
        let failed = if std::mem::take(&mut first) {
            events[1..].iter().map(|e| e.id).collect()
        } else {
            Vec::new()
        };
        Says { failed, ..Says::ok() }
    });

    for n in 0..5 {
        script.accept(format!("{n}"));
    }
    script.run_for(500);
    script.command(UpdateEndpoint(Box::new(free)));
    script.run_for(60_000);
    assert_eq!(script.queue().status(script.now).pending, 0, "{:?}", script.seen);
}

#[test]
fn what_a_receiver_did_not_take_of_a_batch_goes_together_in_a_strict_lane() {
    let batch = Some(Batch {
        max_events: 10,
        max_bytes: 1 << 20,
        max_wait_ms: 2_000,
        format: BatchFormat::Json,
    });

    let mut first = true;
    let app = Endpoint { order: Order::Strict, batch, ..endpoint("app") };
    let mut script = Script::new([app], None, move |_, events, _| {
        let failed = if std::mem::take(&mut first) {
            events[2..].iter().map(|e| e.id).collect()
        } else {
            Vec::new()
        };
        Says { failed, ..Says::ok() }
    });

    let all: Vec<Seq> = (0..30).map(|n| script.accept(format!("{n}"))).collect();
    script.run_for(15_000);

    let got: Vec<Vec<Seq>> = script.seen.iter().map(|seen| seen.events.clone()).collect();
    assert!(got.len() <= 5, "{got:?}");
    assert_eq!(got[1][..8], all[2..10], "in order");
    assert_eq!(script.queue().status(script.now).pending, 0);
}

#[test]
fn halves_of_a_batch_take_their_time_and_only_where_something_is_taken() {
    let batch = Some(Batch {
        max_events: 500,
        max_bytes: 1 << 20,
        max_wait_ms: 50,
        format: BatchFormat::Json,
    });

    let retry = RetryPolicy { max_attempts: Some(3), ..endpoint("app").retry };
    let app = Endpoint { batch, retry, ..endpoint("app") };
    for status in [500, 400] {
        let mut script = Script::new([app.clone()], None, move |_, _, _| Says::fails(status));
        for n in 0..500 {
            script.accept(format!("{n}"));
        }
        script.run_for(60_000);

        let mut most = 0;
        for seen in &script.seen {
            most = most.max(
                script
                    .seen
                    .iter()
                    .filter(|other| (seen.at..seen.at + 1_000).contains(&other.at))
                    .count(),
            );
        }
        assert!(most <= 20, "{status}: {most} requests in a second, {} in all", script.seen.len());

        if status == 500 {
            // Where nothing is taken, halves would not be taken either.
            script.run_for(1_200_000);
            assert!(script.seen.len() <= 60, "{} requests", script.seen.len());
            assert_eq!(script.queue().status(script.now).pending, 0);
        }
    }
}

#[test]
fn a_dead_letter_that_is_asked_for_again_comes_in_at_the_end_of_its_lane() {
    let retry = RetryPolicy { max_attempts: Some(1), ..endpoint("app").retry };
    let mut script = Script::new(
        [Endpoint { order: Order::Strict, retry, ..endpoint("app") }],
        None,
        |_, events, now| {
            let slow = Says { within_ms: 100, ..Says::ok() };
            if events[0].body.starts_with(b"bad") && now < 1_000 { Says::fails(500) } else { slow }
        },
    );

    let bad = script.accept("bad");
    script.run_for(2_000);
    let others: Vec<Seq> = (0..5).map(|n| script.accept(format!("{n}"))).collect();

    let dead_letter_seq = script.queue().state().dead_letter_seqs.min().expect("one is dead");
    let delivery = DeliveryId { seq: bad, endpoint: 1 };
    let revive = Revive {
        delivery,
        event: bad,
        attempts: 1,
        last: dead_letter_seq,
        dead_letter_seq: Some(dead_letter_seq),
    };
    script.command(RetryDeliveries { deliveries: vec![revive] });
    let later = script.accept("later");
    script.run_for(10_000);

    let got: Vec<Seq> = script.seen.iter().flat_map(|seen| seen.events.clone()).skip(1).collect();
    let wanted: Vec<Seq> = others.into_iter().chain([bad, later]).collect();
    assert_eq!(got, wanted);
}

#[test]
fn a_dead_letter_that_is_asked_for_again_keeps_its_place_when_its_batch_is_split() {
    let batch = Some(Batch {
        max_events: 10,
        max_bytes: 100_000,
        max_wait_ms: 100,
        format: BatchFormat::Json,
    });
    let app = |max_attempts| Endpoint {
        order: Order::Strict,
        batch,
        retry: RetryPolicy { max_attempts, ..endpoint("app").retry },
        ..endpoint("app")
    };
    let mut script = Script::new([app(Some(1))], None, |_, events, now| match events.len() {
        1 if now < 1_000 => Says::fails(500),
        1..=4 => Says::ok(),
        _ => Says::fails(422),
    });
    let bad = script.accept("bad");
    script.run_for(2_000);
    script.command(UpdateEndpoint(Box::new(app(None))));

    let before = script.seen.len();
    let others: Vec<Seq> = (0..5).map(|n| script.accept(format!("{n}"))).collect();
    let dead_letter_seq = script.queue().state().dead_letter_seqs.min().expect("one is dead");
    let delivery = DeliveryId { seq: bad, endpoint: 1 };
    let revive = Revive {
        delivery,
        event: bad,
        attempts: 1,
        last: dead_letter_seq,
        dead_letter_seq: Some(dead_letter_seq),
    };
    script.command(RetryDeliveries { deliveries: vec![revive] });
    let later = script.accept("later");
    script.run_for(120_000);

    let refused = script.seen[before..].iter().filter(|seen| seen.events.len() > 4).count();
    let taken = script.seen[before..].iter().filter(|seen| seen.events.len() <= 4);
    let got: Vec<Seq> = taken.flat_map(|seen| seen.events.clone()).collect();
    let wanted: Vec<Seq> = others.into_iter().chain([bad, later]).collect();
    assert!(refused > 0, "all of them were in one batch");
    assert_eq!(got, wanted);
}

/// A batch of an old and a new value of a key, of which the receiver takes the new one only: the
/// old one is history.
#[test]
fn an_old_value_that_was_not_taken_of_a_batch_does_not_come_after_the_new_one() {
    let batch = Some(Batch {
        max_events: 2,
        max_bytes: 1 << 20,
        max_wait_ms: 1_000,
        format: BatchFormat::Json,
    });
    let catch_up = CatchUp { mode: CatchUpMode::Latest, key: Some("/k".into()), rate: None };

    let mut first = true;
    let mut script = Script::new(
        [Endpoint { batch, catch_up, ..endpoint("app") }],
        None,
        move |_, events, _| {
            let failed = if std::mem::take(&mut first) { vec![events[0].id] } else { Vec::new() };
            Says { failed, ..Says::ok() }
        },
    );

    let both = [script.accept("{\"k\":1}"), script.accept("{\"k\":1}")];
    script.run_for(60_000);
    let got: Vec<Vec<Seq>> = script.seen.iter().map(|seen| seen.events.clone()).collect();
    assert_eq!(got, [both.to_vec()]);
    assert_eq!(script.queue().status(script.now).cancelled, 1);
}

/// Each time: not where it waited when it was cancelled.
#[test]
fn what_was_cancelled_in_its_lane_comes_in_at_its_end_when_it_is_asked_for_again() {
    let app = Endpoint { order: Order::Strict, ..endpoint("app") };
    let mut first = true;
    let mut script = Script::new([app], None, move |_, _, _| match std::mem::take(&mut first) {
        true => Says::asks_for(503, 60_000),
        false => Says::ok(),
    });
    let mut accept = || script.accept("{}");
    let (head, again) = (accept(), accept());
    script.run_for(1_000);

    let delivery = DeliveryId { seq: again, endpoint: 1 };
    let revive = Revive { delivery, event: again, attempts: 0, last: 0, dead_letter_seq: None };
    let mut others = Vec::new();
    for _ in 0..2 {
        script.command(CancelDeliveries { deliveries: vec![delivery] });
        script.command(RetryDeliveries { deliveries: vec![revive] });
        others.push(script.accept("{}"));
    }
    script.command(CancelDeliveries { deliveries: vec![delivery] });
    script.command(RetryDeliveries { deliveries: vec![revive] });

    script.restart(0);
    script.run_for(120_000);
    let got: Vec<Seq> = script.seen.iter().flat_map(|seen| seen.events.clone()).collect();
    assert_eq!(got, [head, head, others[0], others[1], again]);
}
