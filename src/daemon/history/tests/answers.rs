//! What is asked, and how it is answered.

use super::super::answer::answer;
use super::{DAY, HOUR, HistoryWorld, MINUTE, SECOND, START};
use crate::admin::HistoryAsk;
use crate::scheduler::{Counted, Tally};

#[test]
fn a_step_suits_the_time_and_there_is_a_bound_on_rows() {
    let mut world = HistoryWorld::new();
    world.pass(10 * MINUTE);
    world.accept(1, &[]);
    for (ago, step) in [
        (10 * MINUTE, 10 * SECOND),
        (HOUR, 30 * SECOND),
        (DAY, 10 * MINUTE),
        (7 * DAY, 2 * HOUR),
        (30 * DAY, 6 * HOUR),
        (400 * DAY, DAY),
    ] {
        assert_eq!(world.ask(ago, None).step_ms, step, "{ago}");
    }

    let until = world.now.wall_ms;
    let ask = |since, step| HistoryAsk { endpoint: None, since, until, step_ms: Some(step) };
    let refused = |ask| answer(&world.history, &ask, until).expect_err("refused");
    let why = refused(ask(until - DAY, 10 * SECOND));
    assert!(why.contains("8640 steps") && why.contains("1m"), "{why}");
    assert!(refused(ask(until, 10 * SECOND)).contains("before"));
    assert!(answer(&world.history, &ask(0, 1), until).is_err());
    assert!(answer(&world.history, &ask(until - 1, u64::MAX), until).is_ok());
}

#[test]
fn latencies_are_quantiles_of_the_deliveries() {
    let mut world = HistoryWorld::new();
    let mut all = Counted { delivered: 100, ..Counted::default() };
    (all.latency[0], all.latency[4]) = (90, 10);
    let mut commit = [0; crate::scheduler::DURATIONS];
    commit[2] = 7;
    world.look(Tally { all, commit, ..Tally::default() });
    let row = world.ask(MINUTE, None).total;
    assert_eq!(row.latency_p50_ms, Some(6), "half of 90 that took up to 10 ms");
    assert_eq!(row.latency_p99_ms, Some(950), "nine of ten between 500 and 1000 ms");
    assert!(row.commit_p99_ms.is_some_and(|ms| (3..=5).contains(&ms)), "{row:?}");
    assert_eq!(row.disk_bytes, Some(1 << 20));
}

#[test]
fn times_to_come_are_unknown() {
    let mut world = HistoryWorld::new();
    world.accept(1, &[]);
    let now = world.now.wall_ms;
    let (since, until) = (now - HOUR, now + HOUR);
    let ask = HistoryAsk { endpoint: None, since, until, step_ms: Some(10 * MINUTE) };
    let view = answer(&world.history, &ask, now).expect("an answer");
    let known: Vec<bool> = view.rows.iter().map(|row| row.accepted.is_some()).collect();
    assert_eq!(known.iter().filter(|known| **known).count(), 1, "{known:?}");
}

#[test]
fn what_waits_is_not_older_than_it_was_when_it_was_looked_at() {
    let mut world = HistoryWorld::new();
    world.endpoints = vec![(1, START)];
    world.pass(50 * SECOND);
    (world.pending, world.oldest_age_ms) = (2, 5_000);
    world.accept(2, &[1]);
    let oldest = |world: &HistoryWorld| world.ask_endpoint(1, HOUR).rows.last().map(|r| r.oldest_s);
    assert_eq!(oldest(&world), Some(Some(5)));
    world.pass(2 * MINUTE);
    world.look(Tally::default());
    assert!(oldest(&world).flatten().is_some_and(|s| (110..=125).contains(&s)), "it waits on");
}
