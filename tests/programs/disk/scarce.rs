//! D-07, D-09: a disk that is slow, and a system that gives few file descriptors.

use std::time::{Duration, Instant};

use super::support::ledger::{Load, Pace, look_up};
use super::support::rng::Rng;
use super::support::{Client, Home, Receiver, SOON, until};

/// What each fdatasync takes longer.
const DELAY: Duration = Duration::from_millis(500);
/// File descriptors of the whole daemon, and connections that want one.
const FILES: u32 = 64;
const CROWD: usize = 100;

#[test]
#[ignore = "needs root and an strace that can delay calls"]
fn d07_on_a_slow_disk_answers_are_slow_and_nothing_is_answered_before_its_sync() {
    let (_, seed) = super::asked_for();
    let mut home = Home::new();
    let trace = home.path().join("trace").to_string_lossy().into_owned();
    let inject = format!("inject=fdatasync:delay_exit={}", DELAY.as_micros());
    home.under = ["strace", "-D", "-f", "-qq", "--seccomp-bpf", "-o", &trace]
        .into_iter()
        .chain(["-e", "trace=fdatasync", "-e", &inject])
        .map(String::from)
        .collect();

    let daemon = home.spawn().ready(SOON).expect("it starts, slowly");
    let syncs =
        || std::fs::read_to_string(&trace).map_or(0, |text| text.matches("(DELAYED)").count());
    daemon.json(&["source", "create", "in", "--verify", "none"]);

    let before = syncs();
    let mut latencies: Vec<Duration> = Vec::new();
    std::thread::scope(|scope| {
        let posters: Vec<_> = (0..64u64)
            .map(|number| {
                let mut client = daemon.client();
                scope.spawn(move || {
                    let mut rng = Rng::new(seed ^ (number << 8));
                    let mut took = Vec::new();
                    for _ in 0..6 {
                        let body = vec![b'x'; 10 + rng.index(20_000)];
                        let begun = Instant::now();
                        let answer = client.post("/in/in", &[], &body).expect("an answer");
                        assert_eq!(answer.status, 202);
                        took.push(begun.elapsed());
                    }
                    took
                })
            })
            .collect();
        latencies.extend(posters.into_iter().flat_map(|poster| poster.join().expect("no panic")));
    });

    latencies.sort_unstable();
    let (least, most) = (latencies[0], latencies[latencies.len() - 1]);
    let resident = daemon.proc_number("status", "VmRSS");
    println!(
        "disk: each fdatasync takes {DELAY:?} longer: {} answers, {least:?} to {most:?}, \
         {resident} KiB",
        latencies.len()
    );
    assert!(least >= DELAY, "an answer came after {least:?}, before its sync can have been done");

    // Group commit bounds the wait: one sync is for many of them. Each alone would take as many
    // syncs as there are answers.
    let made = syncs() - before;
    assert!(made > 0 && made < latencies.len() / 3, "{made} syncs for {} answers", latencies.len());
    assert!(resident < 200 << 10, "{resident} KiB");
    assert_eq!(daemon.terminate().code(), Some(0));
}

/// Each write takes four seconds here, and all writes of the commit far more than the ten after
/// which one that does not return ends the process.
#[test]
#[ignore = "needs root and an strace that can delay calls"]
fn d08_a_large_commit_on_a_slow_disk_ends_nothing() {
    let (_, seed) = super::asked_for();
    let mut home = Home::new();
    let daemon = home.start();
    daemon.json(&["source", "create", "in", "--verify", "none", "--max-body", "25MiB"]);
    assert_eq!(daemon.terminate().code(), Some(0));

    let trace = home.path().join("trace").to_string_lossy().into_owned();
    home.under = ["strace", "-D", "-f", "-qq", "--seccomp-bpf", "-o", &trace]
        .into_iter()
        .chain(["-e", "trace=sync_file_range"])
        .chain(["-e", "inject=sync_file_range:delay_exit=4000000"])
        .map(String::from)
        .collect();
    let mut daemon = home.spawn().ready(SOON).expect("it starts, slowly");
    let mut rng = Rng::new(seed);
    let body: Vec<u8> =
        std::iter::repeat_with(|| rng.next().to_le_bytes()).flatten().take(20 << 20).collect();

    let begun = Instant::now();
    let answer = daemon.post("/in/in", &[], &body);
    assert_eq!(answer.status, 202);
    println!("disk: a commit of 20 MiB took {:?}", begun.elapsed());
    assert!(daemon.ended().is_none(), "it ended: {}", daemon.log_text());
    daemon.kill();
}

#[test]
fn d09_without_file_descriptors_the_log_goes_on() {
    let seed = Rng::seed_from_env();
    println!("disk: HOOKBOX_SEED={seed}");
    let receiver = Receiver::start();
    receiver.forget_bodies();

    let mut home = Home::new();
    let config = home.write("hookbox.toml", super::CONFIG);
    home.args.extend(["--config".to_owned(), config]);
    let few = format!("ulimit -n {FILES}; exec \"$@\"");
    home.under = ["sh", "-c", &few, "sh"].map(String::from).into();

    let mut daemon = home.start();
    daemon.json(&["source", "create", "in", "--verify", "none"]);
    daemon.json(&["endpoint", "create", "out", "--url", &receiver.url("/out"), "--allow-private"]);

    // Rolls need descriptors as well: several segments are written meanwhile.
    let pace = Pace {
        posters: 4,
        pause_us: 0,
        bytes: 8 << 20,
        largest: 60_000,
        sources: ["in", "in"],
        kept_percent: 0,
    };
    let load = Load::start(daemon.addr, &pace, seed);
    until("some events", SOON, || (load.count() > 10).then_some(()));

    let crowd: Vec<_> = (0..CROWD).filter_map(|_| Client::connect(daemon.addr).ok()).collect();
    until("the load's end", SOON, || load.is_over().then_some(()));
    assert!(daemon.ended().is_none(), "it ended: {}", daemon.log_text());
    let acked = load.end();
    drop(crowd);
    let answered = until("an answer to somebody new", SOON, || {
        let answer =
            Client::connect(daemon.addr).and_then(|mut client| client.post("/in/in", &[], b"new"));
        answer.is_ok_and(|answer| answer.status == 202).then_some(true)
    });

    let census = look_up(&daemon.socket, &acked).expect("it answers");
    let segments = census.stat["segments"].as_array().map_or(0, Vec::len);
    println!(
        "disk: {FILES} descriptors, {CROWD} idle connections: {} acknowledged, {segments} \
         segments, {} lost",
        acked.len(),
        census.lost.len()
    );

    assert!(answered && segments > 2, "{segments} segments");
    assert!(census.lost.is_empty() && census.verified(), "{:#?} {}", census.lost, census.report);
    assert_eq!(daemon.terminate().code(), Some(0));
}
