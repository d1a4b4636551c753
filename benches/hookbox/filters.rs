//! (j) Filters: what `--where` costs, end to end, beside an endpoint that takes everything.

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;

use super::Options;
use super::load::{Bound, closed_loop, github_requests, small_requests};
use super::report::{Report, number};
use super::sink::Sink;
use super::support::Home;
use super::watch::await_delivered;

/// A filter on one member, and one with a pattern and alternatives.
type Filters = [(&'static str, &'static str); 2];

/// They hold for every event, so that what is delivered is the same.
const SMALL: Filters = [
    ("simple", "@.body.status_5 != 'none'"),
    (
        "pattern",
        "!search(@.body.status_5, '^no(ne)?$') && (@.body.note_7 != 'none' || @.type != 'none')",
    ),
];
const GITHUB: Filters = [
    ("simple", "@.body.sender.login != 'nobody'"),
    (
        "pattern",
        "!search(@.body.sender.login, '^no(body)?$') && (@.body.action != 'none' || @.type != \
         'none')",
    ),
];

pub fn run(options: &Options, report: &mut Report) {
    report.title("where: accepted, filtered, delivered, and remembered (alternating rounds)");
    compare("where_1k", &small_requests(), SMALL, options, report);
    compare("where_github", &github_requests(), GITHUB, options, report);
}

fn compare(
    name: &str,
    requests: &Arc<Vec<Bytes>>,
    filters: Filters,
    options: &Options,
    report: &mut Report,
) {
    let mut plain = Vec::new();
    let mut filtered = filters.map(|_| Vec::new());
    for _ in 0..options.rounds {
        plain.push(round(None, requests, options));
        for (at, (_, filter)) in filters.into_iter().enumerate() {
            filtered[at].push(round(Some(filter), requests, options));
        }
    }
    report.spread(&format!("{name}.none.rate"), &plain, "events/s");
    for ((filter, _), rates) in filters.into_iter().zip(&filtered) {
        report.spread(&format!("{name}.{filter}.rate"), rates, "events/s");
        let ratios: Vec<f64> = rates.iter().zip(&plain).map(|(rate, plain)| rate / plain).collect();
        report.spread(&format!("{name}.{filter}.ratio"), &ratios, "of no filter");
    }
}

/// Events a second until the last of them is remembered as delivered.
fn round(filter: Option<&str>, requests: &Arc<Vec<Bytes>>, options: &Options) -> f64 {
    let home = Home::new();
    let sink = Sink::start(false);
    let daemon = home.start();
    daemon.json(&["source", "create", "bench", "--verify", "none"]);
    let url = sink.url();
    let mut endpoint =
        vec!["endpoint", "create", "sink", "--url", &url, "--allow-private", "--concurrency", "64"];
    endpoint.extend(filter.map(|filter| ["--where", filter]).into_iter().flatten());
    daemon.json(&endpoint);
    let started = Instant::now();
    let bound = Bound { seconds: options.seconds, events: options.events };
    let load = closed_loop(daemon.addr, requests, options.connections, bound);
    await_delivered(&daemon, load.accepted);
    number(load.accepted) / started.elapsed().as_secs_f64()
}
