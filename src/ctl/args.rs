//! The arguments, with a help that teaches. Values are checked here as far as that needs no daemon.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

use super::demo::DemoArgs;
use crate::model::time::parse_duration_ms;

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
#[command(name = "hookboxctl", version, about, after_help = EXAMPLES, propagate_version = true)]
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
    /// The log: its segments, and whether all of it adds up.
    #[command(subcommand)]
    Log(LogCommand),
    /// The whole story in seconds, in a folder of its own, then cleaned up.
    Demo(DemoArgs),
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

/// A secret to use, or to be made. Given on the command line, other users may see it in the list of processes.
#[derive(Args, Debug, Clone, Default)]
#[group(multiple = false)]
pub struct SecretArgs {
    /// The shared secret, as the provider shows it (better: --secret-file).
    #[arg(long, value_name = "SECRET")]
    pub secret: Option<String>,
    /// Read the secret from a file; - for stdin.
    #[arg(long, value_name = "FILE")]
    pub secret_file: Option<PathBuf>,
    /// Make a secret; it is shown once.
    #[arg(long)]
    pub generate_secret: bool,
}

#[derive(Subcommand, Debug)]
pub enum SourceCommand {
    /// Make a way in.
    #[command(after_help = "Examples:\n  hookboxctl source create github --verify github --secret-file ./secret\n  \
        hookboxctl source create shop --verify apikey --set in=header --set name=x-api-key --generate-secret\n  \
        hookboxctl source create anything --token --allow 192.0.2.0/24 --id-field /event/id")]
    Create {
        name: String,
        #[command(flatten)]
        settings: Box<SourceSettings>,
    },
    /// All of them.
    #[command(visible_alias = "ls")]
    List,
    /// One of them.
    Show { name: String },
    /// Change what is given, leave the rest.
    Update {
        name: String,
        #[command(flatten)]
        settings: Box<SourceSettings>,
        /// Put a setting back to its default (type_header, allow, …), as named in `source show --json`.
        #[arg(long, value_name = "SETTING")]
        reset: Vec<String>,
    },
    /// Take a way in away; its events stay.
    #[command(visible_alias = "rm")]
    Delete { name: String },
    /// A new secret; the old one goes on for 24 hours.
    RotateSecret {
        name: String,
        #[command(flatten)]
        secret: SecretArgs,
        /// End the old one at once.
        #[arg(long)]
        now: bool,
    },
    /// What would happen to a request, and why, without logging it.
    #[command(
        after_help = "The request: {\"method\":\"POST\",\"url\":\"https://…/in/NAME\",\"headers\":{},\"body_base64\":\"…\"}"
    )]
    Check {
        name: String,
        /// The request as JSON; - for stdin.
        #[arg(long, value_name = "FILE")]
        request: PathBuf,
        /// The time to check it at, in unix seconds.
        #[arg(long, value_name = "UNIX", allow_negative_numbers = true)]
        at: Option<i64>,
    },
}

#[derive(Args, Debug, Clone, Default)]
pub struct SourceSettings {
    /// The scheme of proof: none, github, standard-webhooks, stripe, …
    #[arg(long, value_name = "SCHEME")]
    pub verify: Option<String>,
    #[command(flatten)]
    pub secret: SecretArgs,
    /// The provider's public key (PEM, base64, hex or whpk_…).
    #[arg(long, value_name = "FILE")]
    pub public_key_file: Option<PathBuf>,
    /// A setting of the scheme; @FILE.json reads its value from a file.
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub params: Vec<String>,
    /// The URL under which the provider posts, for schemes that sign it.
    #[arg(long, value_name = "URL")]
    pub public_url: Option<String>,
    /// Let it be posted to under an unguessable path instead of its name.
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_name = "BOOL")]
    pub token: Option<bool>,
    /// Who may post; everybody when not given. Several are possible.
    #[arg(long, value_name = "CIDR", value_parser = network)]
    pub allow: Vec<String>,
    /// Bytes of a body at most: 1MiB, 512k, 65536.
    #[arg(long, value_name = "N", value_parser = size)]
    pub max_body: Option<u64>,
    /// How long a repetition is a duplicate.
    #[arg(long, value_name = "DURATION", value_parser = parse_duration_ms)]
    pub dedupe_window: Option<u64>,
    /// The header that holds the event's type.
    #[arg(long, value_name = "NAME")]
    pub type_header: Option<String>,
    /// The JSON Pointer into the body that holds the event's type.
    #[arg(long, value_name = "POINTER")]
    pub type_field: Option<String>,
    /// The header that holds the dedupe key.
    #[arg(long, value_name = "NAME")]
    pub id_header: Option<String>,
    /// The JSON Pointer into the body that holds the dedupe key.
    #[arg(long, value_name = "POINTER")]
    pub id_field: Option<String>,
    /// One event for each element of a batch.
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_name = "BOOL")]
    pub split: Option<bool>,
}

#[derive(Subcommand, Debug)]
pub enum BinCommand {
    /// Make a bin; a name is made up when none is given.
    Create {
        name: Option<String>,
        /// How long it stays.
        #[arg(long, default_value = "24h", value_name = "DURATION", value_parser = parse_duration_ms)]
        ttl: u64,
    },
    /// All of them.
    #[command(visible_alias = "ls")]
    List,
    /// Take a bin away before its time.
    #[command(visible_alias = "rm")]
    Delete { name: String },
}

#[derive(Subcommand, Debug)]
pub enum EndpointCommand {
    /// Make a way out.
    #[command(after_help = "Examples:\n  hookboxctl endpoint create app --url https://app.example.com/hook\n  \
        hookboxctl endpoint create ci --url http://127.0.0.1:3000/ --allow-private --from github --types 'push*'\n  \
        hookboxctl endpoint create crm --url unix:/run/crm.sock:/hook --where \"@.body.action == 'opened'\"")]
    Create {
        name: String,
        /// http://…, https://… or unix:/run/app.sock:/path
        #[arg(long, value_name = "URL")]
        url: String,
        #[command(flatten)]
        settings: Box<EndpointSettings>,
    },
    /// All of them.
    #[command(visible_alias = "ls")]
    List {
        /// Only those that are active, or held.
        #[arg(long, value_name = "STATE")]
        state: Option<String>,
    },
    /// One of them.
    Show { name: String },
    /// Change what is given, leave the rest.
    Update {
        name: String,
        #[arg(long, value_name = "URL")]
        url: Option<String>,
        #[command(flatten)]
        settings: Box<EndpointSettings>,
        /// Put a setting back to its default (types, rate, …), as named in `endpoint show --json`.
        #[arg(long, value_name = "SETTING")]
        reset: Vec<String>,
    },
    /// Take a way out away; what waits for it is cancelled.
    #[command(visible_alias = "rm")]
    Delete { name: String },
    /// A new secret; the old one signs along for 24 hours.
    RotateSecret {
        name: String,
        #[command(flatten)]
        secret: SecretArgs,
        /// End the old one at once.
        #[arg(long)]
        now: bool,
    },
    /// Put it aside: its deliveries wait and do not expire.
    #[command(visible_alias = "pause")]
    Hold { name: String },
    /// Let its deliveries go on.
    #[command(visible_alias = "resume")]
    Release { name: String },
    /// Make one request to it and say what came of it.
    Test { name: String },
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum OrderArg {
    None,
    Strict,
}

#[derive(Args, Debug, Clone, Default)]
pub struct EndpointSettings {
    /// Only events of this source. Several are possible.
    #[arg(long, value_name = "SOURCE")]
    pub from: Vec<String>,
    /// Only events of this type; * and ? stand for any characters. Several are possible.
    #[arg(long, value_name = "GLOB")]
    pub types: Vec<String>,
    /// An RFC 9535 filter expression over {type, source, headers, body}.
    #[arg(long = "where", value_name = "EXPR")]
    pub filter: Option<String>,
    #[command(flatten)]
    pub secret: SecretArgs,
    /// The delay before the first retry [default: 1s].
    #[arg(long, value_name = "DURATION", value_parser = parse_duration_ms)]
    pub retry_base: Option<u64>,
    /// What each further delay is multiplied with [default: 2].
    #[arg(long, value_name = "N", value_parser = factor)]
    pub retry_factor: Option<f64>,
    /// The longest delay [default: 1h].
    #[arg(long, value_name = "DURATION", value_parser = parse_duration_ms)]
    pub retry_max: Option<u64>,
    /// The share of a delay that is drawn at random, 0 to 1 [default: 0.2].
    #[arg(long, value_name = "SHARE", value_parser = share)]
    pub jitter: Option<f64>,
    /// A delivery is given up after this time [default: 3d].
    #[arg(long, value_name = "DURATION", value_parser = parse_duration_ms)]
    pub max_age: Option<u64>,
    /// A delivery is given up after so many attempts [default: no limit].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub max_attempts: Option<u32>,
    /// One deadline over connecting, sending and reading the answer [default: 15s].
    #[arg(long, value_name = "DURATION", value_parser = parse_duration_ms)]
    pub timeout: Option<u64>,
    /// Attempts at a time [default: 16].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub concurrency: Option<u32>,
    /// Attempts in a second, minute or hour: 10/s, 100/m, 1000/h.
    #[arg(long, value_name = "N/s", value_parser = rate)]
    pub rate: Option<String>,
    /// Whether deliveries wait for each other.
    #[arg(long, value_enum, value_name = "ORDER")]
    pub order: Option<OrderArg>,
    /// Let it be a loopback, private or link-local address.
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_name = "BOOL")]
    pub allow_private: Option<bool>,
    /// Send the sender's own headers along [default: for events from provider presets].
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_name = "BOOL")]
    pub forward_headers: Option<bool>,
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

#[derive(Subcommand, Debug)]
pub enum LogCommand {
    /// Its segments.
    #[command(visible_alias = "stats")]
    Stat,
    /// Read everything, from the first record to the last, and say what does not add up.
    Verify,
}

fn dash(text: &str) -> Result<String, String> {
    if text == "-" {
        return Ok(text.to_owned());
    }
    Err("give the body with --data or --file, or - to read it from stdin".into())
}

fn factor(text: &str) -> Result<f64, String> {
    within(text, 1.0, 100.0)
}

fn share(text: &str) -> Result<f64, String> {
    within(text, 0.0, 1.0)
}

fn within(text: &str, low: f64, high: f64) -> Result<f64, String> {
    let number = text.parse::<f64>().ok().filter(|n| (low..=high).contains(n));
    number.ok_or_else(|| format!("write a number from {low} to {high}"))
}

fn rate(text: &str) -> Result<String, String> {
    let (count, per) = text.split_once('/').unwrap_or((text, "s"));
    let good = count.parse::<u32>().is_ok_and(|n| n > 0) && matches!(per, "s" | "m" | "min" | "h");
    if good { Ok(text.to_owned()) } else { Err("write it as 10/s, 100/m or 1000/h".into()) }
}

fn network(text: &str) -> Result<String, String> {
    let good = text.parse::<ipnet::IpNet>().is_ok() || text.parse::<std::net::IpAddr>().is_ok();
    if good { Ok(text.to_owned()) } else { Err("write it as 192.0.2.0/24, 2001:db8::/32 or 192.0.2.7".into()) }
}

/// `65536`, `512k`, `1MiB`: units of 1024.
fn size(text: &str) -> Result<u64, String> {
    let split = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(split);
    let shift = match unit.trim().to_ascii_lowercase().as_str() {
        "" | "b" => Some(0),
        "k" | "kb" | "kib" => Some(10),
        "m" | "mb" | "mib" => Some(20),
        "g" | "gb" | "gib" => Some(30),
        _ => None,
    };
    let bytes = number.parse::<u64>().ok().zip(shift).and_then(|(n, shift)| n.checked_mul(1 << shift));
    bytes.filter(|n| *n > 0).ok_or_else(|| "write it as 65536, 512k or 1MiB".into())
}
