//! Lists over a long log read what can be wanted, and not all of it.

use std::sync::atomic::Ordering;

use super::AdminWorld;
use crate::model::{DeliveryId, DeliveryState, limits};

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
