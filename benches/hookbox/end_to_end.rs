//! (b) End to end: from accepted to delivered and remembered.

use std::time::{Duration, Instant};

use super::Options;
use super::load::{Bound, closed_loop, numbered_requests, paced, small_requests};
use super::processor::{each, of_process};
use super::report::{Report, number, percentile_ms};
use super::sink::Sink;
use super::support::{Daemon, Home, until};

/// Events a second of the latency measurement.
const PACE: u64 = 1000;

pub fn run(options: &Options, report: &mut Report) {
    report.title("end to end: accepted, delivered to one fast receiver, and remembered; 1 KiB");
    let (mut rates, mut cpu) = (Vec::new(), Vec::new());
    for _ in 0..options.rounds {
        let (rate, used) = throughput(options);
        rates.push(rate);
        cpu.push(used);
    }
    report.spread("end_to_end.rate", &rates, "events/s");
    report.spread("end_to_end.cpu_us", &cpu, "us/event");
    latency(options, report);
}

fn set_up(home: &Home, sink: &Sink) -> Daemon {
    let daemon = home.start();
    daemon.json(&["source", "create", "bench", "--verify", "none"]);
    let more = ["--allow-private", "--generate-secret", "--concurrency", "64"];
    daemon.json(&[&["endpoint", "create", "sink", "--url", &sink.url()][..], &more].concat());
    daemon
}

/// Waits until `wanted` events are delivered and remembered.
fn await_delivered(daemon: &Daemon, wanted: u64) {
    until("everything to be delivered", Duration::from_secs(300), || {
        (daemon.json(&["status"])["deliveries"]["delivered"].as_u64() >= Some(wanted)).then_some(())
    });
}

/// All that is accepted in the round, divided by the time until the last of it is remembered as
/// delivered; and the daemon's processor time for each event, in microseconds.
fn throughput(options: &Options) -> (f64, f64) {
    let home = Home::new();
    let sink = Sink::start(false);
    let daemon = set_up(&home, &sink);
    let before = of_process(daemon.pid());
    let started = Instant::now();
    let bound = Bound { seconds: options.seconds, events: options.events };
    let load = closed_loop(daemon.addr, &small_requests(), options.connections, bound);
    await_delivered(&daemon, load.accepted);
    let elapsed = started.elapsed();
    let used = of_process(daemon.pid()).saturating_sub(before);
    assert!(sink.count() >= load.accepted, "remembered as delivered, and not received");
    (number(load.accepted) / elapsed.as_secs_f64(), each(used, load.accepted))
}

/// From the moment a request should have left the sender to its arrival at the receiver.
fn latency(options: &Options, report: &mut Report) {
    let home = Home::new();
    let sink = Sink::start(true);
    let daemon = set_up(&home, &sink);
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    let count = (options.seconds.max(1.0) as u64 * PACE).min(options.events);
    let (load, left) = paced(daemon.addr, PACE, 16, numbered_requests(count));
    await_delivered(&daemon, load.accepted);
    let mut took: Vec<u32> = Vec::new();
    for (n, at) in sink.take_arrivals() {
        let since = at.saturating_duration_since(left[usize::try_from(n).unwrap_or(0)]);
        took.push(u32::try_from(since.as_micros()).unwrap_or(u32::MAX));
    }
    took.sort_unstable();
    report.figure("end_to_end.paced_at", number(PACE), "events/s");
    report.figure("end_to_end.accept_p50", percentile_ms(&load.latencies_us, 0.50), "ms");
    report.figure("end_to_end.accept_p99", percentile_ms(&load.latencies_us, 0.99), "ms");
    report.figure("end_to_end.deliver_p50", percentile_ms(&took, 0.50), "ms");
    report.figure("end_to_end.deliver_p99", percentile_ms(&took, 0.99), "ms");
}
