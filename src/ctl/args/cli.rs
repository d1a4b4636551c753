//! The command line as a whole: the global options and the commands.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use super::apply::{ApplyArgs, DiffArgs, SetExportArgs};
use super::bin::BinCommand;
use super::consume::ConsumeArgs;
use super::delivery::{DeliveryCommand, DlqCommand};
use super::demo::DemoArgs;
use super::endpoint::EndpointCommand;
use super::event::{EventCommand, ReplayArgs, TailArgs};
use super::listen::ListenArgs;
use super::log::LogCommand;
use super::manual::{CompletionArgs, ManArgs};
use super::simulate::SimulateArgs;
use super::source::SourceCommand;
use super::stats::StatsArgs;
use super::support::SupportArgs;
use super::top::TopArgs;
#[cfg(feature = "web")]
use super::web::WebArgs;

const EXAMPLES: &str = "\
A first tour (start the daemon first: `hookboxd`):
  hookboxctl source create github --verify github --generate-secret
  hookboxctl endpoint create app --url http://127.0.0.1:3000/hook --allow-private
  hookboxctl event send --source github --type ping --data '{\"zen\":\"Keep it simple\"}'
  hookboxctl tail -f
  hookboxctl delivery list --state pending
  hookboxctl dlq retry --endpoint app

The socket is --socket, else $HOOKBOX_SOCKET, else /run/hookbox/admin.sock if it exists, else
./hookbox-data/admin.sock. hookboxctl talks to it only when it is served by root, by you, or by
the owner of a folder directly in /run.
Exit codes: 0 done, 1 refused, failed or not found, 64 usage, 69 daemon not reachable.";

const STATUS_CODES: &str = "\
Exit codes with --check: 0 all is well, 1 something needs you, 2 no events are accepted, 69 daemon
not reachable.
An open breaker is 1 while deliveries wait behind it, and 0 when none does: the next event tries the
receiver again. Settings that differ from the files of apply.d are 1: the next start changes them
back.";

#[derive(Args, Debug)]
pub struct StatusArgs {
    /// Only say in one line whether all is well, for monitoring; the exit code says it, too.
    #[arg(long)]
    pub check: bool,
}

/// The heading of the options that every command has.
const GLOBAL: &str = "Global options";

/// Operates a hookbox daemon: its sources, endpoints, events, deliveries and log.
#[derive(Parser, Debug)]
#[command(
    name = "hookboxctl",
    version,
    long_version = crate::model::version_and_commit(),
    after_help = EXAMPLES,
    propagate_version = true
)]
pub struct Cli {
    /// The daemon's admin socket; that of another machine, by the system's ssh, as
    /// ssh://user@host/run/hookbox/admin.sock.
    #[arg(long, global = true, value_name = "PATH", help_heading = GLOBAL)]
    pub socket: Option<PathBuf>,
    /// Print JSON for programs: one object, or one object a line for lists and streams.
    #[arg(long, global = true, help_heading = GLOBAL)]
    pub json: bool,
    #[command(subcommand)]
    pub command: CtlCommand,
}

#[derive(Subcommand, Debug)]
pub enum CtlCommand {
    /// Show the state of the daemon on one screen: events, deliveries, failures, disk space.
    #[command(after_help = STATUS_CODES)]
    Status(StatusArgs),
    /// Manage sources: the named URLs that webhooks are posted to.
    #[command(subcommand, visible_alias = "sources")]
    Source(SourceCommand),
    /// Manage bins: temporary sources for looking at what a sender sends.
    #[command(subcommand, visible_alias = "bins")]
    Bin(BinCommand),
    /// Manage endpoints: the named destinations that events are delivered to.
    #[command(subcommand, visible_alias = "endpoints")]
    Endpoint(EndpointCommand),
    /// List, show and send events: the accepted webhooks.
    #[command(subcommand, visible_alias = "events")]
    Event(EventCommand),
    /// List, explain, retry and cancel deliveries: one event to one endpoint each.
    #[command(subcommand, visible_alias = "deliveries")]
    Delivery(DeliveryCommand),
    /// List, retry and discard dead letters: deliveries given up by their retry policy.
    #[command(subcommand, visible_alias = "dead")]
    Dlq(DlqCommand),
    /// Deliver stored events again. Without --to, each goes to the endpoints it went to before.
    Replay(ReplayArgs),
    /// Stream events and attempts.
    Tail(TailArgs),
    /// Show what comes in, and forward it to an application on this machine, until Ctrl-C.
    Listen(ListenArgs),
    /// Serve the page for a browser, on loopback, until the command is stopped.
    #[cfg(feature = "web")]
    Web(WebArgs),
    /// Consume events of a pull endpoint: take each, process it, and acknowledge or reject it.
    Consume(ConsumeArgs),
    /// Inspect, verify, back up, export and import the log.
    #[command(subcommand)]
    Log(LogCommand),
    /// Apply files to sources and endpoints, in one step.
    Apply(ApplyArgs),
    /// Compare sources and endpoints with files.
    Diff(DiffArgs),
    /// Print sources and endpoints as a file, without secrets.
    Export(SetExportArgs),
    /// Show the versions of hookboxctl and of the daemon.
    Version,
    /// Watch and operate the daemon on a live screen: endpoints, refusals, dead letters, the tail.
    Top(TopArgs),
    /// Show the daemon's history: numbers, small plots, or an SVG.
    Stats(StatsArgs),
    /// Print the metrics in the Prometheus text format, for a textfile collector.
    Metrics,
    /// Write a support bundle: the daemon's condition, without bodies, URLs or secrets.
    Support(SupportArgs),
    /// Show the schedule that a retry policy gives, with or without an outage. Needs no daemon.
    Simulate(SimulateArgs),
    /// Run a demonstration in seconds, in a folder of its own that is removed at the end.
    Demo(DemoArgs),
    /// Print the script that completes hookboxctl in a shell. Needs no daemon.
    Completion(CompletionArgs),
    /// Write the manual pages of hookboxd, hookboxctl and hookbox.toml. Needs no daemon.
    Man(ManArgs),
}
