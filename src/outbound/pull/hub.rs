//! The hub: leases deliveries to consumers.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use data_encoding::HEXLOWER;
use tokio::sync::Notify;

use crate::model::Clock;
use crate::model::{
    AttemptReport, DeliveryId, Endpoint, EndpointId, Event, LeaseError, LeaseRequest,
    LeasedDelivery, Now, Settlement, limits,
};
use crate::queue::{Input, Refusal};
use crate::scheduler::Handle;

use super::consumers::{Consumer, EndpointConsumers, Lease, OfferedDelivery};
use super::report::{LeaseResult, lease_report};
use crate::outbound::settings::FillRandom;

/// After the first delivery came, others may be about to come: waits so long for them, and so
/// often.
const GATHER: Duration = Duration::from_millis(5);
const GATHERS: u32 = 20;
/// Between two looks for leases that ran out, while there are any.
const TICK: Duration = Duration::from_millis(100);

/// Leases deliveries to consumers.
pub struct LeaseHub {
    handle: Handle,
    clock: Clock,
    random: FillRandom,
    state: Mutex<HubState>,
    /// Something came, so there is something that can expire.
    busy: Notify,
}

#[derive(Default)]
struct HubState {
    endpoints: HashMap<EndpointId, EndpointConsumers>,
    /// By name.
    leases: HashMap<String, Lease>,
    next_consumer: u64,
    consumers: usize,
}

impl LeaseHub {
    #[must_use]
    pub fn new(handle: Handle, clock: Clock, random: FillRandom) -> Arc<Self> {
        Arc::new(Self { handle, clock, random, state: Mutex::default(), busy: Notify::new() })
    }

    /// Takes back leases that ran out, and deliveries that nobody came for, for as long as the
    /// daemon runs.
    pub async fn run(&self) {
        loop {
            if self.is_idle() {
                self.busy.notified().await;
            }
            tokio::time::sleep(TICK).await;
            self.expire();
        }
    }

    /// A delivery for a pull endpoint: it is leased to a consumer, or offered until one comes.
    pub fn offer(&self, delivery: DeliveryId, number: u32, event: Arc<Event>) {
        let now = (self.clock)();
        let mut state = self.lock();
        let HubState { endpoints, leases, .. } = &mut *state;
        let consumers = endpoints.entry(delivery.endpoint).or_default();

        consumers.event_bytes = event.cost().max(consumers.event_bytes / 2);
        consumers.offered.push_back((OfferedDelivery { delivery, number, event }, now.mono_ms));
        self.lease_offered(consumers, leases, now);
        self.report_wanted(delivery.endpoint, consumers);
        self.busy.notify_one();
    }

    /// Leases what is offered to those who wait.
    fn lease_offered(
        &self,
        consumers: &mut EndpointConsumers,
        leases: &mut HashMap<String, Lease>,
        now: Now,
    ) {
        while consumers.next_consumer().is_some()
            && let Some((offered, _)) = consumers.offered.pop_front()
            && let Some(consumer) = consumers.next_consumer()
        {
            let name = self.random_name();
            let delivery = offered.delivery;
            let (wall_ms, mono_ms) =
                (now.wall_ms + consumer.lease_ms, now.mono_ms + consumer.lease_ms);

            consumer.capacity -= 1;
            consumer.bytes += offered.event.cost();
            consumer.got.push(LeasedDelivery {
                lease: name.clone(),
                delivery,
                number: offered.number,
                event: offered.event,
                expires_at: wall_ms,
            });
            consumer.called.notify_one();

            consumers.rotate_full();
            consumers.leased += 1;
            leases.insert(name, Lease { delivery, leased_at: now, expires_at: mono_ms });
        }
    }

    /// An unguessable name for a lease: whoever has it may settle it.
    fn random_name(&self) -> String {
        let mut bytes = [0; 16];
        (self.random)(&mut bytes);
        format!("lse_{}", HEXLOWER.encode(&bytes))
    }

    /// Waits for deliveries of an endpoint and leases them; none when none came in time. A consumer
    /// that goes away while it waits gives back what it got.
    ///
    /// # Errors
    /// When too many consumers wait.
    pub async fn lease(
        self: &Arc<Self>,
        endpoint: &Endpoint,
        ask: LeaseRequest,
    ) -> Result<Vec<LeasedDelivery>, LeaseError> {
        let called = Arc::new(Notify::new());
        let waiting = self.begin_waiting(endpoint.id, ask, called.clone())?;
        let timeout = Duration::from_millis(ask.wait_ms);
        let waited = tokio::time::timeout(timeout, called.notified()).await;

        // Goes on for as long as more come, and there is capacity for them.
        let mut had = 0;
        for _ in 0..GATHERS {
            match waiting.progress() {
                (got, true) if got > had && waited.is_ok() => had = got,
                _ => break,
            }
            tokio::time::sleep(GATHER).await;
        }
        Ok(waiting.finish())
    }

    pub(super) fn begin_waiting(
        self: &Arc<Self>,
        endpoint: EndpointId,
        ask: LeaseRequest,
        called: Arc<Notify>,
    ) -> Result<WaitingConsumer, LeaseError> {
        let mut state = self.lock();
        if state.consumers >= limits::CONSUMERS {
            return Err(LeaseError::TooMany(limits::CONSUMERS));
        }
        state.consumers += 1;
        state.next_consumer += 1;
        let id = state.next_consumer;

        let HubState { endpoints, leases, .. } = &mut *state;
        let consumers = endpoints.entry(endpoint).or_default();
        let (capacity, lease_ms) = (ask.max, ask.lease_ms);
        consumers.waiting.push_front(Consumer {
            id,
            capacity,
            bytes: 0,
            lease_ms,
            got: Vec::new(),
            called,
        });
        // The one that has waited longest is served first; those that are full stand behind all.
        let waiting = consumers.waiting.make_contiguous();
        waiting.sort_by_key(|consumer| (consumer.capacity == 0, consumer.id));

        self.lease_offered(consumers, leases, (self.clock)());
        self.report_wanted(endpoint, consumers);
        Ok(WaitingConsumer { hub: self.clone(), endpoint, id, is_finished: false })
    }

    /// Settles a lease, as its consumer asks. `Ok` when the result is durable.
    ///
    /// # Errors
    /// When there is no such lease, or the scheduler is busy: then the lease still holds.
    pub async fn settle(&self, name: &str, settlement: Settlement) -> Result<(), LeaseError> {
        let now = (self.clock)();
        if let Settlement::Extend { lease_ms } = settlement {
            let mut state = self.lock();
            let lease = state.leases.get_mut(name).ok_or(LeaseError::Gone)?;
            lease.expires_at = now.mono_ms + lease_ms;
            return Ok(());
        }

        let lease = self.lock().leases.remove(name).ok_or(LeaseError::Gone)?;
        // Before anything is waited for: a consumer may hang up meanwhile, and then nothing here
        // goes on.
        self.release(lease.delivery.endpoint);

        let report = lease_report(lease.leased_at, now, LeaseResult::settled(settlement));
        self.handle.settle(lease.delivery, report).await.map_err(|refusal| {
            if refusal == Refusal::Ended {
                return LeaseError::Ended;
            }
            self.restore(name, lease);
            LeaseError::Busy
        })
    }

    /// A lease that could not be settled goes on.
    fn restore(&self, name: &str, lease: Lease) {
        let endpoint = lease.delivery.endpoint;
        let mut state = self.lock();
        let HubState { endpoints, leases, .. } = &mut *state;
        leases.insert(name.to_owned(), lease);

        let consumers = endpoints.entry(endpoint).or_default();
        consumers.leased += 1;
        self.report_wanted(endpoint, consumers);
    }

    fn is_idle(&self) -> bool {
        let state = self.lock();
        let nothing_offered = state.endpoints.values().all(|one| one.offered.is_empty());
        state.leases.is_empty() && nothing_offered
    }

    fn expire(&self) {
        let now = (self.clock)();
        self.return_unclaimed(now);

        let mut state = self.lock();
        let expired = state.leases.extract_if(|_, lease| lease.expires_at <= now.mono_ms);
        let expired: Vec<Lease> = expired.map(|(_, lease)| lease).collect();
        drop(state);

        for lease in expired {
            let report = lease_report(lease.leased_at, now, LeaseResult::expired());
            self.report(lease.delivery, report);
            self.release(lease.delivery.endpoint);
        }
    }

    /// Gives back to the queue what has been offered for too long.
    fn return_unclaimed(&self, now: Now) {
        let mut unclaimed = Vec::new();
        let mut state = self.lock();
        for (endpoint, consumers) in &mut state.endpoints {
            let is_old = |at: u64| at + limits::OFFER_WAIT_MS <= now.mono_ms;
            while let Some((offered, _)) = consumers.offered.pop_front_if(|(_, at)| is_old(*at)) {
                unclaimed.push(offered.delivery);
            }
            self.report_wanted(*endpoint, consumers);
        }
        state.endpoints.retain(|_, consumers| !consumers.is_unused());
        drop(state);

        for delivery in unclaimed {
            self.report(delivery, lease_report(now, now, LeaseResult::not_taken()));
        }
    }

    /// A delivery of this endpoint is not leased any more.
    fn release(&self, endpoint: EndpointId) {
        let mut state = self.lock();
        if let Some(consumers) = state.endpoints.get_mut(&endpoint) {
            consumers.leased = consumers.leased.saturating_sub(1);
            self.report_wanted(endpoint, consumers);
        }
        state.endpoints.retain(|_, consumers| !consumers.is_unused());
    }

    /// Reports to the queue how many deliveries of this endpoint may be out, if that has changed.
    fn report_wanted(&self, endpoint: EndpointId, consumers: &mut EndpointConsumers) {
        let total = consumers.wanted();
        if total != consumers.reported {
            consumers.reported = total;
            self.handle.report_wanted(endpoint, total);
        }
    }

    fn report(&self, delivery: DeliveryId, report: AttemptReport) {
        self.handle.report(Input::Finished { delivery, report });
    }

    fn lock(&self) -> MutexGuard<'_, HubState> {
        // The state is consistent whenever the lock is released, also by a panic.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A consumer's place among those who wait. It goes away when this is dropped.
pub struct WaitingConsumer {
    hub: Arc<LeaseHub>,
    endpoint: EndpointId,
    id: u64,
    is_finished: bool,
}

impl WaitingConsumer {
    /// How many it has got, and whether it can take more.
    fn progress(&self) -> (usize, bool) {
        let state = self.hub.lock();
        let consumers = state.endpoints.get(&self.endpoint);
        let mut waiting = consumers.into_iter().flat_map(|consumers| &consumers.waiting);
        let me = waiting.find(|consumer| consumer.id == self.id);
        me.map_or((0, false), |consumer| (consumer.got.len(), consumer.capacity > 0))
    }

    /// Takes what came.
    fn finish(mut self) -> Vec<LeasedDelivery> {
        self.is_finished = true;
        self.leave()
    }

    fn leave(&self) -> Vec<LeasedDelivery> {
        let mut state = self.hub.lock();
        state.consumers -= 1;
        let Some(consumers) = state.endpoints.get_mut(&self.endpoint) else { return Vec::new() };

        let at = consumers.waiting.iter().position(|consumer| consumer.id == self.id);
        let me = at.and_then(|at| consumers.waiting.remove(at));
        self.hub.report_wanted(self.endpoint, consumers);
        me.map(|consumer| consumer.got).unwrap_or_default()
    }
}

impl Drop for WaitingConsumer {
    fn drop(&mut self) {
        if self.is_finished {
            return;
        }

        // It went away while it waited. What it got is offered again, before all else.
        let got = self.leave();
        let now = (self.hub.clock)();
        let mut state = self.hub.lock();
        let HubState { endpoints, leases, .. } = &mut *state;
        let consumers = endpoints.entry(self.endpoint).or_default();
        for LeasedDelivery { lease, delivery, number, event, .. } in got.into_iter().rev() {
            if leases.remove(&lease).is_some() {
                consumers.leased = consumers.leased.saturating_sub(1);
                let offered = OfferedDelivery { delivery, number, event };
                consumers.offered.push_front((offered, now.mono_ms));
            }
        }

        self.hub.lease_offered(consumers, leases, now);
        self.hub.report_wanted(self.endpoint, consumers);
        self.hub.busy.notify_one();
    }
}
