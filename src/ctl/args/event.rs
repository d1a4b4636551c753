//! The arguments of `hookboxctl event`, `replay` and `tail`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::filter::{EventFilterArgs, PageArgs};
use super::values::dash;
use crate::api::values::Text;
use crate::model::Rate;

#[derive(Subcommand, Debug)]
pub enum EventCommand {
    /// List events, the newest first.
    #[command(visible_alias = "ls")]
    List {
        #[command(flatten)]
        filter: EventFilterArgs,
        /// Only this event.
        #[arg(long, value_name = "ID")]
        event: Option<String>,
        #[command(flatten)]
        page: PageArgs,
    },
    /// Show an event with its headers, deliveries and body.
    Show {
        /// The id of the event (evt_…).
        id: String,
    },
    /// Write the body of an event to stdout, as it came in, byte for byte.
    Body {
        /// The id of the event (evt_…).
        id: String,
    },
    /// Send an event in the name of a source, without the proof that its senders need.
    #[command(after_help = "Examples:\n  \
        hookboxctl event send --source github --type push --data '{\"ref\":\"main\"}'\n  \
        hookboxctl event send --source app --id order-17 --file order.json\n  \
        date | hookboxctl event send --source app -")]
    Send(SendArgs),
}

#[derive(Args, Debug)]
pub struct SendArgs {
    /// The source that the event comes from.
    #[arg(long, value_name = "NAME")]
    pub source: String,
    /// The event's type.
    #[arg(long = "type", value_name = "TYPE")]
    pub kind: Option<String>,
    /// The dedupe key; a second event with the same key within the source's window is a duplicate.
    #[arg(long, value_name = "KEY")]
    pub id: Option<String>,
    /// The content type of the body [default: application/json if it is JSON, else
    /// application/octet-stream].
    #[arg(long, value_name = "TYPE")]
    pub content_type: Option<String>,
    #[command(flatten)]
    pub body: BodyArgs,
}

/// Where the body comes from.
#[derive(Args, Debug)]
#[group(required = true, multiple = false)]
pub struct BodyArgs {
    /// The body itself.
    #[arg(long, value_name = "STRING")]
    pub data: Option<String>,
    /// Read the body from a file.
    #[arg(long, value_name = "FILE")]
    pub file: Option<PathBuf>,
    /// Read the body from stdin.
    #[arg(value_name = "-", value_parser = dash)]
    pub stdin: Option<String>,
}

#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  hookboxctl replay --source github --since 2h --dry-run\n  \
    hookboxctl replay --type 'invoice.*' --since 2026-11-01 --to billing --rate 50/s\n  \
    hookboxctl replay --event evt_…\n  hookboxctl replay --list\n  hookboxctl replay --stop 46")]
pub struct ReplayArgs {
    #[command(flatten)]
    pub filter: EventFilterArgs,
    /// Only this event.
    #[arg(long, value_name = "ID")]
    pub event: Option<String>,
    /// Deliver to this endpoint instead of those that each event went to before.
    #[arg(long, value_name = "ENDPOINT")]
    pub to: Option<String>,
    /// Queue at most this many new deliveries a second, such as 10/s; 120/m is 2/s.
    #[arg(long, value_name = "N/s")]
    pub rate: Option<Text<Rate>>,
    /// Replay every stored event.
    #[arg(long)]
    pub all: bool,
    /// Only count the events and deliveries; queue nothing.
    #[arg(long)]
    pub dry_run: bool,
    /// Do not ask.
    #[arg(long, short)]
    pub yes: bool,
    /// List the replays in progress instead.
    #[arg(
        long,
        conflicts_with_all = [
            "event", "to", "rate", "all", "dry_run", "source", "kind", "since", "until", "stop",
        ],
    )]
    pub list: bool,
    /// Stop the replay with this number, which --list shows; what it has queued stays queued.
    #[arg(
        long,
        value_name = "NUMBER",
        conflicts_with_all = [
            "event", "to", "rate", "all", "dry_run", "source", "kind", "since", "until",
        ],
    )]
    pub stop: Option<u64>,
}

#[derive(Args, Debug)]
pub struct TailArgs {
    /// Keep running, and show events and attempts as they happen.
    #[arg(long, short)]
    pub follow: bool,
    /// Only events of this source.
    #[arg(long, value_name = "NAME")]
    pub source: Option<String>,
    /// Only attempts to this endpoint.
    #[arg(long, value_name = "NAME")]
    pub endpoint: Option<String>,
    /// Begin with this many lines of the past.
    #[arg(
        long,
        short = 'n',
        default_value_t = 10,
        value_name = "N",
        value_parser = clap::value_parser!(u64).range(..=1000),
    )]
    pub limit: u64,
}
