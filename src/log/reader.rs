//! Reading: one record, or a walk forward or backward over many. From any thread, and never beyond what is durable.
//!
//! A walk says what is damaged as an `Err` item with the exact range, once, and goes on behind it; what retention
//! dropped, and gaps that were reported when the log was opened, are passed over. An error that is not of the files
//! (no descriptors left) ends the walk.

use std::sync::Arc;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::frame::{Decoded, RecordFault};
use super::segment::Found;
use super::shelf::{Borrowed, Shelf, Slot};
use super::{Expect, Head, LogError, Problem, Progress, Report, Room, SegmentInfo, ballast, folder, verify};
use crate::model::Seq;
use crate::record::Record;

/// Reads the log. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Reader {
    pub(super) shelf: Arc<Shelf>,
}

impl Reader {
    /// The first record that there may be; 1 for an empty log.
    #[must_use]
    pub fn first(&self) -> Seq {
        self.shelf.oldest().map_or(1, |slot| slot.first)
    }

    /// The last record that is durable; 0 when there is none.
    #[must_use]
    pub fn durable(&self) -> Seq {
        self.shelf.durable()
    }

    /// One record. `None` when it is not there: dropped, not written yet, or in a gap that is known.
    ///
    /// # Errors
    /// When it is damaged, or its segment cannot be opened.
    pub fn read(&self, seq: Seq) -> Result<Option<Record>, LogError> {
        self.read_one(seq).inspect_err(|error| self.note(error))
    }

    fn read_one(&self, seq: Seq) -> Result<Option<Record>, LogError> {
        if seq == 0 || seq > self.durable() {
            return Ok(None);
        }
        if let Some(frame) = self.shelf.hot(seq) {
            return decode(&self.shelf, &frame, seq, seq).map(Some);
        }
        let Some(slot) = self.shelf.floor(seq) else { return Ok(None) };
        if slot.last() < seq {
            return self.hole(&slot, seq, seq).map(|()| None);
        }
        let Some(segment) = self.shelf.borrow(&slot)? else { return Ok(None) };
        match segment.at_or_before(seq)? {
            Some(Found::Frame(frame)) if frame.head.holds(seq) => {
                let decoded = Decoded::new(frame).map_err(|what| damaged(slot.first, seq, seq, what))?;
                let decoded = Arc::new(decoded);
                self.shelf.keep_hot(&decoded);
                decode(&self.shelf, &decoded, slot.first, seq).map(Some)
            }
            Some(Found::Broken { what, .. }) => Err(damaged(slot.first, seq, seq, what)),
            Some(Found::Frame(_)) | None => Err(damaged(slot.first, seq, seq, "it is missing".into())),
        }
    }

    /// So that status tells of it.
    fn note(&self, error: &LogError) {
        if let LogError::Damaged(problem) = error {
            self.shelf.note_damage(problem);
        }
    }

    /// Walks over the records from `from` to what is durable now.
    #[must_use]
    pub fn forward(&self, from: Seq) -> Forward {
        Forward { reader: self.clone(), next: from.max(self.first()), end: self.durable(), frame: None, bytes: 0 }
    }

    /// Walks over the records before `before`, the latest first.
    #[must_use]
    pub fn backward(&self, before: Seq) -> Backward {
        let before = before.min(self.durable().saturating_add(1));
        Backward { reader: self.clone(), before, frame: None, bytes: 0 }
    }

    /// The room as it was last measured.
    #[must_use]
    pub fn room(&self) -> Room {
        self.shelf.gauge.room()
    }

    /// Measures the room, and looks after the ballast. Lists the folder: not for the thread that commits.
    pub fn look(&self) -> Room {
        let active = self.shelf.floor(Seq::MAX).map_or(0, |slot| slot.first);
        let room = self.shelf.gauge.look(active);
        ballast::keep(&self.shelf.dir, &room);
        room
    }

    /// A small checked file beside the segments; `None` when it is not there, or is not that.
    #[must_use]
    pub fn read_note<T: DeserializeOwned>(&self, name: &str) -> Option<T> {
        folder::read_checked(&self.shelf.dir.join(name))
    }

    /// Replaces a small checked file beside the segments.
    ///
    /// # Errors
    /// When the operating system refuses; the old one is still there then.
    pub fn write_note(&self, name: &str, value: &impl Serialize) -> Result<(), LogError> {
        folder::write_checked(&self.shelf.dir.join(name), value)
    }

    /// The segments, the oldest first. Opens none of them.
    #[must_use]
    pub fn segments(&self) -> Vec<SegmentInfo> {
        let slots = self.shelf.all();
        let numbered = (1..).zip(slots);
        numbered.map(|(number, slot)| self.info(number, &slot)).collect()
    }

    /// Reads everything, and says what does not add up.
    pub fn verify(&self, progress: &mut dyn FnMut(Progress)) -> Report {
        verify::verify(self, None, progress)
    }

    /// The same, and whether a head that was kept elsewhere is on the chain.
    pub fn verify_expecting(&self, expect: Expect, progress: &mut dyn FnMut(Progress)) -> Report {
        verify::verify(self, Some(expect), progress)
    }

    /// The newest version that has written here.
    #[must_use]
    pub fn written_by(&self) -> &str {
        self.shelf.format.written_by()
    }

    /// What was found damaged when the log was opened, and what had to be put aside since.
    #[must_use]
    pub fn damage(&self) -> Vec<Problem> {
        self.shelf.damage()
    }

    /// The chain's head at what is durable now.
    #[must_use]
    pub fn head(&self) -> Head {
        let newest = self.shelf.newest().map(|slot| slot.facts());
        newest.map_or(Head { seq: 0, hash: [0; 32] }, |facts| {
            let hash = if facts.last < facts.first { facts.prev } else { facts.head };
            Head { seq: facts.last, hash }
        })
    }

    /// Closes sealed segments that nobody uses and gives back what was kept for reading. For quiet moments.
    pub fn close_idle(&self) {
        self.shelf.close_idle();
        self.shelf.keep_sums(|facts| facts.sealed_at.is_some());
    }

    /// Gives up the segment that this error is about, until the log is opened anew, so that reading goes on behind it;
    /// it counts as damaged from then on. Only when it is the disk itself that fails: everything else passes.
    #[must_use]
    pub fn give_up(&self, error: &LogError) -> bool {
        let Some(path) = error.disk_failed_at() else { return false };
        let slots = self.shelf.all();
        let found = slots.iter().find(|slot| path.starts_with(folder::segment(&self.shelf.dir, slot.first)));
        let Some(slot) = found.filter(|slot| slot.facts().sealed_at.is_some()) else { return false };
        slot.lose(format!("the disk does not give the segment back: {error}"));
        true
    }

    fn info(&self, number: u64, slot: &Slot) -> SegmentInfo {
        let facts = slot.facts();
        SegmentInfo {
            number,
            first: facts.first,
            last: (facts.last >= facts.first).then_some(facts.last),
            records: facts.records,
            payload_bytes: facts.payload_bytes,
            disk_bytes: folder::disk_bytes(&folder::segment(&self.shelf.dir, facts.first)),
            created_at: facts.created_at,
            sealed_at: facts.sealed_at,
            head: facts.head,
            lost: slot.lost().is_some(),
        }
    }

    /// An error unless it is known that these records are not there.
    fn hole(&self, slot: &Slot, first: Seq, last: Seq) -> Result<(), LogError> {
        if self.shelf.is_known_hole(first, last) {
            return Ok(());
        }
        Err(damaged(slot.first, first, last, "they are missing".into()))
    }
}

fn damaged(segment: Seq, first: Seq, last: Seq, what: String) -> LogError {
    LogError::Damaged(Problem { segment, first, last, what })
}

fn decode(shelf: &Shelf, frame: &Decoded, segment: Seq, seq: Seq) -> Result<Record, LogError> {
    frame.record(seq).map_err(|fault| match fault {
        RecordFault::Unknown(what) if shelf.format.is_newer() => shelf.format.refuse(&shelf.dir, what),
        RecordFault::Newer(what) => shelf.format.refuse(&shelf.dir, what),
        RecordFault::Unknown(what) | RecordFault::Damaged(what) => damaged(segment, seq, seq, what),
    })
}

/// See [`Reader::forward`].
#[derive(Debug)]
pub struct Forward {
    reader: Reader,
    next: Seq,
    end: Seq,
    frame: Option<Arc<Decoded>>,
    bytes: usize,
}

impl Forward {
    /// Bytes of the log that were read so far, as they are stored.
    #[must_use]
    pub fn bytes_read(&self) -> usize {
        self.bytes
    }

    /// Makes `frame` the one that holds `next`, moving `next` over what is not there.
    fn load(&mut self) -> Result<(), LogError> {
        let shelf = self.reader.shelf.clone();
        if let Some(frame) = shelf.hot(self.next) {
            return self.take(frame);
        }
        let below = shelf.floor(self.next);
        let Some(slot) = below.clone().filter(|slot| slot.last() >= self.next) else {
            return self.skip_to_segment(below.as_ref(), shelf.above(self.next).as_ref());
        };
        let last = slot.last().min(self.end);
        let segment = match shelf.borrow(&slot) {
            Ok(Some(segment)) => segment,
            Ok(None) => {
                self.next = last + 1;
                return Ok(());
            }
            Err(error) => {
                self.next = if error.is_lasting() { last + 1 } else { self.end + 1 };
                return Err(error);
            }
        };
        self.load_from(&slot, &segment, last)
    }

    fn load_from(&mut self, slot: &Slot, segment: &Borrowed, last: Seq) -> Result<(), LogError> {
        let from = self.next;
        let found = segment.at_or_after(from).inspect_err(|error| {
            self.next = if error.is_lasting() { last + 1 } else { self.end + 1 };
        })?;
        let (next, what) = match found {
            Some(Found::Frame(frame)) if frame.head.holds(from) => {
                let (first, behind) = (frame.head.first, frame.head.last() + 1);
                match Decoded::new(frame) {
                    Ok(decoded) => return self.take(Arc::new(decoded)),
                    Err(what) => {
                        self.next = behind;
                        return Err(damaged(slot.first, first.max(from), behind - 1, what));
                    }
                }
            }
            Some(Found::Frame(frame)) => (frame.head.first, "they are missing".to_owned()),
            Some(Found::Broken { first, what, .. }) if first > from => (first, what),
            Some(Found::Broken { next, what, .. }) => (next.unwrap_or(last + 1), what),
            None => (last + 1, "they are missing".to_owned()),
        };
        self.next = next.min(last + 1);
        Err(damaged(slot.first, from, self.next - 1, what))
    }

    /// There is no segment that holds `next`.
    fn skip_to_segment(&mut self, below: Option<&Arc<Slot>>, above: Option<&Arc<Slot>>) -> Result<(), LogError> {
        let from = self.next;
        self.next = above.map_or(self.end + 1, |slot| slot.first);
        match (below, above) {
            // Before all segments: dropped meanwhile.
            (None, _) => Ok(()),
            (Some(slot), _) => self.reader.hole(slot, from, (self.next - 1).min(self.end)),
        }
    }

    fn take(&mut self, frame: Arc<Decoded>) -> Result<(), LogError> {
        self.bytes += frame.head.stored_len as usize;
        self.frame = Some(frame);
        Ok(())
    }
}

impl Iterator for Forward {
    type Item = Result<(Seq, Record), LogError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let seq = self.next;
            if seq > self.end {
                return None;
            }
            if let Some(frame) = self.frame.as_ref().filter(|f| f.head.holds(seq)) {
                self.next += 1;
                let record = decode(&self.reader.shelf, frame, frame.head.first, seq);
                return Some(record.map(|record| (seq, record)));
            }
            self.frame = None;
            if let Err(error) = self.load() {
                self.reader.note(&error);
                return Some(Err(error));
            }
        }
    }
}

/// See [`Reader::backward`].
#[derive(Debug)]
pub struct Backward {
    reader: Reader,
    before: Seq,
    frame: Option<Arc<Decoded>>,
    bytes: usize,
}

impl Backward {
    /// Bytes of the log that were read so far, as they are stored.
    #[must_use]
    pub fn bytes_read(&self) -> usize {
        self.bytes
    }

    /// Makes `frame` the one that holds the record before `before`, moving `before` over what is not there.
    fn load(&mut self) -> Result<(), LogError> {
        let shelf = self.reader.shelf.clone();
        let want = self.before - 1;
        if let Some(frame) = shelf.hot(want) {
            return self.take(frame);
        }
        let Some(slot) = shelf.floor(want) else {
            self.before = 0;
            return Ok(());
        };
        let last = slot.last();
        if last < want {
            // `last` is one before the segment when the segment is empty.
            self.before = last + 1;
            return self.reader.hole(&slot, last + 1, want);
        }
        let segment = match shelf.borrow(&slot) {
            Ok(Some(segment)) => segment,
            Ok(None) => {
                self.before = slot.first;
                return Ok(());
            }
            Err(error) => {
                self.before = if error.is_lasting() { slot.first } else { 0 };
                return Err(error);
            }
        };
        self.load_from(&slot, &segment, want)
    }

    fn load_from(&mut self, slot: &Slot, segment: &Borrowed, want: Seq) -> Result<(), LogError> {
        let found = segment.at_or_before(want).inspect_err(|error| {
            self.before = if error.is_lasting() { slot.first } else { 0 };
        })?;
        let (before, what) = match found {
            Some(Found::Frame(frame)) if frame.head.holds(want) => {
                let first = frame.head.first;
                match Decoded::new(frame) {
                    Ok(decoded) => return self.take(Arc::new(decoded)),
                    Err(what) => (first, what),
                }
            }
            Some(Found::Frame(frame)) => (frame.head.last() + 1, "they are missing".to_owned()),
            Some(Found::Broken { first, what, .. }) => (first, what),
            None => (slot.first, "they are missing".to_owned()),
        };
        self.before = before;
        Err(damaged(slot.first, before, want, what))
    }

    fn take(&mut self, frame: Arc<Decoded>) -> Result<(), LogError> {
        self.bytes += frame.head.stored_len as usize;
        self.frame = Some(frame);
        Ok(())
    }
}

impl Iterator for Backward {
    type Item = Result<(Seq, Record), LogError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let seq = self.before.checked_sub(1).filter(|seq| *seq > 0)?;
            if let Some(frame) = self.frame.as_ref().filter(|f| f.head.holds(seq)) {
                self.before = seq;
                let record = decode(&self.reader.shelf, frame, frame.head.first, seq);
                return Some(record.map(|record| (seq, record)));
            }
            self.frame = None;
            if let Err(error) = self.load() {
                self.reader.note(&error);
                return Some(Err(error));
            }
        }
    }
}
