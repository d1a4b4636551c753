//! The arguments of `hookboxctl endpoint`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::filter::PageArgs;
use super::secret::{OverlapArgs, SecretArgs};
use crate::api::EndpointSpec;

#[derive(Subcommand, Debug)]
pub enum EndpointCommand {
    /// Create an endpoint.
    #[command(mut_arg("url", |url| url.required(true)), after_help = "Examples:\n  \
        hookboxctl endpoint create app --url https://app.example.com/hook\n  \
        hookboxctl endpoint create ci --url http://127.0.0.1:3000/ --allow-private \
        --from github --types 'push*'\n  \
        hookboxctl endpoint create crm --url unix:/run/crm.sock:/hook \
        --where \"@.body.action == 'opened'\"\n  \
        hookboxctl endpoint create lake --url https://lake.example.com/in \
        --batch-max-events 100 --batch-format ndjson\n  \
        hookboxctl endpoint create twins --url https://iot.example.com/ \
        --order key --order-key /device/id\n  \
        hookboxctl endpoint create crm2 --url https://crm.example.com/ \
        --rate 100/m --burst 10 --hold-after 2d\n  \
        hookboxctl endpoint create mail --url https://mail.example.com/hook --from hookbox")]
    Create {
        /// The name of the endpoint.
        name: String,
        #[command(flatten)]
        settings: Box<EndpointArgs>,
    },
    /// List endpoints, the newest first.
    #[command(visible_alias = "ls")]
    List {
        /// Only those that are active, held, failing, offline, parked, lagging, catching_up, or
        /// troubled: all with which something is wrong.
        #[arg(long, value_name = "STATE")]
        state: Option<String>,
        #[command(flatten)]
        page: PageArgs,
    },
    /// Show an endpoint: its condition first, then the settings that are not the defaults.
    Show {
        /// The name of the endpoint.
        name: String,
        /// Show all settings, also those that have their defaults.
        #[arg(long)]
        all: bool,
    },
    /// Change the settings that are given, and leave the others. A new secret replaces the old one
    /// at once: to keep that for a while use rotate-secret.
    Update {
        /// The name of the endpoint.
        name: String,
        #[command(flatten)]
        settings: Box<EndpointArgs>,
        /// Set a setting back to its default: types, rate, …
        #[arg(long, value_name = "SETTING")]
        reset: Vec<String>,
    },
    /// Delete an endpoint. Its waiting deliveries are cancelled.
    #[command(visible_alias = "rm")]
    Delete {
        /// The name of the endpoint.
        name: String,
        /// Do not ask.
        #[arg(long, short)]
        yes: bool,
    },
    /// Replace the signing secret. The old one signs as well for another 24 hours, or
    /// --overlap.
    #[command(after_help = "Steps:\n  \
        1. hookboxctl endpoint rotate-secret app --secret-file ./new\n  \
        2. Give the receiver the new secret, before the old one ends.\n\n\
        To end the old one earlier, give the new one again:\n  \
        hookboxctl endpoint rotate-secret app --secret-file ./new --now\n\
        --now without a secret generates another one.")]
    RotateSecret {
        /// The name of the endpoint.
        name: String,
        #[command(flatten)]
        secret: SecretArgs,
        #[command(flatten)]
        old: OverlapArgs,
    },
    /// Suspend an endpoint: its deliveries wait and do not expire.
    #[command(visible_alias = "pause")]
    Hold {
        /// The name of the endpoint.
        name: String,
    },
    /// Resume the deliveries of an endpoint on hold.
    #[command(visible_alias = "resume")]
    Release {
        /// The name of the endpoint.
        name: String,
    },
    /// Send one event to an endpoint and show the result, or show what would be sent. Nothing is
    /// stored.
    #[command(after_help = "Examples:\n  hookboxctl endpoint test app\n  \
        hookboxctl endpoint test app --event evt_… --dry-run\n  \
        hookboxctl endpoint test app --file order.json --type order.paid --dry-run\n\n\
        Exit code: 0 when it was delivered, or with --dry-run; 1 when it was not, or when no\n\
        request can be made from the event.")]
    Test {
        /// The name of the endpoint.
        name: String,
        #[command(flatten)]
        event: EndpointTestArgs,
    },
}

/// Which event is sent; a made-up one when none is named.
#[derive(Args, Debug, Clone, Default)]
pub struct EndpointTestArgs {
    /// Send this stored event, under its own id [default: a made-up event].
    #[arg(long, value_name = "ID", conflicts_with_all = ["file", "kind", "source"])]
    pub event: Option<String>,
    /// Send an event with the body in this file; - for stdin.
    #[arg(long, value_name = "FILE")]
    pub file: Option<PathBuf>,
    /// The type of the made-up event.
    #[arg(long = "type", value_name = "TYPE")]
    pub kind: Option<String>,
    /// The source of the made-up event.
    #[arg(long, value_name = "NAME")]
    pub source: Option<String>,
    /// Only show what would be sent.
    #[arg(long)]
    pub dry_run: bool,
}

/// The settings of an endpoint, and the files that some of them are read from.
#[derive(Args, Debug, Clone, Default)]
pub struct EndpointArgs {
    #[command(flatten)]
    pub spec: EndpointSpec,
    /// Read the secret from a file; - for stdin
    #[arg(long, value_name = "FILE", conflicts_with_all = ["secret", "generate_secret"])]
    pub secret_file: Option<PathBuf>,
    /// Read the template of the body from a file; - for stdin
    #[arg(long, value_name = "FILE", conflicts_with = "body")]
    pub body_file: Option<PathBuf>,
}
