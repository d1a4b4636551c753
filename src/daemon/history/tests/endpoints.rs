//! Histories of endpoints: the busiest ones have one.

use super::{DAY, HOUR, HistoryWorld, MINUTE, START, accepted};
use crate::model::EndpointId;

/// A world in which all places are taken, by endpoints that get ten events a minute.
fn full() -> (HistoryWorld, Vec<EndpointId>) {
    let mut world = HistoryWorld::new();
    world.endpoints = (1..=100).map(|id| (id, START)).collect();
    let busy: Vec<EndpointId> = (1..=64).collect();
    for _ in 0..10 {
        world.pass(MINUTE);
        world.accept(10, &busy);
    }
    (world, busy)
}

#[test]
fn the_sixty_fifth_endpoint_gets_a_place_when_it_is_busier_by_far() {
    let (mut world, busy) = full();
    world.accept(10, &[65]);
    let none = world.ask_endpoint(65, HOUR);
    assert!(none.note.is_some() && none.rows.iter().all(|row| row.accepted.is_none()));
    assert_eq!(none.total.accepted, None);

    // As busy as the others: they do not change places all the time.
    for _ in 0..20 {
        world.pass(MINUTE);
        world.accept(10, &busy);
        world.accept(10, &[65]);
    }
    assert!(world.ask_endpoint(65, HOUR).note.is_some());

    // Half as busy again: they still do not.
    for _ in 0..10 {
        world.pass(MINUTE);
        world.accept(10, &busy[1..]);
        world.accept(30, &[65]);
    }
    assert!(world.ask_endpoint(65, HOUR).note.is_some());

    // Ten times as busy: it takes the place of the least busy one, and all others keep theirs.
    for _ in 0..15 {
        world.pass(MINUTE);
        world.accept(10, &busy[1..]);
        world.accept(100, &[65]);
    }
    assert!(accepted(&world.ask_endpoint(65, HOUR)) > 0);
    assert!(world.ask_endpoint(1, HOUR).note.is_some(), "the least busy one");
    assert!((2..=64).all(|id| world.ask_endpoint(id, HOUR).note.is_none()));
}

#[test]
fn who_was_busy_yesterday_makes_room() {
    let (mut world, busy) = full();
    world.pass(2 * DAY);
    for _ in 0..3 {
        world.pass(MINUTE);
        world.accept(1, &[70]);
    }
    assert_eq!(accepted(&world.ask_endpoint(70, HOUR)), 3, "none of the 64 did anything lately");
    let left = busy.iter().filter(|id| world.ask_endpoint(**id, HOUR).note.is_none());
    assert_eq!(left.count(), 63);
}

#[test]
fn a_deleted_endpoint_takes_its_history_along_and_a_new_one_begins_with_none() {
    let mut world = HistoryWorld::new();
    world.endpoints = vec![(1, START)];
    world.accept(5, &[1]);
    assert_eq!(accepted(&world.ask_endpoint(1, HOUR)), 5);
    world.pass(MINUTE);
    world.endpoints.clear();
    world.accept(1, &[]);
    assert!(world.ask_endpoint(1, HOUR).note.is_some());
    assert_eq!(accepted(&world.ask(HOUR, None)), 6, "over all it stays");

    // In another log the same number may be somebody else's.
    world.endpoints = vec![(1, START)];
    world.accept(5, &[1]);
    world.endpoints = vec![(1, START + 1)];
    world.pass(MINUTE);
    world.accept(2, &[1]);
    assert_eq!(accepted(&world.ask_endpoint(1, HOUR)), 2);
}

#[test]
fn before_an_endpoint_has_a_history_nothing_is_known() {
    let mut world = HistoryWorld::new();
    world.endpoints = vec![(1, START)];
    world.pass(30 * MINUTE);
    world.accept(5, &[1]);
    let view = world.ask_endpoint(1, HOUR);
    let known = view.rows.iter().filter(|row| row.accepted.is_some()).count();
    assert_eq!(known, 1, "{view:?}");
    let row = view.rows.last().expect("a row");
    assert_eq!((row.accepted, row.refused, row.disk_bytes), (Some(5), None, None));
}
