//! The queue as a value.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use rand::SeedableRng;
use rand::rngs::StdRng;

use super::clock::ClockWatch;
use super::decision::Draft;
use super::line::Line;
use super::link::Link;
use super::matcher::Matcher;
use super::notices::Notices;
use super::recent::Recent;
use super::schedule::Schedule;
use super::settings::SettingsSizes;
use super::shared_pace::SharedPace;
use super::state::State;
use crate::model::share::ShareTally;
use crate::model::{BatchId, DeliveryId, EndpointId, Event, Now, Seq};
use crate::record::{Record, Wait};

/// What decides. See the module.
#[derive(Debug)]
pub struct Queue {
    pub(super) state: State,
    pub(super) matcher: Matcher,
    pub(super) recent: Recent,
    pub(super) rng: StdRng,
    /// Endpoints that may have something to do, in turn.
    pub(super) runnable: Line,
    /// Those of which nothing is known yet.
    pub(super) newcomers: Line,
    /// Attempts whose events have been read.
    pub(super) ready: Vec<(DeliveryId, Arc<Event>)>,
    /// Batches whose events have been read.
    pub(super) ready_batches: Vec<(EndpointId, BatchId, Vec<Arc<Event>>)>,
    /// Endpoints that wait until a slot for those on probation is free, and those that wait until
    /// something that was leased is back.
    pub(super) awaiting_slot: Line,
    pub(super) awaiting_lease: Line,
    /// Endpoints that had their share of the slots, and have more to do.
    pub(super) awaiting_share: Line,
    /// Endpoints whose stream is to be read once a read has ended.
    pub(super) awaiting_read: Line,
    /// When endpoints have something to do at the earliest.
    pub(super) wakes: Schedule,
    pub(super) in_flight: usize,
    pub(super) in_flight_on_probation: usize,
    pub(super) in_flight_first: usize,
    /// Deliveries that consumers hold.
    pub(super) leased: usize,
    pub(super) loads: usize,
    pub(super) prefetched_bytes: usize,
    pub(super) link: Link,
    pub(super) clock: ClockWatch,
    /// Until when signed deliveries wait for a sane clock.
    pub(super) clock_until: Option<u64>,
    /// How fast all endpoints together catch up.
    pub(super) pace: Option<SharedPace>,
    /// When it was made.
    pub(super) started: Now,
    /// Endpoints with nothing under way, as counted in this run.
    pub(super) idle: Option<usize>,
    pub(super) notices: Notices,
    pub(super) settings: SettingsSizes,
    /// When the next slice of each replay may be read; `None` while one is being read.
    pub(super) replay_due: BTreeMap<u64, Option<u64>>,
    /// Who found a share of what is decided here full.
    pub(super) full: ShareTally,
    /// The run clock, and what it is ahead of the monotonic one.
    pub(super) ran_ms: u64,
    pub(super) ran_ahead: u64,
    /// When it is next remembered how long the daemon has run, on the monotonic clock.
    pub(super) mark_at: u64,
    /// When endpoints have something that may be too old, and those of which this may have changed.
    pub(super) ages_due: Schedule,
    pub(super) ages_changed: BTreeSet<EndpointId>,
    /// How long after their acceptance deliveries were made since this was last taken.
    pub(super) delivered_after: Vec<(EndpointId, u64)>,
}

impl Queue {
    /// Takes up a folded state. Deliveries that wait for a retry keep their remaining delay, at
    /// most the one that was decided, whatever the wall clock has done meanwhile.
    #[must_use]
    pub fn new(mut state: State, seed: u64, now: Now) -> Self {
        state.fold_is_over();
        let mut queue = Self {
            recent: Recent::starting_at(state.next_seq),
            clock: ClockWatch::new(state.last_wall),
            ran_ms: state.ran_ms,
            ran_ahead: state.ran_ms.saturating_sub(now.mono_ms),
            mark_at: now.mono_ms,
            state,
            matcher: Matcher::default(),
            rng: StdRng::seed_from_u64(seed),
            runnable: Line::default(),
            newcomers: Line::default(),
            ready: Vec::new(),
            ready_batches: Vec::new(),
            awaiting_slot: Line::default(),
            awaiting_lease: Line::default(),
            awaiting_share: Line::default(),
            awaiting_read: Line::default(),
            wakes: Schedule::default(),
            ages_due: Schedule::default(),
            ages_changed: BTreeSet::new(),
            in_flight: 0,
            in_flight_on_probation: 0,
            in_flight_first: 0,
            leased: 0,
            loads: 0,
            prefetched_bytes: 0,
            link: Link::default(),
            clock_until: None,
            pace: None,
            started: now,
            idle: None,
            notices: Notices::default(),
            settings: SettingsSizes::default(),
            replay_due: BTreeMap::new(),
            full: ShareTally::default(),
            delivered_after: Vec::new(),
        };
        queue.settings = SettingsSizes::of(&queue.state);
        queue.start_endpoints(now);

        for (id, replay) in &queue.state.replays {
            let due = Wait { until: replay.due_at, wait_ms: replay.pause_ms };
            queue.replay_due.insert(*id, Some(now.mono_ms + due.left_ms(now.wall_ms)));
        }
        queue
    }

    /// Reads the clocks for a decision.
    pub(super) fn tick(&mut self, now: Now) {
        self.ran_ms = self.ran_at(now);
    }

    /// The run clock.
    pub(super) fn ran_at(&self, now: Now) -> u64 {
        now.mono_ms + self.ran_ahead
    }

    /// Whether the link is down, as far as is known.
    #[must_use]
    pub fn is_offline(&self) -> bool {
        self.link.offline.is_some()
    }

    /// Since when, on the monotonic clock.
    #[must_use]
    pub fn offline_since(&self) -> Option<u64> {
        self.link.offline.map(|offline| offline.since)
    }

    /// What the endpoints want, for whoever takes events in.
    #[must_use]
    pub fn matcher(&self) -> &Matcher {
        &self.matcher
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
    pub(super) fn remember(&mut self, record: Record, draft: &mut Draft) -> Seq {
        let seq = self.state.next_seq;
        if let Err(error) = self.state.apply(seq, &record) {
            panic!("the queue decided what its state refuses: {error}");
        }
        draft.records.push(record);
        seq
    }

    pub(super) fn draw(&mut self) -> u64 {
        rand::Rng::random(&mut self.rng)
    }
}
