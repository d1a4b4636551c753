//! The arguments of `hookboxctl bin`.

use clap::Subcommand;

use crate::api::values::{Span, YEAR_MS};

#[derive(Subcommand, Debug)]
pub enum BinCommand {
    /// Create a bin.
    Create {
        /// The name of the bin [default: a new one].
        name: Option<String>,
        /// How long the bin exists.
        #[arg(long, default_value = "24h", value_name = "DURATION")]
        ttl: Span<1000, YEAR_MS>,
    },
    /// List all bins.
    #[command(visible_alias = "ls")]
    List,
    /// Delete a bin before it expires.
    #[command(visible_alias = "rm")]
    Delete {
        /// The name of the bin.
        name: String,
    },
}
