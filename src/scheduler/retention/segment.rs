//! Retiring one segment: what lives in it is relocated, slice by slice, and then it is dropped.

use super::access::{LogAccess, SLICE_BYTES};
use super::stays::StayReason;
use crate::log::{SegmentInfo, failpoint};
use crate::model::WallMs;
use crate::record::DeadLetter;
use crate::scheduler::disk_thresholds::may_exceed;
use crate::scheduler::losses::Readable;
use crate::scheduler::relocate::{RetirementStep, Retiring};

/// Why a segment goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RetireReason {
    Age,
    Events,
    Bytes,
    DiskSpace,
}

/// A segment that goes.
pub(super) struct SegmentRetirement {
    pub retiring: Retiring,
    pub reason: RetireReason,
    pub records: u64,
    pub disk_bytes: u64,
    /// It was surveyed, and its drop pays for what is relocated.
    pub pays: bool,
    relocated: usize,
    relocated_bytes: u64,
}

/// What a slice came to.
pub(super) enum SliceResult {
    /// There is more in it.
    More(SegmentRetirement),
    /// There is more in it, and little space left: it has to be surveyed first.
    Tight(SegmentRetirement),
    /// It is dropped.
    Dropped(SegmentRetirement),
    /// It stays for now.
    Stays(StayReason),
}

impl SegmentRetirement {
    /// `None` for the active segment.
    pub fn of(segment: &SegmentInfo, reason: RetireReason) -> Option<Self> {
        let SegmentInfo { first, records, disk_bytes, head, .. } = *segment;
        let (_, last) = (segment.sealed_at?, segment.last?);
        Some(Self {
            retiring: Retiring::new(first, last, head),
            reason,
            records,
            disk_bytes,
            pays: false,
            relocated: 0,
            relocated_bytes: 0,
        })
    }

    /// Relocates the next slice, or drops the segment. `now` is the time by the retention clock.
    pub fn next_slice(
        mut self,
        mut access: LogAccess<'_>,
        readable: &Readable<'_>,
        now: WallMs,
    ) -> SliceResult {
        let (first, last) = (self.retiring.first, self.retiring.last);
        let alive = match access.alive(first, last) {
            Ok(alive) => alive,
            Err(why) => return SliceResult::Stays(why),
        };

        if access.is_tight() {
            let wants_events = self.retiring.wants_events(&alive);
            if wants_events && !self.pays {
                return SliceResult::Tight(self);
            }
            // Measures the ballast as well, which is given up for this.
            let relocates = wants_events || !alive.dead_letter_seqs.is_empty();
            if relocates && !may_exceed(&access.reader.measure_disk_space(), SLICE_BYTES) {
                return SliceResult::Stays(StayReason::NoSpace);
            }
        }

        let dead_ms = access.retention.dead_ms;
        let mut keep = |dead: DeadLetter| keep(dead, now, dead_ms);
        let step = match self.retiring.next_step(&alive, readable, &mut keep) {
            Ok(Some(step)) => step,
            Ok(None) => return SliceResult::Stays(StayReason::NotFound),
            Err(error) => return SliceResult::Stays(error.into()),
        };
        failpoint::reached("relocate.gathered");
        self.take_step(step, access)
    }

    /// Has the queue do what was found.
    fn take_step(mut self, step: RetirementStep, access: LogAccess<'_>) -> SliceResult {
        let done = match step {
            RetirementStep::Relocate(slice) => access.handle.ask_blocking(slice).map(Some),
            RetirementStep::Drop(retire) => access.handle.ask_blocking(retire).map(|()| None),
        };

        match done {
            Ok(Some((events, bytes))) => {
                self.relocated += events;
                self.relocated_bytes += bytes;
                SliceResult::More(self)
            }
            Ok(None) => {
                failpoint::reached("relocate.done");
                SliceResult::Dropped(self)
            }
            Err(refusal) => SliceResult::Stays(refusal.into()),
        }
    }

    /// Logs that it is dropped.
    pub fn report(&self) {
        let Retiring { first, last, .. } = self.retiring;
        let Self { reason, disk_bytes, relocated, relocated_bytes, .. } = self;
        tracing::info!(
            first,
            last,
            ?reason,
            disk_bytes,
            relocated,
            relocated_bytes,
            "dropped a segment"
        );
    }
}

/// What becomes of a dead letter at `now` by the retention clock: `None` when its time is over. One
/// from the future died now.
fn keep(mut dead: DeadLetter, now: WallMs, dead_ms: u64) -> Option<DeadLetter> {
    dead.died_at = dead.died_at.min(now);
    (now - dead.died_at < dead_ms).then_some(dead)
}
