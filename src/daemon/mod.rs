//! The wiring: start, clock, signals, shutdown. It knows all modules; none knows it.
//!
//! The start is a straight line: arguments, configuration, addresses bound, data folder, log,
//! folded state, scheduler, connections accepted, ready. The shutdown goes the same way back:
//! listeners closed, attempts in flight awaited (10 s at most), the last commit, the log closed,
//! exit 0.
//!
//! Fatal: what prevents the start (an exit code of sysexits and one line that says what to do), and
//! an error of the log while it runs (abort: what was not acknowledged may or may not be stored).

mod adapters;
mod boot_apply;
mod change_log;
mod check;
mod ctl_hint;
mod deliver;
mod descriptors;
mod exit;
mod fresh_config;
mod groups;
mod history;
mod housekeeping;
mod idle_exit;
mod memory;
pub mod notices;
mod refusal_mark;
mod reload;
mod run_mark;
mod serve;
mod service_manager;
mod signals;
mod socket_activation;
mod sockets;
mod start;

use std::process::ExitCode;

use crate::config::args::Args;
use crate::config::usage::usage_line;
use crate::service::{clock, logging, stdio};
use exit::Exit;
use run_mark::RunMark;
use sockets::Sockets;

/// The whole program, which is also what runs beside a command of an `exec:` endpoint. Its
/// allocator is the caller's.
#[must_use]
pub fn program() -> ExitCode {
    if let Some(code) = crate::outbound::supervise() {
        return code;
    }
    memory::start_anew();
    main()
}

/// Runs `hookboxd`.
#[must_use]
pub fn main() -> ExitCode {
    logging::end_on_panic("hookboxd", "reads the log again when it is started");
    memory::keep_to_ourselves();
    let args = match Args::read() {
        Ok(args) => args,
        Err(error) => {
            if error.use_stderr() {
                return Exit::new(Exit::USAGE, usage_line(&error.to_string(), "hookboxd"))
                    .report("hookboxd");
            }
            return match stdio::written(error.print()).map_err(Exit::output) {
                Ok(()) => ExitCode::SUCCESS,
                Err(exit) => exit.report("hookboxd"),
            };
        }
    };
    match run(&args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(exit) => exit.report("hookboxd"),
    }
}

fn run(args: &Args) -> Result<(), Exit> {
    if let Some(segment) = &args.probe_segment {
        return crate::log::probe_segment(segment).map_err(Exit::from);
    }
    let effective = args.effective().map_err(|error| Exit::new(Exit::CONFIG, error.to_string()))?;
    if args.check {
        boot_apply::check(args.config.as_deref())?;
        return check::report(&effective, args.print);
    }
    check::check(&effective)?;
    let odd = check::beyond_disk(&effective.config).map(|note| effective.located(&note));
    let config = effective.config;
    let levels = logging::start(&config.logging);
    if let Some(odd) = odd {
        tracing::warn!("{odd}");
    }
    memory::warn_of_untuned_allocator();
    signals::outlive_early_signals();

    // Everything that is created from here on belongs to the daemon's user alone.
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o077));
    let (runtime, signals) = serve::runtime()?;
    let clock = clock::system();
    let sockets = Sockets::bind(&config, &runtime)?;
    let opening = service_manager::more_time("opening the log");
    let opened = start::open(&config, &clock, args.unsafe_skip_sync)?;
    drop(opening);
    let mark = RunMark::set(&config.data, opened.problems.is_empty());
    let served = serve::run(args, config, &levels, clock, (opened, sockets), (runtime, signals));
    mark.clear();
    served
}
