//! Pull endpoints: consumers come for their deliveries, lease them, and say what became of them.
//!
//! A consumer waits at its endpoint's *desk* for at most `limits::LEASE_WAIT_MS`. The hub tells the queue how many deliveries
//! the endpoint may have out: what is lent, and what consumers wait for; the queue starts no more. What comes is lent to
//! the consumer that has waited longest, under an unguessable name and for a time. It is delivered when the consumer
//! acknowledges it, and tried again when he rejects it or lets the time run out. Leases are in memory alone: after a
//! restart what was lent is due again, under the same event's id.
//!
//! Limits: `limits::LEASES` out at a time, `limits::CONSUMERS` waiting at a time, `limits::LEASE_MAX` in one answer, and
//! about `limits::LEASE_BYTES` of bodies. Invariant: each delivery is lent to one consumer at a time.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use data_encoding::HEXLOWER;
use tokio::sync::Notify;

use super::Clock;
use crate::model::{
    AttemptReport, DeliveryId, Endpoint, EndpointId, Event, Fault, LeaseAsk, LeaseFault, Leased, Now, Outcome,
    RequestHead, Settlement, limits,
};
use crate::queue::Input;
use crate::scheduler::Handle;

/// After the first delivery came, others that are on their way are waited for so long.
const GATHER: Duration = Duration::from_millis(5);
/// Between two looks for leases that ran out, while there are any.
const TICK: Duration = Duration::from_millis(100);

/// Fills a buffer with random bytes.
pub type Random = Arc<dyn Fn(&mut [u8]) + Send + Sync>;

/// Lends deliveries to consumers.
pub struct Hub {
    handle: Handle,
    clock: Clock,
    random: Random,
    state: Mutex<State>,
    /// Something was lent.
    lent: Notify,
}

#[derive(Default)]
struct State {
    desks: HashMap<EndpointId, Desk>,
    leases: HashMap<String, Lease>,
    next_consumer: u64,
    consumers: usize,
}

/// One endpoint's consumers.
#[derive(Default)]
struct Desk {
    /// Those who have room, the one that has waited longest first.
    waiting: VecDeque<Consumer>,
    /// Leases that are out.
    out: usize,
    /// What the queue was told last.
    told: usize,
}

struct Consumer {
    id: u64,
    room: usize,
    bytes: usize,
    lease_ms: u64,
    got: Vec<Leased>,
    called: Arc<Notify>,
}

struct Lease {
    delivery: DeliveryId,
    lent: Now,
    expires_mono: u64,
}

impl Hub {
    #[must_use]
    pub fn new(handle: Handle, clock: Clock, random: Random) -> Arc<Self> {
        Arc::new(Self { handle, clock, random, state: Mutex::default(), lent: Notify::new() })
    }

    /// Takes back leases that ran out, for as long as the daemon runs.
    pub async fn run(&self) {
        loop {
            if self.locked().leases.is_empty() {
                self.lent.notified().await;
            }
            tokio::time::sleep(TICK).await;
            self.expire();
        }
    }

    /// A delivery for a pull endpoint: it is lent to a consumer, or goes back when none has room.
    pub fn offer(&self, delivery: DeliveryId, number: u32, event: Arc<Event>) {
        let now = (self.clock)();
        let mut state = self.locked();
        let State { desks, leases, .. } = &mut *state;
        let desk = desks.entry(delivery.endpoint).or_default();
        // Those who are full stand behind all.
        let Some(consumer) = desk.waiting.front_mut().filter(|consumer| consumer.room > 0) else {
            drop(state);
            return self.report(delivery, report(now, now, not_taken()));
        };
        let mut bytes = [0; 16];
        (self.random)(&mut bytes);
        let lease = format!("lse_{}", HEXLOWER.encode(&bytes));
        let (expires_mono, expires_at) = (now.mono_ms + consumer.lease_ms, now.wall_ms + consumer.lease_ms);
        consumer.room -= 1;
        consumer.bytes += event.cost();
        consumer.got.push(Leased { lease: lease.clone(), delivery, number, event, expires_at });
        consumer.called.notify_one();
        if consumer.room == 0 || consumer.bytes >= limits::LEASE_BYTES {
            // Others have their turn. What it got is waiting for it.
            if let Some(full) = desk.waiting.pop_front() {
                desk.waiting.push_back(Consumer { room: 0, ..full });
            }
        }
        desk.out += 1;
        leases.insert(lease, Lease { delivery, lent: now, expires_mono });
        self.say(delivery.endpoint, desk);
        self.lent.notify_one();
    }

    /// Waits for deliveries of an endpoint and lends them; none when none came in time. A consumer that goes away while
    /// it waits gives back what it got.
    ///
    /// # Errors
    /// When too many consumers wait.
    pub async fn lease(self: &Arc<Self>, endpoint: &Endpoint, ask: LeaseAsk) -> Result<Vec<Leased>, LeaseFault> {
        let called = Arc::new(Notify::new());
        let seat = self.sit_down(endpoint.id, ask, called.clone())?;
        let waited = tokio::time::timeout(Duration::from_millis(ask.wait_ms), called.notified()).await;
        if waited.is_ok() && ask.max > 1 {
            tokio::time::sleep(GATHER).await;
        }
        Ok(seat.get_up())
    }

    fn sit_down(
        self: &Arc<Self>,
        endpoint: EndpointId,
        ask: LeaseAsk,
        called: Arc<Notify>,
    ) -> Result<Seat, LeaseFault> {
        let mut state = self.locked();
        if state.consumers >= limits::CONSUMERS {
            return Err(LeaseFault::TooMany(limits::CONSUMERS));
        }
        state.consumers += 1;
        state.next_consumer += 1;
        let id = state.next_consumer;
        let desk = state.desks.entry(endpoint).or_default();
        let (room, lease_ms) = (ask.max, ask.lease_ms);
        desk.waiting.push_front(Consumer { id, room, bytes: 0, lease_ms, got: Vec::new(), called });
        // The one that has waited longest is served first; those who are full stand behind all.
        desk.waiting.make_contiguous().sort_by_key(|consumer| (consumer.room == 0, consumer.id));
        self.say(endpoint, desk);
        Ok(Seat { hub: self.clone(), endpoint, id, up: false })
    }

    /// What a consumer says of a lease. `Ok` when it is remembered.
    ///
    /// # Errors
    /// When there is no such lease, or the scheduler is busy: then the lease still holds.
    pub async fn settle(&self, name: &str, settlement: Settlement) -> Result<(), LeaseFault> {
        let now = (self.clock)();
        if let Settlement::Extend { lease_ms } = settlement {
            let mut state = self.locked();
            let lease = state.leases.get_mut(name).ok_or(LeaseFault::Gone)?;
            lease.expires_mono = now.mono_ms + lease_ms;
            return Ok(());
        }
        let Some(lease) = self.locked().leases.remove(name) else { return Err(LeaseFault::Gone) };
        let report = report(lease.lent, now, said(settlement));
        match self.handle.settle(lease.delivery, report).await {
            Ok(()) => {
                self.left(lease.delivery.endpoint);
                Ok(())
            }
            Err(_) => {
                self.locked().leases.insert(name.to_owned(), lease);
                Err(LeaseFault::Busy)
            }
        }
    }

    /// How many deliveries of an endpoint are lent.
    #[must_use]
    pub fn out(&self, endpoint: EndpointId) -> usize {
        self.locked().desks.get(&endpoint).map_or(0, |desk| desk.out)
    }

    fn expire(&self) {
        let now = (self.clock)();
        let gone: Vec<Lease> = {
            let mut state = self.locked();
            let over: Vec<String> =
                state.leases.iter().filter(|(_, l)| l.expires_mono <= now.mono_ms).map(|(n, _)| n.clone()).collect();
            over.iter().filter_map(|name| state.leases.remove(name)).collect()
        };
        for lease in gone {
            let error = "its lease ran out before the consumer said what became of it".to_owned();
            let said = Said { outcome: Outcome::Retryable { after_ms: None }, error: Some(error), fault: None };
            self.report(lease.delivery, report(lease.lent, now, said));
            self.left(lease.delivery.endpoint);
        }
    }

    /// A delivery of this endpoint is not out any more.
    fn left(&self, endpoint: EndpointId) {
        let mut state = self.locked();
        if let Some(desk) = state.desks.get_mut(&endpoint) {
            desk.out = desk.out.saturating_sub(1);
            self.say(endpoint, desk);
        }
        state.desks.retain(|_, desk| desk.out > 0 || !desk.waiting.is_empty());
    }

    /// Tells the queue how many deliveries this endpoint may have out.
    fn say(&self, endpoint: EndpointId, desk: &mut Desk) {
        let total = desk.out + desk.waiting.iter().map(|consumer| consumer.room).sum::<usize>();
        if total != desk.told {
            desk.told = total;
            self.handle.report(Input::Wanted { endpoint, total });
        }
    }

    fn report(&self, delivery: DeliveryId, report: AttemptReport) {
        self.handle.report(Input::Finished { delivery, report });
    }

    fn locked(&self) -> MutexGuard<'_, State> {
        // What it guards is whole at every moment.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A consumer's place while it waits. Whoever drops it has gone away.
struct Seat {
    hub: Arc<Hub>,
    endpoint: EndpointId,
    id: u64,
    up: bool,
}

impl Seat {
    /// Takes what came.
    fn get_up(mut self) -> Vec<Leased> {
        self.up = true;
        self.leave()
    }

    fn leave(&self) -> Vec<Leased> {
        let mut state = self.hub.locked();
        state.consumers -= 1;
        let Some(desk) = state.desks.get_mut(&self.endpoint) else { return Vec::new() };
        let at = desk.waiting.iter().position(|consumer| consumer.id == self.id);
        let got = at.and_then(|at| desk.waiting.remove(at)).map(|consumer| consumer.got).unwrap_or_default();
        self.hub.say(self.endpoint, desk);
        got
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        if self.up {
            return;
        }
        let now = (self.hub.clock)();
        for leased in self.leave() {
            let lease = self.hub.locked().leases.remove(&leased.lease);
            if lease.is_some() {
                self.hub.report(leased.delivery, report(now, now, not_taken()));
                self.hub.left(self.endpoint);
            }
        }
    }
}

/// What became of a delivery that was lent.
struct Said {
    outcome: Outcome,
    error: Option<String>,
    fault: Option<Fault>,
}

fn not_taken() -> Said {
    let outcome = Outcome::Retryable { after_ms: None };
    Said { outcome, error: Some("the consumer it was lent to has gone".to_owned()), fault: Some(Fault::NotTaken) }
}

fn said(settlement: Settlement) -> Said {
    match settlement {
        Settlement::Ack | Settlement::Extend { .. } => Said { outcome: Outcome::Delivered, error: None, fault: None },
        Settlement::Reject { after_ms, reason } => {
            Said { outcome: Outcome::Retryable { after_ms }, error: Some(reason), fault: None }
        }
        Settlement::Dead { reason } => Said { outcome: Outcome::Refused, error: Some(reason), fault: None },
    }
}

fn report(lent: Now, now: Now, said: Said) -> AttemptReport {
    AttemptReport {
        started_at: lent.wall_ms,
        duration_ms: now.mono_ms.saturating_sub(lent.mono_ms),
        connect_ms: None,
        outcome: said.outcome,
        request: RequestHead { method: "LEASE".to_owned(), url: "pull:".to_owned(), headers: Vec::new() },
        response: None,
        error: said.error,
        fault: said.fault,
        command: None,
    }
}
