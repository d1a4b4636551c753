//! Nothing is lost or counted twice: sums over coarse slots are the sums over fine ones.

use proptest::prelude::*;

use super::super::figures::{Figures, Gauge, quantile_ms};
use super::super::ring::{Ring, RingSize};
use super::{DAY, HOUR, HistoryWorld, MINUTE, SECOND, START, accepted};
use crate::model::limits;
use crate::scheduler::{Counted, DURATIONS, SHORT_MS, Tally};

fn some_figures() -> impl Strategy<Value = Figures> {
    let count = prop_oneof![Just(0), 0..300_u64, any::<u32>().prop_map(u64::from)];
    let counts = proptest::collection::vec(count, 9 + 2 * DURATIONS);
    counts.prop_map(|counts| {
        let mut figures = Figures {
            pending: Gauge { last: counts[0].min(counts[1]), most: counts[1] },
            oldest_s: Gauge { last: counts[2].min(counts[3]), most: counts[3] },
            accepted: counts[4],
            delivered: counts[5],
            failed: counts[6],
            dead: counts[7],
            disk_kib: counts[8],
            ..Figures::default()
        };
        figures.latency.copy_from_slice(&counts[9..9 + DURATIONS]);
        figures.commit.copy_from_slice(&counts[9 + DURATIONS..]);
        figures
    })
}

/// All figures of a ring together.
fn sum(ring: &Ring) -> Figures {
    let mut sum = Figures::default();
    ring.each(|_, figures| sum.then(figures));
    sum
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn coarse_rings_hold_what_fine_ones_hold(
        steps in proptest::collection::vec((0..3 * MINUTE, some_figures()), 1..120),
    ) {
        let size = |slot_ms| RingSize { slot_ms, slots: 1000, bytes: 1 << 20 };
        let mut rings = [10 * SECOND, MINUTE, HOUR].map(|slot_ms| Ring::new(size(slot_ms)));
        let (mut at, mut all) = (START, Figures::default());
        for (pause, figures) in &steps {
            at += pause;
            all.then(figures);
            rings.iter_mut().for_each(|ring| ring.add(at, figures));
        }
        for ring in &rings {
            prop_assert_eq!(&sum(ring), &all);
        }

        // The same after the file.
        for ring in &rings {
            let mut file = Vec::new();
            ring.write(&mut file);
            let read = Ring::read(&mut &file[..], size(ring.slot_ms())).expect("as it was written");
            prop_assert_eq!(&sum(&read), &all);
            prop_assert_eq!(read.latest(), ring.latest());
        }
    }

    #[test]
    fn rows_of_every_step_have_the_same_sum(
        steps in proptest::collection::vec((0..HOUR / 4, 1..1000_u64), 1..100),
    ) {
        let mut world = HistoryWorld::new();
        let mut all = 0;
        for (pause, count) in steps {
            world.pass(pause);
            world.accept(count, &[]);
            all += count;
        }
        for step in [2 * MINUTE, 7 * MINUTE, HOUR, DAY] {
            let view = world.ask(26 * HOUR, Some(step));
            let longest = view.rows.len() <= limits::HISTORY_ROWS;
            prop_assert!(longest);
            prop_assert_eq!(view.total.accepted, Some(all));
            prop_assert_eq!(accepted(&view), all, "step {}", step);
        }
    }

    #[test]
    fn a_quantile_lies_in_its_class(
        counts in proptest::array::uniform14(0..50_u64),
        part in 0..=1000_u64,
    ) {
        let total: u64 = counts.iter().sum();
        let found = quantile_ms(&counts, SHORT_MS, part);
        prop_assert_eq!(found.is_some(), total > 0);
        if let Some(ms) = found {
            let at_most: u64 =
                counts.iter().zip(SHORT_MS).filter(|(_, bound)| **bound < ms).map(|(n, _)| n).sum();
            let rank = (total * part).div_ceil(1000).max(1);
            prop_assert!(at_most < rank, "{} of {}", at_most, total);
        }
    }
}

/// Every number is as large as it can be, in every slot, of every endpoint.
#[test]
fn the_fullest_history_fits_its_limit() {
    let endpoints: Vec<u32> = (1..=64).collect();
    let counted = Counted {
        accepted: u64::from(u32::MAX),
        delivered: u64::from(u32::MAX),
        failed: u64::from(u32::MAX),
        dead: u64::from(u32::MAX),
        latency: [u64::from(u32::MAX); DURATIONS],
    };

    let mut world = HistoryWorld::new();
    world.endpoints = endpoints.iter().map(|id| (*id, START)).collect();
    for n in 0..3 * 1440 {
        world.pass(MINUTE);
        (world.pending, world.oldest_age_ms) = (u64::from(u32::MAX) + n, n << 40);
        world.look(Tally {
            all: counted.clone(),
            commit: counted.latency,
            endpoints: endpoints.iter().map(|id| (*id, counted.clone())).collect(),
        });
        assert!(world.history.size() <= limits::HISTORY_BYTES, "{}", world.history.size());
    }
    assert!(world.history.write().len() <= limits::HISTORY_BYTES);
    println!(
        "{} bytes in memory, {} in the file",
        world.history.size(),
        world.history.write().len()
    );
}

/// What a busy box does in each ten seconds, for more than a day: it has the whole day.
#[test]
fn a_busy_day_is_kept_whole() {
    let endpoints: Vec<u32> = (1..=64).collect();
    let mut of_endpoint = Counted { accepted: 2_000, delivered: 1_990, ..Counted::default() };
    of_endpoint.failed = 30;
    of_endpoint.latency[..4].copy_from_slice(&[1_500, 300, 150, 40]);
    let mut all = of_endpoint.clone();
    for count in [&mut all.accepted, &mut all.delivered, &mut all.failed] {
        *count *= 64;
    }
    let mut commit = [0; DURATIONS];
    commit[..4].copy_from_slice(&[3_000, 400, 50, 3]);

    let mut world = HistoryWorld::new();
    world.endpoints = endpoints.iter().map(|id| (*id, START)).collect();
    let rounds = 25 * 60;
    for n in 0..rounds {
        world.pass(MINUTE);
        (world.pending, world.oldest_age_ms) = (700 + n % 50, 3_000);
        let endpoints = endpoints.iter().map(|id| (*id, of_endpoint.clone())).collect();
        world.look(Tally { all: all.clone(), commit, endpoints });
    }

    assert_eq!(accepted(&world.ask(DAY - MINUTE, Some(MINUTE))), 1440 * 128_000);
    for id in &endpoints {
        let view = world.ask_endpoint(*id, DAY - MINUTE);
        assert!(view.rows.iter().all(|row| row.accepted == Some(2_000)), "{:?}", view.rows[0]);
    }
    println!(
        "{} bytes in memory, {} in the file",
        world.history.size(),
        world.history.write().len()
    );
}
