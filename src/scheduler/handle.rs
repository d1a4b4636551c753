//! The handle: all that other rooms see of the scheduler. Cheap to clone.
//!
//! Everything that goes through it is bounded by permits: a full door is a typed refusal (`Refusal::Busy`),
//! never a wait. Results of attempts always find room, because the number of attempts in flight is bounded.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore, broadcast, oneshot, watch};

use super::room::{Level, RoomState};
use crate::model::{AttemptReport, DeliveryId, Endpoint, EndpointId, EventId, Source, WallMs, limits};
use crate::queue::{Accepted, Command, Input, NewEvent, Query, Refusal, Reply};

/// What is configured right now, as ingest and outbound look it up. Published anew after each change.
#[derive(Debug, Default)]
pub struct Directory {
    /// By the last part of its path: its token, or its name when it has none.
    pub sources_by_path: HashMap<String, Arc<Source>>,
    pub sources_by_name: HashMap<String, Arc<Source>>,
    pub endpoints: Vec<Arc<Endpoint>>,
    /// The names of deleted endpoints that lists still tell of.
    pub former_endpoints: HashMap<EndpointId, String>,
    /// Salts the fingerprints of dedupe keys.
    pub salt: u64,
}

/// How the daemon is, for `/readyz` and `status`.
#[derive(Debug, Default)]
pub struct Health {
    /// False until the log is open, and again from the moment the daemon stops.
    pub accepting: AtomicBool,
    /// The daemon is stopping: no new attempts are started.
    pub draining: AtomicBool,
    /// The scheduler ends once its door is empty.
    pub stopping: AtomicBool,
    /// Why not, in words, when `accepting` is false for want of room.
    pub reason: Mutex<String>,
    /// The last record that is durable.
    pub durable: AtomicU64,
    /// How full it is: events are refused as well when there is no room.
    pub room: RoomState,
}

impl Health {
    /// Whether an event would be accepted: the doors are open, and there is room.
    #[must_use]
    pub fn is_accepting(&self) -> bool {
        self.accepting.load(Ordering::Acquire) && self.room.level() < Level::Refusing
    }

    /// Why not, in words; empty when there is no more to say.
    #[must_use]
    pub fn reason(&self) -> String {
        if let Some(why) = self.room.refusal() {
            return why;
        }
        self.reason.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// One thing that passed, for `tail`.
#[derive(Clone, Debug)]
pub enum TailLine {
    Event {
        id: EventId,
        source: String,
        kind: String,
        at: WallMs,
        size: usize,
        deliveries: usize,
    },
    Duplicate {
        event: u64,
        at: WallMs,
    },
    Attempt {
        delivery: DeliveryId,
        event: u64,
        endpoint: String,
        number: u32,
        at: WallMs,
        duration_ms: u64,
        outcome: &'static str,
        status: Option<u16>,
        error: Option<String>,
        next_at: Option<WallMs>,
    },
}

/// An input on its way to the thread, with the place where its answer goes.
#[derive(Debug)]
pub struct Envelope {
    /// Boxed, because the door's places exist from the start.
    pub input: Box<Input>,
    pub reply: Option<oneshot::Sender<Reply>>,
    /// Given back when the input has been dealt with.
    pub permit: Option<OwnedSemaphorePermit>,
}

/// The thread's side of the handle.
#[derive(Debug)]
pub struct Door {
    pub inputs: Receiver<Envelope>,
    pub directory: watch::Sender<Arc<Directory>>,
    pub tail: broadcast::Sender<Arc<TailLine>>,
    pub health: Arc<Health>,
}

/// The other rooms' side.
#[derive(Clone, Debug)]
pub struct Handle {
    inputs: SyncSender<Envelope>,
    accepts: Arc<Semaphore>,
    commands: Arc<Semaphore>,
    directory: watch::Receiver<Arc<Directory>>,
    tail: broadcast::Sender<Arc<TailLine>>,
    health: Arc<Health>,
}

/// Makes a handle and the door it leads to.
#[must_use]
pub fn door() -> (Handle, Door) {
    let room =
        limits::ACCEPTS_WAITING + limits::COMMANDS_WAITING + limits::IN_FLIGHT + limits::LEASES + limits::LOADS + 16;
    let (sender, inputs) = sync_channel(room);
    let (publish, directory) = watch::channel(Arc::new(Directory::default()));
    let (tail, _) = broadcast::channel(limits::TAIL_LAG);
    let health = Arc::new(Health::default());
    let handle = Handle {
        inputs: sender,
        accepts: Arc::new(Semaphore::new(limits::ACCEPTS_WAITING)),
        commands: Arc::new(Semaphore::new(limits::COMMANDS_WAITING)),
        directory,
        tail: tail.clone(),
        health: health.clone(),
    };
    (handle, Door { inputs, directory: publish, tail, health })
}

impl Handle {
    /// Remembers events, all or none. Returns when they are durable.
    ///
    /// # Errors
    /// When the scheduler is busy, stopping, or refuses them; nothing was remembered then, unless the daemon
    /// died while it was at it.
    pub async fn accept(&self, events: Vec<NewEvent>) -> Result<Vec<Accepted>, Refusal> {
        if !self.health.is_accepting() {
            let reason = self.health.reason();
            return Err(if reason.is_empty() { Refusal::Stopping } else { Refusal::NoRoom(reason) });
        }
        match self.request(&self.accepts, Input::Accept(events)).await? {
            Reply::Accepted(accepted) => Ok(accepted),
            Reply::Refused(refusal) => Err(refusal),
            other => unreachable!("an Accept was answered {other:?}"),
        }
    }

    /// Does what the operator asks for. Returns when it is durable.
    ///
    /// # Errors
    /// When the queue refuses it, or the scheduler is busy or stopping.
    pub async fn command(&self, command: Command) -> Result<Reply, Refusal> {
        match self.request(&self.commands, Input::Command(command)).await? {
            Reply::Refused(refusal) => Err(refusal),
            reply => Ok(reply),
        }
    }

    /// Asks the state.
    ///
    /// # Errors
    /// When the scheduler is busy or stopping.
    pub async fn ask(&self, query: Query) -> Result<Reply, Refusal> {
        self.request(&self.commands, Input::Ask(query)).await
    }

    /// Reports what nobody waits for: the end of an attempt, a load, a refill.
    pub fn report(&self, input: Input) {
        // The channel has room for all that can be under way; it only closes when the daemon ends.
        let _ = self.inputs.send(Envelope { input: Box::new(input), reply: None, permit: None });
    }

    /// Reports the end of an attempt. Returns when it is durable.
    ///
    /// # Errors
    /// When the scheduler is busy: nothing was remembered then. When it is stopping: perhaps it was.
    pub async fn settle(&self, delivery: DeliveryId, report: AttemptReport) -> Result<(), Refusal> {
        self.request(&self.commands, Input::Finished { delivery, report }).await.map(|_| ())
    }

    /// Asks from a thread that may wait. `None` when the scheduler is busy or stopping.
    pub(super) fn ask_blocking(&self, input: Input) -> Option<Reply> {
        let (sender, receiver) = oneshot::channel();
        let envelope = Envelope { input: Box::new(input), reply: Some(sender), permit: None };
        self.inputs.try_send(envelope).ok()?;
        receiver.blocking_recv().ok()
    }

    /// Starts no more attempts from now on.
    pub fn drain(&self) {
        self.health.accepting.store(false, Ordering::Release);
        self.health.draining.store(true, Ordering::Release);
    }

    /// Lets the thread end once its door is empty.
    pub fn stop(&self) {
        self.drain();
        self.health.stopping.store(true, Ordering::Release);
        self.report(Input::Ask(Query::Status));
    }

    /// What is configured right now.
    #[must_use]
    pub fn directory(&self) -> Arc<Directory> {
        self.directory.borrow().clone()
    }

    /// Follows what is configured.
    #[must_use]
    pub fn directory_changes(&self) -> watch::Receiver<Arc<Directory>> {
        self.directory.clone()
    }

    /// Follows what passes from now on.
    #[must_use]
    pub fn tail(&self) -> broadcast::Receiver<Arc<TailLine>> {
        self.tail.subscribe()
    }

    /// How the daemon is.
    #[must_use]
    pub fn health(&self) -> &Health {
        &self.health
    }

    async fn request(&self, door: &Arc<Semaphore>, input: Input) -> Result<Reply, Refusal> {
        let permit = door.clone().try_acquire_owned().map_err(|_| Refusal::Busy)?;
        let (sender, receiver) = oneshot::channel();
        let envelope = Envelope { input: Box::new(input), reply: Some(sender), permit: Some(permit) };
        self.inputs.try_send(envelope).map_err(|_| Refusal::Busy)?;
        receiver.await.map_err(|_| Refusal::Stopping)
    }
}
