//! A walk backward over the records of the log, the latest first.

use std::sync::Arc;

use super::error::LogError;
use super::forward::{TRIED_BEHIND_DAMAGE, frame_with};
use super::frame::DecodedFrame;
use super::layout::FrameLookup;
use super::reader::{ReadRecord, Reader, with_range};
use super::segment::Segment;
use super::segment_slot::SegmentSlot;
use super::sifted::{RecordWalk, Sifted};
use crate::model::Seq;
use crate::record::{Record, Sieve};

impl Reader {
    /// Walks over the records before `before`, the latest first.
    #[must_use]
    pub fn backward(&self, before: Seq) -> Backward {
        let before = before.min(self.durable().saturating_add(1));
        Backward { reader: self.clone(), before, frame: None, bytes: 0 }
    }

    /// The same; without those that cannot be wanted, of which only the number is given.
    #[must_use]
    pub fn backward_sifted(&self, before: Seq, sieve: Sieve) -> Sifted<Backward> {
        Sifted::new(self.backward(before), sieve)
    }
}

/// See [`Reader::backward`].
#[derive(Debug)]
pub struct Backward {
    reader: Reader,
    /// 0 at the end of the walk.
    before: Seq,
    /// The frame that holds the record before `before`, if it has been loaded.
    frame: Option<Arc<DecodedFrame>>,
    bytes: usize,
}

impl Backward {
    /// Bytes of the log that were read so far, as they are stored.
    #[must_use]
    pub fn bytes_read(&self) -> usize {
        self.bytes
    }

    /// Loads the frame that holds the record before `before`, or moves `before` over what is not
    /// there.
    fn load(&mut self) -> Result<(), LogError> {
        let segments = self.reader.segments.clone();
        let wanted = self.before - 1;
        if let Some(frame) = segments.cache.get(wanted) {
            self.enter(frame);
            return Ok(());
        }
        if let Some(first) = segments.damage.unreadable_to(wanted) {
            self.before = first;
            return Err(segments.known_damage(first, wanted));
        }

        let Some(slot) = segments.at_or_before(wanted) else {
            self.before = 0;
            return Ok(());
        };
        let last = slot.last();
        if last < wanted {
            // `last` is one before the segment when the segment is empty.
            self.before = last + 1;
            return self.reader.check_gap(&slot, last + 1, wanted);
        }

        match segments.acquire(&slot) {
            Ok(Some(segment)) => self.load_from(&slot, &segment, wanted),
            // Dropped in the meantime.
            Ok(None) => {
                self.before = slot.first;
                Ok(())
            }
            Err(error) => Err(self.skip_segment(error, &slot)),
        }
    }

    fn load_from(
        &mut self,
        slot: &SegmentSlot,
        segment: &Segment,
        wanted: Seq,
    ) -> Result<(), LogError> {
        let found = match segment.at_or_before(wanted) {
            Ok(found) => found,
            Err(error) if error.is_damage() => {
                // The store does not say how far the damage goes.
                let mut below = (slot.first..wanted).rev().take(TRIED_BEHIND_DAMAGE);
                let readable = below.find(|seq| frame_with(segment, *seq).is_some());
                self.before = readable.map_or(slot.first, |seq| seq + 1);
                return Err(with_range(error, slot.first, self.before, wanted));
            }
            Err(error) => return Err(self.skip_segment(error, slot)),
        };

        let (before, what) = match found {
            Some(FrameLookup::Frame(frame)) if frame.head.holds(wanted) => {
                let first = frame.head.first;
                match DecodedFrame::new(frame) {
                    Ok(decoded) => {
                        self.enter(Arc::new(decoded));
                        return Ok(());
                    }
                    Err(what) => (first, what),
                }
            }
            Some(FrameLookup::Frame(frame)) => {
                (frame.head.last() + 1, "they are missing".to_owned())
            }
            Some(FrameLookup::Broken { first, what, .. }) => (first, what),
            None => (slot.first, "they are missing".to_owned()),
        };
        self.before = before.min(wanted);
        Err(LogError::damaged(slot.first, self.before, wanted, what))
    }

    /// Continues before a segment that can never be read; ends the walk at any other error.
    fn skip_segment(&mut self, error: LogError, slot: &SegmentSlot) -> LogError {
        self.before = if error.is_lasting() { slot.first } else { 0 };
        error
    }

    fn enter(&mut self, frame: Arc<DecodedFrame>) {
        self.bytes += frame.head.stored_len as usize;
        self.frame = Some(frame);
    }
}

impl RecordWalk for Backward {
    fn step<T>(&mut self, read: ReadRecord<'_, T>) -> Option<Result<(Seq, T), LogError>> {
        loop {
            let seq = self.before.checked_sub(1).filter(|seq| *seq > 0)?;

            if let Some(frame) = self.frame.as_ref().filter(|f| f.head.holds(seq)) {
                self.before = seq;
                let record = read(&self.reader, frame, seq);
                let record = record.inspect_err(|error| self.reader.remember_damage(error));
                return Some(record.map(|record| (seq, record)));
            }

            self.frame = None;
            if let Err(error) = self.load() {
                self.reader.remember_damage(&error);
                return Some(Err(error));
            }
        }
    }
}

impl Iterator for Backward {
    type Item = Result<(Seq, Record), LogError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.step(&|reader, frame, seq| reader.decode(frame, seq))
    }
}
