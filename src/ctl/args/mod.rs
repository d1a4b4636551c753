//! The arguments, with a help that teaches. Values are checked here as far as that needs no daemon.

mod configure;
mod log;
mod pacing;
mod values;
mod ways;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use super::demo::DemoArgs;
use super::simulate::SimulateArgs;
pub use configure::{
    BinCommand, EndpointCommand, EndpointSettings, SecretArgs, SourceCommand, SourceSettings, TrialArgs,
};
pub use log::{BackupArgs, ExportArgs, ExportFormat, ImportArgs, LogCommand, SalvageArgs};
use values::{dash, rate};
pub(super) use values::{factor, share};

const EXAMPLES: &str = "\
A first tour (the daemon runs: `hookboxd`):
  hookboxctl source create github --verify github --generate-secret
  hookboxctl endpoint create app --url http://127.0.0.1:3000/hook --allow-private
  hookboxctl event send --source github --type ping --data '{\"zen\":\"Keep it simple\"}'
  hookboxctl tail -f
  hookboxctl delivery list --state pending
  hookboxctl dlq retry --endpoint app

The socket: --socket, else $HOOKBOX_SOCKET, else ./hookbox-data/admin.sock if it is there, else
/run/hookbox/admin.sock. Exit codes: 0 done, 1 refused or not found, 64 usage, 69 daemon not reachable.";

/// The operator's hand of hookbox: what comes in, goes out, waits and fails.
#[derive(Parser, Debug)]
#[command(name = "hookboxctl", version, after_help = EXAMPLES, propagate_version = true)]
pub struct Cli {
    /// The daemon's admin socket.
    #[arg(long, global = true, value_name = "PATH")]
    pub socket: Option<PathBuf>,
    /// For programs: one JSON object for one thing, one object a line for lists and tails.
    #[arg(long, global = true)]
    pub json: bool,
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Subcommand, Debug)]
pub enum Command {
    /// One screen: what comes in, goes out, waits, fails, and the room left.
    Status,
    /// Named ways in.
    #[command(subcommand, visible_alias = "sources")]
    Source(SourceCommand),
    /// Temporary sources for looking at what someone sends.
    #[command(subcommand, visible_alias = "bins")]
    Bin(BinCommand),
    /// Named ways out.
    #[command(subcommand, visible_alias = "endpoints")]
    Endpoint(EndpointCommand),
    /// Accepted webhooks.
    #[command(subcommand, visible_alias = "events")]
    Event(EventCommand),
    /// The duty to bring one event to one endpoint, and what came of it.
    #[command(subcommand, visible_alias = "deliveries")]
    Delivery(DeliveryCommand),
    /// Dead letters: deliveries given up by policy, kept for you.
    #[command(subcommand, visible_alias = "dead")]
    Dlq(DlqCommand),
    /// Deliver old events anew. Without --to each goes where it went before.
    Replay(ReplayArgs),
    /// What passes, live.
    Tail(TailArgs),
    /// Take events of a pull endpoint, one after the other, and say what became of each.
    #[command(after_help = "Examples:\n  hookboxctl endpoint create jobs --url pull: --from app\n  \
        hookboxctl consume jobs --json                       # each is acknowledged once it is written\n  \
        hookboxctl consume jobs --exec ./handle --quietly    # body on stdin, facts in HOOKBOX_…\n  \
        hookboxctl consume jobs --batch 100 --exec ./load    # JSON lines on stdin\n\n\
        Exit codes of the command: 0 done, 75 try again, 100 never again (a dead letter), others try again.\n\
        Several consumers of one endpoint share its events; what one leaves unsettled goes to others when its lease\n\
        runs out.")]
    Consume(ConsumeArgs),
    /// The log: its segments, and whether all of it adds up.
    #[command(subcommand)]
    Log(LogCommand),
    /// The schedule that a retry policy gives, and where an outage ends in it. Needs no daemon.
    Simulate(SimulateArgs),
    /// The whole story in seconds, in a folder of its own, then cleaned up.
    Demo(DemoArgs),
}

#[derive(Args, Debug, Clone)]
pub struct ConsumeArgs {
    /// The pull endpoint.
    pub name: String,
    /// Take up to so many events at once; with --exec they go to one run of the command.
    #[arg(long, default_value_t = 1, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=256))]
    pub batch: u32,
    /// How long an event is yours before others may have it; extended while the command runs [default: the endpoint's].
    #[arg(long, value_name = "DURATION", value_parser = crate::model::time::parse_duration_ms)]
    pub lease: Option<u64>,
    /// How long to wait for events before asking again.
    #[arg(long, default_value = "30s", value_name = "DURATION", value_parser = crate::model::time::parse_duration_ms)]
    pub wait: u64,
    /// Ask once only, and end.
    #[arg(long)]
    pub once: bool,
    /// End after so many events.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub max: Option<u64>,
    /// Run this for each event, with these arguments; the last option of the line.
    #[arg(long, value_name = "CMD [ARG]…", num_args = 1.., allow_hyphen_values = true)]
    pub exec: Vec<String>,
}

/// How much of a list.
#[derive(Args, Debug, Clone)]
pub struct Page {
    /// At most so many, the newest first.
    #[arg(long, short = 'n', default_value_t = 50, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub limit: u64,
    /// Go on after this one, the last of the page before.
    #[arg(long, value_name = "ID")]
    pub after: Option<String>,
}

/// Which events or deliveries. Times: 2026-11-23T13:20:00Z, 2026-11-23, unix seconds, or 2h for two hours ago.
#[derive(Args, Debug, Clone, Default)]
pub struct Filter {
    /// Of this source.
    #[arg(long, value_name = "NAME")]
    pub source: Option<String>,
    /// Of this type; * and ? stand for any characters.
    #[arg(long = "type", value_name = "GLOB")]
    pub kind: Option<String>,
    /// From this time on: a date, or 2h for two hours ago.
    #[arg(long, value_name = "TIME")]
    pub since: Option<String>,
    /// Before this time.
    #[arg(long, value_name = "TIME")]
    pub until: Option<String>,
}

#[derive(Subcommand, Debug)]
pub enum EventCommand {
    /// The newest first.
    #[command(visible_alias = "ls")]
    List {
        #[command(flatten)]
        filter: Filter,
        #[command(flatten)]
        page: Page,
    },
    /// One of them, with headers and body.
    Show { id: String },
    /// Send one in as a source, without the proof its senders need.
    #[command(
        after_help = "Examples:\n  hookboxctl event send --source github --type push --data '{\"ref\":\"main\"}'\n  \
        hookboxctl event send --source app --id order-17 --file order.json\n  \
        date | hookboxctl event send --source app -"
    )]
    Send(SendArgs),
}

#[derive(Args, Debug)]
pub struct SendArgs {
    #[arg(long, value_name = "NAME")]
    pub source: String,
    /// The event's type.
    #[arg(long = "type", value_name = "TYPE")]
    pub kind: Option<String>,
    /// The dedupe key: the same one again within the window is a duplicate.
    #[arg(long, value_name = "KEY")]
    pub id: Option<String>,
    /// The body's type [default: application/json if it is JSON, else application/octet-stream].
    #[arg(long, value_name = "TYPE")]
    pub content_type: Option<String>,
    #[command(flatten)]
    pub body: BodyArgs,
}

/// Where the body comes from.
#[derive(Args, Debug)]
#[group(required = true, multiple = false)]
pub struct BodyArgs {
    /// The body.
    #[arg(long, value_name = "STRING")]
    pub data: Option<String>,
    /// The body's file.
    #[arg(long, value_name = "FILE")]
    pub file: Option<PathBuf>,
    /// - reads the body from stdin.
    #[arg(value_name = "-", value_parser = dash)]
    pub stdin: Option<String>,
}

/// Which deliveries.
#[derive(Args, Debug, Clone, Default)]
pub struct DeliveryFilter {
    #[command(flatten)]
    pub filter: Filter,
    /// To this endpoint.
    #[arg(long, value_name = "NAME")]
    pub endpoint: Option<String>,
    /// Of this event.
    #[arg(long, value_name = "ID")]
    pub event: Option<String>,
}

#[derive(Subcommand, Debug)]
pub enum DeliveryCommand {
    /// The newest first.
    #[command(visible_alias = "ls")]
    List {
        /// pending, in_flight, delivered, dead, held or cancelled.
        #[arg(long, value_name = "STATE")]
        state: Option<String>,
        #[command(flatten)]
        filter: DeliveryFilter,
        #[command(flatten)]
        page: Page,
    },
    /// One of them, with every attempt.
    Show { id: String },
    /// Why it waits, in sentences, and what to do about it; or how it ended.
    #[command(visible_alias = "why")]
    Explain { id: String },
    /// Attempt again, now: deliveries that wait, are dead or were cancelled.
    Retry {
        #[arg(required = true)]
        ids: Vec<String>,
    },
    /// End deliveries that have not ended.
    Cancel {
        #[arg(required = true)]
        ids: Vec<String>,
    },
}

#[derive(Subcommand, Debug)]
pub enum DlqCommand {
    /// The newest first.
    #[command(visible_alias = "ls")]
    List {
        #[command(flatten)]
        filter: DeliveryFilter,
        #[command(flatten)]
        page: Page,
    },
    /// One of them, with every attempt.
    Show { id: String },
    /// Attempt them again: by id, by filter, or all.
    #[command(
        after_help = "Examples:\n  hookboxctl dlq retry --endpoint app --since 2h --dry-run\n  hookboxctl dlq retry --all"
    )]
    Retry(MassArgs),
    /// Discard them for good: by id, by filter, or all.
    #[command(visible_alias = "rm")]
    Discard(MassArgs),
}

#[derive(Args, Debug)]
pub struct MassArgs {
    pub ids: Vec<String>,
    #[command(flatten)]
    pub filter: DeliveryFilter,
    /// All there are.
    #[arg(long)]
    pub all: bool,
    /// Only count.
    #[arg(long)]
    pub dry_run: bool,
}

#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  hookboxctl replay --source github --since 2h --dry-run\n  \
    hookboxctl replay --type 'invoice.*' --since 2026-11-01 --to billing --rate 50/s\n  \
    hookboxctl replay --event evt_…\n  hookboxctl replay --list")]
pub struct ReplayArgs {
    #[command(flatten)]
    pub filter: Filter,
    /// Only this event.
    #[arg(long, value_name = "ID")]
    pub event: Option<String>,
    /// To this endpoint instead of where they went before.
    #[arg(long, value_name = "ENDPOINT")]
    pub to: Option<String>,
    /// New deliveries in a second.
    #[arg(long, value_name = "N/s", value_parser = rate)]
    pub rate: Option<String>,
    /// Every event there is.
    #[arg(long)]
    pub all: bool,
    /// Only count.
    #[arg(long)]
    pub dry_run: bool,
    /// Show the replays under way instead.
    #[arg(long, conflicts_with_all = ["event", "to", "rate", "all", "dry_run", "source", "kind", "since", "until"])]
    pub list: bool,
}

#[derive(Args, Debug)]
pub struct TailArgs {
    /// Go on with what passes from now on.
    #[arg(long, short)]
    pub follow: bool,
    /// Only events of this source.
    #[arg(long, value_name = "NAME")]
    pub source: Option<String>,
    /// Only attempts at this endpoint.
    #[arg(long, value_name = "NAME")]
    pub endpoint: Option<String>,
    /// Lines of the past to begin with.
    #[arg(long, short = 'n', default_value_t = 10, value_name = "N", value_parser = clap::value_parser!(u64).range(..=1000))]
    pub limit: u64,
}
