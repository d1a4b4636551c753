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
    #[command(after_help = "Examples:\n  hookboxctl delivery retry dlv_…\n  \
        hookboxctl delivery retry --endpoint app --dry-run\n\n\
        Without --state, a filter selects pending deliveries. What waits behind an endpoint on\n\
        hold is not attempted before `hookboxctl endpoint release`.")]
    Retry(BulkArgs),
    /// Cancel deliveries that have not ended.
    #[command(after_help = "Examples:\n  hookboxctl delivery cancel dlv_…\n  \
        hookboxctl delivery cancel --endpoint app --type 'test.*' --dry-run\n\n\
        Without --state, a filter selects pending and held deliveries.")]
    Cancel(BulkArgs),
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

/// Deliveries by id, or those that pass a filter.
#[derive(Args, Debug, Clone)]
pub struct BulkArgs {
    /// The ids of the deliveries (dlv_…).
    pub ids: Vec<String>,
    /// Only in this state: pending, held, dead or cancelled.
    #[arg(long, value_name = "STATE")]
    pub state: Option<String>,
    #[command(flatten)]
    pub filter: DeliveryFilterArgs,
    /// All of them.
    #[arg(long)]
    pub all: bool,
    /// Only count the deliveries; change nothing.
    #[arg(long)]
    pub dry_run: bool,
    /// Do not ask.
    #[arg(long, short)]
    pub yes: bool,
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
    /// Do not ask.
    #[arg(long, short)]
    pub yes: bool,
}
