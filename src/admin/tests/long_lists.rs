//! Lists over a long log read what can be wanted, and not all of it.

use std::sync::atomic::Ordering;

use serde_json::{Value, json};

use super::{AdminWorld, event};
use crate::admin::memory_log::MemoryLog;
use crate::model::{DeliveryId, DeliveryState, EventId, limits};
use crate::record::Record;

/// Events of another type that are for nobody.
const OTHERS: usize = 500;

fn others(world: &AdminWorld) {
    for _ in 0..OTHERS {
        world.event("other", &[]);
    }
}

fn shown(ids: &[DeliveryId]) -> Vec<String> {
    ids.iter().map(ToString::to_string).collect()
}

#[tokio::test]
async fn deliveries_that_wait_are_read_where_the_queue_says_that_they_wait() {
    let world = AdminWorld::new();
    let of = |world: &AdminWorld| world.event("push", &[1, 2]).seq;
    let events = [of(&world), of(&world), of(&world)];
    others(&world);
    world.script().candidates.insert(DeliveryState::Pending, events.to_vec());
    let at = |n: usize, endpoint| DeliveryId { seq: events[n], endpoint };
    world.set(at(1, 1), DeliveryState::Delivered);

    world.log.count_anew();
    let pending = [at(2, 1), at(2, 2), at(1, 2), at(0, 1), at(0, 2)];
    assert_eq!(world.ids("/v1/deliveries?state=pending").await, shown(&pending));
    assert_eq!(world.log.counted(), (3, 3));

    // Page by page, behind one that waits no more as well.
    let page = |after: DeliveryId| format!("/v1/deliveries?state=pending&limit=2&after={after}");
    assert_eq!(world.ids(&page(pending[0])).await, shown(&pending[1..3]));
    world.set(pending[1], DeliveryState::Delivered);
    assert_eq!(world.ids(&page(pending[1])).await, shown(&pending[2..4]));
    assert_eq!(world.ids(&page(at(1, 1))).await, shown(&pending[2..4]));
    let read = world.log.read.load(Ordering::Acquire);
    assert!(read < OTHERS, "{read} records were read");
}

#[tokio::test]
async fn where_nothing_waits_nothing_is_read() {
    let world = AdminWorld::new();
    others(&world);
    world.script().candidates.insert(DeliveryState::Held, Vec::new());
    assert!(world.ids("/v1/deliveries?state=held").await.is_empty());
    assert_eq!(world.log.counted(), (0, 0));
}

#[tokio::test]
async fn of_the_whole_log_only_what_may_pass_is_decoded() {
    let world = AdminWorld::new();
    let push = world.event("push", &[1]);
    others(&world);

    for (list, id) in [
        ("/v1/events?type=push", push.to_string()),
        ("/v1/events?type=pus*", push.to_string()),
        ("/v1/deliveries?type=push", DeliveryId { seq: push.seq, endpoint: 1 }.to_string()),
    ] {
        world.log.count_anew();
        assert_eq!(world.ids(list).await, [id], "{list}");
        let (read, decoded) = world.log.counted();
        assert!(read > OTHERS && decoded < 5, "{list}: {decoded} of {read} records were decoded");
    }
}

#[tokio::test]
async fn dead_letters_of_an_endpoint_are_looked_for_by_its_own() {
    let world = AdminWorld::new();
    let first = world.dead("push", 2);
    let others = 20 * limits::SLICE;
    for _ in 0..others {
        world.dead("push", 1);
    }

    world.log.count_anew();
    assert_eq!(world.ids("/v1/dlq?endpoint=crm").await, shown(&[first]));
    let (_, decoded) = world.log.counted();
    assert!(decoded <= 3 * limits::SLICE, "{decoded} records were decoded");

    world.set(first, DeliveryState::Delivered);
    world.log.count_anew();
    assert!(world.ids("/v1/dlq?endpoint=crm").await.is_empty());
    assert_eq!(world.log.counted(), (0, 0), "it has none");
}

#[tokio::test]
async fn many_dead_letters_of_an_endpoint_are_paged_in_the_order_in_which_they_died() {
    let world = AdminWorld::new();
    let mut of_app: Vec<DeliveryId> = (0..2 * limits::SLICE)
        .map(|n| world.dead("push", if n % 2 == 0 { 1 } else { 2 }))
        .collect();
    of_app.extend((0..limits::SLICE).map(|_| world.dead("push", 1)));
    of_app.retain(|id| id.endpoint == 1);
    of_app.reverse();

    let mut seen: Vec<String> = Vec::new();
    while seen.len() < of_app.len() {
        let after = seen.last().map(|id| format!("&after={id}")).unwrap_or_default();
        let page = world.ids(&format!("/v1/dlq?endpoint=app&limit=100{after}")).await;
        assert!(!page.is_empty(), "after {} of {}", seen.len(), of_app.len());
        seen.extend(page);
    }
    assert_eq!(seen, shown(&of_app));
}

/// The one that was made first died last.
#[tokio::test]
async fn pages_of_deliveries_that_are_dead_follow_one_order() {
    let world = AdminWorld::new();
    let [first, second, third] = ["push"; 3].map(|kind| world.dead(kind, 1));
    world.script().dead_letter_seqs.remove(0);
    let reason = "once more".to_owned();
    let again = world.attempt(first, 4, crate::record::Consequence::Dead { reason });
    world.script().dead_letter_seqs.push(again);

    let page = |after: DeliveryId| format!("/v1/deliveries?state=dead&limit=2&after={after}");
    assert_eq!(world.ids("/v1/deliveries?state=dead").await, shown(&[first, third, second]));
    assert_eq!(world.ids(&page(first)).await, shown(&[third, second]));
    assert_eq!(world.ids(&page(third)).await, shown(&[second]));
}

/// All parts of a list, one after the other: the ids that they show, and how many parts there were.
async fn parts(world: &AdminWorld, list: &str) -> (Vec<String>, usize) {
    let (mut found, mut after, mut count) = (Vec::new(), u64::MAX, 0);
    loop {
        let target = match count {
            0 => list.to_owned(),
            _ => format!("{list}&after={after}"),
        };
        count += 1;
        let mut rows = world.rows(&target).await;
        let more = rows.pop_if(|row| row.get("more").is_some());
        found.extend(rows.iter().map(|row| row["id"].as_str().expect("an id").to_owned()));

        let Some(more) = more else { return (found, count) };
        assert!(more["more"]["looked_back_to"].is_string(), "{list}: {more}");
        let next = more["more"]["after"].as_str().and_then(|after| after.parse().ok());
        let next: u64 = next.unwrap_or_else(|| panic!("{list}: {more}"));
        assert!(next < after, "{list}: it looks further back than {after}: {next}");
        after = next;
    }
}

#[tokio::test]
async fn a_list_that_finds_nothing_says_how_far_it_has_looked() {
    let world = AdminWorld::with_fast_clock(20);
    let push = world.event("push", &[1]);
    let delivery = DeliveryId { seq: push.seq, endpoint: 1 };
    others(&world);
    for (list, id) in [
        ("/v1/events?type=push", push.to_string()),
        ("/v1/deliveries?type=push", delivery.to_string()),
        ("/v1/deliveries?endpoint=app", delivery.to_string()),
        ("/v1/deliveries?state=pending&endpoint=app", delivery.to_string()),
    ] {
        let (found, count) = parts(&world, list).await;
        assert_eq!(found, [id], "{list}");
        assert!(count > 5, "{list}: {count} parts");
    }
}

#[tokio::test]
async fn a_list_of_dead_letters_says_how_far_it_has_looked() {
    let world = AdminWorld::with_fast_clock(100);
    let ping = world.dead("ping", 1);
    for _ in 0..50 {
        world.dead("push", 1);
    }
    let (found, count) = parts(&world, "/v1/dlq?type=ping").await;
    assert_eq!(found, shown(&[ping]));
    assert!(count > 2, "{count} parts");
}

#[tokio::test]
async fn attempts_are_not_counted_for_long() {
    for (step_ms, attempts) in [(0, json!(1)), (100, Value::Null)] {
        let world = AdminWorld::with_fast_clock(step_ms);
        let id = DeliveryId { seq: world.event("push", &[1]).seq, endpoint: 1 };
        world.set(id, DeliveryState::Delivered);
        world.script().candidates.insert(DeliveryState::Delivered, vec![id.seq]);
        others(&world);
        world.attempt(id, 1, crate::record::Consequence::Delivered);

        world.log.count_anew();
        let rows = world.rows("/v1/deliveries?state=delivered").await;
        assert_eq!(rows[0]["attempts"], attempts);
        let (_, decoded) = world.log.counted();
        assert!(decoded < 5, "events say nothing of attempts: {decoded} records were decoded");
        let (_, one) = world.json("GET", &format!("/v1/deliveries/{id}"), Value::Null).await;
        assert_eq!(one["attempts"], 1, "one delivery is worth the time");
    }
}

#[tokio::test]
async fn of_an_endpoint_only_its_own_part_of_the_log_is_read() {
    let world = AdminWorld::new();
    let id = DeliveryId { seq: world.event("push", &[1]).seq, endpoint: 1 };
    for _ in 0..OTHERS {
        world.event("push", &[2]);
    }

    world.log.count_anew();
    assert_eq!(world.ids("/v1/deliveries?endpoint=app").await, shown(&[id]));
    let (read, decoded) = world.log.counted();
    assert!(read > OTHERS && decoded < 5, "{decoded} of {read} records were decoded");

    world.script().last_delivery = Some(id.seq);
    world.log.count_anew();
    assert_eq!(world.ids("/v1/deliveries?endpoint=app").await, shown(&[id]));
    let (read, _) = world.log.counted();
    assert!(read < 5, "{read} records were read");

    world.log.count_anew();
    let (status, why) = world.text("GET", "/v1/deliveries?endpoint=nobody", "").await;
    assert_eq!(status, 404, "{why}");
    assert_eq!(world.log.counted(), (0, 0), "nobody has deliveries");
}

/// Its own record was dropped, and retention has relocated it twice since.
#[tokio::test]
async fn what_was_relocated_is_read_where_it_stands_and_nothing_else_behind_the_endpoints_part() {
    let world = AdminWorld::with(MemoryLog::starting_at(10));
    let old = EventId { seq: 2, tag: 5 };
    let id = DeliveryId { seq: 2, endpoint: 1 };
    let relocate = || {
        let event = event(old, "push").into();
        others(&world);
        let at = world.log.push(Record::EventRelocated { seq: 2, event, fan_out: vec![1] });
        others(&world);
        at
    };
    let stands_at = [relocate(), relocate()];
    world.script().stands.insert(2, stands_at[1]);
    world.script().relocated = stands_at.to_vec();
    world.script().last_delivery = Some(0);

    world.log.count_anew();
    assert_eq!(world.ids("/v1/deliveries?endpoint=app").await, shown(&[id]));
    let (read, _) = world.log.counted();
    assert!(read < 20, "{read} records were read");
}

#[tokio::test]
async fn a_list_says_how_many_rows_it_has_where_the_queue_knows_it() {
    let world = AdminWorld::new();
    world.dead("push", 1);
    world.script().counts.extend([(DeliveryState::Pending, 1_234), (DeliveryState::Dead, 7)]);
    for (list, total) in [
        ("/v1/deliveries?state=pending&limit=1", Some("1234")),
        ("/v1/deliveries?state=dead", Some("7")),
        ("/v1/dlq?endpoint=app", Some("7")),
        ("/v1/dlq?type=push", None),
        ("/v1/deliveries", None),
        ("/v1/deliveries?state=delivered", None),
    ] {
        let answer = world.send("GET", list, "").await;
        let header = answer.headers().get("hookbox-total");
        assert_eq!(header.map(|value| value.to_str().expect("text")), total, "{list}");
    }
}
