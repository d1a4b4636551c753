//! The arguments that give a secret.

use std::path::PathBuf;

use clap::Args;

use crate::api::values::{SecretText, Span, YEAR_MS};

/// A secret to use, or to be generated.
#[derive(Args, Debug, Clone, Default)]
#[group(multiple = false)]
pub struct SecretArgs {
    /// The shared secret, as the provider shows it. Other users may see it in the list of
    /// processes: better use --secret-file, or env:NAME, cred:NAME or file:/path, which hookboxd
    /// reads from its environment, its systemd credentials or a file, and never stores.
    #[arg(long, value_name = "SECRET")]
    pub secret: Option<SecretText>,
    /// Read the secret from a file; - for stdin.
    #[arg(long, value_name = "FILE")]
    pub secret_file: Option<PathBuf>,
    /// Generate a secret; it is shown once.
    #[arg(long)]
    pub generate_secret: bool,
}

/// What becomes of the old secret.
#[derive(Args, Debug, Clone, Default)]
#[group(multiple = false)]
pub struct OverlapArgs {
    /// End the old secrets at once. Given the newest secret again, it only ends an overlap;
    /// without a secret it generates another one.
    #[arg(long)]
    pub now: bool,
    /// How long the old secret stays valid [default: 24h].
    #[arg(long, value_name = "DURATION")]
    pub overlap: Option<Span<0, YEAR_MS>>,
}
