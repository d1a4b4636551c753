//! The operator's hand: `hookboxctl`. Arguments, a client of the admin socket, tables.
//!
//! Limits: one request at a time; lists are printed as they come and never held, but for the first
//! [`table::SAMPLE`] rows, which set the columns' widths.
//!
//! Invariants: it talks to the admin socket and to nothing else (but for [`demo`], which plays sender and receiver
//! too, and starts a daemon of its own: the program itself, called by the daemon's name; and for what `log` does with a
//! folder that no daemon has, see `archive`); what it prints on stdout is
//! either for people or, with `--json`, for programs, one object a line; an error is one line on stderr that says
//! what to do.
//!
//! Operations: [`main`] reads the arguments, runs one command, gives the exit code: 0 done, 1 refused or not
//! found, 64 usage, 69 daemon not reachable. A reader that goes away (`| head`) ends it quietly.

pub mod args;
mod client;
mod configure;
mod consume;
pub mod demo;
mod lists;
mod log;
mod operate;
mod output;
mod show;
mod simulate;
pub mod table;

#[cfg(test)]
mod tests;

use std::process::ExitCode;

use clap::{CommandFactory, Parser};

use args::{Cli, Command};
use client::Client;
use output::Output;

const USAGE: u8 = 64;
const UNREACHABLE: u8 = 69;

/// Why a command did not end well.
#[derive(Debug, thiserror::Error)]
pub enum CtlError {
    /// The daemon said no.
    #[error("{0}")]
    Refused(String),
    /// The daemon said that it cannot now (503).
    #[error("{0}")]
    Busy(String),
    /// The arguments make no sense together.
    #[error("{0}")]
    Usage(String),
    /// Nobody answers on the socket.
    #[error("{0}")]
    Unreachable(String),
    /// Reading or writing a file, or stdout.
    #[error("{what}: {error}")]
    Io { what: String, error: std::io::Error },
    /// The reader of stdout has gone, as `head` does.
    #[error("nobody reads")]
    NobodyReads,
    /// What was asked for was done and came out bad (`log verify`); it has been printed.
    #[error("not ok")]
    NotOk,
}

impl CtlError {
    fn exit_code(&self) -> u8 {
        match self {
            Self::Usage(_) => USAGE,
            Self::Unreachable(_) => UNREACHABLE,
            Self::NobodyReads => 0,
            Self::Refused(_) | Self::Busy(_) | Self::Io { .. } | Self::NotOk => 1,
        }
    }
}

/// Runs `hookboxctl` with the process's arguments.
#[must_use]
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return ExitCode::from(usage(&error)),
    };
    if let Command::Demo(args) = cli.command {
        return demo::run(&args);
    }
    let failure = match run(&cli) {
        Ok(()) => return ExitCode::SUCCESS,
        Err(failure) => failure,
    };
    if !matches!(failure, CtlError::NobodyReads | CtlError::NotOk) {
        eprintln!("hookboxctl: {}", one_line(&failure.to_string()));
    }
    ExitCode::from(failure.exit_code())
}

/// Runs one command against the daemon.
fn run(cli: &Cli) -> Result<(), CtlError> {
    let mut out = Output::new(cli.json);
    if let Command::Simulate(args) = &cli.command {
        return simulate::run(&mut out, args).and_then(|()| out.finish());
    }
    let client = Client::new(cli.socket.as_deref())?;
    let done = perform(&client, &mut out, &cli.command);
    done.and_then(|()| out.finish())
}

fn perform(client: &Client, out: &mut Output, command: &Command) -> Result<(), CtlError> {
    match command {
        Command::Status => show::status(client, out),
        Command::Source(command) => configure::source(client, out, command),
        Command::Bin(command) => configure::bin(client, out, command),
        Command::Endpoint(command) => configure::endpoint(client, out, command),
        Command::Event(command) => operate::event(client, out, command),
        Command::Delivery(command) => operate::delivery(client, out, command),
        Command::Dlq(command) => operate::dlq(client, out, command),
        Command::Replay(args) => operate::replay(client, out, args),
        Command::Tail(args) => lists::tail(client, out, args),
        Command::Consume(args) => consume::consume(client, out, args),
        Command::Log(command) => log::log(client, out, command),
        // They are no clients of a daemon: `main` and `run` do them.
        Command::Demo(_) | Command::Simulate(_) => Ok(()),
    }
}

/// Prints help where it was asked for, and a usage error as one line. Gives the exit code.
fn usage(error: &clap::Error) -> u8 {
    use clap::error::ErrorKind;
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => {
            // A reader that goes away is no failure of ours.
            let _ = error.print();
            0
        }
        ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand | ErrorKind::MissingSubcommand => {
            let _ = error.print();
            USAGE
        }
        _ => {
            let words: Vec<String> = std::env::args().skip(1).collect();
            eprintln!("hookboxctl: {}", usage_line(&error.to_string(), &words));
            USAGE
        }
    }
}

/// clap's message in one line: what is wrong, its tip, and where to read on.
fn usage_line(message: &str, words: &[String]) -> String {
    let mut said = String::new();
    for line in message.lines().map(str::trim).filter(|l| !l.is_empty()) {
        if line.starts_with("Usage:") || line.starts_with("For more information") {
            break;
        }
        let line = line.strip_prefix("error: ").unwrap_or(line);
        let line = line.strip_prefix("tip: ").unwrap_or(line);
        if !said.is_empty() {
            said.push_str(if said.ends_with(':') { " " } else { "; " });
        }
        said.push_str(line);
    }
    format!("{said}: see `{} --help`", innermost(words))
}

/// The command that the words lead to: `hookboxctl source create`.
fn innermost(words: &[String]) -> String {
    let mut command = Cli::command();
    let mut path = command.get_name().to_owned();
    for word in words {
        if let Some(sub) = command.find_subcommand(word).cloned() {
            path = format!("{path} {}", sub.get_name());
            command = sub;
        }
    }
    path
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}
