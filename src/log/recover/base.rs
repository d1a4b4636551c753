//! The checkpoint from which the state is folded.

use super::newest::NewestSegment;
use super::recovery::Recovery;
use crate::log::error::LogError;
use crate::log::header::SegmentHeader;
use crate::model::Seq;

/// A checkpoint of the state before `fold_from`.
pub(super) struct BaseCheckpoint {
    pub checkpoint: Vec<u8>,
    pub fold_from: Seq,
}

impl Recovery {
    /// The newest checkpoint that is complete and can be read.
    ///
    /// # Errors
    /// When the operating system does not give one back that may be readable at the next start.
    /// With an older one, or without any, a start could not know what is in it.
    pub fn find_base(
        &mut self,
        newest: Option<&mut NewestSegment>,
    ) -> Result<Option<BaseCheckpoint>, LogError> {
        let Some(newest) = newest else { return Ok(None) };
        let SegmentHeader { first: newest_first, fold_from, .. } = newest.segment.header;
        let own = newest.folded.take();
        let own = own.map_or_else(|| newest.segment.checkpoint(), |folded| Ok(Some(folded)));
        let is_incomplete = matches!(own, Ok(None));
        if let Some(checkpoint) = self.usable(newest_first, own)? {
            return Ok(Some(BaseCheckpoint { checkpoint, fold_from }));
        }

        let slots = self.segments.all();
        for slot in slots.into_iter().rev().filter(|slot| slot.first < newest_first) {
            let (fold_from, found) = match self.segments.acquire(&slot) {
                Ok(Some(segment)) => (segment.header.fold_from, segment.checkpoint()),
                Ok(None) => continue,
                Err(error) => (slot.first, Err(error)),
            };
            if let Some(checkpoint) = self.usable(slot.first, found)? {
                return Ok(Some(BaseCheckpoint { checkpoint, fold_from }));
            }
        }

        if is_incomplete {
            let what = "the checkpoint before them is not complete, and there is no earlier one";
            self.problem(newest_first, newest_first, newest_first, what);
        }
        Ok(None)
    }

    /// The checkpoint of a segment, if it can be used. One that is damaged is reported.
    fn usable(
        &mut self,
        segment: Seq,
        found: Result<Option<Vec<u8>>, LogError>,
    ) -> Result<Option<Vec<u8>>, LogError> {
        match found {
            Ok(Some(checkpoint)) => Ok(Some(checkpoint)),
            Ok(None) => {
                tracing::info!(
                    segment,
                    "the process ended before the checkpoint of a segment was complete: an older \
                     one is used, and the start takes longer"
                );
                Ok(None)
            }
            Err(error) if error.is_damage() => {
                let what = format!(
                    "the checkpoint before them cannot be read, an older one is used: {error}"
                );
                self.problem(segment, segment, segment, what);
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::newest::NewestSegment;
    use super::super::recovery::Recovery;
    use crate::log::scan::{ScanOptions, scan};
    use crate::log::segment::Segment;
    use crate::log::{Log, Options, Recovered, StoreFault};
    use crate::record::Record;

    /// What a start does with a checkpoint whose leaf the store cannot give back so.
    #[test]
    fn one_that_cannot_be_read_now_ends_the_start_and_a_damaged_one_does_not() {
        let dir = tempfile::tempdir().expect("a folder");
        let options = Options { dir: dir.path().join("log"), ..Options::default() };
        let Recovered { mut log, reader, .. } = Log::open(options, 1).expect("opens");
        for state in [&b"older"[..], b"newest"] {
            let record = Record::DuplicateSeen { event: 1, at: 1 };
            let _durable = log.commit(&[record]).expect("commits");
            log.roll(state, 1).expect("rolls");
        }
        drop(log);

        for fault in [StoreFault::Io, StoreFault::Disk, StoreFault::Corrupt] {
            let segment = Segment::open(&reader.segments.dir, 3, false).expect("opens");
            segment.fail_reads((vec![b'c', 0, 0], 0..=8, fault));
            let scan = scan(&segment, ScanOptions::ALL, &mut |_, _| {}).expect("reads");
            let mut newest = NewestSegment { segment, scan, folded: None };
            let mut recovery = Recovery::new(reader.segments.clone(), 1);

            let found = recovery.find_base(Some(&mut newest));
            if fault == StoreFault::Corrupt {
                let base = found.expect("an older one is used").expect("there is one");
                assert_eq!((&base.checkpoint[..], base.fold_from), (&b"older"[..], 2));
                assert_eq!(recovery.problems.len(), 1, "{:?}", recovery.problems);
            } else {
                let error = found.err().expect("it may be readable at the next start");
                assert!(!error.is_damage(), "{error}");
                assert_eq!(recovery.problems, []);
            }
        }
    }
}
