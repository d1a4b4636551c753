//! The arguments of `hookboxctl top`.

use clap::{Args, ValueEnum};

use crate::api::values::Span;

/// A view of `top`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum TopScreen {
    /// Numbers of the last hour, and the endpoints that need you
    Overview,
    /// All endpoints, those that fail first
    Endpoints,
    /// Sources, with what they refused
    Sources,
    /// Events and attempts as they happen
    Tail,
    /// Dead letters
    Dead,
    /// What waits, by endpoint and age
    Shape,
}

#[derive(Args, Debug)]
#[command(after_help = "Keys: 1 to 6 another view, / filter, s sort, Enter details, r retry, \
    d discard,\nh hold, u release, ? all keys, q end. It asks before it changes anything.\n\n\
    Examples:\n  hookboxctl top\n  hookboxctl top --screen endpoints --sort waiting -d 5\n  \
    hookboxctl top --once --screen shape\n  hookboxctl --json top -n 10 -d 60")]
pub struct TopArgs {
    /// The view to begin with.
    #[arg(long, value_enum, value_name = "VIEW", default_value = "overview")]
    pub screen: TopScreen,
    /// Print the view once, as text.
    #[arg(long)]
    pub once: bool,
    /// The time between two refreshes.
    #[arg(short, long, value_name = "SECONDS", default_value = "2")]
    pub delay: Span<200, 3_600_000>,
    /// End after this many refreshes [default: with --once and --json 1].
    #[arg(
        short = 'n',
        long,
        value_name = "COUNT",
        value_parser = clap::value_parser!(u64).range(1..)
    )]
    pub count: Option<u64>,
    /// Sort the view by this column.
    #[arg(long, value_name = "COLUMN")]
    pub sort: Option<String>,
    /// Draw with ASCII characters only [default: where the terminal knows no others].
    #[arg(long)]
    pub ascii: bool,
}
