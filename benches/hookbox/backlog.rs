//! (c) Backlog: what undelivered events cost in memory, and how soon a daemon with many is
//! accepting again.

use std::time::{Duration, Instant};

use super::Options;
use super::load::{Bound, closed_loop, small_requests};
use super::report::{Report, number};
use super::support::{Client, Daemon, Home};

/// The small backlog; the big one is `--events`.
const FEW: u64 = 10_000;
/// How long the daemon is left alone before its memory is read.
const SETTLE: Duration = Duration::from_secs(3);

pub fn run(options: &Options, report: &mut Report) {
    let many = options.events.max(1);
    let few = FEW.min(many / 10).max(1);
    report.title(&format!(
        "backlog: {few} and {many} undelivered 1 KiB events behind a dead endpoint"
    ));

    let dead = dead_port();
    let home = Home::new();
    let daemon = home.start();
    report.figure("backlog.idle_rss", resident_mib(&daemon), "MiB");
    daemon.json(&["source", "create", "bench", "--verify", "none"]);
    let url = format!("http://127.0.0.1:{}/", dead.local_addr().expect("bound").port());
    daemon.json(&["endpoint", "create", "dead", "--url", &url, "--allow-private"]);

    fill(&daemon, few, options);
    let small = settled_mib(&daemon);
    fill(&daemon, many - few, options);
    let big = settled_mib(&daemon);
    report.figure("backlog.few_rss", small, "MiB");
    report.figure("backlog.many_rss", big, "MiB");
    report.figure("backlog.difference", big - small, "MiB");
    report.figure(
        "backlog.peak_rss",
        number(daemon.proc_number("status", "VmHWM")) / 1024.0,
        "MiB",
    );

    let waiting = daemon.json(&["status"])["deliveries"]["pending"].as_u64().unwrap_or(0);
    report.figure("backlog.waiting", number(waiting), "deliveries");

    daemon.kill();
    let daemon = restarted(&home, report, "backlog.restart_after_kill");
    assert_eq!(daemon.terminate().code(), Some(0));
    let daemon = restarted(&home, report, "backlog.restart_after_stop");
    report.figure("backlog.restarted_rss", settled_mib(&daemon), "MiB");
}

/// A loopback port that refuses: bound, so that nobody else gets it, and never listened on.
pub fn dead_port() -> tokio::net::TcpSocket {
    let socket = tokio::net::TcpSocket::new_v4().expect("a socket");
    socket.bind(([127, 0, 0, 1], 0).into()).expect("a free port");
    socket
}

/// Posts until so many are accepted.
pub fn fill(daemon: &Daemon, mut count: u64, options: &Options) {
    let requests = small_requests();
    let until = Instant::now() + Duration::from_secs(900);
    while count > 0 {
        assert!(
            Instant::now() < until,
            "the backlog did not fill within 15 minutes: {count} are missing"
        );
        let bound = Bound { seconds: 900.0, events: count };
        count -= closed_loop(daemon.addr, &requests, options.connections, bound).accepted;
    }
}

fn resident_mib(daemon: &Daemon) -> f64 {
    number(daemon.proc_number("status", "VmRSS")) / 1024.0
}

fn settled_mib(daemon: &Daemon) -> f64 {
    std::thread::sleep(SETTLE);
    resident_mib(daemon)
}

/// From exec to the first event that is accepted.
pub fn restarted(home: &Home, report: &mut Report, name: &str) -> Daemon {
    let (daemon, took) = restart(home);
    report.figure(name, took.as_secs_f64(), "s");
    daemon
}

/// Starts a daemon and measures the time from exec to the first 202.
pub fn restart(home: &Home) -> (Daemon, Duration) {
    let started = Instant::now();
    let starting = home.spawn();
    let daemon = starting.ready(Duration::from_secs(120)).unwrap_or_else(|why| panic!("{why}"));
    let mut client = Client::connect(daemon.addr).expect("it takes connections");
    let answer = client.post("/in/bench", &[], b"{\"first\":true}").expect("an answer");
    assert_eq!(answer.status, 202);
    (daemon, started.elapsed())
}
