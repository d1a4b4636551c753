//! The arguments of `hookboxctl simulate`.

use clap::Args;

use crate::api::values::{Int, Real, Span, YEAR_MS};
use crate::model::limits;

#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  hookboxctl simulate --max-attempts 8\n  \
    hookboxctl simulate --retry-base 5s --retry-factor 3 --retry-max 6h --outage 6h\n  \
    hookboxctl simulate --max-age 1d --outage 2d\n\n\
    This is the schedule of one delivery. When an endpoint does nothing but fail, its circuit\n\
    breaker opens after 10 failures that span at least 10 s; the deliveries that wait behind it\n\
    are attempted once a probe succeeds.")]
pub struct SimulateArgs {
    /// The delay before the first retry.
    #[arg(long, value_name = "DURATION", default_value = "1s")]
    pub retry_base: Span<1, YEAR_MS>,
    /// The factor by which each further delay grows.
    #[arg(long, value_name = "N", default_value = "2")]
    pub retry_factor: Real<1, { limits::RETRY_FACTOR }>,
    /// The longest delay.
    #[arg(long, value_name = "DURATION", default_value = "1h")]
    pub retry_max: Span<1, YEAR_MS>,
    /// The part of a delay that is random, 0 to 1.
    #[arg(long, value_name = "SHARE", default_value = "0.2")]
    pub jitter: Real<0, 1>,
    /// Give a delivery up after this time.
    #[arg(long, value_name = "DURATION", default_value = "3d")]
    pub max_age: Span<1, YEAR_MS>,
    /// Give a delivery up after this many attempts [default: no limit].
    #[arg(long, value_name = "N")]
    pub max_attempts: Option<Int<1, { u32::MAX }>>,
    /// How long the receiver is down, from the first attempt on [default: for ever].
    #[arg(long, value_name = "DURATION")]
    pub outage: Option<Span<0, YEAR_MS>>,
    /// Draw the jitter; the same seed gives the same draws [default: no jitter, its range is
    /// shown].
    #[arg(long, value_name = "N")]
    pub seed: Option<u64>,
}
