//! What should happen. Pure: no clock, no randomness of its own, no I/O.
//!
//! [`Queue::handle`] takes the time and an [`Input`] and gives a [`Decision`]: records to remember, actions to
//! release once they are durable, and an answer. Same state, same inputs, same times, same seed: same answer. The
//! clock is an argument; jitter and ids come from a seeded generator, and what it drew stands in the records.
//!
//! Things: the [`State`] (a fold of records, see `state`), a `Flow` for each endpoint (what it does right
//! now, volatile), the newest events at hand (`recent`), the endpoints' filters (`matcher`).
//!
//! Operations, one file each: `accept`, `finish`, `command`, `ask`, `replay`, `retire`, and `run`, which
//! starts what is due: round robin over the endpoints that have something to do, inside their windows, so that a
//! dead or slow endpoint does not slow the others.
//!
//! Invariants: state changes only by `State::apply`; nothing is attempted after its end; attempts in flight are
//! at most `limits::IN_FLIGHT`, of which failing and unproven endpoints take half; a window has at most `limits::WINDOW`
//! deliveries. Refused: whatever the operator or ingest asks for that cannot be done, as a [`Refusal`]. Fatal: a
//! record that the state does not take, which is a programmer's error.

mod accept;
mod ask;
mod attempted;
mod batch;
mod breaker;
mod bucket;
mod catchup;
mod clock;
mod command;
mod dedupe;
mod explain;
mod finish;
mod flow;
mod import;
pub mod input;
mod lane;
mod lanes;
mod link;
pub mod matcher;
mod notice;
mod order;
mod pattern;
mod pick;
mod recent;
mod replay;
mod retire;
mod run;
pub mod state;
mod turns;

pub use explain::{Explanation, FlowView, Reason};
pub use input::{
    Accepted, Action, AliveRange, Carriage, CarriedEvent, Command, Decision, DeliveryView, EndpointView, EventView,
    ImportedDead, ImportedEvent, Input, Keys, Loaded, NewEvent, Query, Refusal, Reply, RetryView, Revive, ScannedEvent,
    Status, StreamEntry,
};
pub use state::{State, StateError};

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::sync::Arc;

use rand::SeedableRng;
use rand::rngs::StdRng;

use crate::model::{BatchId, DeliveryId, EndpointId, Event, Now, Rate, Seq};
use crate::record::Record;
use bucket::Bucket;
use clock::ClockWatch;
use flow::{Flow, Pace};
use link::Link;
use matcher::Matcher;
use notice::Notices;
pub use notice::OWN_SOURCE;
use recent::Recent;

/// The deciding room.
#[derive(Debug)]
pub struct Queue {
    state: State,
    flows: HashMap<EndpointId, Flow>,
    matcher: Matcher,
    recent: Recent,
    rng: StdRng,
    /// Lanes that may have something to do, in turn.
    runnable: VecDeque<EndpointId>,
    /// Attempts whose events have been read.
    ready: Vec<(DeliveryId, Arc<Event>)>,
    /// Batches whose events have been read.
    ready_batches: Vec<(EndpointId, BatchId, Vec<Arc<Event>>)>,
    /// Lanes that wait until a place of their kind is free: for doubtful ones, or for what is lent.
    parked: Vec<EndpointId>,
    /// Lanes that had their share of the places, and have more to do.
    sharing: VecDeque<EndpointId>,
    /// When lanes have something to do at the earliest.
    wakes: BTreeSet<(u64, EndpointId)>,
    in_flight: usize,
    in_flight_doubtful: usize,
    /// Deliveries that consumers hold.
    leased: usize,
    loads: usize,
    window_bytes: usize,
    link: Link,
    clock: ClockWatch,
    /// Until when signed deliveries wait for a sane clock.
    clock_until: Option<u64>,
    /// How fast all endpoints together catch up.
    pace: Option<Pace>,
    notices: Notices,
    /// When the next slice of each replay may be read; `None` while one is being read.
    replay_due: BTreeMap<u64, Option<u64>>,
}

/// A decision being made.
#[derive(Debug, Default)]
struct Draft {
    records: Vec<Record>,
    actions: Vec<Action>,
}

impl Queue {
    /// Takes up a folded state. Deliveries that wait for a retry keep their remaining delay, at most the one that
    /// was decided, whatever the wall clock has done meanwhile.
    #[must_use]
    pub fn new(state: State, seed: u64, now: Now) -> Self {
        let mut queue = Self {
            recent: Recent::starting_at(state.next_seq),
            clock: ClockWatch::new(state.last_wall),
            state,
            flows: HashMap::new(),
            matcher: Matcher::default(),
            rng: StdRng::seed_from_u64(seed),
            runnable: VecDeque::new(),
            ready: Vec::new(),
            ready_batches: Vec::new(),
            parked: Vec::new(),
            wakes: BTreeSet::new(),
            in_flight: 0,
            sharing: VecDeque::new(),
            in_flight_doubtful: 0,
            leased: 0,
            loads: 0,
            window_bytes: 0,
            link: Link::default(),
            clock_until: None,
            pace: None,
            notices: Notices::default(),
            replay_due: BTreeMap::new(),
        };
        queue.take_up_lanes(now);
        for id in queue.state.replays.keys() {
            queue.replay_due.insert(*id, Some(now.mono_ms));
        }
        queue
    }

    /// Decides what follows from `input` at `now`.
    pub fn handle(&mut self, now: Now, input: Input) -> Decision {
        let mut draft = Draft::default();
        let reply = match input {
            Input::Accept(events) => self.accept(now, events, &mut draft),
            Input::Finished { delivery, report } => {
                self.finished(now, delivery, report, &mut draft);
                Reply::None
            }
            Input::Refilled { endpoint, from, entries, next, keys } => {
                self.refilled(now, endpoint, from, (entries, next), keys, &mut draft);
                Reply::None
            }
            Input::BatchLoaded { endpoint, batch, events } => {
                self.batch_loaded(now, endpoint, batch, events, &mut draft);
                Reply::None
            }
            Input::BatchFinished { endpoint, batch, report, failed } => {
                self.batch_finished(now, endpoint, batch, report, &failed, &mut draft);
                Reply::None
            }
            Input::Wanted { endpoint, total } => {
                if let Some(flow) = self.flows.get_mut(&endpoint) {
                    flow.wanted = total;
                }
                self.wake(endpoint);
                Reply::None
            }
            Input::Announce { kind, data } => {
                self.announce(now, &kind, data, &mut draft);
                Reply::None
            }
            Input::Loaded { delivery, event } => {
                self.loaded(now, delivery, event, &mut draft);
                Reply::None
            }
            Input::Scanned { replay, from, events, next } => {
                self.scanned(now, replay, from, &events, next, &mut draft);
                Reply::None
            }
            Input::Carry { first, last, slice } => self.carry(now, retire::Range { first, last }, slice, &mut draft),
            Input::Retire { first, last, head, walked } => {
                self.retire(now, retire::Range { first, last }, head, walked, &mut draft)
            }
            Input::Command(command) => self.command(now, command, &mut draft),
            Input::Ask(query) => self.ask(now, &query),
        };
        Decision { records: draft.records, actions: draft.actions, reply }
    }

    /// The first record of a new log.
    pub fn begin(&mut self, now: Now, version: &str) -> Decision {
        let mut draft = Draft::default();
        let salt = self.draw();
        self.remember(Record::LogStarted { at: now.wall_ms, version: version.to_owned(), salt }, &mut draft);
        Decision { records: draft.records, actions: vec![Action::Publish], reply: Reply::None }
    }

    /// How fast all endpoints together catch up after an outage; no limit when `None`.
    pub fn set_pace(&mut self, rate: Option<Rate>) {
        self.pace = rate.map(|rate| Pace { rate, bucket: Bucket::default() });
    }

    /// Whether the link is down, as far as can be told.
    #[must_use]
    pub fn is_offline(&self) -> bool {
        self.link.offline.is_some()
    }

    /// Since when, on the monotonic clock.
    #[must_use]
    pub fn offline_since(&self) -> Option<u64> {
        self.link.offline.map(|offline| offline.since)
    }

    /// The state as it is now.
    #[must_use]
    pub fn state(&self) -> &State {
        &self.state
    }

    /// Applies a record and adds it to the draft. Returns its sequence number.
    ///
    /// # Panics
    /// When the state does not take a record that was decided from it: a programmer's error.
    fn remember(&mut self, record: Record, draft: &mut Draft) -> Seq {
        let seq = self.state.next_seq;
        if let Err(error) = self.state.apply(seq, &record) {
            panic!("the queue decided what its state refuses: {error}");
        }
        draft.records.push(record);
        seq
    }

    fn draw(&mut self) -> u64 {
        rand::Rng::random(&mut self.rng)
    }

    fn take_up_lanes(&mut self, now: Now) {
        let ids: Vec<EndpointId> = self.state.living().map(|lane| lane.endpoint.id).collect();
        for id in ids {
            self.take_up_lane(id, now);
        }
    }

    /// Makes the flow of a lane that is not known yet, or lets a known one learn of changed settings.
    fn take_up_lane(&mut self, id: EndpointId, now: Now) {
        let Some(lane) = self.state.lanes.get(&id) else { return };
        self.matcher.set(&lane.endpoint);
        match self.flows.get_mut(&id) {
            Some(flow) => flow.place = link::place(&lane.endpoint),
            None => {
                self.flows.insert(id, Flow::of(lane, now));
            }
        }
        self.wake(id);
    }

    /// Says that a lane may have something to do.
    fn wake(&mut self, id: EndpointId) {
        if let Some(flow) = self.flows.get_mut(&id)
            && !flow.runnable
        {
            flow.runnable = true;
            self.runnable.push_back(id);
        }
    }
}
