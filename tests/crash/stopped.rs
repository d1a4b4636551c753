//! P-08: the daemon is stopped (SIGSTOP) for a while in the middle of its work, then goes on.
//!
//! What was due in the meantime is attempted once, not once for each time it would have been due; the endpoint's rate
//! and its window hold; nobody takes the pause for a dead disk; nothing acknowledged is lost.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use super::support::ledger::{Load, Pace, look_up};
use super::support::{Home, Receiver, Seen, Step, until};

/// Events that wait for their next try, every 500 ms for each.
const RETRYING: usize = 40;
/// The endpoint that may be sent to at this rate at most.
const RATE: usize = 20;

#[test]
fn p08_a_process_that_was_stopped_makes_no_storm() {
    let seconds: u64 = std::env::var("HOOKBOX_STOP_SECONDS").map_or(3, |n| n.parse().expect("a number of seconds"));
    let receiver = Receiver::start();
    receiver.forget_bodies();
    receiver.always("/retrying", Step::Status(503));
    let home = Home::new();
    let daemon = home.start();
    let retry = ["--retry-base", "500ms", "--retry-factor", "1", "--retry-max", "500ms", "--jitter", "0"];
    for (name, more) in [("retrying", &retry[..]), ("slow", &["--rate", "20/s"]), ("in", &[])] {
        daemon.json(&["source", "create", name, "--verify", "none"]);
        let url = receiver.url(&format!("/{name}"));
        let common = ["endpoint", "create", name, "--url", &url, "--from", name, "--allow-private"];
        daemon.json(&[&common[..], more].concat());
    }
    for number in 0..RETRYING {
        daemon.accept("/in/retrying", &[], format!("{number}").as_bytes());
    }
    let slow = RATE * (usize::try_from(seconds).expect("small") + 4);
    for number in 0..slow {
        daemon.accept("/in/slow", &[], format!("{number}").as_bytes());
    }
    until("several tries", Duration::from_secs(30), || (receiver.count("/retrying") > 3 * RETRYING).then_some(()));
    let pace =
        Pace { posters: 2, pause_us: 500, bytes: 64 << 20, largest: 2_000, sources: ["in", "in"], kept_percent: 0 };
    let load = Load::start(daemon.addr, &pace, 1);
    until("some load", Duration::from_secs(30), || (load.count() > 50).then_some(()));
    daemon.signal(Signal::STOP);
    // The length of the pause is what is tried here.
    std::thread::sleep(Duration::from_secs(seconds));
    let resumed = Instant::now();
    daemon.signal(Signal::CONT);
    // A connection on which nothing came for a minute may be closed: there are new ones.
    let more = Load::start(daemon.addr, &pace, 2);
    until("it to go on", Duration::from_secs(30), || (more.count() > 50).then_some(()));
    let observed = Duration::from_secs(2);
    until("two seconds after it", Duration::from_secs(10), || (resumed.elapsed() > observed).then_some(()));
    let mut acked = load.end();
    acked.extend(more.end());
    let since = |path: &str| -> Vec<Seen> {
        let in_time = |seen: &Seen| seen.at >= resumed && seen.at < resumed + observed;
        receiver.seen(path).into_iter().filter(in_time).collect()
    };
    let mut tries: HashMap<String, usize> = HashMap::new();
    since("/retrying").iter().for_each(|seen| *tries.entry(seen.id().to_owned()).or_default() += 1);
    let most = tries.values().max().copied().unwrap_or(0);
    let rated = busiest_second(&since("/slow"));
    println!(
        "stopped for {seconds} s: {} tries in 2 s after it, at most {most} of one delivery; {rated} in the busiest \
         second of an endpoint with {RATE}/s; most at a time {}; {} events acknowledged",
        tries.values().sum::<usize>(),
        receiver.busiest(),
        acked.len()
    );
    // Every 500 ms, and one that was under way.
    assert!(!tries.is_empty() && most <= 5, "a delivery that was due {seconds} s long was tried {most} times in 2 s");
    assert!(rated <= RATE + RATE / 4 + 2, "{rated} in a second of an endpoint with {RATE}/s");
    let census = look_up(&daemon.socket, &acked).expect("it answers");
    assert!(census.lost.is_empty() && census.verified(), "{:#?} {}", census.lost, census.report);
    assert_eq!(daemon.terminate().code(), Some(0));
}

fn busiest_second(seen: &[Seen]) -> usize {
    let within = |from: Instant| seen.iter().filter(|s| s.at >= from && s.at < from + Duration::from_secs(1)).count();
    seen.iter().map(|s| within(s.at)).max().unwrap_or(0)
}
