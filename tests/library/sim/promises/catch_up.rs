//! Working off a backlog: the latest, the newest first.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::rc::Rc;

use hookbox::model::{Batch, BatchFormat, CatchUp, CatchUpMode, Endpoint, Outcome, Seq};
use hookbox::queue::{HoldEndpoint, ReleaseEndpoint, UpdateEndpoint};

use super::{endpoint, switched};
use crate::sim::script::{Says, Script};

/// What each key's receiver saw last is its newest, and of the backlog only that was delivered.
#[test]
fn catching_up_with_the_latest_leaves_nobody_with_an_old_value() {
    for restarts in [false, true] {
        let up = Rc::new(Cell::new(false));
        let catch_up = CatchUp { mode: CatchUpMode::Latest, key: Some("/k".into()), rate: None };
        let mut script =
            Script::new([Endpoint { catch_up, ..endpoint("app") }], None, switched(&up));

        let (mut newest, mut keys) = (BTreeMap::new(), BTreeMap::new());
        for n in 0..700u64 {
            let seq = script.accept(format!("{{\"k\":{}}}", n % 5));
            newest.insert(n % 5, seq);
            keys.insert(seq, n % 5);
            script.run_for(100);
        }

        if restarts {
            script.restart(1_000);
            script.run_for(5);
        }

        let before = script.seen.len();
        up.set(true);
        script.run_for(60_000);
        let got: Vec<Seq> =
            script.seen[before..].iter().flat_map(|seen| seen.events.clone()).collect();

        assert!(got.len() <= 7, "{got:?}");
        assert!(newest.values().all(|seq| got.contains(seq)), "{got:?} of {newest:?}");
        let last: BTreeMap<u64, Seq> = got.iter().map(|seq| (keys[seq], *seq)).collect();
        assert_eq!(last, newest, "{got:?}");
        assert_eq!(script.queue().status(script.now).pending, 0);
    }
}

/// What has no value at the key, or is no JSON, is no newer state of whatever else has none.
#[test]
fn what_is_the_latest_of_nothing_is_not_left_out() {
    for (restarts, batch) in [(false, None), (true, None), (true, Some(4))] {
        let up = Rc::new(Cell::new(false));
        let batch = batch.map(|max_events| Batch {
            max_events,
            max_bytes: 100_000,
            max_wait_ms: 10,
            format: BatchFormat::Json,
        });
        let catch_up = CatchUp { mode: CatchUpMode::Latest, key: Some("/k".into()), rate: None };
        let mut script =
            Script::new([Endpoint { catch_up, batch, ..endpoint("app") }], None, switched(&up));

        // `null` is a value: of those that have it only the latest counts.
        let (mut wanted, mut nulls) = (Vec::new(), Vec::new());
        for n in 0..40u64 {
            let old = script.accept("{\"k\":1}");
            nulls.push(script.accept("{\"k\":null}"));
            wanted.extend(
                [format!("{{\"alarm\":{n}}}"), "no JSON".to_owned()]
                    .map(|body| script.accept(body)),
            );
            script.run_for(500);
            wanted.extend((n == 39).then_some(old));
        }
        wanted.extend(nulls.last());

        if restarts {
            script.restart(1_000);
            script.run_for(5);
        }

        let before = script.seen.len();
        up.set(true);
        script.run_for(600_000);
        let got: Vec<Seq> =
            script.seen[before..].iter().flat_map(|seen| seen.events.clone()).collect();

        assert!(wanted.iter().all(|seq| got.contains(seq)), "{got:?} of {wanted:?}");
        let nulls = nulls.iter().filter(|seq| got.contains(seq)).count();
        assert!(nulls <= 4, "{nulls} of those with null: {got:?}");
        assert_eq!(script.queue().status(script.now).pending, 0);
    }
}

#[test]
fn an_event_that_failed_makes_way_for_a_newer_one_of_its_key() {
    let catch_up = CatchUp { mode: CatchUpMode::Latest, key: Some("/k".into()), rate: None };
    let mut requests = 0;
    let mut script =
        Script::new([Endpoint { catch_up, ..endpoint("app") }], None, move |_, _, _| {
            requests += 1;
            if requests == 1 { Says::fails(500) } else { Says::ok() }
        });
    let old = script.accept("{\"k\":1}");
    script.run_for(100);
    let new = script.accept("{\"k\":1}");
    script.run_for(60_000);
    let got: Vec<Seq> = script.seen.iter().flat_map(|seen| seen.events.clone()).collect();
    assert_eq!(got, [old, new]);
    assert_eq!(script.queue().status(script.now).cancelled, 1);
}

/// The newest of a key was refused, and so seen, before a restart; an older one stands so far back
/// that it had not been read by then.
#[test]
fn a_dead_letter_is_the_latest_of_its_key_over_a_restart_as_well() {
    let catch_up = CatchUp { mode: CatchUpMode::Latest, key: Some("/k".into()), rate: None };
    let mut requests = 0;
    let mut script =
        Script::new([Endpoint { catch_up, ..endpoint("app") }], None, move |_, _, _| {
            requests += 1;
            match requests {
                1 => Says { outcome: Outcome::Refused, ..Says::fails(400) },
                _ => Says::ok(),
            }
        });
    script.command(HoldEndpoint { name: "app".into() });
    let old = script.accept("{\"k\":0}");
    for key in 1..5_000 {
        script.accept(format!("{{\"k\":{key}}}"));
    }
    let new = script.accept("{\"k\":0}");

    script.restart(1_000);
    script.command(ReleaseEndpoint { name: "app".into() });
    for _ in 0..10_000 {
        if script.queue().status(script.now).dead > 0 {
            break;
        }
        script.run_for(1);
    }
    script.restart(1_000);
    script.run_for(600_000);

    let got: Vec<Seq> = script.seen.iter().flat_map(|seen| seen.events.clone()).collect();
    assert_eq!(got[0], new);
    assert!(!got.contains(&old), "an old value after a newer one");
    assert_eq!(script.queue().status(script.now).pending, 0);
}

#[test]
fn where_nothing_fails_the_latest_is_no_reason_to_leave_anything_out() {
    let catch_up = CatchUp { mode: CatchUpMode::Latest, key: Some("/k".into()), rate: None };
    let mut script =
        Script::new([Endpoint { catch_up, ..endpoint("app") }], None, |_, _, _| Says::ok());
    let all: Vec<Seq> = (0..50).map(|_| script.accept("{\"k\":1}")).collect();
    script.run_for(10_000);
    let got: Vec<Seq> = script.seen.iter().flat_map(|seen| seen.events.clone()).collect();
    assert_eq!(got, all);
}

/// Endpoints that are asked for the latest only while things wait already, and batches.
#[test]
fn the_latest_is_found_among_what_waited_before_it_was_asked_for() {
    for batch in [
        None,
        Some(Batch {
            max_events: 4,
            max_bytes: 100_000,
            max_wait_ms: 10,
            format: BatchFormat::Json,
        }),
    ] {
        let up = Rc::new(Cell::new(false));
        let mut script = Script::new([Endpoint { batch, ..endpoint("app") }], None, switched(&up));
        let mut newest: BTreeMap<u64, Seq> = BTreeMap::new();
        for n in 0..60u64 {
            newest.insert(n % 3, script.accept(format!("{{\"k\":{}}}", n % 3)));
            script.run_for(200);
        }

        let catch_up = CatchUp { mode: CatchUpMode::Latest, key: Some("/k".into()), rate: None };
        script.command(UpdateEndpoint(Box::new(Endpoint { batch, catch_up, ..endpoint("app") })));
        script.run_for(100);

        let before = script.seen.len();
        up.set(true);
        script.run_for(120_000);
        let got: Vec<Seq> =
            script.seen[before..].iter().flat_map(|seen| seen.events.clone()).collect();

        assert!(newest.values().all(|seq| got.contains(seq)), "{got:?} of {newest:?}");
        assert!(got.len() <= 12, "{got:?} of {newest:?}");
        assert_eq!(script.queue().status(script.now).pending, 0);
    }
}

#[test]
fn the_newest_first_means_what_waits_for_a_retry_too() {
    let up = Rc::new(Cell::new(false));
    let catch_up = CatchUp { mode: CatchUpMode::Newest, ..CatchUp::default() };
    let app = Endpoint { catch_up, concurrency: 1, ..endpoint("app") };
    let mut script = Script::new([app], None, switched(&up));
    for n in 0..100 {
        script.accept(format!("{n}"));
        script.run_for(400);
    }
    script.run_for(30_000);
    let before = script.seen.len();
    up.set(true);
    script.run_for(200_000);
    let got: Vec<Seq> = script.seen[before..].iter().flat_map(|seen| seen.events.clone()).collect();
    // The first of them was the probe.
    assert!(got[1..].is_sorted_by(|a, b| a > b), "{got:?}");
    assert_eq!(got.len(), 100);
}
