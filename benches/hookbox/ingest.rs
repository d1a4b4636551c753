//! (a) Ingest: durable 202s a second, and what share that is of a handler that stores nothing.

use std::sync::Arc;

use bytes::Bytes;

use super::Options;
use super::bare::Bare;
use super::load::{Bound, closed_loop, github_requests, small_requests};
use super::processor::{each, of_process};
use super::report::{Report, percentile_ms};
use super::support::Home;

pub fn run(options: &Options, report: &mut Report) {
    report.title(
        "ingest: every 202 is durable; the bare handler stores nothing (alternating rounds)",
    );
    compare("ingest_1k", &small_requests(), options, report);
    compare("ingest_github", &github_requests(), options, report);
}

fn compare(name: &str, requests: &Arc<Vec<Bytes>>, options: &Options, report: &mut Report) {
    let home = Home::new();
    let daemon = home.start();
    daemon.json(&["source", "create", "bench", "--verify", "none"]);

    let bare = Bare::start();
    let warm_up = Bound { seconds: 0.5, events: options.events };
    for addr in [bare.addr, daemon.addr] {
        closed_loop(addr, requests, options.connections, warm_up);
    }

    let bound = Bound { seconds: options.seconds, events: options.events };
    let (mut rates, mut bare_rates, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
    let (mut p50, mut p99, mut bare_p99) = (Vec::new(), Vec::new(), Vec::new());
    let (mut cpu, mut bare_cpu) = (Vec::new(), Vec::new());
    let mut refused = 0;
    for _ in 0..options.rounds {
        let before = of_process(bare.pid());
        let plain = closed_loop(bare.addr, requests, options.connections, bound);
        bare_cpu.push(each(of_process(bare.pid()).saturating_sub(before), plain.accepted));
        let before = of_process(daemon.pid());
        let durable = closed_loop(daemon.addr, requests, options.connections, bound);
        cpu.push(each(of_process(daemon.pid()).saturating_sub(before), durable.accepted));

        ratios.push(durable.per_second() / plain.per_second());
        rates.push(durable.per_second());
        bare_rates.push(plain.per_second());
        p50.push(percentile_ms(&durable.latencies_us, 0.50));
        p99.push(percentile_ms(&durable.latencies_us, 0.99));
        bare_p99.push(percentile_ms(&plain.latencies_us, 0.99));
        refused += durable.refused;
    }

    report.spread(&format!("{name}.rate"), &rates, "events/s");
    report.spread(&format!("{name}.bare_rate"), &bare_rates, "requests/s");
    report.spread(&format!("{name}.ratio"), &ratios, "of bare");
    report.spread(&format!("{name}.p50"), &p50, "ms");
    report.spread(&format!("{name}.p99"), &p99, "ms");
    report.spread(&format!("{name}.bare_p99"), &bare_p99, "ms");
    report.spread(&format!("{name}.cpu_us"), &cpu, "us/event");
    report.spread(&format!("{name}.bare_cpu_us"), &bare_cpu, "us/request");
    report.figure(&format!("{name}.refused"), super::report::number(refused), "answers");
}
