//! A log to read from, as the scheduler does it: the real one patiently, or one in memory.

use std::sync::Arc;

use crate::model::{Event, Seq};
use crate::record::{Record, Sieve};

/// A log to read from. Reading it never fails: what cannot be read is not there.
pub trait ReadLog {
    /// The oldest record that there is.
    fn first(&self) -> Seq;

    /// The newest.
    fn last(&self) -> Seq;

    /// The event that a record holds.
    fn event(&self, seq: Seq) -> Option<Arc<Event>>;

    /// Gives `take` the records from `from` on. It may be called again when something could not be
    /// read at the moment.
    fn forward<T>(&self, from: Seq, sieve: &Sieve, take: impl Fn(Walk<'_>) -> T) -> T;

    /// The same with the records before `before`, the latest first.
    fn backward<T>(&self, before: Seq, sieve: &Sieve, take: impl Fn(Walk<'_>) -> T) -> T;
}

/// Records one after the other. Those that cannot be wanted come without their contents, which
/// costs much less.
pub type Walk<'a> = &'a mut dyn Iterator<Item = (Seq, Option<Record>)>;

/// The event that a record holds.
#[must_use]
pub fn event_of(record: &Record) -> Option<Arc<Event>> {
    record.held_event().map(|held| held.event.clone())
}
