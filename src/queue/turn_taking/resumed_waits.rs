//! By what the waits were taken up that were there at the start. See `resumed`.

use std::collections::BTreeSet;

use crate::model::{Now, Seq, WallMs};

/// By what the waits were taken up that were there at the start.
#[derive(Debug)]
pub(in crate::queue) struct ResumedWaits {
    /// The wall clock at 0 of the monotonic one, as it was taken.
    pub epoch: WallMs,
    /// The first record of this run.
    pub first: Seq,
    /// Replays whose next slice waits since before it.
    pub replays: BTreeSet<u64>,
}

impl ResumedWaits {
    pub fn new(now: Now, first: Seq, replays: impl Iterator<Item = u64>) -> Self {
        let epoch = now.wall_ms.saturating_sub(now.mono_ms);
        Self { epoch, first, replays: replays.collect() }
    }
}
