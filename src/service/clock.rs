//! The one place where clocks are read.

use std::sync::Arc;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use crate::model::Now;

/// A clock that starts now. Its monotonic side never jumps; its wall side says what the system
/// says, and 0 for times before 1970.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "time comes in here")]
pub fn system() -> Arc<dyn Fn() -> Now + Send + Sync> {
    let started = Instant::now();
    Arc::new(move || {
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let ms =
            |duration: std::time::Duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
        Now { mono_ms: ms(started.elapsed()), wall_ms: ms(wall) }
    })
}
