//! When what was looked up is out of date.

use std::sync::atomic::{AtomicU64, Ordering};

/// Grows when everything has to be looked up again.
#[derive(Debug, Default)]
pub(super) struct LookupGeneration(AtomicU64);

impl LookupGeneration {
    pub(super) fn current(&self) -> u64 {
        self.0.load(Ordering::Acquire)
    }

    pub(super) fn advance(&self) {
        self.0.fetch_add(1, Ordering::AcqRel);
    }
}
