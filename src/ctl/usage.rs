//! Help, and usage errors in one line.

use clap::CommandFactory;
use clap::error::ErrorKind;

use super::args::Cli;
use super::error::{NOT_COMPARED, USAGE};

/// The command whose exit codes are those of diff(1).
const DIFF: &str = "hookboxctl diff";

/// Prints help where it was asked for, and a usage error as one line. Gives the exit code.
pub(super) fn report(error: &clap::Error) -> u8 {
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => {
            // Whoever asked for help may close stdout early: that is not a failure.
            let _ = error.print();
            0
        }
        ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand | ErrorKind::MissingSubcommand => {
            let _ = error.print();
            USAGE
        }
        _ => {
            let words: Vec<String> = std::env::args().skip(1).collect();
            eprintln!("hookboxctl: {}", line(&error.to_string(), &words));
            if innermost(&words) == DIFF { NOT_COMPARED } else { USAGE }
        }
    }
}

/// clap's message in one line: what is wrong, its tip, and where to read on.
pub(super) fn line(message: &str, words: &[String]) -> String {
    let mut summary = String::new();
    for line in message.lines().map(str::trim).filter(|line| !line.is_empty()) {
        if line.starts_with("Usage:") || line.starts_with("For more information") {
            break;
        }

        let line = line.strip_prefix("error: ").unwrap_or(line);
        let line = line.strip_prefix("tip: ").unwrap_or(line);
        if !summary.is_empty() {
            summary.push_str(if summary.ends_with(':') { " " } else { "; " });
        }
        summary.push_str(line);
    }

    format!("{summary}: see `{} --help`", innermost(words))
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
