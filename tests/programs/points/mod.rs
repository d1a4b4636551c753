//! P-07, P-10: the daemon dies at every step of a commit, a roll, a checkpoint, a relocation, a
//! drop and a start.
//!
//! The real daemon under load (bodies of 10 B to 60 KB, segments of 1 MiB that are rolled, and
//! dropped a second after they were sealed, with events in them that have to be relocated) is
//! killed by itself at one point. A restart must have everything that was answered 202, a log that
//! verifies, and brings every event to its endpoint. A table tells for each point what was
//! acknowledged, lost, and delivered twice (which is no fault: the receiver's 200 was not
//! remembered).
//!
//! P-10: a panic in the scheduler's thread, or in the reader's, ends the process at once, and
//! nothing is acknowledged after it.
//!
//! Results: four rounds (HOOKBOX_SEED=20273): 124 deaths at 31 points, 44,783 acknowledged, 0 lost,
//! 190 delivered twice. Panics (seed 20279): five, 2,110 acknowledged, 0 lost, the process gone 1
//! to 45 ms after the panic's line.
//!
//! The points are in every build with debug assertions, so in the programs that `cargo test`
//! builds, and in no release. `HOOKBOX_POINT_ROUNDS` says how often each point is tried,
//! `HOOKBOX_SEED` which time it is reached.

use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant};

use crate::support::ledger::{Acked, Load, Pace, look_up};
use crate::support::rng::Rng;
use crate::support::sizes::{require, size};
use crate::support::{Daemon, Home, Receiver, SOON, Step, side_by_side, until};

/// Each point, and the last time at which it is tried.
const POINTS: [(&str, u64); 40] = [
    ("commit.begun", 60),
    ("commit.parts", 60),
    ("commit.written", 60),
    ("commit.flushed", 60),
    ("commit.synced", 60),
    ("commit.marked", 60),
    ("step.committed", 60),
    ("step.released", 60),
    ("ahead.written", 6),
    ("ahead.synced", 6),
    ("ahead.synced>commit.parts", 6),
    ("roll.begun", 3),
    ("roll.begun>roll.made", 2),
    ("roll.begun>roll.filled", 2),
    ("roll.begun>roll.synced", 2),
    ("roll.begun>roll.renamed", 2),
    ("roll.created", 3),
    ("roll.created>checked.written", 1),
    ("roll.sealed", 3),
    ("roll.done", 3),
    ("checkpoint.part", 4),
    ("checkpoint.part>commit.flushed", 2),
    ("checkpoint.part>commit.synced", 2),
    ("checkpoint.marked", 2),
    ("checkpoint.marked>commit.synced", 1),
    ("checkpoint.done", 2),
    ("relocate.gathered", 2),
    ("relocate.gathered>commit.written", 3),
    ("relocate.gathered>commit.flushed", 3),
    ("relocate.gathered>commit.synced", 3),
    ("relocate.gathered>commit.marked", 3),
    ("drop.begun", 2),
    ("drop.begun>checked.written", 1),
    ("drop.noted", 2),
    ("drop.renamed", 2),
    ("drop.unsealed", 2),
    ("drop.done", 2),
    ("open.tidied", 1),
    ("open.read", 1),
    ("open.marked", 1),
];
/// Endpoints of 14 KiB: a checkpoint of two steps.
const LARGE_ENDPOINTS: usize = 12;
/// Deaths at a time: for the second after which segments go they only wait.
const AT_A_TIME: usize = 3;

#[test]
#[ignore = "takes a minute; .ci/run runs it"]
fn p07_a_kill_at_every_step_loses_nothing() {
    let seed = asked_for();
    let rounds: u64 = size("HOOKBOX_POINT_ROUNDS");
    let mut rng = Rng::new(seed);
    println!("{:38} {:>12} {:>5} {:>6}", "points: killed at", "acknowledged", "lost", "twice");
    let tries = POINTS.iter().flat_map(|(point, times)| (0..rounds).map(move |_| (*point, *times)));
    let tries: Vec<(String, u64)> = tries
        .map(|(point, times)| {
            // A start syncs as well: a commit's points are tried from the third time on.
            let from = if times > 10 { 3 } else { 1 };
            (format!("{point}:{}", from + rng.below(times)), rng.next())
        })
        .collect();
    side_by_side(AT_A_TIME, &tries, |_, (at, seed)| {
        let row = try_point(at, *seed);
        println!("points: {at:30} {:>12} {:>5} {:>6}", row.acknowledged, row.lost.len(), row.twice);
        assert!(row.lost.is_empty(), "{at}: lost {:#?}", row.lost);
    });
}

#[test]
#[ignore = "takes a minute; .ci/run runs it"]
fn p10_a_panic_ends_the_process_at_once() {
    let seed = asked_for();
    let mut rng = Rng::new(seed);
    for point in
        ["commit.written", "commit.flushed", "step.committed", "relocate.gathered", "drop.begun"]
    {
        let (from, most) = if point.starts_with("commit") || point.starts_with("step") {
            (20, 60)
        } else {
            (1, 2)
        };
        let at = format!("{point}:{}!panic", from + rng.below(most));

        let row = try_point(&at, rng.next());
        println!(
            "points: {at}: ended within {:?}, {} acknowledged, {} after the panic, {} lost",
            row.took,
            row.acknowledged,
            row.late,
            row.lost.len()
        );

        assert!(row.lost.is_empty(), "{at}: lost {:#?}", row.lost);
        // That it ends at once is shown by this, not by a clock: posters go on until it is gone.
        assert_eq!(row.late, 0, "{at}: acknowledged after a panic");
    }
}

/// The seed.
fn asked_for() -> u64 {
    require((!cfg!(debug_assertions) || std::env::var_os("HOOKBOX_PROGRAMS").is_some()).then(
        || "optimized programs have no fail points; the ones of `cargo test` have".to_owned(),
    ));
    let seed = Rng::seed_from_env();
    println!("points: HOOKBOX_SEED={seed}");
    seed
}

/// What one death came to.
struct Row {
    acknowledged: usize,
    lost: Vec<String>,
    /// Deliveries made twice.
    twice: usize,
    /// Sent after the death was seen, and acknowledged.
    late: usize,
    /// From the panic's line to the process's end.
    took: Duration,
}

fn try_point(at: &str, seed: u64) -> Row {
    let receiver = Receiver::start();
    receiver.forget_bodies();
    receiver.always("/kept", Step::Status(503));

    let mut home = Home::new();
    let small = "[log]\nsegment_size = \"1MiB\"\n[retention]\ndelivered = \"1s\"\n";
    let config = home.write("hookbox.toml", small);
    home.args.extend(["--config".to_owned(), config]);

    let daemon = home.start();
    for name in ["done", "kept"] {
        daemon.json(&["source", "create", name, "--verify", "none", "--max-body", "8MiB"]);
        let url = receiver.url(&format!("/{name}"));
        let policy = ["--from", name, "--allow-private", "--retry-base", "1h"];
        daemon.json(&[&["endpoint", "create", name, "--url", &url][..], &policy].concat());
    }
    create_large_endpoints(&daemon, seed);

    let starting = at.starts_with("open.");
    let (acked, died) = if starting {
        let load = Load::start(daemon.addr, &pace(2 << 20), seed);
        until("some events", SOON, || load.is_over().then_some(()));
        daemon.kill();
        home.environment.push(("HOOKBOX_FAIL_AT".to_owned(), at.to_owned()));
        let why = home.spawn().ready(SOON).expect_err("it dies while it starts");
        assert!(why.contains("ended with"), "{at}: {why}");
        (load.end(), None)
    } else {
        assert_eq!(daemon.terminate().code(), Some(0));
        home.environment.push(("HOOKBOX_FAIL_AT".to_owned(), at.to_owned()));
        let daemon = home.start();
        let mut pace = pace(24 << 20);
        if at.starts_with("ahead.") {
            // So large that some are written ahead of their commits.
            (pace.largest, pace.bytes) = (4_000_000, 96 << 20);
        }
        let load = Load::start(daemon.addr, &pace, seed);
        let died = await_death(daemon, at);
        (load.end(), Some(died))
    };

    home.environment.clear();
    // Its own retention is long: nothing is dropped while it is looked at.
    home.args.truncate(home.args.len() - 2);
    let mut row = check_restart(&home, &receiver, &acked, at);

    if let Some((since, took)) = died {
        row.late = acked.iter().filter(|event| event.sent > since).count();
        row.took = took;
    }
    row
}

/// Endpoints to which nothing goes, with templates that make the state larger than what is written
/// when a segment is begun.
fn create_large_endpoints(daemon: &Daemon, seed: u64) {
    daemon.json(&["source", "create", "unused", "--verify", "none"]);
    let mut rng = Rng::new(seed);
    for n in 0..LARGE_ENDPOINTS {
        let text: String = (0..900).map(|_| format!("{:016x}", rng.next())).collect();
        let (name, body) = (format!("large{n}"), format!("{{{{ id }}}} {text}"));
        let more = ["--from", "unused", "--allow-private", "--body", &body];
        let url = ["endpoint", "create", &name, "--url", "http://127.0.0.1:9/"];
        daemon.json(&[&url[..], &more].concat());
    }
}

fn pace(bytes: u64) -> Pace {
    Pace {
        posters: 4,
        pause_us: 1_000,
        bytes,
        largest: 60_000,
        sources: ["done", "kept"],
        kept_percent: 5,
    }
}

/// Waits for the daemon's end; when it began to die, as far as one can see, and how long it took
/// from there.
fn await_death(mut daemon: Daemon, at: &str) -> (Instant, Duration) {
    let begun = Instant::now();
    let mut seen: Option<Instant> = None;
    loop {
        if seen.is_none() && daemon.log_text().contains("the fail point") {
            seen = Some(Instant::now());
        }
        if daemon.ended().is_some() {
            let now = Instant::now();
            return (seen.unwrap_or(now), seen.map_or(Duration::ZERO, |seen| now - seen));
        }
        assert!(begun.elapsed() < SOON, "{at} was not reached");
        std::thread::sleep(Duration::from_micros(500));
    }
}

/// Whether death may come before anybody has read an answer: the first commits and steps.
fn is_early(at: &str) -> bool {
    let of_each_commit = at.starts_with("commit.") || at.starts_with("step.");
    let number = at.rsplit(':').next().and_then(|number| number.parse::<u64>().ok());
    of_each_commit && number.is_some_and(|number| number < 20)
}

/// A restart has everything, and everything arrives.
fn check_restart(home: &Home, receiver: &Receiver, acked: &[Acked], at: &str) -> Row {
    let daemon = home.spawn().ready(SOON).unwrap_or_else(|why| panic!("{at}: no restart: {why}"));
    let census = look_up(&daemon.socket, acked).unwrap_or_else(|e| panic!("{at}: {e}"));
    assert!(census.verified(), "{at}: {}", census.report);
    assert!(!acked.is_empty() || is_early(at), "{at}: the test has no load");

    let mut lost: Vec<String> = census.lost.iter().map(|(_, what)| what.clone()).collect();
    let wanted: HashSet<&str> =
        acked.iter().filter(|event| !event.kept).map(|event| event.id.as_str()).collect();

    let begun = Instant::now();
    let twice = loop {
        let mut came: HashMap<String, usize> = HashMap::new();
        for seen in receiver.seen("/done") {
            *came.entry(seen.id().to_owned()).or_default() += 1;
        }
        let missing: Vec<&&str> = wanted.iter().filter(|id| !came.contains_key(**id)).collect();
        if missing.is_empty() {
            break came.values().filter(|count| **count > 1).count();
        }
        if begun.elapsed() > SOON {
            lost.extend(missing.iter().map(|id| format!("{id} never came to its endpoint")));
            break 0;
        }
        std::thread::sleep(Duration::from_millis(20));
    };

    assert_eq!(daemon.terminate().code(), Some(0), "{at}");
    Row { acknowledged: acked.len(), lost, twice, late: 0, took: Duration::ZERO }
}
