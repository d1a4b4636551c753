//! The log as this module reads it: records by number, forward and backward, and how its segments
//! are.
//!
//! A trait, so that requests can be tested without a disk. Scans are lazy: they read as they are
//! asked.

use crate::log::{Expect, Head, LogProblem, Progress, Reader, Report, SegmentInfo};
use crate::model::Seq;
use crate::record::{Record, Sieve};

/// A record that could not be read, in words that say where and why.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct LogReadError(pub String);

/// Records with their numbers, read one after the other.
pub type RecordReader<'a> = Box<dyn Iterator<Item = Result<(Seq, Record), LogReadError>> + 'a>;

/// The same; of a record that is not wanted only the number.
pub type SiftedReader<'a> =
    Box<dyn Iterator<Item = Result<(Seq, Option<Record>), LogReadError>> + 'a>;

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
    /// The same; `None` as well when the sieve does not let it pass.
    ///
    /// # Errors
    /// When it is damaged.
    fn read_sifted(&self, seq: Seq, sieve: &Sieve) -> Result<Option<Record>, LogReadError>;
    /// Records from `from` on, oldest first.
    fn forward(&self, from: Seq) -> RecordReader<'_>;
    /// The same; those that the sieve does not let pass without their contents.
    fn forward_sifted(&self, from: Seq, sieve: Sieve) -> SiftedReader<'_>;
    /// Records before `before`, newest first.
    fn backward(&self, before: Seq) -> RecordReader<'_>;
    /// The same; those that the sieve does not let pass without their contents.
    fn backward_sifted(&self, before: Seq, sieve: Sieve) -> SiftedReader<'_>;
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
    /// the chain. `None` when it is not wanted any more, which is asked before each segment.
    fn verify(
        &self,
        expect: Option<Expect>,
        is_wanted: &dyn Fn() -> bool,
        progress: &mut dyn FnMut(Progress),
    ) -> Option<Report>;
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

    fn read_sifted(&self, seq: Seq, sieve: &Sieve) -> Result<Option<Record>, LogReadError> {
        self.read_sifted(seq, sieve).map_err(|error| LogReadError(error.to_string()))
    }

    fn forward(&self, from: Seq) -> RecordReader<'_> {
        let records = self.forward(from);
        Box::new(records.map(|item| item.map_err(|error| LogReadError(error.to_string()))))
    }

    fn forward_sifted(&self, from: Seq, sieve: Sieve) -> SiftedReader<'_> {
        let records = self.forward_sifted(from, sieve);
        Box::new(records.map(|item| item.map_err(|error| LogReadError(error.to_string()))))
    }

    fn backward(&self, before: Seq) -> RecordReader<'_> {
        let records = self.backward(before);
        Box::new(records.map(|item| item.map_err(|error| LogReadError(error.to_string()))))
    }

    fn backward_sifted(&self, before: Seq, sieve: Sieve) -> SiftedReader<'_> {
        let records = self.backward_sifted(before, sieve);
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

    fn verify(
        &self,
        expect: Option<Expect>,
        is_wanted: &dyn Fn() -> bool,
        progress: &mut dyn FnMut(Progress),
    ) -> Option<Report> {
        self.verify_while(expect, is_wanted, progress)
    }
}
