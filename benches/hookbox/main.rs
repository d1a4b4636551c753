//! Macro benchmarks: the real daemon on real disks, from outside, with a harness of their own.
//!
//! `cargo bench --bench hookbox -- [SCENARIO]… [--seconds N] [--rounds N] [--events N]
//! [--connections N] [--json]`, where a scenario is `ingest`, `end-to-end`, `backlog`, `startup`,
//! `bytes`, `verify`, `batches`, `many-endpoints`, `catch-up`, `where`, `rolls`, `peers`, `curves`
//! or `where-time-goes`; without one all of them. `peers` and `curves` need the program of
//! `benches/peers`, which `just peers` builds, and leave out what is not there.
//! Every load is bounded in count and in time. The load generator and the receiver share the
//! machine with the daemon, so figures are those of the whole, and ratios are taken alternately in
//! one run.
#![allow(clippy::disallowed_methods, reason = "a benchmark measures time")]

mod backlog;
mod bare;
mod batches;
mod bytes_kept;
mod catch_up;
mod curves;
mod end_to_end;
mod filters;
mod ingest;
mod load;
mod many_endpoints;
mod peers;
mod processor;
mod report;
mod rolls;
mod servers;
mod sink;
mod startup;
#[path = "../../tests/support/mod.rs"]
mod support;
mod svg;
mod verify;
mod watch;
mod where_time_goes;

use clap::{Parser, ValueEnum};
use report::Report;

/// What can be measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Scenario {
    /// Durable 202s against a bare hyper handler that stores nothing.
    Ingest,
    /// From accepted to delivered and remembered.
    EndToEnd,
    /// Memory with many undelivered events, and the restart with them.
    Backlog,
    /// Time to accepting against the size of the log.
    Startup,
    /// Bytes written and kept for one event.
    Bytes,
    /// What the proof of each scheme costs.
    Verify,
    /// One request for one event, for ten, for a hundred.
    Batches,
    /// A hundred endpoints that answer, alone and beside nine hundred that do not.
    ManyEndpoints,
    /// A backlog whose endpoint is let go.
    CatchUp,
    /// What a filter of an endpoint costs.
    Where,
    /// The slowest answer while segments are begun, and the start, with a large state.
    Rolls,
    /// The same handler in front of SQLite, PostgreSQL and NATS.
    Peers,
    /// The rate against connections, and latency against the rate.
    Curves,
    /// Processor time by threads, and system calls, for each event.
    WhereTimeGoes,
}

const ALL: [Scenario; 14] = [
    Scenario::Ingest,
    Scenario::EndToEnd,
    Scenario::Backlog,
    Scenario::Startup,
    Scenario::Bytes,
    Scenario::Verify,
    Scenario::Batches,
    Scenario::ManyEndpoints,
    Scenario::CatchUp,
    Scenario::Where,
    Scenario::Rolls,
    Scenario::Peers,
    Scenario::Curves,
    Scenario::WhereTimeGoes,
];

/// How long and how much.
#[derive(Clone, Debug, Parser)]
#[command(name = "hookbox", about = "hookbox's macro benchmarks")]
pub struct Options {
    /// What to measure; everything when none is named.
    #[arg(value_enum)]
    scenarios: Vec<Scenario>,
    /// Seconds of load of one round.
    #[arg(long, default_value_t = 3.0)]
    seconds: f64,
    /// Rounds, of which the median and the range are shown.
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// The most events of one load, and the size of the big backlog.
    #[arg(long, default_value_t = 1_000_000)]
    events: u64,
    /// Keep-alive connections of the load generator.
    #[arg(long, default_value_t = 64)]
    connections: usize,
    /// The folder that `curves` writes its plots into.
    #[arg(long)]
    plots: Option<std::path::PathBuf>,
    /// One JSON object instead of the table.
    #[arg(long)]
    json: bool,
    /// Cargo says it to every benchmark.
    #[arg(long, hide = true)]
    bench: bool,
    /// Be the bare handler (the benchmark starts itself so).
    #[arg(long, hide = true)]
    bare: bool,
}

fn main() {
    let options = Options::parse();
    if options.bare {
        return bare::serve();
    }

    let chosen =
        if options.scenarios.is_empty() { ALL.to_vec() } else { options.scenarios.clone() };
    let mut report = Report::new(options.json);
    for scenario in chosen {
        match scenario {
            Scenario::Ingest => ingest::run(&options, &mut report),
            Scenario::EndToEnd => end_to_end::run(&options, &mut report),
            Scenario::Backlog => backlog::run(&options, &mut report),
            Scenario::Startup => startup::run(&options, &mut report),
            Scenario::Bytes => bytes_kept::run(&options, &mut report),
            Scenario::Verify => verify::run(&options, &mut report),
            Scenario::Batches => batches::run(&options, &mut report),
            Scenario::ManyEndpoints => many_endpoints::run(&options, &mut report),
            Scenario::CatchUp => catch_up::run(&options, &mut report),
            Scenario::Where => filters::run(&options, &mut report),
            Scenario::Rolls => rolls::run(&options, &mut report),
            Scenario::Peers => peers::run(&options, &mut report),
            Scenario::Curves => curves::run(&options, &mut report),
            Scenario::WhereTimeGoes => where_time_goes::run(&options, &mut report),
        }
    }

    report.finish();
}
