//! Rolling: the active segment is sealed, and a new one begun.
//!
//! The checkpoint before the new segment is written later, while records are appended (see
//! `checkpoints`), or before the roll, where no fold of the log gives the state. For lack of disk
//! space a roll is postponed: the active segment grows on.

use super::append::{Log, PostponedRoll, active};
use super::disk_space::DiskSpace;
use super::drop_segment::delete;
use super::error::LogError;
use super::header::NewSegment;
use super::segment::{self, Segment};
use super::segment_slot::{SegmentGuard, SegmentSlot};
use super::segment_summary::SegmentSummary;
use super::{checkpoint_file, failpoint, folder};
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
        let old = wall_ms.saturating_sub(summary.created_at) >= self.segment_age_ms;

        let due = self.segments.checkpoints.needs_state()
            || large
            || ((old || crowded) && summary.records > 0);
        due && self.may_roll(summary.payload_bytes)
    }

    /// Whether there seems to be space for a roll. One that was postponed is not tried again before
    /// something changed.
    fn may_roll(&self, payload_bytes: u64) -> bool {
        let space = self.disk_space();
        let checkpoint = self.segments.checkpoints.bytes();
        self.postponed_roll.is_none_or(|postponed| postponed.is_over(payload_bytes, &space))
            && space.fits_roll(checkpoint)
    }

    /// Whether the next roll needs the state itself: no fold of the log gives it, or the segment
    /// holds it.
    #[must_use]
    pub fn roll_needs_state(&self) -> bool {
        self.segments.checkpoints.needs_state() || self.segments.segment_format.holds_checkpoint()
    }

    /// Seals the active segment and begins a new one. The checkpoint before it is missing for now:
    /// see [`super::Reader::wanted_checkpoint`].
    ///
    /// # Errors
    /// When the operating system refuses; the log takes no more then. An empty segment is not
    /// rolled. For lack of disk space the roll is postponed, which is no error.
    pub fn roll_ahead(&mut self, wall_ms: WallMs) -> Result<(), LogError> {
        self.roll_with(None, wall_ms)
    }

    /// Writes down the state, seals the active segment and begins a new one.
    ///
    /// # Errors
    /// As for [`Log::roll_ahead`]. Of an empty segment only the state before it is written down.
    pub fn roll(&mut self, state: &[u8], wall_ms: WallMs) -> Result<(), LogError> {
        self.roll_with(Some(state), wall_ms)
    }

    fn roll_with(&mut self, state: Option<&[u8]>, wall_ms: WallMs) -> Result<(), LogError> {
        if self.poisoned {
            return Err(LogError::Poisoned);
        }
        if self.slot.summary().records == 0 && !self.segments.checkpoints.needs_state() {
            return Ok(());
        }
        let bytes = state.map_or(self.segments.checkpoints.bytes(), |state| state.len() as u64);
        if !self.disk_space().fits_roll(bytes) {
            self.postpone_roll();
            return Ok(());
        }

        // An error on the way leaves the log poisoned.
        self.poisoned = true;
        let (sealed_bytes, first) = (active(&self.active)?.disk_bytes(), self.slot.first);
        self.replace_active(state, wall_ms)?;
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
            "no disk space for a new segment: the active one grows on"
        );
        let payload_bytes = self.slot.summary().payload_bytes;
        self.postponed_roll = Some(PostponedRoll { payload_bytes, bytes_left });
    }

    /// The steps of a roll. After a crash between any two of them, opening the log completes or
    /// undoes it.
    fn replace_active(&mut self, state: Option<&[u8]>, wall_ms: WallMs) -> Result<(), LogError> {
        let (old, format) = (self.slot.summary(), self.segments.segment_format);
        if let Some(state) = state.filter(|_| !format.holds_checkpoint())
            && !self.write_state(&old, state)?
        {
            self.postpone_roll();
            return Ok(());
        }
        if old.records == 0 {
            return match state.filter(|_| format.holds_checkpoint()) {
                Some(checkpoint) => self.replace_empty(&old, checkpoint, wall_ms),
                None => Ok(()),
            };
        }
        failpoint::reached("roll.begun");

        let first = self.next;
        let checkpoint = state.filter(|_| format.holds_checkpoint()).unwrap_or_default();
        let new = NewSegment {
            format,
            first,
            prev: old.head,
            fold_from: first,
            gap_from: None,
            created_at: wall_ms,
            checkpoint,
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

        self.activate(segment, &new);
        failpoint::reached("roll.done");
        Ok(())
    }

    /// Writes down the state before the next record. Returns whether the disk had space for it.
    fn write_state(&self, old: &SegmentSummary, state: &[u8]) -> Result<bool, LogError> {
        let (dir, before) = (&self.segments.dir, self.next);
        let mut encode = |out: &mut dyn std::io::Write| out.write_all(state);
        let bytes = match checkpoint_file::write(dir, before, &old.last_head(), &mut encode) {
            Err(error) if error.is_full() => {
                tracing::warn!(%error, "the state could not be written down");
                return Ok(false);
            }
            written => written?,
        };

        self.segments.checkpoints.complete(before, bytes);
        self.segments.checkpoints.state_written();
        Ok(true)
    }

    /// Gives a segment of an earlier format that was begun behind a gap, and is still empty, a
    /// checkpoint of its own.
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
        };

        // Both have the same name, so the empty one goes first. After a crash in between, opening
        // the log creates one like it from the watermark.
        self.active = None;
        delete(&self.segments, &self.slot)?;
        let segment = Segment::create(&self.segments.dir, &new, self.segments.skip_sync)?;

        self.activate(segment, &new);
        Ok(())
    }

    fn activate(&mut self, segment: Segment, new: &NewSegment<'_>) {
        if self.active.is_some() {
            // Whoever makes the checkpoint reads it next.
            self.segments.keep_open(&self.slot);
        }
        self.head = segment.chain;
        self.slot = SegmentSlot::new(SegmentSummary::of_new(new, segment.chain));
        self.active = Some(SegmentGuard::of_active(&self.slot, segment));
        self.segments.add(self.slot.clone());

        if new.format.holds_checkpoint() {
            self.segments.checkpoints.complete(new.first, new.checkpoint.len() as u64);
            self.segments.checkpoints.state_written();
        }
        self.postponed_roll = None;
    }
}
