//! One scan of the log: it reads on a thread that may block, asks the state as it goes, and ends
//! when its asker goes.

use std::cell::{Cell, RefCell};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use serde::Serialize;
use tokio::runtime::Handle as Runtime;
use tokio::sync::{mpsc, oneshot};

use crate::admin::context::Admin;
use crate::admin::http::problem::Problem;
use crate::admin::http::response::line;
use crate::admin::log_source::{LogReadError, LogSource};
use crate::api::values::Time;
use crate::api::views::{MoreLine, MoreView};
use crate::model::{DeliveryId, Seq, WallMs, limits};
use crate::queue::{
    DeadLetterSeqsQuery, DeliveriesQuery, DeliverySnapshot, EventSnapshot, EventsQuery,
    QueueRequest, Refusal,
};
use crate::record::Record;

/// How often, and how long apart, a scan asks again when the scheduler is busy: a second in all.
const ASKS: u32 = 50;
const ASK_PAUSE: Duration = Duration::from_millis(20);
/// Records that are read for a time.
const TIMES_LOOKED_FOR: usize = 64;

/// One scan under way. Its methods block.
pub struct LogScan {
    pub admin: Arc<Admin>,
    runtime: Runtime,
    lines: Option<mpsc::Sender<Bytes>>,
    gone: Arc<AtomicBool>,
    /// The first thing on the way that could not be read.
    fault: RefCell<Option<LogReadError>>,
    /// Whether a row was sent.
    has_sent: Cell<bool>,
    /// Hears that the first row is sent, or why there is none.
    begun: RefCell<Option<oneshot::Sender<Result<(), Problem>>>>,
    /// When the last row was sent, by the monotonic clock; at first, when somebody first asked
    /// whether that is too long ago.
    sent_ms: Cell<Option<u64>>,
}

impl LogScan {
    /// A scan that sends rows to `lines`, where there are any, and ends when `gone` is set.
    pub fn new(
        admin: &Arc<Admin>,
        lines: Option<mpsc::Sender<Bytes>>,
        gone: Arc<AtomicBool>,
    ) -> Self {
        let (admin, runtime) = (admin.clone(), Runtime::current());
        let (fault, has_sent, begun, sent_ms) = Default::default();
        Self { admin, runtime, lines, gone, fault, has_sent, begun, sent_ms }
    }

    /// The same, which says once whether it begins with a row or ends with a problem.
    pub fn announcing(self, begun: oneshot::Sender<Result<(), Problem>>) -> Self {
        Self { begun: RefCell::new(Some(begun)), ..self }
    }

    /// Says how the scan has begun. Gives the problem back when that was said before.
    pub fn announce(&self, how: Result<(), Problem>) -> Result<(), Problem> {
        match self.begun.take() {
            // Where nobody listens the caller has to report it.
            Some(begun) => begun.send(how).err().unwrap_or(Ok(())),
            None => how,
        }
    }

    pub fn log(&self) -> &dyn LogSource {
        self.admin.log.as_ref()
    }

    /// Whether the record of this number can be read.
    pub fn has_record(&self, seq: Seq) -> bool {
        matches!(self.log().read(seq), Ok(Some(_)))
    }

    /// The first thing on the way that could not be read, to be reported at the end.
    pub fn fault(&self) -> Result<(), Problem> {
        self.fault.take().map_or(Ok(()), |fault| Err(fault.into()))
    }

    /// Ends the scan when nobody waits for it any more. Called for every record.
    pub fn still_wanted(&self) -> Result<(), Problem> {
        let gone = self
            .lines
            .as_ref()
            .map_or_else(|| self.gone.load(Ordering::Acquire), mpsc::Sender::is_closed);
        if gone { Err(Problem::gone()) } else { Ok(()) }
    }

    /// One record of a scan. What cannot be read is left out, and reported when the scan is over.
    pub fn entry<T>(&self, entry: Result<(Seq, T), LogReadError>) -> Option<(Seq, T)> {
        entry.map_err(|fault| self.fault.borrow_mut().get_or_insert(fault).clone()).ok()
    }

    /// Sends one row; waits while the reader is slow.
    pub fn send(&self, row: &impl Serialize) -> Result<(), Problem> {
        let Some(lines) = &self.lines else { return Ok(()) };
        self.has_sent.set(true);
        self.announce(Ok(()))?;
        lines.blocking_send(line(row)).map_err(|_| Problem::gone())?;
        // From now on, however long the reader took for it.
        self.sent_ms.set(Some(self.mono_ms()));
        Ok(())
    }

    /// Whether a list has found nothing for so long that it is answered with how far it has looked.
    /// Never when it is first asked, so that each request comes at least one record further.
    pub fn is_overdue(&self) -> bool {
        let now = self.mono_ms();
        let Some(sent) = self.sent_ms.get() else {
            self.sent_ms.set(Some(now));
            return false;
        };
        self.lines.is_some() && now.saturating_sub(sent) >= limits::LIST_PATIENCE_MS
    }

    pub fn mono_ms(&self) -> u64 {
        (self.admin.clock)().mono_ms
    }

    /// The last line of a list that is answered before its end: it goes on after `after`.
    pub fn send_more(
        &self,
        after: &impl ToString,
        looked_back_to: Option<WallMs>,
    ) -> Result<(), Problem> {
        let looked_back_to = looked_back_to.map(Time);
        self.send(&MoreLine { more: MoreView { after: after.to_string(), looked_back_to } })
    }

    /// When what stands at this record happened, as far as it or one of the few before it says so.
    pub fn time_at(&self, seq: Seq) -> Option<WallMs> {
        let records = self.log().backward(seq.saturating_add(1)).take(TIMES_LOOKED_FOR);
        records.filter_map(Result::ok).find_map(|(_, record)| happened_at(&record))
    }

    /// Whether a row was sent so far.
    pub fn has_sent(&self) -> bool {
        self.has_sent.get()
    }

    /// Sends one row that may as well be left out, when its reader is slow.
    pub fn try_send(&self, row: &impl Serialize) {
        if let Some(lines) = &self.lines {
            let _ = lines.try_send(line(row));
        }
    }

    /// Sends bytes; waits while the reader is slow. Whether somebody wants more.
    pub fn send_raw(&self, bytes: Vec<u8>) -> bool {
        self.lines.as_ref().is_some_and(|lines| lines.blocking_send(bytes.into()).is_ok())
    }

    /// Asks the queue something, or has it do something.
    pub fn ask<R: QueueRequest + Clone>(&self, request: &R) -> Result<R::Answer, Problem> {
        self.patiently(|| self.runtime.block_on(self.admin.handle.ask(request.clone())))
    }

    /// A mass operation does not fail half-way because the scheduler is busy for a moment.
    fn patiently<T>(&self, mut attempt: impl FnMut() -> Result<T, Refusal>) -> Result<T, Problem> {
        for _ in 1..ASKS {
            match attempt() {
                Err(Refusal::Busy) => self.runtime.block_on(tokio::time::sleep(ASK_PAUSE)),
                Err(refusal) => return Err(refusal.into()),
                Ok(reply) => return Ok(reply),
            }
            self.still_wanted()?;
        }
        Ok(attempt()?)
    }

    pub fn delivery_views(&self, ids: &[DeliveryId]) -> Result<Vec<DeliverySnapshot>, Problem> {
        let mut views = Vec::with_capacity(ids.len());
        for slice in ids.chunks(limits::SLICE) {
            views.extend(self.ask(&DeliveriesQuery(slice.to_vec()))?);
        }
        Ok(views)
    }

    pub fn event_views(&self, seqs: &[Seq]) -> Result<Vec<EventSnapshot>, Problem> {
        let mut views = Vec::with_capacity(seqs.len());
        for slice in seqs.chunks(limits::SLICE) {
            views.extend(self.ask(&EventsQuery(slice.to_vec()))?);
        }
        Ok(views)
    }

    pub fn dead_letter_seqs(&self, before: Seq, limit: usize) -> Result<Vec<Seq>, Problem> {
        self.ask(&DeadLetterSeqsQuery { before, limit })
    }

    /// Whether the record `seq` is the dead letter number of one that is there now.
    pub fn is_dead_letter_seq(&self, seq: Seq) -> Result<bool, Problem> {
        Ok(self.dead_letter_seqs(seq + 1, 1)?.first() == Some(&seq))
    }
}

/// When it happened what a record says.
fn happened_at(record: &Record) -> Option<WallMs> {
    let held = record.held_event().filter(|held| held.relocated_from.is_none());
    let accepted = held.map(|held| held.event.received_at);
    accepted.or_else(|| {
        let report = record.attempts().next()?.report;
        Some(report.started_at.saturating_add(report.duration_ms))
    })
}
