//! `hookboxctl`, the operator's client of the admin socket: arguments, requests, tables.
//!
//! Limits: one request at a time (several in `web`; `top` follows the tail beside it); lists are
//! printed as they arrive and never held, but for the first [`table::SAMPLE`] rows, which set the
//! widths of the columns.
//!
//! Invariants: it talks to the admin socket and to nothing else; to that of another machine through
//! the system's ssh. The exceptions are [`demo`], which plays sender and receiver, too, and starts
//! a daemon of its own (this program itself, called by the daemon's name), `log`, which also reads
//! a folder that no daemon uses (see `archive`), `listen`, which forwards to the URL that it is
//! given, and `support`, which asks the journal for the daemon's last lines. `web` listens on
//! loopback, and what it is asked there it asks the admin socket.
//! Stdout is either for people or, with `--json`, for programs, one object a line, as it came. An
//! error is one line on stderr that says what to do.
//!
//! Things: [`args`] (the command line), `client` (HTTP over the socket), `answer` (the daemon's
//! JSON, read as a view of `api`), `output` and [`table`] (what is printed), and one file a group
//! of commands.
//!
//! Operations: [`main`] reads the arguments, runs one command, and gives the exit code: 0 done, 1
//! refused or not found, 64 usage, 69 daemon not reachable. When the reader of stdout goes away
//! (`| head`), it ends quietly.

mod answer;
mod apply;
pub mod args;
mod bulk;
mod client;
mod clock;
mod commands;
mod completion;
mod consume;
mod deliveries;
pub mod demo;
mod endpoint_screen;
mod endpoints;
mod error;
mod events;
mod fields;
mod files;
mod filters;
mod fresh_file;
mod listen;
mod lists;
mod log;
mod manual;
mod output;
mod raw_request;
mod reconnect;
mod schemes;
mod screen_text;
mod secrets;
mod selection;
pub(crate) mod server_identity;
mod settings;
mod show;
mod simulate;
mod sources;
pub mod sparkline;
mod ssh;
mod stats;
mod status;
mod support;
pub mod table;
pub mod terminal;
#[cfg(feature = "top")]
mod top;
mod usage;
mod version;
#[cfg(feature = "web")]
mod web;

#[cfg(test)]
mod tests;

use std::process::ExitCode;

use clap::{CommandFactory, FromArgMatches};

use args::{Cli, CtlCommand};
pub use error::CtlError;

use crate::service::stdio;

/// Runs `hookboxctl` with the process's arguments.
#[must_use]
pub fn main() -> ExitCode {
    if let Some(code) = completion::answer() {
        return code;
    }
    let read = args::strict(Cli::command()).try_get_matches();
    let cli = match read.and_then(|matches| Cli::from_arg_matches(&matches)) {
        Ok(cli) => cli,
        Err(error) => return ExitCode::from(usage::report(&error)),
    };
    // Backups, and the copies that a log is read in, hold secrets.
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o077));
    if let CtlCommand::Demo(args) = cli.command {
        return demo::run(&args);
    }

    let failure = match commands::run(&cli) {
        Ok(()) => return ExitCode::SUCCESS,
        Err(failure) => failure,
    };
    if !failure.is_printed() {
        stdio::note(format_args!("hookboxctl: {}", one_line(&failure.to_string())));
    }
    ExitCode::from(failure.exit_code())
}

fn one_line(text: &str) -> String {
    table::clean(&text.split_whitespace().collect::<Vec<_>>().join(" "))
}
