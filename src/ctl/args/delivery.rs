//! The arguments of `hookboxctl delivery` and `dlq`.

use clap::{Args, Subcommand};

use super::filter::{DeliveryFilterArgs, PageArgs};

#[derive(Subcommand, Debug)]
pub enum DeliveryCommand {
    /// List deliveries, the newest first.
    #[command(visible_alias = "ls")]
    List {
        /// Only in this state: pending, in_flight, delivered, dead, held or cancelled.
        #[arg(long, value_name = "STATE")]
        state: Option<String>,
        #[command(flatten)]
        rows: DeliveryListArgs,
    },
    /// Show a delivery with every attempt.
    Show {
        /// The id of the delivery (dlv_…).
        id: String,
    },
    /// Explain why a delivery waits and what to do about it, or how it ended.
    #[command(visible_alias = "why")]
    Explain {
        /// The id of the delivery (dlv_…).
        id: String,
    },
    /// Attempt deliveries again now: those that wait, are dead or were cancelled.
    Retry {
        /// The ids of the deliveries (dlv_…).
        #[arg(required = true)]
        ids: Vec<String>,
    },
    /// Cancel deliveries that have not ended.
    Cancel {
        /// The ids of the deliveries (dlv_…).
        #[arg(required = true)]
        ids: Vec<String>,
    },
}

#[derive(Subcommand, Debug)]
pub enum DlqCommand {
    /// List dead letters, the newest first.
    #[command(visible_alias = "ls")]
    List {
        #[command(flatten)]
        rows: DeliveryListArgs,
    },
    /// Show a dead letter with every attempt.
    Show {
        /// The id of the delivery (dlv_…).
        id: String,
    },
    /// Attempt dead letters again: by id, by filter, or all of them.
    #[command(
        after_help = "Examples:\n  hookboxctl dlq retry --endpoint app --since 2h --dry-run\n  \
        hookboxctl dlq retry --all"
    )]
    Retry(DeadLetterArgs),
    /// Discard dead letters for good: by id, by filter, or all of them.
    #[command(visible_alias = "rm")]
    Discard(DeadLetterArgs),
}

/// Which deliveries, and how many of them.
#[derive(Args, Debug, Clone)]
pub struct DeliveryListArgs {
    #[command(flatten)]
    pub filter: DeliveryFilterArgs,
    #[command(flatten)]
    pub page: PageArgs,
}

#[derive(Args, Debug)]
pub struct DeadLetterArgs {
    /// The ids of the deliveries (dlv_…).
    pub ids: Vec<String>,
    #[command(flatten)]
    pub filter: DeliveryFilterArgs,
    /// All dead letters.
    #[arg(long)]
    pub all: bool,
    /// Only count the dead letters; change nothing.
    #[arg(long)]
    pub dry_run: bool,
}
