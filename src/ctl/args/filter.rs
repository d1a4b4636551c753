//! Which events or deliveries a command is about, and how much of a list is shown.

use clap::{Args, ValueEnum};

use super::values::from_one;

/// How a table is printed.
#[derive(Args, Debug, Clone, Copy, Default)]
pub struct TableArgs {
    /// How to print the table: wide shows all columns, whatever the width of the terminal.
    #[arg(long, short, value_name = "FORMAT")]
    pub output: Option<OutputFormat>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum OutputFormat {
    Wide,
}

/// How much of a list.
#[derive(Args, Debug, Clone)]
pub struct PageArgs {
    /// Show at most this many rows, the newest first.
    #[arg(
        long,
        short = 'n',
        default_value_t = 50,
        value_name = "N",
        value_parser = from_one,
    )]
    pub limit: u64,
    /// Continue after this id, the last one of the previous page; where rows have names, after
    /// this name; or after this record, which a list names that stopped before the log's end.
    #[arg(long, value_name = "ID")]
    pub after: Option<String>,
    #[command(flatten)]
    pub table: TableArgs,
}

/// Which events.
#[derive(Args, Debug, Clone, Default)]
pub struct EventFilterArgs {
    /// Only from this source.
    #[arg(long, value_name = "NAME")]
    pub source: Option<String>,
    /// Only of this type; * stands for any characters, ? for one.
    #[arg(long = "type", value_name = "GLOB")]
    pub kind: Option<String>,
    /// Only from this time on: 2026-11-23T13:20:00Z, 2026-11-23 (UTC), unix seconds, or 2h for two
    /// hours ago.
    #[arg(long, value_name = "TIME")]
    pub since: Option<String>,
    /// Only before this time, written as for --since.
    #[arg(long, value_name = "TIME")]
    pub until: Option<String>,
}

/// Which deliveries.
#[derive(Args, Debug, Clone, Default)]
pub struct DeliveryFilterArgs {
    #[command(flatten)]
    pub filter: EventFilterArgs,
    /// Only to this endpoint.
    #[arg(long, value_name = "NAME")]
    pub endpoint: Option<String>,
    /// Only of this event.
    #[arg(long, value_name = "ID")]
    pub event: Option<String>,
}
