//! Completion of the command line in a shell. The shell's script, which `completion` prints, calls
//! this program with [`VARIABLE`] set for each press of the key, so it never gets old: commands and
//! options come from the definitions behind `--help`, names and ids from the daemon.
//!
//! Whoever presses the key does not wait: an answer that takes longer than [`PATIENCE`], a daemon
//! that is not there and a socket of somebody else give no names, and no message.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::mpsc;
use std::time::Duration;

use clap::{Arg, Command, CommandFactory};
use clap_complete::engine::{ArgValueCandidates, CompletionCandidate};
use clap_complete::env::{Bash, CompleteEnv, EnvCompleter, Fish, Shells, Zsh};
use serde::Deserialize;

use super::args::{Cli, CompletionShell};
use super::client::AdminClient;
use super::error::CtlError;
use super::output::Output;
use crate::ingest::verify::SCHEMES;

/// Set by the scripts; its value is the shell's name.
const VARIABLE: &str = "HOOKBOXCTL_COMPLETE";
const PROGRAM: &str = "hookboxctl";
/// With the start of this program that is less than 200 ms, on a slow machine, too.
const PATIENCE: Duration = Duration::from_millis(150);
/// The newest ids that are offered.
const IDS: usize = 20;

/// What has a name or an id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Named {
    Source,
    Bin,
    Endpoint,
    Event,
    Delivery,
    DeadLetter,
    /// A verification scheme: known without the daemon.
    Scheme,
}

/// Prints the script of a shell.
pub(super) fn script(out: &mut Output, shell: CompletionShell) -> Result<(), CtlError> {
    let completer: &dyn EnvCompleter = match shell {
        CompletionShell::Bash => &Bash,
        CompletionShell::Zsh => &Zsh,
        CompletionShell::Fish => &Fish,
    };
    let mut text = Vec::new();
    completer
        .write_registration(VARIABLE, PROGRAM, PROGRAM, PROGRAM, &mut text)
        .map_err(|error| CtlError::Io { what: "cannot write the script".into(), error })?;

    let mut text = String::from_utf8_lossy(&text).trim().to_owned();
    if shell == CompletionShell::Zsh {
        // The file is read as the function itself, at the first press of the key.
        text.push_str(
            "\n\nif [[ ${funcstack[1]} == _hookboxctl ]]; then\n    \
             _clap_dynamic_completer_hookboxctl \"$@\"\nfi",
        );
    }
    out.line(&text)
}

/// Answers a shell that asks what can stand there; `None` when none does.
pub(super) fn answer() -> Option<ExitCode> {
    std::env::var_os(VARIABLE)?;
    let shells: &[&dyn EnvCompleter] = &[&Bash, &Zsh, &Fish];
    let complete = CompleteEnv::with_factory(completed_command).var(VARIABLE).bin(PROGRAM);
    let here = std::env::current_dir().ok();

    let answered =
        complete.shells(Shells(shells)).try_complete(std::env::args_os(), here.as_deref());
    match answered {
        Ok(true) => Some(ExitCode::SUCCESS),
        Ok(false) => None,
        // Nobody can read a message while a line is being written.
        Err(_) => Some(ExitCode::FAILURE),
    }
}

/// The command line, with what the daemon knows at its place.
fn completed_command() -> Command {
    named_below(Cli::command(), &[])
}

fn named_below(command: Command, path: &[String]) -> Command {
    let place = path.to_vec();
    let mut command = command.mut_args(|arg| match named(&place, &arg) {
        Some(kind) => arg.add(ArgValueCandidates::new(move || candidates(kind))),
        None => arg,
    });

    for sub in command.clone().get_subcommands() {
        let name = sub.get_name().to_owned();
        let below = [path, std::slice::from_ref(&name)].concat();
        command = command.mut_subcommand(&name, |sub| named_below(sub, &below));
    }
    command
}

/// What an argument of the command at `path` names.
fn named(path: &[String], arg: &Arg) -> Option<Named> {
    let group = path.first().map_or("", String::as_str);
    let creates = path.last().is_some_and(|verb| verb == "create");

    match (group, arg.get_id().as_str()) {
        ("source", "verify" | "scheme") => Some(Named::Scheme),
        ("source", "name") if !creates => Some(Named::Source),
        ("bin", "name") if !creates => Some(Named::Bin),
        ("endpoint", "name") if !creates => Some(Named::Endpoint),
        ("consume", "name") | ("replay", "to") => Some(Named::Endpoint),
        ("event", "id") => Some(Named::Event),
        ("delivery", "id" | "ids") => Some(Named::Delivery),
        ("dlq", "id" | "ids") => Some(Named::DeadLetter),
        ("endpoint", "from") | (_, "source") if arg.get_long().is_some() => Some(Named::Source),
        (_, "endpoint") if arg.get_long().is_some() => Some(Named::Endpoint),
        (_, "event") if arg.get_long().is_some() => Some(Named::Event),
        _ => None,
    }
}

/// The names or ids that the daemon knows, as far as it says so in time.
fn candidates(kind: Named) -> Vec<CompletionCandidate> {
    if kind == Named::Scheme {
        return SCHEMES.iter().copied().map(CompletionCandidate::new).collect();
    }
    let (sender, names) = mpsc::sync_channel(1);
    // A thread that waits for a daemon ends with the process, which does not wait for it.
    std::thread::spawn(move || sender.send(ask(kind).unwrap_or_default()));
    names.recv_timeout(PATIENCE).unwrap_or_default()
}

/// A row of a list, as far as it names something: sources and endpoints have a name, the others an
/// id.
#[derive(Deserialize)]
struct NamedRow {
    name: Option<String>,
    id: Option<String>,
}

fn ask(kind: Named) -> Result<Vec<CompletionCandidate>, CtlError> {
    let path = match kind {
        Named::Source => "/v1/sources".to_owned(),
        Named::Bin => "/v1/sources?verify=bin".to_owned(),
        Named::Endpoint => "/v1/endpoints".to_owned(),
        Named::Event => format!("/v1/events?limit={IDS}"),
        Named::Delivery => format!("/v1/deliveries?limit={IDS}"),
        Named::DeadLetter => format!("/v1/dlq?limit={IDS}"),
        // Asked of nobody.
        Named::Scheme => return Ok(Vec::new()),
    };

    let client = AdminClient::new(socket(std::env::args_os()).as_deref())?;
    // Whoever presses the key does not wait for another machine.
    if client.is_remote() {
        return Ok(Vec::new());
    }
    let mut found = Vec::new();
    client.list(&path, &mut |row| {
        let NamedRow { name, id } = row.view()?;
        found.extend(name.or(id).map(CompletionCandidate::new));
        Ok(())
    })?;
    Ok(found)
}

/// The value of `--socket` in the line that is being written.
fn socket(words: impl Iterator<Item = OsString>) -> Option<PathBuf> {
    let mut words = words;
    while let Some(word) = words.next() {
        if word == "--socket" {
            return words.next().map(PathBuf::from);
        }
        if let Some(path) = word.to_str().and_then(|word| word.strip_prefix("--socket=")) {
            return Some(PathBuf::from(path));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(words: &str, arg: &str) -> Option<Named> {
        let mut command = completed_command();
        let path: Vec<String> = words.split(' ').map(str::to_owned).collect();
        for word in &path {
            command = command.find_subcommand(word).expect("a command").clone();
        }
        let arg = command.get_arguments().find(|a| a.get_id() == arg).expect("an argument").clone();
        named(&path, &arg)
    }

    #[test]
    fn arguments_are_completed_with_what_they_name() {
        // What is about to be made has a name that nobody knows.

        for (words, arg, expected) in [
            ("source show", "name", Some(Named::Source)),
            ("source create", "name", None),
            ("source create", "verify", Some(Named::Scheme)),
            ("source schemes", "scheme", Some(Named::Scheme)),
            ("bin delete", "name", Some(Named::Bin)),
            ("endpoint update", "name", Some(Named::Endpoint)),
            ("endpoint update", "from", Some(Named::Source)),
            ("endpoint create", "from", Some(Named::Source)),
            ("endpoint create", "name", None),
            ("endpoint test", "event", Some(Named::Event)),
            // Options of any command, and ids.
            ("event send", "source", Some(Named::Source)),
            ("event show", "id", Some(Named::Event)),
            ("delivery list", "endpoint", Some(Named::Endpoint)),
            ("delivery retry", "ids", Some(Named::Delivery)),
            ("dlq discard", "ids", Some(Named::DeadLetter)),
            ("consume", "name", Some(Named::Endpoint)),
            ("replay", "to", Some(Named::Endpoint)),
            ("log export", "source", Some(Named::Source)),
            ("log export", "from", None),
        ] {
            assert_eq!(place(words, arg), expected, "{words} {arg}");
        }
    }

    #[test]
    fn the_socket_in_the_line_is_the_one_that_is_asked() {
        let of = |line: &str| socket(line.split(' ').map(OsString::from));
        assert_eq!(of("hookboxctl --socket /a status"), Some(PathBuf::from("/a")));
        assert_eq!(of("hookboxctl source show --socket=/b x"), Some(PathBuf::from("/b")));
        assert_eq!(of("hookboxctl source show x"), None);
    }
}
