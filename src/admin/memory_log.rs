//! A log in memory, for tests.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use super::log_source::{LogReadError, LogSource, RecordReader, SiftedReader};
use crate::log::{Expect, Head, LogProblem, Progress, Report, SegmentInfo};
use crate::model::Seq;
use crate::record::{Record, Sieve, encode};

/// Records that were pushed, numbered from the first.
#[derive(Debug, Default)]
pub struct MemoryLog {
    /// The number of the first record kept; what is before it was dropped.
    pub first: Seq,
    pub records: std::sync::Mutex<Vec<Record>>,
    /// A verification goes on and on while this is true.
    pub verifies_on: AtomicBool,
    /// How many records were read, and how many of them were decoded.
    pub read: AtomicUsize,
    pub decoded: AtomicUsize,
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

    /// Forgets what was read so far.
    pub fn count_anew(&self) {
        self.read.store(0, Ordering::Release);
        self.decoded.store(0, Ordering::Release);
    }

    /// How many records were read, and how many of them were decoded.
    pub fn counted(&self) -> (usize, usize) {
        (self.read.load(Ordering::Acquire), self.decoded.load(Ordering::Acquire))
    }

    fn get(&self, seq: Seq) -> Option<Record> {
        let record = self.look(seq)?;
        self.decoded.fetch_add(1, Ordering::AcqRel);
        Some(record)
    }

    /// The record, if there is one of this number, and its contents, if it is wanted.
    fn sifted(&self, seq: Seq, sieve: &Sieve) -> Option<Option<Record>> {
        let record = self.look(seq)?;
        let mut bytes = Vec::new();
        encode(&record, &mut bytes);
        let passes = sieve.passes(&bytes);
        self.decoded.fetch_add(usize::from(passes), Ordering::AcqRel);
        Some(passes.then_some(record))
    }

    fn look(&self, seq: Seq) -> Option<Record> {
        let at = usize::try_from(seq.checked_sub(self.first)?).ok()?;
        let record = self.records.lock().expect("not poisoned").get(at).cloned()?;
        self.read.fetch_add(1, Ordering::AcqRel);
        Some(record)
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

    fn read_sifted(&self, seq: Seq, sieve: &Sieve) -> Result<Option<Record>, LogReadError> {
        Ok(self.sifted(seq, sieve).flatten())
    }

    fn forward(&self, from: Seq) -> RecordReader<'_> {
        Box::new(
            (from.max(self.first)..=self.durable())
                .filter_map(|seq| Some(Ok((seq, self.get(seq)?)))),
        )
    }

    fn forward_sifted(&self, from: Seq, sieve: Sieve) -> SiftedReader<'_> {
        let sifted = move |seq| Some(Ok((seq, self.sifted(seq, &sieve)?)));
        Box::new((from.max(self.first)..=self.durable()).filter_map(sifted))
    }

    fn backward(&self, before: Seq) -> RecordReader<'_> {
        let end = before.min(self.durable() + 1);
        Box::new((self.first..end).rev().filter_map(|seq| Some(Ok((seq, self.get(seq)?)))))
    }

    fn backward_sifted(&self, before: Seq, sieve: Sieve) -> SiftedReader<'_> {
        let end = before.min(self.durable() + 1);
        let sifted = move |seq| Some(Ok((seq, self.sifted(seq, &sieve)?)));
        Box::new((self.first..end).rev().filter_map(sifted))
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
