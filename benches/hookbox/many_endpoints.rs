//! (h) Many endpoints: a hundred that answer, beside nine hundred that do not. Each event goes to
//! one of the hundred and, where they are there, to one of the nine hundred.
//!
//! Nearly all of those refuse a connection at once; some take it and never answer, so that attempts
//! at them last until their deadline. *Struck* is the time in which they are found out, *settled*
//! the one after most of their breakers opened; the rate and the memory are those after it.

use std::net::TcpListener;
use std::time::{Duration, Instant};

use bytes::Bytes;
use serde_json::{Value, json};

use super::Options;
use super::backlog::dead_port;
use super::load::{Bound, closed_loop, paced, request_of_type};
use super::report::{Report, number, percentile_ms};
use super::sink::Sink;
use super::support::payloads::json_of;
use super::support::rng::Rng;
use super::support::{Daemon, Home};
use super::watch::{await_delivered, make, resident_mib, status};

const GOOD: u64 = 100;
const DEAD: u64 = 900;
/// Of the dead ones, those that take a connection and never answer.
const HANGING: u64 = 20;
/// Events a second of the latency measurements.
const PACE: u64 = 500;
/// A breaker opens after failures over 10 s. With a short round, what has settled by then is
/// reported.
const SETTLE: Duration = Duration::from_secs(30);

/// All there is to deliver to.
struct Receivers {
    good: Sink,
    /// Refuses.
    closed: tokio::net::TcpSocket,
    /// Nobody takes its connections.
    deaf: TcpListener,
}

/// One kind of measurement with and without the dead ones.
#[derive(Default)]
struct Both {
    with: Vec<f64>,
    without: Vec<f64>,
}

impl Both {
    fn push(&mut self, with_dead: bool, value: f64) {
        if with_dead { self.with.push(value) } else { self.without.push(value) }
    }

    fn report(&self, name: &str, unit: &str, report: &mut Report) {
        report.spread(&format!("many.{name}.good_alone"), &self.without, unit);
        report.spread(&format!("many.{name}.with_dead"), &self.with, unit);
        let ratios: Vec<f64> =
            self.with.iter().zip(&self.without).map(|(with, without)| with / without).collect();
        report.spread(&format!("many.{name}.ratio"), &ratios, "of good alone");
    }
}

#[derive(Default)]
struct Figures {
    idle: Both,
    p50: Both,
    p99: Both,
    rate: Both,
    loaded: Both,
    settled_p50: Vec<f64>,
    settled_p99: Vec<f64>,
    breakers: Vec<f64>,
}

pub fn run(options: &Options, report: &mut Report) {
    report.title(&format!(
        "many endpoints: {GOOD} that answer, alone and beside {DEAD} that do not ({HANGING} of \
         them hang); 1 KiB (alternating rounds)"
    ));
    let mut figures = Figures::default();
    for _ in 0..options.rounds {
        for with_dead in [false, true] {
            round(with_dead, options, &mut figures);
        }
    }
    report.figure("many.paced_at", number(PACE), "events/s");
    figures.p50.report("struck_p50", "ms", report);
    figures.p99.report("struck_p99", "ms", report);
    figures.rate.report("rate", "events/s", report);
    report.spread("many.breakers_open", &figures.breakers, "endpoints");
    report.spread("many.settled_p50.with_dead", &figures.settled_p50, "ms");
    report.spread("many.settled_p99.with_dead", &figures.settled_p99, "ms");
    figures.idle.report("idle_rss", "MiB", report);
    figures.loaded.report("rss", "MiB", report);
}

fn round(with_dead: bool, options: &Options, figures: &mut Figures) {
    let receivers = Receivers {
        good: Sink::start(true),
        closed: dead_port(),
        deaf: TcpListener::bind("127.0.0.1:0").expect("a free port"),
    };
    let home = Home::new();
    let daemon = set_up(&home, &receivers, with_dead);
    figures.idle.push(with_dead, resident_mib(&daemon));

    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    let count = ((options.seconds * number(PACE)) as u64).clamp(1, options.events);
    let mut delivered = 0;
    let (p50, p99) = latency(&daemon, &receivers.good, count, &mut delivered);
    figures.p50.push(with_dead, p50);
    figures.p99.push(with_dead, p99);

    if with_dead {
        let settled = |open: u64| open * 10 >= DEAD * 9;
        let breakers = || status(&daemon)["breakers_open"].as_u64().unwrap_or(0);
        let until = Instant::now() + SETTLE.min(Duration::from_secs_f64(options.seconds * 8.0));
        while !settled(breakers()) && Instant::now() < until {
            latency(&daemon, &receivers.good, PACE, &mut delivered);
        }
        figures.breakers.push(number(breakers()));
        let (p50, p99) = latency(&daemon, &receivers.good, count, &mut delivered);
        figures.settled_p50.push(p50);
        figures.settled_p99.push(p99);
    }

    let started = Instant::now();
    let bound = Bound { seconds: options.seconds, events: options.events };
    let load = closed_loop(
        daemon.addr,
        &std::sync::Arc::new(requests(4500, 0)),
        options.connections,
        bound,
    );
    await_delivered(&daemon, delivered + load.accepted);
    figures.rate.push(with_dead, number(load.accepted) / started.elapsed().as_secs_f64());
    figures.loaded.push(with_dead, resident_mib(&daemon));
}

fn endpoint(name: String, url: &str, types: String) -> Value {
    json!({"name": name, "url": url, "allow_private": true, "types": [types]})
}

fn set_up(home: &Home, receivers: &Receivers, with_dead: bool) -> Daemon {
    let daemon = home.start();
    daemon.json(&["source", "create", "bench", "--verify", "none", "--type-header", "x-type"]);
    let url = receivers.good.url();
    let good = (0..GOOD).map(|n| endpoint(format!("good{n}"), &url, format!("g{n}.*")));
    make(&daemon, "endpoints", &good.collect::<Vec<_>>());
    if with_dead {
        let closed = receivers.closed.local_addr().expect("bound");
        let deaf = receivers.deaf.local_addr().expect("bound");
        let dead = (0..DEAD).map(|n| {
            // Spread over all of them.
            let addr = if n % (DEAD / HANGING) == 0 { deaf } else { closed };
            let url = format!("http://{addr}/{n}");
            endpoint(format!("dead{n}"), &url, format!("*.d{n}"))
        });
        make(&daemon, "endpoints", &dead.collect::<Vec<_>>());
    }
    daemon
}

/// Distinct requests, each for one good and one dead endpoint, which have their turns from `turn`
/// on.
fn requests(count: u64, turn: u64) -> Vec<Bytes> {
    let mut rng = Rng::new(3);
    let kind = |n: u64| format!("g{}.d{}", (turn + n) % GOOD, (turn + n) % DEAD);
    (0..count).map(|n| request_of_type(&kind(n), &json_of(1024, n, &mut rng))).collect()
}

/// From the moment a request should have left the sender to its arrival at a good receiver.
fn latency(daemon: &Daemon, good: &Sink, count: u64, delivered: &mut u64) -> (f64, f64) {
    let (load, left) = paced(daemon.addr, PACE, 16, requests(count, *delivered));
    *delivered += load.accepted;
    await_delivered(daemon, *delivered);
    let mut took: Vec<u32> = Vec::new();
    for (n, at) in good.take_arrivals() {
        let since = at.saturating_duration_since(left[usize::try_from(n).unwrap_or(0)]);
        took.push(u32::try_from(since.as_micros()).unwrap_or(u32::MAX));
    }
    took.sort_unstable();
    (percentile_ms(&took, 0.50), percentile_ms(&took, 0.99))
}
