//! (d) Start-up: the time from exec to the first accepted event, against the size of the log.

use super::Options;
use super::backlog::restart;
use super::load::{Bound, closed_loop, small_requests};
use super::report::{Report, number};
use super::support::Home;

pub fn run(options: &Options, report: &mut Report) {
    report.title("start-up: from exec to the first 202, after a kill -9");
    let home = Home::new();
    let daemon = home.start();
    daemon.json(&["source", "create", "bench", "--verify", "none"]);
    daemon.kill();

    let mut events = 0;
    for size in [0, 1_000, 10_000, 100_000, 400_000] {
        if size > options.events {
            break;
        }
        let daemon = home.start();
        let bound = Bound { seconds: 300.0, events: size - events };
        closed_loop(daemon.addr, &small_requests(), options.connections, bound);
        events = size;
        let log = daemon.json(&["status"])["log"].clone();
        daemon.kill();

        let mut took = Vec::new();
        for _ in 0..options.rounds {
            let (daemon, time) = restart(&home);
            took.push(time.as_secs_f64() * 1000.0);
            daemon.kill();
        }

        report.figure(
            &format!("startup.{size}.log"),
            number(log["bytes"].as_u64().unwrap_or(0)) / 1e6,
            "MB",
        );
        report.figure(
            &format!("startup.{size}.segments"),
            number(log["segments"].as_u64().unwrap_or(0)),
            "segments",
        );
        report.spread(&format!("startup.{size}.to_accepting"), &took, "ms");
    }
}
