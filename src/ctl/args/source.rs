//! The arguments of `hookboxctl source`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::filter::{PageArgs, TableArgs};
use super::secret::{OverlapArgs, SecretArgs};
use crate::api::SourceSpec;

#[derive(Subcommand, Debug)]
pub enum SourceCommand {
    /// Create a source.
    #[command(after_help = "Examples:\n  \
        hookboxctl source create github --verify github --secret-file ./secret\n  \
        hookboxctl source create shop --verify apikey --set in=header --set name=x-api-key \
        --generate-secret\n  \
        hookboxctl source create anything --token --allow 192.0.2.0/24 --id-field /event/id")]
    Create {
        /// The name of the source.
        name: String,
        #[command(flatten)]
        settings: Box<SourceArgs>,
    },
    /// List sources, the newest first.
    #[command(visible_alias = "ls")]
    List {
        #[command(flatten)]
        page: PageArgs,
    },
    /// Show a source with all its settings.
    Show {
        /// The name of the source.
        name: String,
    },
    /// Change the settings that are given, and leave the others. A new secret replaces the old one
    /// at once: to keep that for a while use rotate-secret.
    Update {
        /// The name of the source.
        name: String,
        #[command(flatten)]
        settings: Box<SourceArgs>,
        /// Set a setting back to its default: type-header, allow, …
        #[arg(long, value_name = "SETTING")]
        reset: Vec<String>,
    },
    /// Delete a source. Its events are kept.
    #[command(visible_alias = "rm")]
    Delete {
        /// The name of the source.
        name: String,
        /// Do not ask.
        #[arg(long, short)]
        yes: bool,
    },
    /// Replace the secret. The old one is accepted for another 24 hours, or --overlap.
    #[command(after_help = "Steps:\n  \
        1. hookboxctl source rotate-secret github --secret-file ./new\n  \
        2. Give the provider the new secret, before the old one ends.\n\n\
        To end the old one earlier, give the new one again:\n  \
        hookboxctl source rotate-secret github --secret-file ./new --now")]
    RotateSecret {
        /// The name of the source.
        name: String,
        #[command(flatten)]
        secret: SecretArgs,
        #[command(flatten)]
        old: OverlapArgs,
    },
    /// List the last requests that a source refused for their proof, and keeps (--keep-refused).
    Refused {
        /// The name of the source.
        name: String,
        #[command(flatten)]
        page: PageArgs,
    },
    /// List the verification schemes, or show the settings of one. Needs no daemon.
    Schemes(SchemesArgs),
    /// Show what would happen to a request, and why, without storing it. Who sends it and how
    /// often (--allow, --rate) is not checked.
    #[command(after_help = "A request as it went over the wire, or as JSON:\n  \
        POST /in/NAME HTTP/1.1\n  \
        Host: hooks.example.com\n  \
        X-Hub-Signature-256: sha256=…\n\n  \
        {\"zen\":\"…\"}\n\n  \
        {\"method\":\"POST\",\"url\":\"https://…/in/NAME\",\"headers\":{},\"body_base64\":\"…\"}")]
    Check {
        /// The name of the source.
        name: String,
        /// A file with the request, as it went over the wire or as JSON; - for stdin.
        #[arg(long, value_name = "FILE", required_unless_present = "refused")]
        request: Option<PathBuf>,
        /// Check the refused request with this number, which `source refused` shows; as if it came
        /// when it did, unless --at is given.
        #[arg(long, value_name = "NUMBER", conflicts_with = "request")]
        refused: Option<u64>,
        /// Check it as if it came at this time, in unix seconds.
        #[arg(long, value_name = "UNIX", allow_negative_numbers = true)]
        at: Option<i64>,
    },
}

/// The arguments of `hookboxctl source schemes`.
#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  hookboxctl source schemes\n  hookboxctl source schemes hmac")]
pub struct SchemesArgs {
    /// Show the settings of this scheme, what it proves, and an example.
    pub scheme: Option<String>,
    #[command(flatten)]
    pub table: TableArgs,
}

/// The settings of a source, and the files that some of them are read from.
#[derive(Args, Debug, Clone, Default)]
pub struct SourceArgs {
    #[command(flatten)]
    pub spec: SourceSpec,
    /// Read the secret from a file; - for stdin
    #[arg(long, value_name = "FILE", conflicts_with_all = ["secret", "generate_secret"])]
    pub secret_file: Option<PathBuf>,
    /// Read the provider's public key from a file; - for stdin
    #[arg(long, value_name = "FILE", conflicts_with = "public_key")]
    pub public_key_file: Option<PathBuf>,
}
