//! A walk forward over the records of the log.

use std::sync::Arc;

use super::error::LogError;
use super::frame::DecodedFrame;
use super::layout::FrameLookup;
use super::reader::{ReadRecord, Reader, with_range};
use super::segment::Segment;
use super::segment_slot::SegmentSlot;
use super::sifted::{RecordWalk, Sifted};
use crate::model::Seq;
use crate::record::{Record, Sieve};

/// Records that are tried one by one behind a record at which the store fails; with more, the rest
/// counts as damaged.
pub(super) const TRIED_BEHIND_DAMAGE: usize = 65_536;

impl Reader {
    /// Walks over the records from `from` to what is durable now.
    #[must_use]
    pub fn forward(&self, from: Seq) -> Forward {
        let next = from.max(self.first());
        Forward { reader: self.clone(), next, end: self.durable(), frame: None, bytes: 0 }
    }

    /// The same; without those that cannot be wanted, of which only the number is given.
    #[must_use]
    pub fn forward_sifted(&self, from: Seq, sieve: Sieve) -> Sifted<Forward> {
        Sifted::new(self.forward(from), sieve)
    }
}

/// See [`Reader::forward`].
#[derive(Debug)]
pub struct Forward {
    reader: Reader,
    next: Seq,
    end: Seq,
    /// The frame that holds `next`, if it has been loaded.
    frame: Option<Arc<DecodedFrame>>,
    bytes: usize,
}

impl Forward {
    /// Bytes of the log that were read so far, as they are stored.
    #[must_use]
    pub fn bytes_read(&self) -> usize {
        self.bytes
    }

    /// Loads the frame that holds `next`, or moves `next` over what is not there.
    fn load(&mut self) -> Result<(), LogError> {
        let segments = self.reader.segments.clone();
        if let Some(frame) = segments.cache.get(self.next) {
            self.enter(frame);
            return Ok(());
        }
        if let Some(last) = segments.damage.unreadable_from(self.next) {
            let first = std::mem::replace(&mut self.next, last + 1);
            return Err(segments.known_damage(first, last));
        }

        let below = segments.at_or_before(self.next);
        let Some(slot) = below.clone().filter(|slot| slot.last() >= self.next) else {
            let above = segments.after(self.next);
            return self.skip_to_segment(below.as_ref(), above.as_ref());
        };

        let last = slot.last().min(self.end);
        match segments.acquire(&slot) {
            Ok(Some(segment)) => self.load_from(&slot, &segment, last),
            // Dropped in the meantime.
            Ok(None) => {
                self.next = last + 1;
                Ok(())
            }
            Err(error) => Err(self.skip_segment(error, last)),
        }
    }

    fn load_from(
        &mut self,
        slot: &SegmentSlot,
        segment: &Segment,
        last: Seq,
    ) -> Result<(), LogError> {
        let from = self.next;
        let found = match segment.at_or_after(from) {
            Ok(found) => found,
            Err(error) if error.is_damage() => match frame_with(segment, from) {
                Some(frame) => Some(frame),
                None => {
                    // The store does not say how far the damage goes.
                    let mut behind = (from + 1..=last).take(TRIED_BEHIND_DAMAGE);
                    let readable = behind.find(|seq| frame_with(segment, *seq).is_some());
                    self.next = readable.unwrap_or(last + 1);
                    return Err(with_range(error, slot.first, from, self.next - 1));
                }
            },
            Err(error) => return Err(self.skip_segment(error, last)),
        };

        let (next, what) = match found {
            Some(FrameLookup::Frame(frame)) if frame.head.holds(from) => {
                let head = frame.head;
                match DecodedFrame::new(frame) {
                    Ok(decoded) => {
                        self.enter(Arc::new(decoded));
                        return Ok(());
                    }
                    // What it says of its own end may be wrong as well.
                    Err(what) => match segment.begins_behind(&head) {
                        Ok(next) => (next.unwrap_or(last + 1), what),
                        Err(_) => (head.last() + 1, what),
                    },
                }
            }
            Some(FrameLookup::Frame(frame)) => (frame.head.first, "they are missing".to_owned()),
            Some(FrameLookup::Broken { first, what, .. }) if first > from => (first, what),
            Some(FrameLookup::Broken { next, what, .. }) => (next.unwrap_or(last + 1), what),
            None => (last + 1, "they are missing".to_owned()),
        };
        self.next = next.clamp(from + 1, last + 1);
        Err(LogError::damaged(slot.first, from, self.next - 1, what))
    }

    /// Continues behind a segment that can never be read; ends the walk at any other error.
    fn skip_segment(&mut self, error: LogError, last: Seq) -> LogError {
        self.next = if error.is_lasting() { last + 1 } else { self.end + 1 };
        error
    }

    /// Continues with the next segment: none holds `next`.
    fn skip_to_segment(
        &mut self,
        below: Option<&Arc<SegmentSlot>>,
        above: Option<&Arc<SegmentSlot>>,
    ) -> Result<(), LogError> {
        let from = self.next;
        self.next = above.map_or(self.end + 1, |slot| slot.first);

        match below {
            // Before all segments: dropped in the meantime.
            None => Ok(()),
            Some(slot) => self.reader.check_gap(slot, from, (self.next - 1).min(self.end)),
        }
    }

    fn enter(&mut self, frame: Arc<DecodedFrame>) {
        self.bytes += frame.head.stored_len as usize;
        self.frame = Some(frame);
    }
}

impl RecordWalk for Forward {
    fn step<T>(&mut self, read: ReadRecord<'_, T>) -> Option<Result<(Seq, T), LogError>> {
        loop {
            let seq = self.next;
            if seq > self.end {
                return None;
            }

            if let Some(frame) = self.frame.as_ref().filter(|f| f.head.holds(seq)) {
                self.next += 1;
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

impl Iterator for Forward {
    type Item = Result<(Seq, Record), LogError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.step(&|reader, frame, seq| reader.decode(frame, seq))
    }
}

/// The frame that holds this record, when it can be read.
pub(super) fn frame_with(segment: &Segment, seq: Seq) -> Option<FrameLookup> {
    match segment.at_or_before(seq) {
        Ok(Some(FrameLookup::Frame(frame))) if frame.head.holds(seq) => {
            Some(FrameLookup::Frame(frame))
        }
        _ => None,
    }
}
