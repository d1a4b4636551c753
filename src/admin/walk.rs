//! Walks over the log: on a thread that may block, asking the state as they go, ended when their asker goes.

use std::cell::RefCell;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use serde_json::{Value, json};
use tokio::runtime::Handle as Runtime;
use tokio::sync::mpsc;

use super::Admin;
use super::http::{Answer, Problem, line};
use super::logview::{LogFault, LogView};
use crate::model::{DeliveryId, Seq, limits};
use crate::queue::{Command, DeliveryView, EventView, Query, Refusal, Reply};
use crate::record::Record;

/// Lines that may wait for a slow reader.
const LINES_WAITING: usize = 64;
/// How often, and how long apart, a walk asks again when the scheduler is busy: a second in all.
const ASKS: u32 = 50;
const ASK_PAUSE: Duration = Duration::from_millis(20);

/// One walk under way. Its methods block.
pub(super) struct Walker {
    pub(super) admin: Arc<Admin>,
    runtime: Runtime,
    lines: Option<mpsc::Sender<Bytes>>,
    gone: Arc<AtomicBool>,
    /// The first thing on the way that could not be read.
    fault: RefCell<Option<LogFault>>,
}

/// Says so to its walk when the asker's future is dropped.
struct Presence(Arc<AtomicBool>);

impl Drop for Presence {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Release);
    }
}

/// Runs a walk that sends rows as it finds them. A failure on the way becomes the last line: `{"problem":{…}}`.
pub(super) fn stream<F>(admin: &Arc<Admin>, walk: F) -> Answer
where
    F: FnOnce(&Walker) -> Result<(), Problem> + Send + 'static,
{
    let (sender, receiver) = mpsc::channel(LINES_WAITING);
    let walker = Walker {
        admin: admin.clone(),
        runtime: Runtime::current(),
        lines: Some(sender),
        gone: Arc::new(AtomicBool::new(false)),
        fault: RefCell::default(),
    };
    tokio::task::spawn_blocking(move || {
        let done = walk(&walker).and_then(|()| walker.fault.take().map_or(Ok(()), |fault| Err(fault.into())));
        if let Err(problem) = done {
            let _ = walker.send(&json!({ "problem": problem.value() }));
        }
    });
    Answer::Lines(receiver)
}

/// Runs a walk that sends bytes as it finds them. A failure on the way ends them early.
pub(super) fn raw<F>(admin: &Arc<Admin>, walk: F) -> Answer
where
    F: FnOnce(&Walker) -> Result<(), Problem> + Send + 'static,
{
    let told = |walker: &Walker| {
        if let Err(problem) = walk(walker) {
            tracing::error!(detail = problem.detail, "a copy of the log broke off");
        }
        Ok(())
    };
    match stream(admin, told) {
        Answer::Lines(bytes) => Answer::Raw(bytes),
        other => other,
    }
}

/// Runs a walk that comes to one value.
pub(super) async fn value<F, T>(admin: &Arc<Admin>, walk: F) -> Result<T, Problem>
where
    F: FnOnce(&Walker) -> Result<T, Problem> + Send + 'static,
    T: Send + 'static,
{
    let gone = Arc::new(AtomicBool::new(false));
    let _presence = Presence(gone.clone());
    let walker =
        Walker { admin: admin.clone(), runtime: Runtime::current(), lines: None, gone, fault: RefCell::default() };
    let failed = |_| Problem::new(hyper::StatusCode::INTERNAL_SERVER_ERROR, "the walk over the log broke off");
    tokio::task::spawn_blocking(move || walk(&walker)).await.map_err(failed)?
}

impl Walker {
    pub(super) fn log(&self) -> &dyn LogView {
        self.admin.log.as_ref()
    }

    /// Ends the walk when nobody waits for it any more. Called for every record.
    pub(super) fn still_wanted(&self) -> Result<(), Problem> {
        let gone = self.lines.as_ref().map_or_else(|| self.gone.load(Ordering::Acquire), mpsc::Sender::is_closed);
        if gone { Err(Problem::gone()) } else { Ok(()) }
    }

    /// What a walk came to. What cannot be read is passed over, and told when the walk is over: the rest is there.
    pub(super) fn entry(&self, entry: Result<(Seq, Record), LogFault>) -> Option<(Seq, Record)> {
        entry.map_err(|fault| self.fault.borrow_mut().get_or_insert(fault).clone()).ok()
    }

    /// Sends one row; waits while the reader is slow.
    pub(super) fn send(&self, row: &Value) -> Result<(), Problem> {
        let Some(lines) = &self.lines else { return Ok(()) };
        lines.blocking_send(line(row)).map_err(|_| Problem::gone())
    }

    /// Sends bytes; waits while the reader is slow. Whether somebody wants more.
    pub(super) fn send_raw(&self, bytes: Vec<u8>) -> bool {
        self.lines.as_ref().is_some_and(|lines| lines.blocking_send(bytes.into()).is_ok())
    }

    pub(super) fn ask(&self, query: &Query) -> Result<Reply, Problem> {
        self.patiently(|| self.runtime.block_on(self.admin.handle.ask(query.clone())))
    }

    pub(super) fn command(&self, command: &Command) -> Result<Reply, Problem> {
        self.patiently(|| self.runtime.block_on(self.admin.handle.command(command.clone())))
    }

    /// A mass operation does not fail half-way because the scheduler is busy for a moment.
    fn patiently(&self, mut attempt: impl FnMut() -> Result<Reply, Refusal>) -> Result<Reply, Problem> {
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

    pub(super) fn delivery_views(&self, ids: &[DeliveryId]) -> Result<Vec<DeliveryView>, Problem> {
        let mut views = Vec::with_capacity(ids.len());
        for slice in ids.chunks(limits::SLICE) {
            match self.ask(&Query::Deliveries(slice.to_vec()))? {
                Reply::Deliveries(found) => views.extend(found),
                other => return Err(unexpected(&other)),
            }
        }
        Ok(views)
    }

    pub(super) fn event_views(&self, seqs: &[Seq]) -> Result<Vec<EventView>, Problem> {
        let mut views = Vec::with_capacity(seqs.len());
        for slice in seqs.chunks(limits::SLICE) {
            match self.ask(&Query::Events(slice.to_vec()))? {
                Reply::Events(found) => views.extend(found),
                other => return Err(unexpected(&other)),
            }
        }
        Ok(views)
    }

    pub(super) fn graves(&self, before: Seq, limit: usize) -> Result<Vec<Seq>, Problem> {
        match self.ask(&Query::Graves { before, limit })? {
            Reply::Graves(graves) => Ok(graves),
            other => Err(unexpected(&other)),
        }
    }

    /// Whether the record `seq` is the grave of a dead letter that lies there now.
    pub(super) fn is_grave(&self, seq: Seq) -> Result<bool, Problem> {
        Ok(self.graves(seq + 1, 1)?.first() == Some(&seq))
    }
}

/// The queue answered something else than what was asked: a mistake of ours, told instead of hidden.
pub(super) fn unexpected(reply: &Reply) -> Problem {
    tracing::error!(?reply, "the queue answered something else than what was asked");
    Problem::new(hyper::StatusCode::INTERNAL_SERVER_ERROR, "the daemon misunderstood itself: please report this")
}
