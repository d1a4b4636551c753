//! A log for tests that is rolled and shortened while it is read.

use std::cell::RefCell;
use std::path::Path;

use super::error::ArchiveResult;
use super::source::PieceSource;
use crate::log::testing::open_log;
use crate::log::{Log, Piece, Reader, Recovered};
use crate::model::Seq;
use crate::queue::State;
use crate::record::Record;

pub(super) struct BusyLog {
    log: RefCell<Log>,
    pub reader: Reader,
    pub state: RefCell<State>,
    /// What happens before, or behind, the pieces of the segment that begins with this record.
    before: fn(&BusyLog, Seq),
    behind: fn(&BusyLog, Seq),
}

impl BusyLog {
    /// An empty one.
    pub fn new(dir: &Path, before: fn(&Self, Seq), behind: fn(&Self, Seq)) -> Self {
        let Recovered { log, reader, .. } = open_log(dir, 1);
        let (log, state) = (RefCell::new(log), RefCell::new(State::new()));
        Self { log, reader, state, before, behind }
    }

    /// Its segments begin with the records 1, 11 and 21, and it ends with 25.
    pub fn of_three(dir: &Path, before: fn(&Self, Seq), behind: fn(&Self, Seq)) -> Self {
        let busy = Self::new(dir, before, behind);
        for _ in 0..2 {
            busy.fill(10);
            busy.roll();
        }
        busy.fill(5);
        busy
    }

    /// Appends a record; returns its number.
    pub fn commit(&self, record: Record) -> Seq {
        let mut state = self.state.borrow_mut();
        let seq = state.next_seq;
        state.apply(seq, &record).expect("it follows");
        let _durable = self.log.borrow_mut().commit(&[record]).expect("commits");
        seq
    }

    pub fn fill(&self, count: u64) {
        (0..count).for_each(|event| _ = self.commit(Record::DuplicateSeen { event, at: event }));
    }

    pub fn roll(&self) {
        let checkpoint = self.state.borrow().checkpoint();
        self.log.borrow_mut().roll(&checkpoint, 2).expect("rolls");
    }

    /// As retention does: a record of it comes first.
    pub fn drop_segment(&self, first: Seq) {
        let segments = self.reader.segments();
        let found = segments.iter().find(|segment| segment.first == first).expect("there");
        let (last, head) = (found.last.expect("it is not empty"), found.head);
        self.commit(Record::SegmentDropped { first, last, head, at: 1 });
        self.log.borrow_mut().drop_segment(first).expect("drops");
    }
}

impl PieceSource for BusyLog {
    fn segments(&self) -> ArchiveResult<Vec<Seq>> {
        Ok(self.reader.segments().into_iter().map(|segment| segment.first).collect())
    }

    fn pieces(
        &self,
        first: Seq,
        take: &mut dyn FnMut(Piece) -> ArchiveResult<()>,
    ) -> ArchiveResult<bool> {
        (self.before)(self, first);
        let mut taken = Ok(());
        let there = self.reader.pieces(first, &mut |piece| {
            taken = take(piece);
            taken.is_ok()
        })?;
        (self.behind)(self, first);
        taken.map(|()| there)
    }
}
