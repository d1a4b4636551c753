//! The arguments of `hookboxctl consume`.

use clap::Args;

use super::values::from_one;
use crate::model::time::parse_span_ms;

#[derive(Args, Debug, Clone)]
#[command(after_help = "Examples:\n  \
    hookboxctl endpoint create jobs --url pull: --from app\n  \
    hookboxctl consume jobs --json                     # acknowledged once it is written\n  \
    hookboxctl consume jobs --exec ./handle --quietly  # body on stdin, details in HOOKBOX_…\n  \
    hookboxctl consume jobs --batch 100 --exec ./load  # JSON lines on stdin\n\n\
    Exit codes of the command: 0 acknowledged, 75 try again, 100 give up (a dead letter), any\n\
    other try again. Several consumers of one endpoint share its events. An event that a consumer\n\
    neither acknowledges nor rejects goes to another one when its lease expires.")]
pub struct ConsumeArgs {
    /// The name of the pull endpoint.
    pub name: String,
    /// Take up to this many events at once; with --exec, one run of the command gets all of them.
    #[arg(
        long,
        default_value_t = 1,
        value_name = "N",
        value_parser = clap::value_parser!(u32).range(1..=256),
    )]
    pub batch: u32,
    /// How long an event is leased before others may take it; extended while the command runs
    /// [default: the endpoint's].
    #[arg(long, value_name = "DURATION", value_parser = parse_span_ms)]
    pub lease: Option<u64>,
    /// How long one request waits for events.
    #[arg(
        long,
        default_value = "30s",
        value_name = "DURATION",
        value_parser = parse_span_ms,
    )]
    pub wait: u64,
    /// Ask for events once, then exit; may also stand last, behind the command.
    #[arg(long)]
    pub once: bool,
    /// Exit after this many events.
    #[arg(long, value_name = "N", value_parser = from_one)]
    pub max: Option<u64>,
    /// Run this command for each event, with these arguments; must be the last option.
    #[arg(long, value_name = "CMD [ARG]…", num_args = 1.., allow_hyphen_values = true)]
    pub exec: Vec<String>,
}

impl ConsumeArgs {
    /// The same, where `--once` was written behind the command.
    #[must_use]
    pub fn with_last_word(&self) -> Self {
        let mut args = self.clone();
        if args.exec.len() > 1 && args.exec.last().is_some_and(|word| word == "--once") {
            args.exec.pop();
            args.once = true;
        }
        args
    }
}
