//! What restrains an endpoint after an attempt, as the record of the attempt holds it.

use serde::{Deserialize, Serialize};

use crate::model::WallMs;

/// What restrains an endpoint after an attempt. Times are by the wall clock, each with how far
/// ahead it was: after a restart the remaining time counts, but never more than that, whatever the
/// wall clock says by then.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Restraint {
    /// Failures in a row, and when the first of them was.
    pub failures: u32,
    pub failing_since: WallMs,
    pub breaker: Option<OpenBreaker>,
    /// The receiver asked for a pause (`Retry-After`).
    pub paused: Option<Wait>,
}

/// A breaker that is open.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OpenBreaker {
    pub since: WallMs,
    pub probes: u32,
    /// The next probe.
    pub probe: Wait,
}

/// A time to wait for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wait {
    pub until: WallMs,
    pub wait_ms: u64,
}

impl Wait {
    /// How much of it is left by this wall clock.
    #[must_use]
    pub fn left_ms(self, wall_ms: WallMs) -> u64 {
        self.until.saturating_sub(wall_ms).min(self.wait_ms)
    }
}
