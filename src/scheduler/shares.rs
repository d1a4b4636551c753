//! The account of shares that bind, which all modules write to: see `model::share`. Nothing is
//! written while none binds.

use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use crate::model::share::{Share, ShareHolder, ShareTally};
use crate::model::{Clock, Now};

/// One for the daemon.
#[derive(Default)]
pub struct ShareCounts {
    tally: Mutex<ShareTally>,
    clock: OnceLock<Clock>,
}

impl std::fmt::Debug for ShareCounts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ShareCounts").field("tally", &self.tally).finish_non_exhaustive()
    }
}

impl ShareCounts {
    /// Reads the time there from now on; without it no time passes.
    pub fn read_time_from(&self, clock: &Clock) {
        // The first one counts.
        let _ = self.clock.set(clock.clone());
    }

    /// Counts that somebody found a share full.
    pub fn note(&self, share: Share, of: ShareHolder) {
        let now = self.clock.get().map_or_else(Now::default, |clock| clock());
        self.tally().note(share, of, now);
    }

    /// All that was counted.
    #[must_use]
    pub fn seen(&self) -> ShareTally {
        self.tally().clone()
    }

    fn tally(&self) -> MutexGuard<'_, ShareTally> {
        self.tally.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
