//! The newest segment that can be opened, and the seals of the others.

use super::ahead::{FoldAhead, scan_and_fold};
use super::recovery::{Recovery, read_seal};
use crate::log::error::LogError;
use crate::log::folder;
use crate::log::scan::{ScanOptions, SegmentScan, scan};
use crate::log::segment::Segment;
use crate::log::segment_summary::SegmentSummary;
use crate::log::watermark::Mark;
use crate::model::Seq;

/// The newest segment that can be opened, and what was found in it.
pub(super) struct NewestSegment {
    pub segment: Segment,
    pub scan: SegmentScan,
    /// Its checkpoint, when it and all of its records were folded ahead.
    pub folded: Option<Vec<u8>>,
}

impl NewestSegment {
    /// Whether it is the log's first segment, and holds nothing.
    pub fn is_first_and_empty(&self) -> bool {
        self.segment.header.first == 1 && self.scan.last == 0 && self.scan.remains.is_none()
    }
}

impl Recovery {
    /// Opens and reads the newest segment that can be opened, and makes sure that the others have
    /// their seals.
    pub fn open_newest(
        &mut self,
        mut present: Vec<Seq>,
        mark: Option<Mark>,
        ahead: &mut Option<&mut dyn FoldAhead>,
    ) -> Result<Option<NewestSegment>, LogError> {
        let mut newest = None;
        while let Some(first) = present.pop() {
            match self.open_and_scan(first, mark, ahead) {
                Ok(found) => {
                    newest = Some(found);
                    break;
                }
                Err(error) if error.is_damage() => {
                    let what = self.segments.opener.quarantine(first, &error);
                    let last = mark.map_or(first, |m| m.seq.max(first));
                    self.problem(first, first, last, what);
                }
                Err(error) => return Err(error),
            }
        }

        let mut behind = newest.as_ref().map_or(Seq::MAX, |n| n.segment.header.first);
        for first in present.into_iter().rev() {
            if let Some(summary) = self.sealed_summary(first, behind)? {
                self.sealed.push(summary);
                behind = first;
            }
        }
        Ok(newest)
    }

    fn open_and_scan(
        &self,
        first: Seq,
        mark: Option<Mark>,
        ahead: &mut Option<&mut dyn FoldAhead>,
    ) -> Result<NewestSegment, LogError> {
        let segment = self.segments.opener.open(first)?;
        // The marker of the open segment has to survive a power cut.
        folder::sync(&self.segments.dir)?;

        let options = ScanOptions { head_of: mark.map(|m| m.seq), ..ScanOptions::ALL };
        let (scan, folded) = scan_and_fold(&segment, options, ahead)?;
        Ok(NewestSegment { segment, scan, folded })
    }

    /// The summary in a segment's seal. A seal that is missing or damaged is written again; `None`
    /// when the segment cannot be read. `behind` is the first record of the segment behind it.
    fn sealed_summary(
        &mut self,
        first: Seq,
        behind: Seq,
    ) -> Result<Option<SegmentSummary>, LogError> {
        if let Some(summary) = read_seal(&self.segments.dir, first) {
            return Ok(Some(summary));
        }

        match self.scan_to_seal(first) {
            Ok((summary, scan)) => {
                self.problems.extend(scan.problems);
                folder::write_checked(&folder::seal(&self.segments.dir, first), &summary)?;
                Ok(Some(summary))
            }
            Err(error) if error.is_damage() => {
                let what = self.segments.opener.quarantine(first, &error);
                let last = if behind == Seq::MAX { first } else { behind - 1 };
                self.problem(first, first, last, what);
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    fn scan_to_seal(&self, first: Seq) -> Result<(SegmentSummary, SegmentScan), LogError> {
        let segment = self.segments.opener.open(first)?;
        let scan = scan(&segment, ScanOptions::ALL, &mut |_, _| {})?;
        Ok((scan.summary(&segment, Some(self.wall_ms)), scan))
    }
}
