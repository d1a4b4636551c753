//! The demonstration: the whole story in seconds, in a folder of its own.

use std::process::ExitCode;

use clap::Args;

/// What the demonstration may be told.
#[derive(Args, Clone, Debug, Default)]
pub struct DemoArgs {}

/// Tells the story.
#[must_use]
pub fn run(_args: DemoArgs) -> ExitCode {
    eprintln!("hookboxctl: this build has no demonstration: start `hookboxd` and see `hookboxctl --help`");
    ExitCode::from(1)
}
