//! P-08: the daemon is stopped (SIGSTOP) for a while in the middle of its work, then goes on.
//!
//! What was due in the meantime is attempted once, not once for each time it would have been due;
//! the endpoint's rate and its window hold; nobody takes the pause for a dead disk; nothing
//! acknowledged is lost.

use std::time::Duration;

use rustix::process::Signal;

use super::support::ledger::{Acked, Load, Pace, look_up};
use super::support::sizes::size;
use super::support::{Daemon, Home, Receiver, SOON, Step, keeps_rate, until, wall_now_ms};

/// Events that wait for their next try, so often for each.
const RETRYING: usize = 40;
const RETRY_MS: u64 = 500;
/// The endpoint that may be sent to at this rate at most.
const RATE: usize = 20;

#[test]
fn p08_a_process_that_was_stopped_makes_no_storm() {
    let seconds = size("HOOKBOX_STOP_SECONDS");
    let receiver = Receiver::start();
    receiver.forget_bodies();
    receiver.always("/retrying", Step::Status(503));
    let home = Home::new();
    let daemon = home.start();
    set_up(&daemon, &receiver);

    for number in 0..RETRYING {
        daemon.accept("/in/retrying", &[], format!("{number}").as_bytes());
    }
    let slow = RATE * (usize::try_from(seconds).expect("small") + 4);
    for number in 0..slow {
        daemon.accept("/in/slow", &[], format!("{number}").as_bytes());
    }
    until("several tries", SOON, || (receiver.count("/retrying") > 3 * RETRYING).then_some(()));

    let (resumed, acked) = stopped_under_load(&daemon, &receiver, seconds);
    until("all of the slow endpoint", SOON, || {
        (daemon.asked("/v1/endpoints/slow")["requests_succeeded"].as_u64() == Some(slow as u64))
            .then_some(())
    });

    let tries = none_in_a_row(&daemon, resumed, seconds);
    println!(
        "stopped for {seconds} s: {tries} tries of {RETRYING} deliveries after it; most at a time \
         {}; {} events acknowledged",
        receiver.busiest(),
        acked.len()
    );
    keeps_rate(&daemon.attempts("slow"), RATE as f64, RATE as f64 * 1.5);
    let census = look_up(&daemon.socket, &acked).expect("it answers");
    assert!(census.lost.is_empty() && census.verified(), "{:#?} {}", census.lost, census.report);
    assert_eq!(daemon.terminate().code(), Some(0));
}

/// A source and an endpoint for what is retried, for what has a rate, and for load.
fn set_up(daemon: &Daemon, receiver: &Receiver) {
    let every = format!("{RETRY_MS}ms");
    let retry =
        ["--retry-base", &every, "--retry-factor", "1", "--retry-max", &every, "--jitter", "0"];

    for (name, more) in [("retrying", &retry[..]), ("slow", &["--rate", "20/s"]), ("in", &[])] {
        daemon.json(&["source", "create", name, "--verify", "none"]);
        let url = receiver.url(&format!("/{name}"));
        let common = ["endpoint", "create", name, "--url", &url, "--from", name, "--allow-private"];
        daemon.json(&[&common[..], more].concat());
    }
}

/// Stops the daemon for so long while events come in, and waits until all is tried again; when it
/// went on, and what was acknowledged.
fn stopped_under_load(daemon: &Daemon, receiver: &Receiver, seconds: u64) -> (u64, Vec<Acked>) {
    let pace = Pace {
        posters: 2,
        pause_us: 500,
        bytes: 64 << 20,
        largest: 2_000,
        sources: ["in", "in"],
        kept_percent: 0,
    };
    let load = Load::start(daemon.addr, &pace, 1);
    until("some load", SOON, || (load.count() > 50).then_some(()));

    daemon.signal(Signal::STOP);
    // The length of the pause is what is tried here.
    std::thread::sleep(Duration::from_secs(seconds));
    let resumed = wall_now_ms();
    daemon.signal(Signal::CONT);

    // A connection on which nothing came for a minute may be closed: there are new ones.
    let more = Load::start(daemon.addr, &pace, 2);
    until("it to go on", SOON, || (more.count() > 50).then_some(()));
    let before = receiver.count("/retrying");
    until("all to be tried again", SOON, || {
        (receiver.count("/retrying") >= before + 2 * RETRYING).then_some(())
    });

    let mut acked = load.end();
    acked.extend(more.end());
    (resumed, acked)
}

/// Since it went on, what was due in the meantime is tried once; how many tries there were.
fn none_in_a_row(daemon: &Daemon, resumed: u64, seconds: u64) -> usize {
    // By the daemon's own times: what comes to the receiver waits for this process, too.
    let retrying = daemon.histories("retrying");
    let since =
        |times: &[u64]| times.iter().copied().filter(|at| *at >= resumed).collect::<Vec<u64>>();
    let again: Vec<Vec<u64>> = retrying.values().map(|times| since(times)).collect();

    assert!(again.iter().any(|times| times.len() > 1), "nothing was tried after it");
    for times in &again {
        let is_early = |pair: &[u64]| pair[1] + 5 < pair[0] + RETRY_MS;
        assert!(
            !times.windows(2).any(is_early),
            "what was due {seconds} s long is tried in a row: {times:?}"
        );
    }
    again.iter().map(Vec::len).sum()
}
