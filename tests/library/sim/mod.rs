//! The deterministic simulation: the real queue and the real step on a virtual clock, scripted
//! receivers, and a store that crashes before or after a commit is durable. Everything follows from
//! a seed.
//!
//! A run has two phases. *Safety*: events come in, receivers misbehave, the operator meddles, the
//! process dies at random moments; after every step the checker compares. *Liveness*: the faults
//! stop, holds are released, and everything that has not ended must end.
//!
//! The receivers are good, slow, flaky, dead, gone, asking for time, refusing, too small for a
//! batch (413), picky about what is in one (422), taking only a part (and saying so in lists that
//! are long, cut or of another form), steering, or hanging, sometimes a crowd of them; the uplink
//! goes away and comes back; consumers of pull endpoints come and go.
//!
//! Checked: what was answered 202 is in the durable log after any crash; nothing is attempted after
//! its end; attempts in flight never exceed an endpoint's concurrency; a retry never comes before
//! its delay; rates hold within each life; no lane is ever reordered; a batch is bounded, and the
//! same at every attempt and in every life; no attempt is burnt while the daemon knows that it is
//! offline; an endpoint on hold is left alone; folding the durable log anew gives the live state;
//! every prefix of the log folds, and each checkpoint is what folding from the one before it
//! gives; every delivery that was ever owed ends, whatever retention drops and relocates,
//! slice by slice; every delivery that the state calls delivered was taken by its receiver, in
//! whatever form that said which it did not take; pauses, open breakers and replays hold over
//! crashes; what waits ends at its max age, whatever it waits for, and not before; with `--catch-up
//! latest` no receiver sees an old value last (`restraint`); no delay is shorter than the policy
//! has it, and a batch is halved only where something is taken (`policy`); the backlog that a start
//! finds keeps to its paces, by turns, the newest of it first where that was asked for (`backlog`);
//! endpoints that take everything wait for no others, whatever crowd hangs beside them (`witness`).
//!
//! Beside the random world, `promises` has a scripted one (`script`) for each promise about what
//! restrains deliveries. `mutations` has patches that take fixes out again: `just sim-mutations`
//! demands that they are noticed.
//!
//! `HOOKBOX_SIM_SEEDS` says how many seeds (`sizes` has the default), `HOOKBOX_SIM_FIRST` the first
//! one. A failure prints its seed.

mod latency;
mod promises;
mod requests;
mod restraint;
mod script;
mod shares;
mod store;
mod world;

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use crate::support::sizes::size;

#[test]
fn every_seed_keeps_every_promise() {
    let (first, seeds) = (size("HOOKBOX_SIM_FIRST"), size("HOOKBOX_SIM_SEEDS"));
    let most_failures = size("HOOKBOX_SIM_FAILURES");
    let (next, totals) = (AtomicU64::new(first), Mutex::new(world::Totals::default()));
    let failed = Mutex::new(BTreeMap::new());
    let work = || {
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= first + seeds
                || failed.lock().expect("nobody panics with it").len() as u64 >= most_failures
            {
                return;
            }
            match catch_unwind(AssertUnwindSafe(|| world::run(seed))) {
                Ok(run) => totals.lock().expect("nobody panics with it").add(&run),
                Err(panic) => {
                    let words = panic.downcast_ref::<String>().cloned();
                    let words =
                        words.or_else(|| panic.downcast_ref::<&str>().map(|s| (*s).to_owned()));
                    failed
                        .lock()
                        .expect("nobody panics with it")
                        .insert(seed, words.unwrap_or_default());
                }
            }
        }
    };

    // Each seed has a world of its own.
    thread::scope(|scope| {
        let threads = thread::available_parallelism().map_or(1, usize::from);
        (0..threads).for_each(|_| drop(scope.spawn(work)));
    });
    let (totals, failed) = (
        totals.into_inner().expect("all have ended"),
        failed.into_inner().expect("all have ended"),
    );
    println!("{seeds} seeds from {first}: {totals:?}");
    let reports = failed.iter().map(|(seed, why)| {
        format!(
            "\nseed {seed} (repeat it with HOOKBOX_SIM_FIRST={seed} HOOKBOX_SIM_SEEDS=1): {why}"
        )
    });
    assert!(
        failed.is_empty(),
        "seeds that failed: {:?}{}",
        failed.keys(),
        reports.collect::<String>()
    );

    // A single world may be.
    let is_enough = seeds < 10;
    assert!(
        is_enough || totals.acknowledged > seeds && totals.crashes > 0 && totals.delivered > 0,
        "the world was too quiet"
    );
    let missing = totals.missing();
    assert!(seeds < 300 || missing.is_empty(), "no world had {missing:?}");
}

/// In another process, where every table of the standard library has another order, each seed runs
/// alike.
#[test]
fn a_seed_runs_alike_in_every_process() {
    const TRACES: &str = "HOOKBOX_SIM_TRACES";
    let traces = || (1..=6).map(|seed| format!("seed {seed}: {:016x}", world::run(seed).trace));
    if std::env::var_os(TRACES).is_some() {
        return traces().for_each(|trace| println!("{trace}"));
    }
    let myself = std::env::current_exe().expect("this program");
    let test = "sim::a_seed_runs_alike_in_every_process";
    let other =
        Command::new(myself).args([test, "--exact", "--nocapture"]).env(TRACES, "1").output();
    let other = other.expect("another process");
    assert!(other.status.success(), "{:.2000}", String::from_utf8_lossy(&other.stderr));
    let printed = String::from_utf8(other.stdout).expect("text");
    let theirs: Vec<&str> =
        printed.lines().filter_map(|line| Some(&line[line.find("seed ")?..])).collect();
    assert_eq!(theirs, traces().collect::<Vec<_>>(), "{printed}");
}

/// 99 endpoints that take nothing do not slow down the one that does: its 99th percentile grows by
/// less than a tenth. Where they all begin to hang at once, it has one slot at least, so its
/// deliveries wait for one another, not for them.
#[test]
fn dead_endpoints_cost_an_honest_one_no_time() {
    let alone = latency::percentiles(0, 0);
    let beside = latency::percentiles(99, 0);
    let dying = latency::percentiles(99, 100_000);
    println!(
        "accepted to attempted, p50 and p99 in ms: alone {alone:?}, beside 99 dead {beside:?} or \
         dying ones {dying:?}"
    );
    assert!(beside.1 * 10 <= alone.1 * 11, "alone {alone:?}, beside 99 that are dead {beside:?}");
    assert!(
        dying.1 <= alone.1 + 2 * latency::ANSWER_MS,
        "alone {alone:?}, beside 99 that die {dying:?}"
    );
}
