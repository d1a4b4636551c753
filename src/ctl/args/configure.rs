//! The arguments of what the operator sets up: sources, bins, endpoints and their secrets.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::pacing::PacingSettings;
use super::values::{factor, network, rate, share, size};
use super::ways::WaySettings;
use crate::model::time::parse_duration_ms;

/// A secret to use, or to be made. Given on the command line, other users may see it in the list of processes.
#[derive(Args, Debug, Clone, Default)]
#[group(multiple = false)]
pub struct SecretArgs {
    /// The shared secret, as the provider shows it (better: --secret-file); or env:NAME or cred:NAME, which hookboxd
    /// looks up in its environment or in its systemd credentials and never keeps.
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
    /// The scheme of proof: none, github, standard-webhooks, stripe, …; `--verify help` names them all [default: none].
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
    /// Who may post; everybody when not given. Several are possible. @github, @stripe, @travis, @paddle and
    /// @paddle-sandbox stand for what these publish, others for files in allow_lists.dir.
    #[arg(long, value_name = "CIDR|@LIST", value_parser = network)]
    pub allow: Vec<String>,
    /// How often it may be posted to: 10/s, 100/m, 1000/h; more is answered 429.
    #[arg(long, value_name = "N/s", value_parser = rate)]
    pub rate: Option<String>,
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
        hookboxctl endpoint create crm --url unix:/run/crm.sock:/hook --where \"@.body.action == 'opened'\"\n  \
        hookboxctl endpoint create lake --url https://lake.example.com/in --batch-max-events 100 --batch-format ndjson\n  \
        hookboxctl endpoint create twins --url https://iot.example.com/ --order key --order-key /device/id\n  \
        hookboxctl endpoint create crm2 --url https://crm.example.com/ --rate 100/m --burst 10 --hold-after 2d\n  \
        hookboxctl endpoint create mail --url https://mail.example.com/hook --from hookbox")]
    Create {
        name: String,
        /// http://…, https://…, unix:/run/app.sock:/path, exec:/path/to/command, or pull: for consumers that come for it
        #[arg(long, value_name = "URL")]
        url: String,
        #[command(flatten)]
        settings: Box<EndpointSettings>,
    },
    /// All of them.
    #[command(visible_alias = "ls")]
    List {
        /// Only those that are active, held, failing, offline, parked or catching_up.
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
    /// Show what would be sent to it, or send it once and say what came of it. Nothing is remembered.
    #[command(after_help = "Examples:\n  hookboxctl endpoint test app\n  \
        hookboxctl endpoint test app --event evt_… --dry-run\n  \
        hookboxctl endpoint test app --file order.json --type order.paid --dry-run\n\n\
        Exit code: 0 when it was delivered, or with --dry-run; 1 when it was not, or nothing can be made of the event.")]
    Test {
        name: String,
        #[command(flatten)]
        trial: TrialArgs,
    },
}

/// Which event is tried; one that is made up when none is named.
#[derive(Args, Debug, Clone, Default)]
pub struct TrialArgs {
    /// An event of the log, sent under its own id.
    #[arg(long, value_name = "ID", conflicts_with_all = ["file", "kind", "source"])]
    pub event: Option<String>,
    /// The body of an event; - for stdin.
    #[arg(long, value_name = "FILE")]
    pub file: Option<PathBuf>,
    /// The event's type.
    #[arg(long = "type", value_name = "TYPE")]
    pub kind: Option<String>,
    /// The event's source.
    #[arg(long, value_name = "NAME")]
    pub source: Option<String>,
    /// Only show what would be sent.
    #[arg(long)]
    pub dry_run: bool,
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
    /// Let it be a loopback, private or link-local address.
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_name = "BOOL")]
    pub allow_private: Option<bool>,
    /// Send the sender's own headers along [default: for events from provider presets].
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_name = "BOOL")]
    pub forward_headers: Option<bool>,
    #[command(flatten)]
    pub pacing: PacingSettings,
    #[command(flatten)]
    pub way: WaySettings,
}
