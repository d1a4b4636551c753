//! Help, and usage errors in one line.

use clap::CommandFactory;
use clap::error::ErrorKind;

use super::args::Cli;
use super::error::{NOT_COMPARED, USAGE};
use super::output::failed;
use crate::config::usage::usage_line;
use crate::service::stdio;

/// The command whose exit codes are those of diff(1).
const DIFF: &str = "hookboxctl diff";

/// Prints help where it was asked for, and a usage error as one line. Gives the exit code.
pub(super) fn report(error: &clap::Error) -> u8 {
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => {
            // Whoever asked for help may close stdout early: that is not a failure.
            error.print().map_or_else(|error| failed(error).exit_code(), |()| 0)
        }
        ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand | ErrorKind::MissingSubcommand => {
            let _ = error.print();
            USAGE
        }
        _ => {
            let words: Vec<String> = std::env::args().skip(1).collect();
            stdio::note(format_args!("hookboxctl: {}", line(&error.to_string(), &words)));
            if innermost(&words) == DIFF { NOT_COMPARED } else { USAGE }
        }
    }
}

/// clap's message in one line.
pub(super) fn line(message: &str, words: &[String]) -> String {
    usage_line(message, &innermost(words))
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
