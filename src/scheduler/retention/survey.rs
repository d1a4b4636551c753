//! A survey: how much of a segment lives, before it goes earlier than its age says.

use super::access::{LogAccess, SLICE_BYTES};
use super::segment::SegmentRetirement;
use super::stays::StayReason;
use crate::log::DiskSpace;
use crate::model::Seq;
use crate::queue::{AliveRange, LivesQuery, Status};
use crate::scheduler::disk_thresholds::may_exceed;
use crate::scheduler::losses::{AskQueue, Readable};
use crate::scheduler::relocate::Records;
use crate::scheduler::retention_clock::Stamp;

/// A survey under way.
pub(super) struct Survey {
    retirement: SegmentRetirement,
    /// Whether relocation has to be paid for by the drop.
    pub tight: bool,
    next: Seq,
    /// What is known to live in it, as it was when the survey began.
    alive: Option<AliveRange>,
    pub begun_at: u64,
    all_bytes: u64,
    living_bytes: u64,
    /// There is much behind the segment that has ended.
    much_behind: bool,
}

/// What a step came to.
pub(super) enum SurveyResult {
    /// There is more to survey.
    More(Survey),
    /// The segment goes.
    Goes(SegmentRetirement),
    /// Most of it lives: it does not go before its time.
    Stays(Survey),
    /// Something could not be read or asked.
    Failed(Survey, StayReason),
}

impl Survey {
    /// Begins at `now_ms` of the monotonic clock. `stamp`: when the segment was seen sealed.
    pub fn begin(
        retirement: SegmentRetirement,
        status: &Status,
        stamp: Option<Stamp>,
        tight: bool,
        now_ms: u64,
    ) -> Self {
        let before = stamp.map_or(status.events, |stamp| stamp.events);
        let behind = status.events.saturating_sub(before);
        Self {
            tight,
            next: retirement.retiring.first,
            alive: None,
            begun_at: now_ms,
            all_bytes: 0,
            living_bytes: 0,
            much_behind: status.pending + status.held + status.dead <= behind / 2,
            retirement,
        }
    }

    /// The first and the last record of the segment.
    pub fn range(&self) -> (Seq, Seq) {
        (self.retirement.retiring.first, self.retirement.retiring.last)
    }

    /// Looks at one slice. After the last one the segment goes, or stays for a while.
    pub fn step(mut self, mut access: LogAccess<'_>, readable: &Readable<'_>) -> SurveyResult {
        let (first, last) = self.range();
        let alive = match self.alive.take() {
            Some(alive) => alive,
            None => match access.alive(first, last) {
                Ok(alive) => alive,
                Err(why) => return SurveyResult::Failed(self, why),
            },
        };

        if !alive.walk && !self.tight {
            // At least every second record is an attempt, or there is nothing to be gained.
            self.living_bytes = 2 * alive.events.len();
            self.all_bytes = self.retirement.records;
        } else if self.next <= last {
            let (mut slice, next) = match readable.slice(self.next, last) {
                Ok(read) => read,
                Err(error) => return SurveyResult::Failed(self, error.into()),
            };
            for event in &mut slice.events {
                event.known = alive.events.contains(event.at);
            }
            (self.next, self.alive) = (next, Some(alive));
            self.all_bytes += slice.events.iter().map(|e| e.event.cost() as u64).sum::<u64>();

            let Some((_, bytes)) = access.ask(LivesQuery { first, last, slice }) else {
                return SurveyResult::Failed(self, StayReason::NoAnswer);
            };
            self.living_bytes += bytes;
            return SurveyResult::More(self);
        }

        if self.is_worth_it(&access.reader.disk_space()) {
            self.retirement.pays = self.tight;
            return SurveyResult::Goes(self.retirement);
        }
        tracing::debug!(
            first,
            last,
            "most of the oldest segment is still needed: it is not dropped early"
        );
        SurveyResult::Stays(self)
    }

    /// Whether the segment goes, now that it is known what lives in it.
    fn is_worth_it(&self, disk: &DiskSpace) -> bool {
        if !self.tight {
            return self.much_behind || self.living_bytes <= self.all_bytes / 2;
        }
        // As much again as the events have, for what the store makes of them.
        let takes = self.living_bytes.saturating_mul(2).saturating_add(SLICE_BYTES);
        (self.much_behind || takes <= self.retirement.disk_bytes) && may_exceed(disk, takes)
    }
}
