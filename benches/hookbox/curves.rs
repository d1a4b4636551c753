//! (l) Curves: the rate against the number of connections, and the latency against the rate, of
//! hookboxd, the bare handler and the peers that are there; as plots, too.

use std::collections::BTreeMap;

use super::Options;
use super::load::{Bound, closed_loop, paced, small_requests};
use super::report::{Report, number, percentile_ms};
use super::servers::{Kind, Server};
use super::svg::{Plot, Series};

const CONNECTIONS: [usize; 5] = [1, 4, 16, 64, 256];
/// Events a second that are offered.
const RATES: [u64; 6] = [100, 1000, 2000, 5000, 10_000, 20_000];
/// A rate is kept when no more of it was missing, and was late for no longer than this many
/// seconds.
const MISSING: f64 = 0.02;
const LATE: f64 = 0.1;

/// A value for each round at each point of the horizontal axis.
type Curve = BTreeMap<u64, Vec<f64>>;

#[derive(Default)]
struct Curves {
    rate: Curve,
    p50: Curve,
    p99: Curve,
}

pub fn run(options: &Options, report: &mut Report) {
    report.title(
        "curves: the rate against connections, latency against the rate that is offered; 1 KiB",
    );
    let mut all = Vec::new();
    for kind in Kind::ALL {
        let mut curves = Curves::default();
        let ended = (0..options.rounds).try_for_each(|_| measure(kind, &mut curves, options));
        match ended {
            Ok(()) => {
                curves.report(kind, report);
                all.push((kind, curves));
            }
            Err(why) => report.skipped(&format!("curves.{}", kind.name()), &why),
        }
    }

    if let Some(folder) = &options.plots {
        for (name, plot) in plots(&all) {
            let file = folder.join(name);
            std::fs::write(&file, plot.svg())
                .unwrap_or_else(|why| panic!("{}: {why}", file.display()));
        }
    }
}

/// All points of one of them, with one process.
fn measure(kind: Kind, curves: &mut Curves, options: &Options) -> Result<(), String> {
    let server = Server::start(kind)?;
    let requests = small_requests();
    let warm_up = Bound { seconds: 0.5, events: options.events };
    closed_loop(server.addr, &requests, options.connections, warm_up);

    for rate in RATES {
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
        let count = ((options.seconds * number(rate)) as u64).clamp(1, options.events);
        let all = requests.iter().cycle().take(usize::try_from(count).unwrap_or(1)).cloned();
        let (load, _) = paced(server.addr, rate, options.connections, all.collect());
        let wanted = number(count) / number(rate);
        if load.refused > 0 || load.elapsed.as_secs_f64() > wanted * (1.0 + MISSING) + LATE {
            // What waits grows for as long as the load lasts: there is no latency to be given.
            break;
        }
        curves.p50.entry(rate).or_default().push(percentile_ms(&load.latencies_us, 0.50));
        curves.p99.entry(rate).or_default().push(percentile_ms(&load.latencies_us, 0.99));
    }

    let bound = Bound { seconds: options.seconds, events: options.events };
    for connections in CONNECTIONS {
        let load = closed_loop(server.addr, &requests, connections, bound);
        curves.rate.entry(connections as u64).or_default().push(load.per_second());
    }
    Ok(())
}

impl Curves {
    fn report(&self, kind: Kind, report: &mut Report) {
        let name = kind.name();
        for (connections, rates) in &self.rate {
            report.spread(&format!("curves.{name}.rate.{connections}"), rates, "events/s");
        }
        for (rate, times) in &self.p50 {
            report.spread(&format!("curves.{name}.p50.{rate}"), times, "ms");
        }
        for (rate, times) in &self.p99 {
            report.spread(&format!("curves.{name}.p99.{rate}"), times, "ms");
        }
    }
}

fn plots(all: &[(Kind, Curves)]) -> [(&'static str, Plot); 3] {
    let series = |of: fn(&Curves) -> &Curve| {
        let one = |(kind, curves): &(Kind, Curves)| Series {
            name: kind.title(),
            // Each has its place, whoever else is there.
            style: Kind::ALL.iter().position(|k| k == kind).unwrap_or(0),
            points: of(curves).iter().map(|(&x, values)| (number(x), median(values))).collect(),
        };
        all.iter().map(one).collect()
    };

    let latency = |title, of| Plot {
        title,
        x: "events offered a second",
        y: "milliseconds",
        ticks: RATES.iter().map(|&rate| number(rate)).collect(),
        series: series(of),
    };
    let rate = Plot {
        title: "Events of 1 KiB accepted a second",
        x: "connections",
        y: "events a second",
        ticks: CONNECTIONS.iter().map(|&n| number(n as u64)).collect(),
        series: series(|curves| &curves.rate),
    };

    [
        ("rate.svg", rate),
        ("latency-p50.svg", latency("Half of the answers are faster (p50)", |c| &c.p50)),
        ("latency-p99.svg", latency("99 of 100 answers are faster (p99)", |c| &c.p99)),
    ]
}

fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied().unwrap_or(f64::NAN)
}
