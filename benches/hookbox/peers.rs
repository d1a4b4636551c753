//! (k) Peers: hookboxd beside other durable stores behind the same handler, in one run, in rounds
//! in which each has its turn. Durable is what has been synced before the 202, with each of them.

use super::Options;
use super::load::{Bound, closed_loop, small_requests};
use super::processor;
use super::report::{Report, percentile_ms};
use super::servers::{Kind, Server};

/// Of one of them, a value for each round.
#[derive(Default)]
struct Figures {
    rates: Vec<f64>,
    ratios: Vec<f64>,
    p50: Vec<f64>,
    p99: Vec<f64>,
    cpu: Vec<f64>,
    refused: u64,
}

pub fn run(options: &Options, report: &mut Report) {
    report.title(
        "peers: the same handler in front of other stores; 1 KiB; each 202 is durable but for the \
         bare handler's (alternating rounds)",
    );
    let mut all = Kind::ALL.map(|kind| (kind, Ok(Figures::default())));
    for _ in 0..options.rounds {
        for (kind, figures) in &mut all {
            if let Ok(kept) = figures
                && let Err(why) = round(*kind, kept, options)
            {
                *figures = Err(why);
            }
        }
        divide(&mut all);
    }

    for (kind, figures) in all {
        let name = format!("peers.{}", kind.name());
        match figures {
            Ok(figures) => figures.report(&name, report),
            Err(why) => report.skipped(&name, &why),
        }
    }
}

/// One load of one of them, with empty folders.
fn round(kind: Kind, figures: &mut Figures, options: &Options) -> Result<(), String> {
    let server = Server::start(kind)?;
    let requests = small_requests();
    let warm_up = Bound { seconds: 0.5, events: options.events };
    closed_loop(server.addr, &requests, options.connections, warm_up);

    let before = processor::of_trees(&server.pids);
    let bound = Bound { seconds: options.seconds, events: options.events };
    let load = closed_loop(server.addr, &requests, options.connections, bound);
    let used = processor::of_trees(&server.pids).saturating_sub(before);

    figures.rates.push(load.per_second());
    figures.p50.push(percentile_ms(&load.latencies_us, 0.50));
    figures.p99.push(percentile_ms(&load.latencies_us, 0.99));
    figures.cpu.push(processor::each(used, load.accepted));
    figures.refused += load.refused;
    Ok(())
}

/// Adds the ratios of the last round.
fn divide(all: &mut [(Kind, Result<Figures, String>)]) {
    let last = |figures: &Result<Figures, String>| figures.as_ref().ok()?.rates.last().copied();
    let ours = all.iter().find(|(kind, _)| *kind == Kind::Hookboxd);
    let Some(ours) = ours.and_then(|(_, figures)| last(figures)) else { return };
    for (_, figures) in all {
        if let (Some(rate), Ok(figures)) = (last(figures), figures) {
            figures.ratios.push(rate / ours);
        }
    }
}

impl Figures {
    fn report(&self, name: &str, report: &mut Report) {
        report.spread(&format!("{name}.rate"), &self.rates, "events/s");
        report.spread(&format!("{name}.ratio"), &self.ratios, "of hookboxd");
        report.spread(&format!("{name}.p50"), &self.p50, "ms");
        report.spread(&format!("{name}.p99"), &self.p99, "ms");
        report.spread(&format!("{name}.cpu_us"), &self.cpu, "us/event, all its processes");
        report.figure(&format!("{name}.refused"), super::report::number(self.refused), "answers");
    }
}
