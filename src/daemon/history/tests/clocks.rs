//! Clocks that are set, pauses, and restarts.

use super::{DAY, HOUR, History, HistoryWorld, MINUTE, SECOND, START, accepted};
use crate::model::Now;

#[test]
fn a_clock_that_is_set_back_loses_nothing_and_counts_where_it_stands() {
    let mut world = HistoryWorld::new();
    world.pass(30 * MINUTE);
    world.accept(5, &[]);
    world.now.wall_ms -= 10 * MINUTE;
    world.accept(7, &[]);

    // Half of the stretch that comes twice has passed again.
    world.pass(5 * MINUTE);
    world.accept(1, &[]);
    let view = world.ask(HOUR, Some(MINUTE));
    assert_eq!(accepted(&view), 8, "what is ahead of the clock is not shown yet");

    // The same time again: both are counted there.
    world.pass(5 * MINUTE);
    world.accept(2, &[]);
    let view = world.ask(HOUR, Some(MINUTE));
    assert_eq!(accepted(&view), 15);
    assert_eq!(view.rows.last().and_then(|row| row.accepted), Some(7), "5 and 2");
}

#[test]
fn a_wrong_year_takes_nothing_away() {
    let mut world = HistoryWorld::new();
    for _ in 0..100 {
        world.pass(MINUTE);
        world.accept(1, &[]);
    }
    let years = 5 * 365 * DAY;
    world.now.wall_ms += years;
    for _ in 0..10 {
        world.pass(10 * SECOND);
        world.accept(100, &[]);
    }
    assert_eq!(accepted(&world.ask(HOUR, None)), 1000, "by the clock as it is");
    world.now.wall_ms -= years;
    world.accept(1, &[]);

    assert_eq!(accepted(&world.ask(2 * HOUR, Some(MINUTE))), 101);
    for _ in 0..2000 {
        world.pass(MINUTE);
        world.accept(1, &[]);
    }
    let view = world.ask(DAY - MINUTE, Some(MINUTE));
    assert!(view.rows.iter().all(|row| row.accepted == Some(1)), "all of the day is there");
}

#[test]
fn a_pause_is_nothing_and_an_end_is_unknown() {
    let mut world = HistoryWorld::new();
    world.pending = 3;
    world.accept(3, &[]);
    world.pass(2 * HOUR);
    world.look(super::Tally::default());
    let view = world.ask(2 * HOUR, Some(10 * MINUTE));
    assert!(view.rows.iter().skip(1).all(|row| row.accepted == Some(0)), "{view:?}");
    assert!(view.rows.iter().all(|row| row.pending == Some(3)), "it still waits: {view:?}");
    let last = view.rows.last().expect("a row");
    assert!(last.oldest_s.is_some_and(|s| s >= 7100), "and grows older: {last:?}");

    // Off for three hours, and on again.
    let file = world.history.write();
    let history = History::read(&file).expect("as it was written");
    let mut world = HistoryWorld::at(world.now.wall_ms + 3 * HOUR, history);
    world.pass(MINUTE);
    world.accept(1, &[]);
    let view = world.ask(6 * HOUR, Some(10 * MINUTE));
    let unknown = view.rows.iter().filter(|row| row.accepted.is_none()).count();
    assert!((17 + 6..=18 + 6).contains(&unknown), "off, and before the first start: {unknown}");
    assert_eq!(view.total.accepted, Some(4));
    assert_eq!(view.rows.last().and_then(|row| row.pending), Some(0));
}

#[test]
fn how_things_stand_at_a_start_is_written_down_though_nothing_has_changed() {
    let mut world = HistoryWorld::new();
    world.pending = 3;
    world.accept(3, &[]);
    let now = Now { mono_ms: 0, wall_ms: world.now.wall_ms + 3 * HOUR };
    let history = History::read(&world.history.write()).expect("as it was written");
    let mut world = HistoryWorld { history, now, ..world };
    world.look(super::Tally::default());
    world.pass(HOUR);
    world.look(super::Tally::default());
    let view = world.ask(2 * HOUR, Some(10 * MINUTE));
    let pending: Vec<Option<u64>> = view.rows.iter().map(|row| row.pending).collect();
    assert_eq!(pending[..6], [None; 6], "off");
    assert_eq!(pending[6..], [Some(3); 7]);
}

#[test]
fn sleep_of_the_machine_is_no_time_of_the_daemon() {
    let mut world = HistoryWorld::new();
    world.pass(MINUTE);
    world.accept(1, &[]);
    // The monotonic clock stood still.
    world.now.wall_ms += 4 * HOUR;
    world.pass(10 * SECOND);
    world.accept(1, &[]);
    let view = world.ask(3 * HOUR, Some(HOUR));
    assert_eq!(view.rows[1].accepted, None, "{view:?}");
    assert_eq!(accepted(&view), 1);
}

#[test]
fn old_slots_go_and_what_is_gone_is_unknown_or_coarser() {
    let mut world = HistoryWorld::new();
    for _ in 0..6 * 60 * 30 {
        world.pass(10 * SECOND);
        world.accept(1, &[]);
    }

    let hour = world.ask(HOUR - 10 * SECOND, Some(10 * SECOND));
    assert_eq!((hour.step_ms, accepted(&hour)), (10 * SECOND, 360));
    let earlier = world.ask(3 * HOUR, Some(10 * SECOND));
    assert_eq!(earlier.step_ms, MINUTE, "ten seconds are kept for an hour");
    let day = world.ask(DAY - MINUTE, Some(10 * MINUTE));
    assert_eq!(day.rows[1].accepted, Some(60));
    let all = world.ask(31 * DAY, Some(DAY));
    assert_eq!(all.total.accepted, Some(6 * 60 * 30));
    assert_eq!(all.rows[0].accepted, None, "before the first start");
    assert!(START < world.now.wall_ms);
}
