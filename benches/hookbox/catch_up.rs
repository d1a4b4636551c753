//! (i) Catching up: how soon a backlog is delivered once its endpoint is let go, and what memory
//! that takes.

use std::time::Instant;

use super::Options;
use super::backlog::fill;
use super::report::{Report, number};
use super::sink::Sink;
use super::support::Home;
use super::watch::{await_delivered, forget_peak, peak_mib, resident_mib};

/// Events that wait, unless `--events` is less.
const WAITING: u64 = 100_000;

pub fn run(options: &Options, report: &mut Report) {
    let count = WAITING.min(options.events).max(1);
    report.title(&format!("catch-up: {count} events of 1 KiB that waited for an endpoint on hold"));

    let (mut took, mut rates) = (Vec::new(), Vec::new());
    let (mut before, mut peaks) = (Vec::new(), Vec::new());
    for _ in 0..options.rounds {
        let home = Home::new();
        let sink = Sink::start(false);
        let daemon = home.start();
        daemon.json(&["source", "create", "bench", "--verify", "none"]);
        let more = ["--allow-private", "--concurrency", "64"];
        daemon.json(&[&["endpoint", "create", "sink", "--url", &sink.url()][..], &more].concat());
        daemon.json(&["endpoint", "hold", "sink"]);
        fill(&daemon, count, options);
        before.push(resident_mib(&daemon));
        forget_peak(&daemon);

        let started = Instant::now();
        daemon.json(&["endpoint", "release", "sink"]);
        await_delivered(&daemon, count);
        let seconds = started.elapsed().as_secs_f64();

        assert!(sink.count() >= count, "remembered as delivered, and not received");
        took.push(seconds);
        rates.push(number(count) / seconds);
        peaks.push(peak_mib(&daemon));
    }

    report.spread("catch_up.took", &took, "s");
    report.spread("catch_up.rate", &rates, "events/s");
    report.spread("catch_up.rss_before", &before, "MiB");
    report.spread("catch_up.rss_peak", &peaks, "MiB");
}
