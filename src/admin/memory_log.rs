//! A log in memory, for tests.

use std::sync::atomic::{AtomicBool, Ordering};

use super::log_source::{LogReadError, LogSource, RecordReader};
use crate::log::{Expect, Head, LogProblem, Progress, Report, SegmentInfo};
use crate::model::Seq;
use crate::record::Record;

/// Records that were pushed, numbered from the first.
#[derive(Debug, Default)]
pub struct MemoryLog {
    /// The number of the first record kept; what is before it was dropped.
    pub first: Seq,
    pub records: std::sync::Mutex<Vec<Record>>,
    /// A verification goes on and on while this is true.
    pub verifies_on: AtomicBool,
}

impl MemoryLog {
    /// A log whose first record has the number `first`.
    pub fn starting_at(first: Seq) -> Self {
        Self { first, ..Self::default() }
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

    fn verify(
        &self,
        expect: Option<Expect>,
        is_wanted: &dyn Fn() -> bool,
        progress: &mut dyn FnMut(Progress),
    ) -> Option<Report> {
        while self.verifies_on.load(Ordering::Acquire) {
            if !is_wanted() {
                return None;
            }
            std::thread::yield_now();
        }

        let records = self.durable() + 1 - self.first;
        progress(Progress { segment: 1, done: 0, segments: 1, records, bytes: 0 });
        Some(Report {
            ok: true,
            records,
            segments: 1,
            first: self.first,
            last: self.durable(),
            head: [7; 32],
            expected_at: expect.filter(|e| e.head == [7; 32]).map(|_| self.durable()),
            problems: vec![],
        })
    }
}
