//! The demonstration: the whole story in seconds, in a folder of its own.
//!
//! It plays everybody: a sender that signs as GitHub does, a receiver that fails by script, the operator who types
//! `hookboxctl`, and the one who pulls the plug. Between them stands a real `hookboxd` with a log of its own.
//!
//! * `stage`: the folder, the daemon as a child process, the operator's commands, what is printed.
//! * `receiver`: one HTTP server on a loopback port.
//! * `sender`: signed posts, one by one and as a burst.
//! * `story`: the steps in order; each says what came back, and ends the story when that is not what should have.
//! * `push.json`, `star.json`: real payloads of GitHub, out of `tests/fixtures` (npm package
//!   `@octokit/webhooks-examples` 7.6.1, MIT licence, Copyright (c) Octokit contributors).
//!
//! Limits: every wait has an end, and all of it together `stage::ALL_MS`. Only loopback is dialled; only the own
//! child is killed. The folder goes at the end, whatever the end is (but not with `--keep`). Exit 0 says that
//! everything in the story held.

mod receiver;
mod sender;
mod stage;
mod story;

use std::process::ExitCode;

use clap::Args;

use stage::Stage;

use super::CtlError;

/// What the demonstration may be told.
#[derive(Args, Clone, Debug, Default)]
pub struct DemoArgs {
    /// Keep the folder with the log, to look around in it.
    #[arg(long)]
    pub keep: bool,
}

/// Tells the story. The program that runs it must be the daemon when it is called `hookboxd`.
#[must_use]
pub fn run(args: &DemoArgs) -> ExitCode {
    let mut stage = match Stage::new(args.keep) {
        Ok(stage) => stage,
        Err(error) => {
            eprintln!("hookboxctl: the demonstration cannot begin: {error}");
            return ExitCode::from(error.exit_code());
        }
    };
    let told = story::tell(&mut stage);
    let why = match told {
        Ok(()) => return ExitCode::SUCCESS,
        // Where nobody reads there is nobody to tell.
        Err(CtlError::NobodyReads) => return ExitCode::from(1),
        Err(error) => stage.interrupted().unwrap_or_else(|| error.to_string()),
    };
    eprintln!("hookboxctl: the story broke off: {why}");
    for line in stage.daemon_said() {
        eprintln!("  hookboxd: {line}");
    }
    ExitCode::from(1)
}
