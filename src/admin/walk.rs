//! Walks over the log: on a thread that may block, asking the state as they go, ended when their
//! asker goes.

use std::cell::RefCell;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use serde::Serialize;
use tokio::runtime::Handle as Runtime;
use tokio::sync::mpsc;

use super::Admin;
use super::fair_permits::{FairPermit, FairPermits};
use super::http::{ApiResponse, Problem, line};
use super::log_source::{LogReadError, LogSource};
use crate::api::views::ProblemLine;
use crate::model::share::{Share, ShareHolder};
use crate::model::{DeliveryId, Seq, limits};
use crate::queue::{
    DeadLetterSeqsQuery, DeliveriesQuery, DeliverySnapshot, EventSnapshot, EventsQuery,
    QueueRequest, Refusal,
};

/// Lines that may wait for a slow reader.
const LINES_WAITING: usize = 64;
/// How often, and how long apart, a walk asks again when the scheduler is busy: a second in all.
const ASKS: u32 = 50;
const ASK_PAUSE: Duration = Duration::from_millis(20);

/// One walk under way. Its methods block.
pub(super) struct LogScan {
    pub(super) admin: Arc<Admin>,
    runtime: Runtime,
    lines: Option<mpsc::Sender<Bytes>>,
    gone: Arc<AtomicBool>,
    /// The first thing on the way that could not be read.
    fault: RefCell<Option<LogReadError>>,
}

/// Says so to its walk when the asker's future is dropped.
struct Presence(Arc<AtomicBool>);

impl Drop for Presence {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Release);
    }
}

/// Runs a walk that sends rows as it finds them. A failure on the way becomes the last line:
/// `{"problem":{…}}`.
pub(super) fn stream<F>(admin: &Arc<Admin>, walk: F) -> ApiResponse
where
    F: FnOnce(&LogScan) -> Result<(), Problem> + Send + 'static,
{
    let (sender, receiver) = mpsc::channel(LINES_WAITING);
    let scan = LogScan {
        admin: admin.clone(),
        runtime: Runtime::current(),
        lines: Some(sender),
        gone: Arc::new(AtomicBool::new(false)),
        fault: RefCell::default(),
    };
    let (context, of_place) = (admin.context.clone(), admin.clone());
    tokio::spawn(async move {
        let gone = scan.lines.clone();
        let place = tokio::select! {
            place = place(&of_place, &context.lists) => place,
            () = closed(gone) => return,
        };
        tokio::task::spawn_blocking(move || {
            let done = walk(&scan)
                .and_then(|()| scan.fault.take().map_or(Ok(()), |fault| Err(fault.into())));
            if let Err(problem) = done {
                let _ = scan.send(&ProblemLine { problem: problem.view() });
            }
            drop(place);
        });
    });
    ApiResponse::Lines(receiver)
}

/// A place for a walk of this caller, who waits when there is none for him.
async fn place(admin: &Admin, places: &Arc<FairPermits>) -> FairPermit {
    let uid = admin.context.caller.uid;
    if let Some(place) = places.take(uid) {
        return place;
    }
    admin.handle.shares().note(Share::BlockingThreads, ShareHolder::User(uid));
    places.wait(uid).await
}

async fn closed(lines: Option<mpsc::Sender<Bytes>>) {
    match lines {
        Some(lines) => lines.closed().await,
        None => std::future::pending().await,
    }
}

/// Runs a walk that sends bytes as it finds them. A failure on the way ends them early.
pub(super) fn raw<F>(admin: &Arc<Admin>, walk: F) -> ApiResponse
where
    F: FnOnce(&LogScan) -> Result<(), Problem> + Send + 'static,
{
    let logged = |scan: &LogScan| {
        if let Err(problem) = walk(scan) {
            tracing::error!(detail = problem.detail, "a copy of the log broke off");
        }
        Ok(())
    };
    match stream(admin, logged) {
        ApiResponse::Lines(bytes) => ApiResponse::Raw(bytes),
        other => other,
    }
}

/// Runs a walk that comes to one value.
pub(super) async fn value<F, T>(admin: &Arc<Admin>, walk: F) -> Result<T, Problem>
where
    F: FnOnce(&LogScan) -> Result<T, Problem> + Send + 'static,
    T: Send + 'static,
{
    let gone = Arc::new(AtomicBool::new(false));
    let _presence = Presence(gone.clone());
    let scan = LogScan {
        admin: admin.clone(),
        runtime: Runtime::current(),
        lines: None,
        gone,
        fault: RefCell::default(),
    };
    let failed = |_| {
        Problem::new(hyper::StatusCode::INTERNAL_SERVER_ERROR, "the walk over the log broke off")
    };
    let place = place(admin, &admin.context.walks).await;
    let walked = tokio::task::spawn_blocking(move || {
        let walked = walk(&scan);
        drop(place);
        walked
    });
    walked.await.map_err(failed)?
}

impl LogScan {
    pub(super) fn log(&self) -> &dyn LogSource {
        self.admin.log.as_ref()
    }

    /// Ends the walk when nobody waits for it any more. Called for every record.
    pub(super) fn still_wanted(&self) -> Result<(), Problem> {
        let gone = self
            .lines
            .as_ref()
            .map_or_else(|| self.gone.load(Ordering::Acquire), mpsc::Sender::is_closed);
        if gone { Err(Problem::gone()) } else { Ok(()) }
    }

    /// One record of a scan. What cannot be read is left out, and reported when the scan is over.
    pub(super) fn entry<T>(&self, entry: Result<(Seq, T), LogReadError>) -> Option<(Seq, T)> {
        entry.map_err(|fault| self.fault.borrow_mut().get_or_insert(fault).clone()).ok()
    }

    /// Sends one row; waits while the reader is slow.
    pub(super) fn send(&self, row: &impl Serialize) -> Result<(), Problem> {
        let Some(lines) = &self.lines else { return Ok(()) };
        lines.blocking_send(line(row)).map_err(|_| Problem::gone())
    }

    /// Sends one row that may as well be left out, when its reader is slow.
    pub(super) fn send_if_room(&self, row: &impl Serialize) {
        if let Some(lines) = &self.lines {
            let _ = lines.try_send(line(row));
        }
    }

    /// Sends bytes; waits while the reader is slow. Whether somebody wants more.
    pub(super) fn send_raw(&self, bytes: Vec<u8>) -> bool {
        self.lines.as_ref().is_some_and(|lines| lines.blocking_send(bytes.into()).is_ok())
    }

    /// Asks the queue something, or has it do something.
    pub(super) fn ask<R: QueueRequest + Clone>(&self, request: &R) -> Result<R::Answer, Problem> {
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

    pub(super) fn delivery_views(
        &self,
        ids: &[DeliveryId],
    ) -> Result<Vec<DeliverySnapshot>, Problem> {
        let mut views = Vec::with_capacity(ids.len());
        for slice in ids.chunks(limits::SLICE) {
            views.extend(self.ask(&DeliveriesQuery(slice.to_vec()))?);
        }
        Ok(views)
    }

    pub(super) fn event_views(&self, seqs: &[Seq]) -> Result<Vec<EventSnapshot>, Problem> {
        let mut views = Vec::with_capacity(seqs.len());
        for slice in seqs.chunks(limits::SLICE) {
            views.extend(self.ask(&EventsQuery(slice.to_vec()))?);
        }
        Ok(views)
    }

    pub(super) fn dead_letter_seqs(&self, before: Seq, limit: usize) -> Result<Vec<Seq>, Problem> {
        self.ask(&DeadLetterSeqsQuery { before, limit })
    }

    /// Whether the record `seq` is the dead_letter_seq of a dead letter that lies there now.
    pub(super) fn is_dead_letter_seq(&self, seq: Seq) -> Result<bool, Problem> {
        Ok(self.dead_letter_seqs(seq + 1, 1)?.first() == Some(&seq))
    }
}
