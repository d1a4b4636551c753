//! The log as this module reads it: records by number, forward and backward, and how its segments
//! are.
//!
//! A trait, so that requests can be tested without a disk. Scans are lazy: they read as they are
//! asked.

use crate::log::{Expect, Head, LogProblem, Progress, Reader, Report, SegmentInfo};
use crate::model::Seq;
use crate::record::Record;

/// A record that could not be read, in words that say where and why.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct LogReadError(pub String);

/// Records with their numbers, read one after the other.
pub type RecordReader<'a> = Box<dyn Iterator<Item = Result<(Seq, Record), LogReadError>> + 'a>;

/// The log, read-only, from any thread. Every method may read the disk: call them where blocking is
/// allowed.
pub trait LogSource: Send + Sync {
    /// The oldest record that is still there.
    fn first(&self) -> Seq;
    /// The newest durable record, 0 when there is none.
    fn durable(&self) -> Seq;
    /// One record; `None` when it is not there (any more).
    ///
    /// # Errors
    /// When it is damaged.
    fn read(&self, seq: Seq) -> Result<Option<Record>, LogReadError>;
    /// Records from `from` on, oldest first.
    fn forward(&self, from: Seq) -> RecordReader<'_>;
    /// Records before `before`, newest first.
    fn backward(&self, before: Seq) -> RecordReader<'_>;
    /// Oldest first; the last one is being written to.
    fn segments(&self) -> Vec<SegmentInfo>;
    /// A segment in pieces as they go over the wire, until `send` says no; nothing when it is gone.
    ///
    /// # Errors
    /// When it cannot be read.
    fn pieces(&self, first: Seq, send: &mut dyn FnMut(Vec<u8>) -> bool)
    -> Result<(), LogReadError>;
    /// What was found damaged when the log was opened, and since.
    fn damage(&self) -> Vec<LogProblem>;
    /// The chain's head at the newest durable record.
    fn head(&self) -> Head;
    /// Reads everything and reports inconsistencies; and whether this head, kept elsewhere, is on
    /// the chain.
    fn verify(&self, expect: Option<Expect>, progress: &mut dyn FnMut(Progress)) -> Report;
}

impl LogSource for Reader {
    fn first(&self) -> Seq {
        self.first()
    }

    fn durable(&self) -> Seq {
        self.durable()
    }

    fn read(&self, seq: Seq) -> Result<Option<Record>, LogReadError> {
        self.read(seq).map_err(|error| LogReadError(error.to_string()))
    }

    fn forward(&self, from: Seq) -> RecordReader<'_> {
        let records = self.forward(from);
        Box::new(records.map(|item| item.map_err(|error| LogReadError(error.to_string()))))
    }

    fn backward(&self, before: Seq) -> RecordReader<'_> {
        let records = self.backward(before);
        Box::new(records.map(|item| item.map_err(|error| LogReadError(error.to_string()))))
    }

    fn segments(&self) -> Vec<SegmentInfo> {
        self.segments()
    }

    fn pieces(
        &self,
        first: Seq,
        send: &mut dyn FnMut(Vec<u8>) -> bool,
    ) -> Result<(), LogReadError> {
        let sent = self.pieces(first, &mut |piece| send(piece.to_wire()));
        sent.map(|_| ()).map_err(|error| LogReadError(error.to_string()))
    }

    fn damage(&self) -> Vec<LogProblem> {
        self.damage()
    }

    fn head(&self) -> Head {
        self.head()
    }

    fn verify(&self, expect: Option<Expect>, progress: &mut dyn FnMut(Progress)) -> Report {
        match expect {
            Some(expect) => self.verify_expecting(expect, progress),
            None => self.verify(progress),
        }
    }
}

/// A log in memory, for tests.
#[cfg(test)]
#[derive(Debug, Default)]
pub struct MemoryLog {
    /// The number of the first record kept; what is before it was dropped.
    pub first: Seq,
    pub records: std::sync::Mutex<Vec<Record>>,
}

#[cfg(test)]
impl MemoryLog {
    /// A log whose first record has the number `first`.
    pub fn starting_at(first: Seq) -> Self {
        Self { first, records: std::sync::Mutex::default() }
    }

    /// Appends a record and gives its number.
    pub fn push(&self, record: Record) -> Seq {
        let mut records = self.records.lock().expect("not poisoned");
        records.push(record);
        self.first + records.len() as Seq - 1
    }

    fn get(&self, seq: Seq) -> Option<Record> {
        let at = usize::try_from(seq.checked_sub(self.first)?).ok()?;
        self.records.lock().expect("not poisoned").get(at).cloned()
    }
}

#[cfg(test)]
impl LogSource for MemoryLog {
    fn first(&self) -> Seq {
        self.first
    }
    fn durable(&self) -> Seq {
        self.first + self.records.lock().expect("not poisoned").len() as Seq - 1
    }
    fn read(&self, seq: Seq) -> Result<Option<Record>, LogReadError> {
        Ok(self.get(seq))
    }
    fn forward(&self, from: Seq) -> RecordReader<'_> {
        Box::new(
            (from.max(self.first)..=self.durable())
                .filter_map(|seq| Some(Ok((seq, self.get(seq)?)))),
        )
    }
    fn backward(&self, before: Seq) -> RecordReader<'_> {
        let end = before.min(self.durable() + 1);
        Box::new((self.first..end).rev().filter_map(|seq| Some(Ok((seq, self.get(seq)?)))))
    }
    fn segments(&self) -> Vec<SegmentInfo> {
        vec![SegmentInfo {
            number: 1,
            first: self.first,
            last: Some(self.durable()),
            records: self.durable() + 1 - self.first,
            payload_bytes: 1000,
            disk_bytes: 2000,
            created_at: 0,
            sealed_at: None,
            head: [7; 32],
            lost: false,
        }]
    }
    fn pieces(
        &self,
        _first: Seq,
        _send: &mut dyn FnMut(Vec<u8>) -> bool,
    ) -> Result<(), LogReadError> {
        Ok(())
    }
    fn damage(&self) -> Vec<LogProblem> {
        Vec::new()
    }
    fn head(&self) -> Head {
        Head { seq: self.durable(), hash: [7; 32] }
    }
    fn verify(&self, expect: Option<Expect>, progress: &mut dyn FnMut(Progress)) -> Report {
        let records = self.durable() + 1 - self.first;
        progress(Progress { segment: 1, done: 0, segments: 1, records, bytes: 0 });
        Report {
            ok: true,
            records,
            segments: 1,
            first: self.first,
            last: self.durable(),
            head: [7; 32],
            expected_at: expect.filter(|e| e.head == [7; 32]).map(|_| self.durable()),
            problems: vec![],
        }
    }
}
