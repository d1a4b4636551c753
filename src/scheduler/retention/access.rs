//! What retention works with: the log to read, the queue to ask, and what is to be kept.

use super::Retention;
use super::stays::StayReason;
use crate::log::{LogError, Reader};
use crate::model::{Clock, Seq, limits};
use crate::queue::{AliveQuery, AliveRange, EventsQuery, QueueRequest};
use crate::record::DeadLetter;
use crate::scheduler::disk_thresholds::may_relocate;
use crate::scheduler::handle::Handle;
use crate::scheduler::losses::AskQueue;
use crate::scheduler::patient::PatientReader;
use crate::scheduler::read_log::ReadLog;

/// What a slice that is relocated may take of the space that is left: sled writes a little more
/// than it is given.
pub(super) const SLICE_BYTES: u64 = 2 * limits::RELOCATE_BYTES as u64;

#[derive(Clone, Copy)]
pub(in crate::scheduler) struct LogAccess<'a> {
    pub reader: &'a Reader,
    pub handle: &'a Handle,
    pub clock: &'a Clock,
    pub retention: &'a Retention,
}

impl LogAccess<'_> {
    /// What of a segment is still needed.
    ///
    /// # Errors
    /// When that is not known now.
    pub fn alive(&mut self, first: Seq, last: Seq) -> Result<AliveRange, StayReason> {
        match self.ask(AliveQuery { first, last }) {
            Some(Some(alive)) => Ok(alive),
            Some(None) => Err(StayReason::NeedUnknown),
            None => Err(StayReason::NoAnswer),
        }
    }

    pub fn mono_ms(&self) -> u64 {
        (self.clock)().mono_ms
    }

    /// Whether relocation would take the last of the space that is left.
    pub fn is_tight(&self) -> bool {
        may_relocate(&self.reader.disk_space()) < SLICE_BYTES
    }

    /// The dead letter with this number; `None` when its record is none.
    ///
    /// # Errors
    /// When the record cannot be read.
    pub fn dead_letter(&self, seq: Seq) -> Result<Option<DeadLetter>, LogError> {
        Ok(self.reader.read(seq)?.and_then(|record| record.dead_letter(seq)))
    }

    /// How much the event with this number takes: the inner `None` when the log does not give it
    /// back, the outer one when the queue gives no answer.
    pub fn event_bytes(&mut self, event: Seq) -> Option<Option<u64>> {
        let at = self.ask(EventsQuery(vec![event]))?.first()?.stands_at;
        Some(PatientReader(self.reader).event(at).map(|event| event.cost() as u64))
    }
}

impl AskQueue for LogAccess<'_> {
    fn ask<R: QueueRequest>(&mut self, request: R) -> Option<R::Answer> {
        self.handle.ask_blocking(request).ok()
    }
}
