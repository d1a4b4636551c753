//! A walk over the records of the log that leaves out what cannot be wanted.

use super::error::LogError;
use super::reader::ReadRecord;
use crate::model::Seq;
use crate::record::{Record, Sieve};

/// A walk over records, in either direction.
pub(super) trait RecordWalk {
    /// The next record, as `read` reads it out of its frame.
    fn step<T>(&mut self, read: ReadRecord<'_, T>) -> Option<Result<(Seq, T), LogError>>;
}

/// The same walk; of records that cannot be wanted only the number is given. See
/// [`Reader::forward_sifted`](super::Reader::forward_sifted) and
/// [`Reader::backward_sifted`](super::Reader::backward_sifted).
#[derive(Debug)]
pub struct Sifted<W> {
    walk: W,
    sieve: Sieve,
}

impl<W> Sifted<W> {
    pub(super) fn new(walk: W, sieve: Sieve) -> Self {
        Self { walk, sieve }
    }
}

impl<W: RecordWalk> Iterator for Sifted<W> {
    type Item = Result<(Seq, Option<Record>), LogError>;

    fn next(&mut self) -> Option<Self::Item> {
        let sieve = &self.sieve;
        self.walk.step(&|reader, frame, seq| reader.sift(frame, seq, sieve))
    }
}
