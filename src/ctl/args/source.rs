//! The arguments of `hookboxctl source`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::filter::TableArgs;
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
    /// List all sources.
    #[command(visible_alias = "ls")]
    List {
        #[command(flatten)]
        table: TableArgs,
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
    /// Show what would happen to a request, and why, without storing it. Who sends it and how
    /// often (--allow, --rate) is not checked.
    #[command(after_help = "The request: \
                      {\"method\":\"POST\",\"url\":\"https://…/in/NAME\",\"headers\":{},\"body_base64\":\"…\"}")]
    Check {
        /// The name of the source.
        name: String,
        /// A file with the request as JSON; - for stdin.
        #[arg(long, value_name = "FILE")]
        request: PathBuf,
        /// Check it as if it came at this time, in unix seconds.
        #[arg(long, value_name = "UNIX", allow_negative_numbers = true)]
        at: Option<i64>,
    },
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
