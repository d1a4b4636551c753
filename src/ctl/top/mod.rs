//! `top`: the live screen.
//!
//! Limits: 1,000 dead letters, 10,000 deliveries of the shape of a backlog and of one action, 1,000
//! lines of the tail; of endpoints and sources all that there can be. One request to the daemon at
//! a time, beside the tail.
//!
//! Invariants: what is shown and done is decided in [`model`], a value that knows neither a
//! terminal nor a daemon. Nothing is changed without a question that says how much. Text from
//! elsewhere is shown harmless. The daemon decides what the caller may do.
//!
//! Things: the [`model`] with its [`data`], the [`screens`] and their [`listing`], [`keys`] and
//! [`commands`], the [`view`], the [`runner`] with its terminal, and the [`worker`], which asks the
//! daemon. [`once`] shows the same to scripts.

mod commands;
mod data;
mod keys;
mod listing;
mod model;
mod once;
mod runner;
mod screens;
mod shape;
#[cfg(test)]
mod tests;
mod view;
mod worker;

use std::io::IsTerminal;
use std::path::Path;

use super::answer::Answer;
use super::args::TopArgs;
use super::client::AdminClient;
use super::clock::now_ms;
use super::error::CtlError;
use super::output::Output;
use super::sparkline::{ASCII, Ramp};
use model::TopModel;
use runner::TopRun;
use view::TopStyle;

pub(super) fn top(socket: Option<&Path>, out: &mut Output, args: &TopArgs) -> Result<(), CtlError> {
    let clients = || AdminClient::new(socket);
    let mut model = TopModel::new(args.screen);
    if let Some(column) = &args.sort {
        model.listing_mut().sort_by(column).map_err(CtlError::Usage)?;
    }

    let ramp = if args.ascii { ASCII } else { Ramp::of_environment() };
    let style = TopStyle { colours: out.terminal.colours, ramp, is_printed: args.once };
    if out.json || args.once {
        return repeat(&clients()?, out, args, &mut model, style);
    }
    if !std::io::stdout().is_terminal() || !std::io::stdin().is_terminal() {
        let what = "top needs a terminal: use --once or --json, or `hookboxctl status`";
        return Err(CtlError::Usage(what.to_owned()));
    }
    // Whoever cannot be reached says so before the screen is taken.
    let _ = clients()?.get("/v1/version")?;
    let run = TopRun { clients: &clients, every_ms: args.delay.ms(), most: args.count, style };
    runner::run(model, &run)
}

/// Prints a screen, or an object, so many times.
fn repeat(
    client: &AdminClient,
    out: &mut Output,
    args: &TopArgs,
    model: &mut TopModel,
    style: TopStyle,
) -> Result<(), CtlError> {
    let times = args.count.unwrap_or(1);
    for n in 0..times {
        if n > 0 {
            std::thread::park_timeout(std::time::Duration::from_millis(args.delay.ms()));
        }
        if out.json {
            out.one(&Answer::of(&once::json(client)?)?, |_: &serde_json::Value| String::new())?;
        } else {
            let text = once::text(client, model, now_ms(), out.terminal.width, style)?;
            out.line(&text)?;
        }
        out.finish()?;
    }
    Ok(())
}
