//! The demonstration: the whole story in seconds, in a folder of its own.
//!
//! It plays everybody: a sender that signs as GitHub does, a receiver that fails by script, the
//! operator who types `hookboxctl`, and the power cut. Between them stands a real `hookboxd` with a
//! log of its own.
//!
//! * `environment`: the folder, the daemon as a child process, the operator's commands, stdout.
//! * `receiver`: one HTTP server on a loopback port.
//! * `sender`: signed posts, one by one and as a burst.
//! * `story`: the steps in order; each prints what came back, and ends the story with an error when
//!   that is not what it should be.
//! * `push.json`, `star.json`: real payloads of GitHub, out of `tests/fixtures` (npm package
//!   `@octokit/webhooks-examples` 7.6.1, MIT licence, Copyright (c) Octokit contributors).
//!
//! Limits: every wait has an end, and all of it together `environment::ALL_MS`. Only loopback is
//! dialled; only its own child is killed. The folder is removed at the end, whatever the end is,
//! except with `--keep`. Exit 0 says that every check in the story passed.

mod environment;
mod receiver;
mod sender;
mod story;

use std::process::ExitCode;

use environment::DemoEnvironment;

use crate::ctl::args::DemoArgs;
use crate::ctl::error::CtlError;
use crate::service::stdio;

/// Runs the story. The program that runs it must be the daemon when it is called `hookboxd`.
#[must_use]
pub fn run(args: &DemoArgs) -> ExitCode {
    let mut demo = match DemoEnvironment::new(args.keep) {
        Ok(demo) => demo,
        Err(error) => {
            stdio::note(format_args!("hookboxctl: the demonstration cannot start: {error}"));
            return ExitCode::from(error.exit_code());
        }
    };

    let ended = story::run(&mut demo);
    let why = match ended {
        Ok(()) => return ExitCode::SUCCESS,
        // Stdout is closed: nobody reads the rest.
        Err(CtlError::OutputClosed) => return ExitCode::from(1),
        Err(error) => demo.interrupted().unwrap_or_else(|| error.to_string()),
    };

    stdio::note(format_args!("hookboxctl: the demonstration failed: {why}"));
    for line in demo.daemon_log() {
        stdio::note(format_args!("  hookboxd: {line}"));
    }
    ExitCode::from(1)
}
