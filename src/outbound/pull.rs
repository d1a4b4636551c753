//! Pull endpoints: consumers come for their deliveries, lease them, and say what became of them.
//!
//! A consumer waits at its endpoint's *desk* for at most `limits::LEASE_WAIT_MS`. The hub tells the queue how many deliveries
//! the endpoint may have out: what is lent, what lies on the desk, and what consumers wait for; the queue starts no more.
//! What comes is lent to the consumer that has waited longest, under an unguessable name and for a time; what comes when
//! none waits any more lies on the desk for the next one, and goes back after `limits::DESK_MS`. A delivery ends when the
//! consumer acknowledges it, and is tried again when he rejects it or lets the time run out. Leases are in memory alone:
//! after a restart what was lent is due again, under the same event's id.
//!
//! Limits: `limits::LEASES` out at a time, `limits::CONSUMERS` waiting at a time, `limits::LEASE_MAX` in one answer, and
//! about `limits::LEASE_BYTES` of bodies; no more of these are asked for at a time either. Invariant: each delivery is
//! lent to one consumer at a time.

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
const GATHERS: u32 = 20;
/// Between two looks for leases that ran out, while there are any.
const TICK: Duration = Duration::from_millis(100);

/// What is thought of an endpoint's events before the first has come: a few are asked for.
const FIRST_BYTES: usize = limits::LEASE_BYTES / 8;

/// Fills a buffer with random bytes.
pub type Random = Arc<dyn Fn(&mut [u8]) + Send + Sync>;

/// Lends deliveries to consumers.
pub struct Hub {
    handle: Handle,
    clock: Clock,
    random: Random,
    state: Mutex<State>,
    /// Something came, so there is something to run out.
    busy: Notify,
}

#[derive(Default)]
struct State {
    desks: HashMap<EndpointId, Desk>,
    leases: HashMap<String, Lease>,
    next_consumer: u64,
    consumers: usize,
}

/// One endpoint's consumers.
struct Desk {
    /// Those who have room, the one that has waited longest first.
    waiting: VecDeque<Consumer>,
    /// What came when nobody waited any more, with the time by the monotonic clock.
    lying: VecDeque<(Arrival, u64)>,
    /// Leases that are out.
    out: usize,
    /// What the queue was told last.
    told: usize,
    /// About how many bytes the next event has.
    large: usize,
}

impl Default for Desk {
    fn default() -> Self {
        Self { waiting: VecDeque::new(), lying: VecDeque::new(), out: 0, told: 0, large: FIRST_BYTES }
    }
}

impl Desk {
    fn is_left(&self) -> bool {
        self.out == 0 && self.waiting.is_empty() && self.lying.is_empty()
    }
}

/// A delivery that is to be lent.
struct Arrival {
    delivery: DeliveryId,
    number: u32,
    event: Arc<Event>,
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
        Arc::new(Self { handle, clock, random, state: Mutex::default(), busy: Notify::new() })
    }

    /// Takes back leases that ran out, and what nobody came for, for as long as the daemon runs.
    pub async fn run(&self) {
        loop {
            if self.is_idle() {
                self.busy.notified().await;
            }
            tokio::time::sleep(TICK).await;
            self.expire();
        }
    }

    /// A delivery for a pull endpoint: it is lent to a consumer, or lies on the desk until one comes.
    pub fn offer(&self, delivery: DeliveryId, number: u32, event: Arc<Event>) {
        let now = (self.clock)();
        let mut state = self.locked();
        let State { desks, leases, .. } = &mut *state;
        let desk = desks.entry(delivery.endpoint).or_default();
        desk.large = event.cost().max(desk.large / 2);
        desk.lying.push_back((Arrival { delivery, number, event }, now.mono_ms));
        self.lend(desk, leases, now);
        self.say(delivery.endpoint, desk);
        self.busy.notify_one();
    }

    /// Lends what lies on the desk to those who wait.
    fn lend(&self, desk: &mut Desk, leases: &mut HashMap<String, Lease>, now: Now) {
        // Those who are full stand behind all.
        while let Some(consumer) = desk.waiting.front_mut().filter(|consumer| consumer.room > 0)
            && let Some((arrival, _)) = desk.lying.pop_front()
        {
            let mut bytes = [0; 16];
            (self.random)(&mut bytes);
            let lease = format!("lse_{}", HEXLOWER.encode(&bytes));
            let (expires_mono, expires_at) = (now.mono_ms + consumer.lease_ms, now.wall_ms + consumer.lease_ms);
            let Arrival { delivery, number, event } = arrival;
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
        }
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
        let mut had = 0;
        // As long as more come, and there is room for them.
        for _ in 0..GATHERS {
            match seat.has() {
                (got, true) if got > had && waited.is_ok() => had = got,
                _ => break,
            }
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
        let State { desks, leases, .. } = &mut *state;
        let desk = desks.entry(endpoint).or_default();
        let (room, lease_ms) = (ask.max, ask.lease_ms);
        desk.waiting.push_front(Consumer { id, room, bytes: 0, lease_ms, got: Vec::new(), called });
        // The one that has waited longest is served first; those who are full stand behind all.
        desk.waiting.make_contiguous().sort_by_key(|consumer| (consumer.room == 0, consumer.id));
        self.lend(desk, leases, (self.clock)());
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
        // Before anything is waited for: a consumer may hang up meanwhile, and then nobody comes back here.
        self.left(lease.delivery.endpoint);
        let report = report(lease.lent, now, said(settlement));
        self.handle.settle(lease.delivery, report).await.map_err(|_| {
            self.holds_on(name, lease);
            LeaseFault::Busy
        })
    }

    /// A lease that could not be settled goes on.
    fn holds_on(&self, name: &str, lease: Lease) {
        let endpoint = lease.delivery.endpoint;
        let mut state = self.locked();
        let State { desks, leases, .. } = &mut *state;
        leases.insert(name.to_owned(), lease);
        let desk = desks.entry(endpoint).or_default();
        desk.out += 1;
        self.say(endpoint, desk);
    }

    fn is_idle(&self) -> bool {
        let state = self.locked();
        state.leases.is_empty() && state.desks.values().all(|desk| desk.lying.is_empty())
    }

    fn expire(&self) {
        let now = (self.clock)();
        self.clear_desks(now);
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

    /// Gives back what has lain on a desk for too long.
    fn clear_desks(&self, now: Now) {
        let mut state = self.locked();
        for (endpoint, desk) in &mut state.desks {
            let fresh = |at: u64| at + limits::DESK_MS > now.mono_ms;
            while let Some((arrival, _)) = desk.lying.pop_front_if(|(_, at)| !fresh(*at)) {
                self.report(arrival.delivery, report(now, now, not_taken()));
            }
            self.say(*endpoint, desk);
        }
        state.desks.retain(|_, desk| !desk.is_left());
    }

    /// A delivery of this endpoint is not out any more.
    fn left(&self, endpoint: EndpointId) {
        let mut state = self.locked();
        if let Some(desk) = state.desks.get_mut(&endpoint) {
            desk.out = desk.out.saturating_sub(1);
            self.say(endpoint, desk);
        }
        state.desks.retain(|_, desk| !desk.is_left());
    }

    /// Tells the queue how many deliveries this endpoint may have out.
    fn say(&self, endpoint: EndpointId, desk: &mut Desk) {
        let room = desk.waiting.iter().map(|consumer| consumer.room).sum::<usize>();
        // So many that their bodies are about what one answer takes.
        let at_a_time = (limits::LEASE_BYTES / desk.large.max(1)).max(1);
        let total = desk.out + desk.lying.len() + room.min(at_a_time);
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
    /// How many it has got, and whether there is room for more.
    fn has(&self) -> (usize, bool) {
        let state = self.hub.locked();
        let waiting = state.desks.get(&self.endpoint).map(|desk| desk.waiting.iter());
        let me = waiting.into_iter().flatten().find(|consumer| consumer.id == self.id);
        me.map_or((0, false), |consumer| (consumer.got.len(), consumer.room > 0))
    }

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
        // Others have what it got, first.
        let got = self.leave();
        let now = (self.hub.clock)();
        let mut state = self.hub.locked();
        let State { desks, leases, .. } = &mut *state;
        let desk = desks.entry(self.endpoint).or_default();
        for Leased { lease, delivery, number, event, .. } in got.into_iter().rev() {
            if leases.remove(&lease).is_some() {
                desk.out = desk.out.saturating_sub(1);
                desk.lying.push_front((Arrival { delivery, number, event }, now.mono_ms));
            }
        }
        self.hub.lend(desk, leases, now);
        self.hub.say(self.endpoint, desk);
        self.hub.busy.notify_one();
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
    Said { outcome, error: Some("no consumer came for it".to_owned()), fault: Some(Fault::NotTaken) }
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

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::Hub;
    use crate::model::{DeliveryId, Endpoint, LeaseAsk, Now, Settlement};
    use crate::queue::Input;
    use crate::scheduler::handle::{Door, door};

    const ASK: LeaseAsk = LeaseAsk { max: 1, wait_ms: 1_000, lease_ms: 60_000 };

    /// What the queue was told last of how many may be out, and how many attempts have ended.
    fn told(door: &Door) -> (Option<usize>, usize) {
        let (mut wanted, mut finished) = (None, 0);
        for envelope in door.inputs.try_iter() {
            match *envelope.input {
                Input::Wanted { total, .. } => wanted = Some(total),
                Input::Finished { .. } => finished += 1,
                other => panic!("nobody says {other:?}"),
            }
        }
        (wanted, finished)
    }

    #[tokio::test]
    async fn a_consumer_that_hangs_up_while_it_settles_leaves_no_place_behind() {
        let (handle, door) = door();
        let clock: super::Clock = Arc::new(|| Now { mono_ms: 1, wall_ms: 1 });
        let hub = Hub::new(handle, clock, Arc::new(|bytes| bytes.fill(7)));
        let endpoint = Endpoint { id: 3, ..Endpoint::new("jobs", "pull:") };
        let event = Arc::new(crate::outbound::tests::event());
        hub.offer(DeliveryId { seq: 5, endpoint: 3 }, 1, event);
        let leased = hub.lease(&endpoint, ASK).await.expect("there is room").remove(0);
        assert_eq!(told(&door), (Some(1), 0), "one is out");
        tokio::select! {
            biased;
            _ = hub.settle(&leased.lease, Settlement::Ack) => panic!("nobody answers"),
            () = std::future::ready(()) => {}
        }
        assert_eq!(told(&door), (Some(0), 1));
    }
}
