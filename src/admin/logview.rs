//! What this room sees of the log: records by number, forward and backward, and how its segments are.
//!
//! A trait, so that the room can be tested without a disk. Walks are lazy: they read as they are asked.

use crate::model::{Seq, WallMs};
use crate::record::Record;

/// A record that could not be read, in words that say where and why.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct LogFault(pub String);

/// A lazy walk over records.
pub type Walk<'a> = Box<dyn Iterator<Item = Result<(Seq, Record), LogFault>> + 'a>;

/// The log, read-only, from any thread. Every method may read the disk: call them where blocking is allowed.
pub trait LogView: Send + Sync {
    /// The oldest record that is still there.
    fn first(&self) -> Seq;
    /// The newest durable record, 0 when there is none.
    fn durable(&self) -> Seq;
    /// One record; `None` when it is not there (any more).
    ///
    /// # Errors
    /// When it is damaged.
    fn read(&self, seq: Seq) -> Result<Option<Record>, LogFault>;
    /// Records from `from` on, oldest first.
    fn forward(&self, from: Seq) -> Walk<'_>;
    /// Records before `before`, newest first.
    fn backward(&self, before: Seq) -> Walk<'_>;
    /// Oldest first; the last one is being written to.
    fn segments(&self) -> Vec<SegmentInfo>;
    /// A segment in pieces as they go over the wire, until `send` says no; nothing when it is gone.
    ///
    /// # Errors
    /// When it cannot be read.
    fn pieces(&self, first: Seq, send: &mut dyn FnMut(Vec<u8>) -> bool) -> Result<(), LogFault>;
    /// What was found damaged when the log was opened, and since.
    fn damage(&self) -> Vec<Problem>;
    /// The chain's head at the newest durable record.
    fn head(&self) -> (Seq, [u8; 32]);
    /// Reads everything and says what does not add up; and whether this head, kept elsewhere, is on the chain.
    fn verify(&self, expect: Option<Expect>, progress: &mut dyn FnMut(Progress)) -> Report;
}

/// One segment of the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SegmentInfo {
    pub number: u64,
    pub first: Seq,
    /// `None` while it is empty.
    pub last: Option<Seq>,
    pub records: u64,
    pub payload_bytes: u64,
    pub disk_bytes: u64,
    pub created_at: WallMs,
    /// `None` while it is written to.
    pub sealed_at: Option<WallMs>,
    /// The chain's head at its end.
    pub head: [u8; 32],
    /// It cannot be opened; its records are lost.
    pub lost: bool,
}

/// How far a verification has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    pub segment: u64,
    pub segments: u64,
    pub records: u64,
}

/// A head of the chain that was kept elsewhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Expect {
    /// The record it was read at, when that is known.
    pub seq: Option<Seq>,
    pub head: [u8; 32],
}

/// What a verification found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    pub ok: bool,
    pub records: u64,
    pub segments: u64,
    pub first: Seq,
    pub last: Seq,
    pub head: [u8; 32],
    /// Where the expected head was found.
    pub expected_at: Option<Seq>,
    pub problems: Vec<Problem>,
}

/// One thing that does not add up, with its exact range.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    pub segment: u64,
    pub first: Seq,
    pub last: Seq,
    pub what: String,
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
impl LogView for MemoryLog {
    fn first(&self) -> Seq {
        self.first
    }
    fn durable(&self) -> Seq {
        self.first + self.records.lock().expect("not poisoned").len() as Seq - 1
    }
    fn read(&self, seq: Seq) -> Result<Option<Record>, LogFault> {
        Ok(self.get(seq))
    }
    fn forward(&self, from: Seq) -> Walk<'_> {
        Box::new((from.max(self.first)..=self.durable()).filter_map(|seq| Some(Ok((seq, self.get(seq)?)))))
    }
    fn backward(&self, before: Seq) -> Walk<'_> {
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
    fn pieces(&self, _first: Seq, _send: &mut dyn FnMut(Vec<u8>) -> bool) -> Result<(), LogFault> {
        Ok(())
    }
    fn damage(&self) -> Vec<Problem> {
        Vec::new()
    }
    fn head(&self) -> (Seq, [u8; 32]) {
        (self.durable(), [7; 32])
    }
    fn verify(&self, expect: Option<Expect>, progress: &mut dyn FnMut(Progress)) -> Report {
        let records = self.durable() + 1 - self.first;
        progress(Progress { segment: 1, segments: 1, records });
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
