//! The queue as a value.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use rand::SeedableRng;
use rand::rngs::StdRng;

use super::clock::ClockWatch;
use super::decision::Draft;
use super::endpoint::PrefetchMemory;
use super::folding::state::State;
use super::link::Link;
use super::matcher::Matcher;
use super::notices::Notices;
use super::settings::SettingsSizes;
use super::stream::recent::Recent;
use super::turn_taking::resumed_waits::ResumedWaits;
use super::turn_taking::schedule::Schedule;
use super::turn_taking::shared_pace::SharedPace;
use super::turn_taking::slot_counts::SlotCounts;
use super::turn_taking::turns::Turns;
use crate::model::share::ShareTally;
use crate::model::{BatchId, DeliveryId, Endpoint, EndpointId, Event, Now, Seq};
use crate::record::{Record, Replay, Wait};

/// What decides. See the module.
#[derive(Debug)]
pub struct Queue {
    /// What is remembered. All else begins anew with each start.
    pub(super) state: State,
    pub(super) matcher: Matcher,
    pub(super) settings: SettingsSizes,
    pub(super) rng: StdRng,
    /// When it was made.
    pub(super) started: Now,

    // Who has something to do, and when.
    /// Endpoints that wait for a turn.
    pub(super) turns: Turns,
    /// When endpoints have something to do at the earliest.
    pub(super) wakes: Schedule,
    /// When the next slice of each replay may be read; `None` while one is being read.
    pub(super) replay_due: BTreeMap<u64, Option<u64>>,
    /// The last replays of this run whose endpoints were deleted before they came to their ends.
    pub(super) ended_replays: VecDeque<(Replay, Arc<Endpoint>)>,
    /// How fast all endpoints together catch up.
    pub(super) pace: Option<SharedPace>,
    pub(super) link: Link,
    pub(super) notices: Notices,

    // What is under way, and what is at hand for it.
    pub(super) slots: SlotCounts,
    /// Endpoints with nothing under way, as counted in this run.
    pub(super) idle: Option<usize>,
    /// Reads of the log for prefetches and ages that are under way, of `limits::LOADS`.
    pub(super) loads: usize,
    /// The newest events.
    pub(super) recent: Recent,
    /// What the events in all prefetches take.
    pub(super) prefetch_memory: PrefetchMemory,
    /// Attempts whose events have been read.
    pub(super) ready: Vec<(DeliveryId, Arc<Event>)>,
    /// Batches whose events have been read.
    pub(super) ready_batches: Vec<(EndpointId, BatchId, Vec<Arc<Event>>)>,

    // Clocks and ages.
    pub(super) clock: ClockWatch,
    /// Until when signed deliveries wait for a sane clock.
    pub(super) clock_until: Option<u64>,
    /// What waited at the start.
    pub(super) resumed: ResumedWaits,
    /// The run clock, and how far it is ahead of the monotonic one.
    pub(super) ran_ms: u64,
    pub(super) ran_offset_ms: u64,
    /// When the run clock is recorded next, on the monotonic clock.
    pub(super) clock_record_at: u64,
    /// When endpoints have something that may be too old, and those of which this may have changed.
    pub(super) ages_due: Schedule,
    pub(super) ages_changed: BTreeSet<EndpointId>,
    /// Whose turn it is among the latter.
    pub(super) ages_turn: EndpointId,
    /// When endpoints may begin or cease to lag.
    pub(super) lags_due: Schedule,

    // What is counted for others.
    /// Who found a share of what is decided here full.
    pub(super) full_shares: ShareTally,
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
            matcher: Matcher::default(),
            settings: SettingsSizes::of(&state),
            rng: StdRng::seed_from_u64(seed),
            started: now,

            turns: Turns::default(),
            wakes: Schedule::default(),
            replay_due: BTreeMap::new(),
            ended_replays: VecDeque::new(),
            pace: None,
            link: Link::default(),
            notices: Notices::default(),

            slots: SlotCounts::default(),
            idle: None,
            loads: 0,
            recent: Recent::starting_at(state.next_seq),
            prefetch_memory: PrefetchMemory::default(),
            ready: Vec::new(),
            ready_batches: Vec::new(),

            clock: ClockWatch::new(state.last_wall),
            clock_until: None,
            resumed: ResumedWaits::new(now, state.next_seq, state.replays.keys().copied()),
            ran_ms: state.ran_ms,
            ran_offset_ms: state.ran_ms.saturating_sub(now.mono_ms),
            clock_record_at: now.mono_ms,
            ages_due: Schedule::default(),
            ages_changed: BTreeSet::new(),
            ages_turn: 0,
            lags_due: Schedule::default(),

            full_shares: ShareTally::default(),
            delivered_after: Vec::new(),
            state,
        };
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
        now.mono_ms + self.ran_offset_ms
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

    /// Applies a record that nothing was decided for.
    #[cfg(test)]
    pub(super) fn remember_for_test(&mut self, record: Record) {
        self.remember(record, &mut Draft::default());
    }

    pub(super) fn draw(&mut self) -> u64 {
        rand::Rng::random(&mut self.rng)
    }
}
