//! Rolling: the active segment is sealed, and a new one begun with a checkpoint of the state. A
//! large checkpoint is written later, with the commits (see [`super::pending_checkpoint`]).
//!
//! For lack of disk space a roll is postponed: the active segment grows on.

use std::borrow::Cow;

use super::append::{Log, PostponedRoll, active};
use super::disk_space::DiskSpace;
use super::drop_segment::delete;
use super::error::LogError;
use super::header::NewSegment;
use super::pending_checkpoint::PendingCheckpoint;
use super::segment::{self, Segment};
use super::segment_slot::{SegmentGuard, SegmentSlot};
use super::segment_summary::SegmentSummary;
use super::{failpoint, folder};
use crate::model::{WallMs, limits};

impl PostponedRoll {
    /// Whether enough has changed since to try again.
    fn is_over(&self, payload_bytes: u64, space: &DiskSpace) -> bool {
        payload_bytes >= self.payload_bytes.saturating_add(limits::ROLL_BYTES)
            || space.left() >= self.bytes_left.saturating_add(limits::ROLL_BYTES)
    }
}

impl Log {
    /// Whether the active segment is large or old enough to be sealed.
    #[must_use]
    pub fn wants_roll(&self, wall_ms: WallMs) -> bool {
        let summary = self.slot.summary();
        let large = summary.payload_bytes >= self.segment_bytes;
        let crowded = self.active.as_ref().is_some_and(|segment| segment.is_crowded());
        // It may have been created while the clock was ahead: once it is set, that moment is far.
        let old = wall_ms.abs_diff(summary.created_at) >= self.segment_age_ms;

        let due = self.needs_checkpoint || large || ((old || crowded) && summary.records > 0);
        // The checkpoint before would be never completed: the segment grows by as much as that has.
        due && self.pending.is_none() && self.may_roll(summary.payload_bytes)
    }

    /// Whether there seems to be space for a roll. One that was postponed is not tried again before
    /// something changed.
    fn may_roll(&self, payload_bytes: u64) -> bool {
        let space = self.disk_space();
        let checkpoint = self.active.as_ref().map_or(0, |segment| segment.checkpoint_len());
        self.postponed_roll.is_none_or(|postponed| postponed.is_over(payload_bytes, &space))
            && space.fits_roll(checkpoint)
    }

    /// Seals the active segment and begins a new one, which starts with this checkpoint of the
    /// state.
    ///
    /// # Errors
    /// When the operating system refuses; the log takes no more then. An empty segment is rolled
    /// only when its checkpoint is not its own. For lack of disk space the roll is postponed, which
    /// is no error.
    pub fn roll<'a>(
        &mut self,
        checkpoint: impl Into<Cow<'a, [u8]>>,
        wall_ms: WallMs,
    ) -> Result<(), LogError> {
        let checkpoint = checkpoint.into();
        if self.poisoned {
            return Err(LogError::Poisoned);
        }
        if self.slot.summary().records == 0 && !self.needs_checkpoint {
            return Ok(());
        }
        if !self.disk_space().fits_roll(checkpoint.len() as u64) {
            self.postpone_roll();
            return Ok(());
        }

        // An error on the way leaves the log poisoned.
        self.poisoned = true;
        let (sealed_bytes, first) = (active(&self.active)?.disk_bytes(), self.slot.first);
        self.replace_active(checkpoint, wall_ms)?;
        self.poisoned = false;

        if self.slot.first != first {
            self.segments.gauge.rolled(sealed_bytes, active(&self.active)?.disk_bytes());
        }
        Ok(())
    }

    fn postpone_roll(&mut self) {
        let space = self.disk_space();
        let bytes_left = space.left();
        tracing::warn!(
            left = bytes_left,
            files = space.files,
            "no disk space for a new segment: the active one continues to grow"
        );
        let payload_bytes = self.slot.summary().payload_bytes;
        self.postponed_roll = Some(PostponedRoll { payload_bytes, bytes_left });
    }

    /// The steps of a roll. After a crash between any two of them, opening the log completes or
    /// undoes it.
    fn replace_active(
        &mut self,
        checkpoint: Cow<'_, [u8]>,
        wall_ms: WallMs,
    ) -> Result<(), LogError> {
        let old = self.slot.summary();
        if old.records == 0 {
            return self.replace_empty(&old, &checkpoint, wall_ms);
        }
        failpoint::reached("roll.begun");

        let (first, format) = (self.next, self.segments.segment_format);
        let is_large = checkpoint.len() > self.checkpoint_step;
        let new = NewSegment {
            format,
            first,
            prev: old.head,
            fold_from: first,
            gap_from: None,
            created_at: wall_ms,
            checkpoint: &checkpoint,
            // Only where a fold of the log gives the same.
            is_gradual: format.is_gradual() && is_large && !self.has_gaps,
        };
        let segment = match Segment::create(&self.segments.dir, &new, self.segments.skip_sync) {
            Err(error) if error.is_full() && segment::undo_create(&self.segments.dir, first) => {
                tracing::warn!(%error, "a new segment could not be created");
                self.postpone_roll();
                return Ok(());
            }
            created => created?,
        };
        failpoint::reached("roll.created");

        let sealed = SegmentSummary { sealed_at: Some(wall_ms), ..old };
        folder::write_checked(&folder::seal(&self.segments.dir, sealed.first), &sealed)?;
        failpoint::reached("roll.sealed");
        self.watermark.sync()?;
        self.slot.update(|summary| summary.sealed_at = Some(wall_ms));

        let is_gradual = new.is_gradual;
        self.activate(segment, &new);
        if is_gradual {
            let pending = PendingCheckpoint::new(active(&self.active)?, checkpoint.into_owned());
            self.segments.gauge.set_unwritten(pending.left());
            self.pending = Some(pending);
        }
        failpoint::reached("roll.done");
        Ok(())
    }

    /// Gives a segment that was begun behind a gap, and is still empty, a checkpoint of its own.
    fn replace_empty(
        &mut self,
        old: &SegmentSummary,
        checkpoint: &[u8],
        wall_ms: WallMs,
    ) -> Result<(), LogError> {
        let SegmentSummary { first, prev, gap_from, .. } = *old;
        let new = NewSegment {
            format: self.segments.segment_format,
            first,
            prev,
            fold_from: first,
            gap_from,
            created_at: wall_ms,
            checkpoint,
            is_gradual: false,
        };

        // Both have the same name, so the empty one goes first. After a crash in between, opening
        // the log creates one like it from the watermark.
        self.active = None;
        delete(&self.segments, &self.slot, self.slot.state())?;
        let segment = Segment::create(&self.segments.dir, &new, self.segments.skip_sync)?;

        self.activate(segment, &new);
        Ok(())
    }

    fn activate(&mut self, segment: Segment, new: &NewSegment<'_>) {
        self.head = segment.chain;
        self.slot = SegmentSlot::new(SegmentSummary::of_new(new, segment.chain));
        self.active = Some(SegmentGuard::of_active(&self.slot, segment));
        self.segments.add(self.slot.clone());

        // One that is not complete by now never is, and what was written ahead is in the segment
        // before.
        (self.pending, self.ahead) = (None, None);
        self.segments.gauge.set_unwritten(0);
        if !new.is_gradual {
            self.segments.checkpoint_complete(new.first, new.checkpoint.len() as u64);
        }
        (self.needs_checkpoint, self.has_gaps) = (false, false);
        self.postponed_roll = None;
    }
}
