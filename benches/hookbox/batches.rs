//! (g) Batches: events a second that one receiver is brought one by one, ten and a hundred in a
//! request.

use std::time::Instant;

use super::Options;
use super::load::{Bound, closed_loop, small_requests};
use super::report::{Report, number};
use super::sink::Sink;
use super::support::Home;
use super::watch::await_delivered;

/// Events of a batch; one is no batch at all.
const SIZES: [u32; 3] = [1, 10, 100];
/// What the last one, which does not fill up, waits for.
const WAIT: &str = "20ms";

pub fn run(options: &Options, report: &mut Report) {
    report.title(
        "batches: accepted, delivered in batches, and remembered; 1 KiB (alternating rounds)",
    );
    let mut rates = SIZES.map(|_| Vec::new());
    let mut filled = SIZES.map(|_| Vec::new());
    for _ in 0..options.rounds {
        for (at, size) in SIZES.into_iter().enumerate() {
            let (rate, events) = round(size, options);
            rates[at].push(rate);
            filled[at].push(events);
        }
    }
    for (at, size) in SIZES.into_iter().enumerate() {
        report.spread(&format!("batches.{size}.rate"), &rates[at], "events/s");
        report.spread(&format!("batches.{size}.filled"), &filled[at], "events/request");
        let ratios: Vec<f64> =
            rates[at].iter().zip(&rates[0]).map(|(rate, one)| rate / one).collect();
        report.spread(&format!("batches.{size}.ratio"), &ratios, "of no batch");
    }
}

/// Events a second until the last of them is remembered as delivered, and how many a request had.
fn round(size: u32, options: &Options) -> (f64, f64) {
    let home = Home::new();
    let sink = Sink::start(false);
    let daemon = home.start();
    daemon.json(&["source", "create", "bench", "--verify", "none"]);
    let (url, size) = (sink.url(), size.to_string());
    let endpoint =
        ["endpoint", "create", "sink", "--url", &url, "--allow-private", "--concurrency", "64"];
    let batch = ["--batch-max-events", &size, "--batch-max-wait", WAIT];
    daemon.json(&[&endpoint[..], if size == "1" { &[] } else { &batch }].concat());
    let started = Instant::now();
    let bound = Bound { seconds: options.seconds, events: options.events };
    let load = closed_loop(daemon.addr, &small_requests(), options.connections, bound);
    await_delivered(&daemon, load.accepted);
    let took = started.elapsed().as_secs_f64();
    (number(load.accepted) / took, number(load.accepted) / number(sink.count().max(1)))
}
