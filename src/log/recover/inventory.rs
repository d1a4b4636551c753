//! The inventory: leftovers are removed, interrupted drops completed, and the segments listed.

use super::recovery::{Recovery, is_possible, read_seal};
use crate::log::error::LogError;
use crate::log::folder;
use crate::log::segment_slot::SegmentSlot;
use crate::model::Seq;

impl Recovery {
    /// Cleans up the folder. Returns the segments that are there, ascending.
    pub fn take_inventory(&mut self) -> Result<Vec<Seq>, LogError> {
        let dir = self.segments.dir.clone();
        let listing = folder::list(&dir)?;
        for leftover in &listing.leftovers {
            folder::remove(leftover)?;
        }

        let dropped = self.segments.dropped();
        let is_dropped = |seq: Seq| dropped.iter().any(|d| (d.first..=d.last).contains(&seq));

        let mut present = Vec::new();
        for first in listing.segments {
            if !is_possible(first) {
                self.problem(first, first, first, "no record can have this number");
            } else if is_dropped(first) {
                // The drop was recorded, but the process ended before it was done.
                let deleting = folder::deleting(&dir, first);
                folder::rename(&folder::segment(&dir, first), &deleting)?;
                folder::remove(&deleting)?;
            } else {
                present.push(first);
            }
        }

        for first in listing.seals {
            let seal = folder::seal(&dir, first);
            if is_dropped(first) {
                folder::remove(&seal)?;
            } else if !present.contains(&first) {
                self.lost.extend(read_seal(&dir, first));
            }
        }
        Ok(present)
    }

    /// Adds all segments but the newest to the set.
    pub fn add_older_segments(&mut self) {
        for summary in std::mem::take(&mut self.sealed) {
            self.segments.add(SegmentSlot::new(summary));
        }

        for summary in std::mem::take(&mut self.lost) {
            let slot = SegmentSlot::new(summary);
            let what = "their segment is missing, only its seal is there".to_owned();
            slot.mark_lost(what.clone());
            self.problems.push(slot.problem(what));
            self.segments.add(slot);
        }
    }
}
