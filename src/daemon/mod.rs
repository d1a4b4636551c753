//! The wiring: start, clock, signals, shutdown. It knows all modules; none knows it.
//!
//! The start is a straight line: arguments, configuration, data folder, log, folded state,
//! scheduler, listeners, ready. The shutdown goes the same way back: listeners closed, attempts in
//! flight awaited (10 s at most), the last commit, the log closed, exit 0.
//!
//! Fatal: what prevents the start (an exit code of sysexits and one line that says what to do), and
//! an error of the log while it runs (abort: what was not acknowledged may or may not be stored).

mod adapters;
pub mod args;
mod check;
mod clock;
mod ctl_hint;
mod deliver;
mod descriptors;
mod exit;
mod fresh_config;
mod housekeeping;
mod logging;
mod memory;
pub mod notices;
mod reload;
mod serve;
mod signals;
mod socket_activation;
mod start;

use std::process::ExitCode;

use clap::Parser;

use args::Args;
use exit::Exit;

/// Runs `hookboxd`.
#[must_use]
pub fn main() -> ExitCode {
    logging::end_on_panic();
    memory::keep_to_ourselves();
    let args = match Args::try_parse() {
        Ok(args) => args,
        Err(error) => {
            let _ = error.print();
            return if error.use_stderr() {
                ExitCode::from(Exit::USAGE)
            } else {
                ExitCode::SUCCESS
            };
        }
    };
    match run(&args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(exit) => exit.report(),
    }
}

fn run(args: &Args) -> Result<(), Exit> {
    if let Some(segment) = &args.probe_segment {
        return crate::log::probe_segment(segment).map_err(Exit::from);
    }
    let config =
        args.configuration().map_err(|error| Exit::new(Exit::CONFIG, error.to_string()))?;
    if args.check {
        check::check(&config)?;
        println!("the configuration is valid");
        return Ok(());
    }
    let levels = logging::start(&config.logging);
    memory::warn_of_untuned_allocator();
    signals::outlive_file_limits();
    let (runtime, signals) = serve::runtime()?;
    let clock = clock::system();
    let opened = start::open(&config, &clock, args.unsafe_skip_sync)?;
    serve::run(args, config, &levels, clock, opened, (runtime, signals))
}
