//! The arguments of `hookboxctl stats`.

use std::path::PathBuf;

use clap::Args;

#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  hookboxctl stats                 # the last day\n  \
    hookboxctl stats --since 1h --endpoint app\n  \
    hookboxctl stats --since 7d --step 1h --rows\n  \
    hookboxctl stats --svg /tmp/hookbox.svg\n\n\
    The daemon keeps steps of 10 s for an hour, of a minute for a day and of an hour for 30 days;\n\
    of the 64 busiest endpoints steps of a minute for a day. A longer step is taken where a\n\
    shorter one is no longer kept.")]
pub struct StatsArgs {
    /// From when on: a time, or how long ago.
    #[arg(long, value_name = "TIME", default_value = "24h")]
    pub since: String,
    /// Until when: a time, or how long ago [default: now].
    #[arg(long, value_name = "TIME")]
    pub until: Option<String>,
    /// The length of a step, such as 10m [default: one that suits the time].
    #[arg(long, value_name = "DURATION")]
    pub step: Option<String>,
    /// Only what was delivered to this endpoint, if it is one of the busiest.
    #[arg(long, value_name = "NAME")]
    pub endpoint: Option<String>,
    /// Print a line for each step.
    #[arg(long)]
    pub rows: bool,
    /// Draw with ASCII characters only [default: where the terminal knows no others].
    #[arg(long)]
    pub ascii: bool,
    /// Draw it into this file, in the place of an older one (- for stdout).
    #[arg(long, value_name = "FILE", conflicts_with_all = ["rows", "ascii"])]
    pub svg: Option<PathBuf>,
}
