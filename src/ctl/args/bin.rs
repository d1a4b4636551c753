//! The arguments of `hookboxctl bin`.

use clap::Subcommand;

use super::filter::PageArgs;
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
    /// List bins, the newest first.
    #[command(visible_alias = "ls")]
    List {
        #[command(flatten)]
        page: PageArgs,
    },
    /// Delete a bin before it expires.
    #[command(visible_alias = "rm")]
    Delete {
        /// The name of the bin.
        name: String,
        /// Do not ask.
        #[arg(long, short)]
        yes: bool,
    },
}
