//! The handle: all that other modules see of the scheduler. Cheap to clone.
//!
//! Everything that goes through it is bounded by permits: a full channel is a typed refusal
//! (`Refusal::Busy`), never a wait. Results of attempts always find a slot, because the number of
//! attempts in flight is bounded.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use tokio::sync::{OwnedSemaphorePermit, Semaphore, broadcast, watch};

use super::directory::Directory;
use super::envelope::Envelope;
use super::health::Health;
use super::matching::Workers;
use super::meters::Meters;
use super::shares::ShareCounts;
use super::tail::TailLine;
use super::unreadable_bodies::UnreadableBodies;
use super::wanted::{WakeScheduler, WantedTotals};
use crate::log::BodyBlocks;
use crate::model::{AttemptReport, DeliveryId, Endpoint, EndpointId, SourceId, limits};
use crate::queue::matcher::Subscription;
use crate::queue::{
    Accept, Accepted, ApplySettings, CreateEndpoint, HealthReport, Input, Matched, NewEvent,
    QueueRequest, Refusal, SettingsApplied, Status, StatusQuery, UpdateEndpoint, WithSubscription,
};

/// The thread's side of the handle.
#[derive(Debug)]
pub struct Channels {
    pub requests: Receiver<Envelope>,
    pub directory: watch::Sender<Arc<Directory>>,
    pub tail: broadcast::Sender<Arc<TailLine>>,
    pub(super) changes: broadcast::Sender<Arc<HealthReport>>,
    pub health: Arc<Health>,
    pub shares: Arc<ShareCounts>,
    pub(super) meters: Arc<Meters>,
    pub(super) wanted: Arc<WantedTotals>,
}

/// The side of all other modules. Cloned for each request, so it is one pointer.
#[derive(Clone, Debug)]
pub struct Handle(Arc<HandleParts>);

#[derive(Debug)]
struct HandleParts {
    requests: SyncSender<Envelope>,
    accepts: Arc<Semaphore>,
    commands: Arc<Semaphore>,
    large_bodies: Arc<Semaphore>,
    directory: watch::Receiver<Arc<Directory>>,
    tail: broadcast::Sender<Arc<TailLine>>,
    changes: broadcast::Sender<Arc<HealthReport>>,
    health: Arc<Health>,
    shares: Arc<ShareCounts>,
    meters: Arc<Meters>,
    wanted: Arc<WantedTotals>,
    workers: Workers,
}

/// A large body that is ready for the log, and its place among those that may be.
struct LargeBody {
    blocks: Arc<BodyBlocks>,
    _permit: OwnedSemaphorePermit,
}

impl Channels {
    /// What consumers of pull endpoints wait for, as far as it is new.
    pub fn take_wanted(&self) -> impl Iterator<Item = Input> {
        self.wanted.take()
    }
}

/// What the operator asks of the workers counts as a source of its own.
const NO_SOURCE: SourceId = 0;

/// Makes a handle and the channels that the thread serves.
#[must_use]
pub fn channel() -> (Handle, Channels) {
    let slots = limits::ACCEPTS_WAITING
        + limits::COMMANDS_WAITING
        + limits::ATTEMPTS
        + limits::LEASES
        + limits::LOADS
        + 16;
    let (sender, requests) = sync_channel(slots);
    let (publish, directory) = watch::channel(Arc::new(Directory::default()));
    let (tail, _) = broadcast::channel(limits::TAIL_LAG);
    let (changes, _) = broadcast::channel(limits::CHANGES_WAITING);
    let health = Arc::new(Health::default());
    let shares = Arc::new(ShareCounts::default());
    let meters = Arc::new(Meters::default());
    let wanted = Arc::new(WantedTotals::default());

    let parts = HandleParts {
        requests: sender,
        accepts: Arc::new(Semaphore::new(limits::ACCEPTS_WAITING)),
        commands: Arc::new(Semaphore::new(limits::COMMANDS_WAITING)),
        large_bodies: Arc::new(Semaphore::new(limits::LARGE_BODIES)),
        directory,
        tail: tail.clone(),
        changes: changes.clone(),
        health: health.clone(),
        shares: shares.clone(),
        meters: meters.clone(),
        wanted: wanted.clone(),
        workers: Workers::new(shares.clone()),
    };
    let channels =
        Channels { requests, directory: publish, tail, changes, health, shares, meters, wanted };
    (Handle(Arc::new(parts)), channels)
}

impl Handle {
    /// Finds out where events go, and remembers them, all or none. Returns when they are durable.
    ///
    /// # Errors
    /// When the scheduler is busy, stopping, or refuses them; nothing was remembered then, unless
    /// the daemon died meanwhile.
    pub async fn accept(&self, events: Vec<NewEvent>) -> Result<Vec<Accepted>, Refusal> {
        if !self.0.health.is_accepting() {
            let reason = self.0.health.reason();
            let refusal =
                if reason.is_empty() { Refusal::Stopping } else { Refusal::NoDiskSpace(reason) };
            return Err(refusal);
        }

        let began = self.0.meters.now_ms();
        let matched = self.0.workers.matched(self.directory().matcher.clone(), events).await?;
        let large = self.prepared(&matched).await?;
        let body = large.as_ref().map(|large| large.blocks.clone());
        let accepted = self.request_with(&self.0.accepts, Accept(matched), body).await?;
        self.0.meters.accept.observe(self.0.meters.now_ms().saturating_sub(began));
        Ok(accepted)
    }

    /// Makes a large body ready for the log, where its source waits for itself.
    async fn prepared(&self, events: &[Matched]) -> Result<Option<LargeBody>, Refusal> {
        let Some(Matched { event, .. }) = events.first() else { return Ok(None) };
        if !BodyBlocks::are_worth_it(event.body.len()) {
            return Ok(None);
        }
        let permit = self.0.large_bodies.clone().acquire_owned().await;
        let permit = permit.map_err(|_| Refusal::Stopping)?;

        let body = event.body.clone();
        let blocks = self.0.workers.run(event.source.id, move || BodyBlocks::new(body)).await?;
        Ok(Some(LargeBody { blocks: Arc::new(blocks), _permit: permit }))
    }

    /// Asks the queue something, or has it do something. Returns when it is durable.
    ///
    /// # Errors
    /// When the queue refuses it, or the scheduler is busy or stopping.
    pub async fn ask<R: QueueRequest>(&self, request: R) -> Result<R::Answer, Refusal> {
        self.request(&self.0.commands, request).await
    }

    /// Makes an endpoint.
    ///
    /// # Errors
    /// As for [`ask`](Self::ask).
    pub async fn create_endpoint(&self, endpoint: Endpoint) -> Result<Arc<Endpoint>, Refusal> {
        let subscription = self.subscription(&endpoint).await?;
        let request = CreateEndpoint(Box::new(endpoint));
        self.ask(WithSubscription { subscription, request }).await
    }

    /// Replaces the settings of an endpoint.
    ///
    /// # Errors
    /// As for [`ask`](Self::ask).
    pub async fn update_endpoint(&self, endpoint: Endpoint) -> Result<Arc<Endpoint>, Refusal> {
        let subscription = self.subscription(&endpoint).await?;
        let request = UpdateEndpoint(Box::new(endpoint));
        self.ask(WithSubscription { subscription, request }).await
    }

    /// Changes several sources and endpoints, all or none.
    ///
    /// # Errors
    /// As for [`ask`](Self::ask).
    pub async fn apply(&self, mut request: ApplySettings) -> Result<SettingsApplied, Refusal> {
        let endpoints = request.endpoints.clone();
        let compile = move || endpoints.iter().map(|e| Arc::new(Subscription::of(e))).collect();
        request.subscriptions = self.0.workers.run(NO_SOURCE, compile).await?;
        self.ask(request).await
    }

    /// Compiles what an endpoint subscribes to: what that costs is up to whoever wrote its filter.
    async fn subscription(&self, endpoint: &Endpoint) -> Result<Arc<Subscription>, Refusal> {
        let endpoint = endpoint.clone();
        self.0.workers.run(NO_SOURCE, move || Arc::new(Subscription::of(&endpoint))).await
    }

    /// Evaluates a filter for whoever asks what it would do, where filters of events are evaluated.
    ///
    /// # Errors
    /// When too much waits there already.
    pub async fn evaluate<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Refusal> {
        self.0.workers.run(NO_SOURCE, work).await
    }

    /// Changes of the endpoints' health from now on, for the daemon's log. A slow
    /// receiver misses some, and gets their number.
    #[must_use]
    pub fn changes(&self) -> broadcast::Receiver<Arc<HealthReport>> {
        self.0.changes.subscribe()
    }

    /// Reports how many deliveries of a pull endpoint may be out. It never waits, and of several
    /// numbers the last one counts.
    pub fn report_wanted(&self, endpoint: EndpointId, total: usize) {
        if self.0.wanted.set(endpoint, total) {
            // A thread whose channel is full is about to look.
            let _ = self.0.requests.try_send(Envelope::ask(WakeScheduler, None).0);
        }
    }

    /// Reports what nobody waits for, and whose number is limited: the end of an attempt, what was
    /// read of the log. Everything else is asked.
    pub fn report(&self, input: Input) {
        self.post(Envelope::report(input));
    }

    /// Reports the end of an attempt. Returns when it is durable.
    ///
    /// # Errors
    /// When the scheduler is busy: nothing was remembered then. When it is stopping: perhaps it
    /// was. When the delivery was cancelled meanwhile: it changes nothing.
    pub async fn settle(&self, delivery: DeliveryId, report: AttemptReport) -> Result<(), Refusal> {
        self.ask(Input::Finished { delivery, report }).await
    }

    /// Asks from a thread that may wait.
    ///
    /// # Errors
    /// As for [`ask`](Self::ask).
    pub(super) fn ask_blocking<R: QueueRequest>(&self, request: R) -> Result<R::Answer, Refusal> {
        let (envelope, answer) = Envelope::ask(request, None);
        self.0.requests.try_send(envelope).map_err(|_| Refusal::Busy)?;
        answer.blocking_recv().map_err(|_| Refusal::Stopping)?
    }

    /// The status, for whoever feeds the service manager's watchdog: others who ask much do not
    /// make the thread look dead. The channel has a slot for it.
    ///
    /// # Errors
    /// When the thread has ended.
    pub async fn status_unmetered(&self) -> Result<Status, Refusal> {
        let (envelope, answer) = Envelope::ask(StatusQuery, None);
        self.0.requests.try_send(envelope).map_err(|_| Refusal::Busy)?;
        answer.await.map_err(|_| Refusal::Stopping)?
    }

    /// Starts no more attempts from now on.
    pub fn drain(&self) {
        self.0.health.accepting.store(false, Ordering::Release);
        self.0.health.draining.store(true, Ordering::Release);
    }

    /// Lets the thread end once its channel is empty.
    pub fn stop(&self) {
        self.drain();
        self.0.health.stopping.store(true, Ordering::Release);
        // Any request wakes the thread.
        let (envelope, _) = Envelope::ask(StatusQuery, None);
        self.post(envelope);
    }

    /// What is configured right now.
    #[must_use]
    pub fn directory(&self) -> Arc<Directory> {
        self.0.directory.borrow().clone()
    }

    /// Follows what is configured.
    #[must_use]
    pub fn directory_changes(&self) -> watch::Receiver<Arc<Directory>> {
        self.0.directory.clone()
    }

    /// Follows what passes from now on.
    #[must_use]
    pub fn tail(&self) -> broadcast::Receiver<Arc<TailLine>> {
        self.0.tail.subscribe()
    }

    /// What could not be read of what came in.
    #[must_use]
    pub fn unreadable(&self) -> &UnreadableBodies {
        self.0.workers.unreadable()
    }

    /// How the daemon is.
    #[must_use]
    pub fn health(&self) -> &Health {
        &self.0.health
    }

    /// What is measured.
    #[must_use]
    pub fn meters(&self) -> &Arc<Meters> {
        &self.0.meters
    }

    /// Who found a share of something full.
    #[must_use]
    pub fn shares(&self) -> &Arc<ShareCounts> {
        &self.0.shares
    }

    async fn request<R: QueueRequest>(
        &self,
        permits: &Arc<Semaphore>,
        request: R,
    ) -> Result<R::Answer, Refusal> {
        self.request_with(permits, request, None).await
    }

    async fn request_with<R: QueueRequest>(
        &self,
        permits: &Arc<Semaphore>,
        request: R,
        body: Option<Arc<BodyBlocks>>,
    ) -> Result<R::Answer, Refusal> {
        let permit = permits.clone().try_acquire_owned().map_err(|_| Refusal::Busy)?;
        let (envelope, answer) = Envelope::ask(request, Some(permit));
        self.0.requests.try_send(envelope.with_body(body)).map_err(|_| Refusal::Busy)?;
        answer.await.map_err(|_| Refusal::Stopping)?
    }

    /// Requests with events that are under way to the thread.
    #[cfg(test)]
    pub fn accepts_waiting(&self) -> usize {
        limits::ACCEPTS_WAITING - self.0.accepts.available_permits()
    }

    fn post(&self, envelope: Envelope) {
        // The channel has a slot for every attempt and read under way, so this never waits; it only
        // closes when the daemon ends.
        let _ = self.0.requests.send(envelope);
    }
}
