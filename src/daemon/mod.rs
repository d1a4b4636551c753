//! The wiring: start, clock, signals, shutdown. Knows all rooms; nobody knows it.
//!
//! The start is a straight line: arguments, configuration, data folder, log, fold, scheduler, doors, ready. The end
//! is the same line backwards: doors closed, attempts in flight awaited (10 s at most), the last commit, the log
//! closed, exit 0.
//!
//! Fatal: what keeps the daemon from starting (an exit code of sysexits and one line that says what to do), and an
//! error of the log while it runs (abort: what was not answered may or may not be remembered).

pub mod announce;
mod args;
mod clock;
mod deliver;
mod descriptors;
mod exit;
mod keeper;
mod logging;
mod passed;
mod reload;
mod seams;
mod serve;
mod signals;
mod start;

use std::process::ExitCode;

use clap::Parser;

use args::Args;
use exit::Exit;

/// Runs `hookboxd`.
#[must_use]
pub fn main() -> ExitCode {
    logging::tell_panics();
    let args = match Args::try_parse() {
        Ok(args) => args,
        Err(error) => {
            let _ = error.print();
            return if error.use_stderr() { ExitCode::from(Exit::USAGE) } else { ExitCode::SUCCESS };
        }
    };
    match run(&args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(exit) => exit.report(),
    }
}

fn run(args: &Args) -> Result<(), Exit> {
    if let Some(segment) = &args.probe_segment {
        return crate::log::probe(segment).map_err(Exit::from);
    }
    let config = args.configuration().map_err(|error| Exit::new(Exit::CONFIG, error.to_string()))?;
    if args.check {
        start::check(&config)?;
        println!("the configuration is fine");
        return Ok(());
    }
    let levels = logging::start(&config.logging);
    signals::outlive_file_limits();
    let (runtime, signals) = serve::runtime()?;
    let clock = clock::system();
    let opened = start::open(&config, &clock, args.unsafe_skip_sync)?;
    serve::run(args, config, &levels, clock, opened, (runtime, signals))
}
