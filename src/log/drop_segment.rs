//! Dropping a segment: recorded first, in the file `dropped`, and then deleted after its last user.

use std::fs;
use std::sync::{Arc, MutexGuard};

use super::append::Log;
use super::error::LogError;
use super::segment_set::SegmentSet;
use super::segment_slot::{OpenState, SegmentSlot};
use super::segment_summary::{DroppedRange, SegmentSummary};
use super::{ballast, failpoint, folder};
use crate::model::Seq;

impl Log {
    /// Drops the sealed segment that begins with this record. Readers that are at it finish.
    ///
    /// # Errors
    /// When there is no such segment, when its records are still needed because no checkpoint
    /// behind them is complete yet, when somebody is just opening it, which may take long, or when
    /// the operating system refuses.
    pub fn drop_segment(&mut self, first: Seq) -> Result<(), LogError> {
        let sealed = self.segments.get(first).filter(|slot| !Arc::ptr_eq(slot, &self.slot));
        let slot = sealed.ok_or(LogError::NoSuchSegment { first })?;
        let summary = slot.summary();
        if summary.last >= self.segments.checkpoint_before() {
            return Err(LogError::StillNeeded { first });
        }
        let Some(state) = slot.try_state() else { return Err(LogError::BeingOpened { first }) };
        failpoint::reached("drop.begun");

        if let Err(error) = record_dropped(&self.segments, &summary) {
            // A drop needs a little space for itself, to free much.
            if !error.is_full() || !ballast::release(&self.segments.dir) {
                return Err(error);
            }
            record_dropped(&self.segments, &summary)?;
        }
        failpoint::reached("drop.noted");

        self.segments.remove(first);
        self.segments.damage.forget_to(summary.last);
        delete(&self.segments, &slot, state)?;
        failpoint::reached("drop.done");
        Ok(())
    }
}

/// Records that a segment is dropped, before it is deleted.
fn record_dropped(segments: &SegmentSet, summary: &SegmentSummary) -> Result<(), LogError> {
    let mut dropped = segments.dropped();
    // The gap before it, if there was one, goes with it.
    let first = summary.gap_from.unwrap_or(summary.first);
    dropped.push(DroppedRange { first, last: summary.last, head: summary.head });
    dropped.sort_by_key(|d| d.first);

    let mut merged: Vec<DroppedRange> = Vec::new();
    for range in dropped {
        match merged.last_mut() {
            Some(before) if before.last + 1 >= range.first => {
                *before = DroppedRange { first: before.first, ..range };
            }
            _ => merged.push(range),
        }
    }

    folder::write_checked(&segments.dir.join("dropped"), &merged)?;
    segments.set_dropped(merged);
    Ok(())
}

/// Deletes the folder and the seal of a dropped segment, after its last user.
pub(super) fn delete(
    segments: &SegmentSet,
    slot: &Arc<SegmentSlot>,
    state: MutexGuard<'_, OpenState>,
) -> Result<(), LogError> {
    let (dir, first) = (&segments.dir, slot.first);

    segments.drop_slot(slot, state, || {
        let deleting = folder::deleting(dir, first);
        let path = folder::segment(dir, first);
        if fs::exists(&path).unwrap_or(false) {
            folder::rename(&path, &deleting)?;
        }
        failpoint::reached("drop.renamed");
        folder::remove(&folder::seal(dir, first))?;
        folder::remove(&folder::open_marker(dir, first))?;
        failpoint::reached("drop.unsealed");
        folder::remove(&folder::checksums(dir, first))?;
        Ok(deleting)
    })
}
