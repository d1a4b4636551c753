//! The state: a fold of the log's records and nothing else.
//!
//! [`State::apply`] is the only code that changes it, live and at start-up. A record that cannot
//! follow from the state is an error that names it; nothing is skipped in silence.
//!
//! **A backlog costs disk, not memory.** Each endpoint has a *stream*: the records that make or
//! revive deliveries for it, in the order of the log. `low` says up to where the stream has been
//! taken up, `ahead` which positions beyond it have been too. What lies beyond both was never
//! attempted and takes no memory at all. Deliveries that wait for a retry stand in `retrying`
//! (about a hundred bytes, bounded); ended ones take a bit in a set, delivered ones nothing.

use std::collections::BTreeMap;
use std::sync::Arc;

use roaring::RoaringTreemap;
use serde::{Deserialize, Serialize};

use super::shares::SourceShares;
use crate::model::{Endpoint, EndpointId, Seq, Source, SourceId, WallMs};
use crate::queue::endpoint::{EndpointQueue, SlotKind};
use crate::queue::remembered::acknowledged::AcknowledgedDamage;
use crate::queue::remembered::age::RUN_START;
use crate::queue::remembered::dedupe::Dedupe;
pub use crate::queue::remembered::endpoint_state::EndpointState;
use crate::queue::remembered::run_times::RunTimes;
use crate::queue::remembered::totals::EndpointTotals;
pub use crate::queue::remembered::waiting::Retrying;
use crate::queue::stream::moved::MovedEvents;
use crate::queue::stream::position_records::PositionRecords;
use crate::record::Replay;

/// The format of a checkpoint; an unknown one is refused.
const CHECKPOINT_VERSION: u8 = 1;

/// A record that cannot follow, or a checkpoint that cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    #[error(
        "record {seq} cannot follow record {expected}: the log has a gap or was put together from \
         two"
    )]
    OutOfOrder { seq: Seq, expected: Seq },
    #[error("record {seq} is impossible: {what}")]
    Impossible { seq: Seq, what: String },
    #[error(
        "the checkpoint has format {found}, this version reads {CHECKPOINT_VERSION}: use the \
         hookbox that wrote it"
    )]
    Version { found: u8 },
    #[error("the checkpoint cannot be read: {0}")]
    Garbage(#[from] rmp_serde::decode::Error),
}

/// Everything that is remembered about now.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct State {
    /// The number of the next record.
    pub next_seq: Seq,
    /// Records before this one were dropped by retention.
    pub first_seq: Seq,
    pub salt: u64,
    pub sources: BTreeMap<SourceId, Arc<Source>>,
    pub endpoints: BTreeMap<EndpointId, EndpointQueue>,
    pub next_source: SourceId,
    pub next_endpoint: EndpointId,
    pub dedupe: Dedupe,
    /// How often an event came again, for the newest of those that did.
    pub duplicates: BTreeMap<Seq, u32>,
    /// Where relocated events stand: their own number to that of the record which holds them now.
    pub moved: MovedEvents,
    /// The records by which dead letters died.
    #[serde(rename = "graves")]
    pub dead_letter_seqs: RoaringTreemap,
    pub replays: BTreeMap<u64, Replay>,
    pub counts: Counts,
    /// What came into each bin, for its budget.
    #[serde(default)]
    pub bins: BTreeMap<SourceId, BinUse>,
    /// The wall clock when something last came in or went out.
    #[serde(default)]
    pub last_wall: WallMs,
    /// Records that the log cannot give back, as far as that has been settled.
    #[serde(default)]
    pub lost: RoaringTreemap,
    /// What each source's events take of the log.
    #[serde(default)]
    pub shares: SourceShares,
    /// How long the daemon has run since the log began, as far as records say it; see `age`.
    #[serde(default = "run_start")]
    pub ran_ms: u64,
    /// The records that hold positions of streams for others, which were dropped.
    #[serde(default = "PositionRecords::unknown")]
    pub position_records: PositionRecords,
    /// What the wall clock was at times of the run clock.
    #[serde(default)]
    pub run_times: RunTimes,
    /// Damage of the log that the operator has acknowledged.
    #[serde(default)]
    pub acknowledged: AcknowledgedDamage,
    /// Records that were missing while this state was folded: what they held is not known.
    #[serde(skip)]
    pub(in crate::queue) unfolded: RoaringTreemap,
    /// What is counted over all endpoints; see `totals`.
    #[serde(skip)]
    pub(in crate::queue) totals: EndpointTotals,
    /// The endpoints that the record at hand has changed, which are counted behind it.
    #[serde(skip)]
    pub(in crate::queue) changed: Vec<EndpointId>,
}

fn run_start() -> u64 {
    RUN_START
}

/// What came into one bin since it was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct BinUse {
    pub events: u64,
    pub bytes: u64,
}

/// Totals since the log began.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    pub events: u64,
    pub duplicates: u64,
    pub attempts: u64,
    pub failed_attempts: u64,
    /// Of endpoints that are forgotten by now.
    pub delivered_elsewhere: u64,
    pub cancelled: u64,
    /// Events that had the dedupe key of an earlier one, and another content.
    #[serde(default)]
    pub conflicts: u64,
    /// Deliveries that ended because the log could not give them back.
    #[serde(default)]
    pub lost: u64,
}

impl State {
    /// The state before the first record.
    #[must_use]
    pub fn new() -> Self {
        Self {
            next_seq: 1,
            first_seq: 1,
            next_source: 1,
            next_endpoint: 1,
            ran_ms: RUN_START,
            ..Self::default()
        }
    }

    /// Writes the state down, for the start of a segment.
    ///
    /// # Panics
    /// Never: the state can be serialized into memory.
    #[must_use]
    pub fn checkpoint(&self) -> Vec<u8> {
        // A large one does not grow step by step, for which all of it would be copied.
        let mut bytes = Vec::with_capacity(self.checkpoint_size());
        bytes.push(CHECKPOINT_VERSION);
        rmp_serde::encode::write(&mut bytes, self).expect("the state serializes into memory");
        bytes
    }

    /// Reads a checkpoint back.
    ///
    /// # Errors
    /// When it was written by another version, or is damaged.
    pub fn from_checkpoint(bytes: &[u8]) -> Result<Self, StateError> {
        match bytes.split_first() {
            Some((&CHECKPOINT_VERSION, rest)) => {
                let mut state: Self = rmp_serde::from_slice(rest)?;
                for endpoint in state.endpoints.values_mut() {
                    endpoint.remembered_mut().pause_if_held(state.ran_ms);
                }
                state.number_replays();
                state.count_all();
                state.position_records.read_before(state.next_seq);
                Ok(state)
            }
            Some((&found, _)) => Err(StateError::Version { found }),
            None => Err(StateError::Version { found: 0 }),
        }
    }

    /// Goes on behind records that are lost, as the log found when it was opened and has reported.
    /// Returns how many.
    pub fn skip_lost(&mut self, next_seq: Seq) -> u64 {
        let lost = next_seq.saturating_sub(self.next_seq);
        if lost > 0 {
            self.unfolded.insert_range(self.next_seq..next_seq);
            for endpoint in self.endpoints.values_mut() {
                endpoint.remembered_mut().keeps_low = true;
            }
        }
        self.next_seq = self.next_seq.max(next_seq);
        lost
    }

    /// The endpoints that are there, with their deliveries.
    pub fn living(&self) -> impl Iterator<Item = &EndpointQueue> {
        self.endpoints.values().filter(|endpoint| endpoint.deleted.is_none())
    }

    /// The endpoints that were deleted and are still shown.
    pub fn former(&self) -> impl Iterator<Item = &Endpoint> {
        self.endpoints
            .values()
            .filter(|endpoint| endpoint.deleted.is_some())
            .map(|endpoint| endpoint.settings.as_ref())
    }

    /// The endpoint of this number, if it was not deleted.
    #[must_use]
    pub fn find(&self, id: EndpointId) -> Option<&EndpointQueue> {
        self.endpoints.get(&id).filter(|endpoint| endpoint.deleted.is_none())
    }

    /// The endpoint of this number, if it was not deleted, for what it does right now.
    pub(in crate::queue) fn find_mut(&mut self, id: EndpointId) -> Option<&mut EndpointQueue> {
        self.endpoints.get_mut(&id).filter(|endpoint| endpoint.deleted.is_none())
    }

    /// An endpoint that is there.
    ///
    /// # Panics
    /// When there is none of this number: whoever asks has seen it in this step, or it would have
    /// left the queue's turns when it was deleted.
    #[track_caller]
    pub(in crate::queue) fn endpoint(&self, id: EndpointId) -> &EndpointQueue {
        self.find(id)
            .unwrap_or_else(|| panic!("the queue works with endpoint {id}, which is not there"))
    }

    /// An endpoint that is there, for what it does right now.
    ///
    /// # Panics
    /// When there is none of this number; see [`State::endpoint`].
    #[track_caller]
    pub(in crate::queue) fn endpoint_mut(&mut self, id: EndpointId) -> &mut EndpointQueue {
        self.find_mut(id)
            .unwrap_or_else(|| panic!("the queue works with endpoint {id}, which is not there"))
    }

    /// An endpoint that has just been deleted does nothing any more: see [`EndpointQueue::stop`].
    pub(in crate::queue) fn stop_deleted(&mut self, id: EndpointId) -> Vec<SlotKind> {
        let endpoint = self.endpoints.get_mut(&id).expect("what was deleted is still remembered");
        assert!(endpoint.deleted.is_some(), "endpoint {id} is stopped, and was not deleted");
        endpoint.stop()
    }

    /// Whether there is an endpoint of this number.
    #[must_use]
    pub fn lives(&self, endpoint: EndpointId) -> bool {
        self.find(endpoint).is_some()
    }

    pub(in crate::queue) fn remembered(
        &mut self,
        seq: Seq,
        endpoint: EndpointId,
    ) -> Result<&mut EndpointState, StateError> {
        self.changing(endpoint).ok_or_else(|| unknown_endpoint(seq))
    }

    /// The record that holds the event of record `seq`, or held it when it was dropped.
    #[must_use]
    pub fn held_at(&self, seq: Seq) -> Seq {
        self.moved.get(seq).unwrap_or(seq)
    }

    /// Where the event of record `seq` stands now; `None` when it was dropped or is lost.
    #[must_use]
    pub fn stands_at(&self, seq: Seq) -> Option<Seq> {
        let at = self.held_at(seq);
        (at >= self.first_seq && !self.lost.contains(at)).then_some(at)
    }
}

pub(in crate::queue) fn impossible(seq: Seq, what: &str) -> StateError {
    StateError::Impossible { seq, what: what.to_owned() }
}

fn unknown_endpoint(seq: Seq) -> StateError {
    impossible(seq, "it names an unknown endpoint")
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use bytes::Bytes;

    use super::{RUN_START, State, StateError};
    use crate::model::{
        AttemptReport, DeliveryId, Endpoint, Event, EventId, HoldReason, Outcome, RequestHead, Seq,
        Source,
    };
    use crate::record::{
        AttemptFinished, Consequence, OpenBreaker, Record, Replay, ReplayFilter, Restraint, Wait,
    };

    const AT: u64 = 1_800_000_000_000;

    /// A source, an endpoint, and an event for it: record 3, accepted when the daemon had run for a
    /// second.
    fn begun(born: u64) -> State {
        let mut endpoint = Endpoint::new("app", "http://app.example/");
        endpoint.id = 1;
        let mut source = Source::new("in", "none");
        source.id = 1;

        let mut state = State::new();
        follow(&mut state, Record::SourceSet { source: Box::new(source) });
        follow(&mut state, Record::EndpointSet { endpoint: Box::new(endpoint) });

        let event = Event {
            id: EventId { seq: 3, tag: 1 },
            source: 1,
            source_name: "in".into(),
            kind: "t".into(),
            received_at: AT,
            dedupe_key: None,
            request_line: String::new(),
            remote: String::new(),
            headers: Vec::new(),
            body: Bytes::from_static(b"{}"),
            from_provider: false,
            first_id: None,
        };
        let (event, beside) = (Arc::new(event), Default::default());
        follow(
            &mut state,
            Record::EventAccepted { event, dedupe: None, fan_out: vec![1], beside, ran_ms: born },
        );
        state
    }

    fn follow(state: &mut State, record: Record) -> Seq {
        let seq = state.next_seq;
        state.apply(seq, &record).expect("it follows");
        seq
    }

    /// An attempt for record 3 that failed.
    fn failed(born: u64, ran_ms: u64, restraint: Option<Restraint>) -> Record {
        let report = AttemptReport {
            started_at: AT,
            duration_ms: 1,
            connect_ms: None,
            outcome: Outcome::Retryable { after_ms: None },
            request: RequestHead::default(),
            response: None,
            error: None,
            fault: None,
            command: None,
        };

        Record::AttemptFinished(Box::new(AttemptFinished {
            delivery: DeliveryId { seq: 3, endpoint: 1 },
            event: 3,
            number: 1,
            report,
            next: Consequence::Retry { due_at: AT + 1_000, delay_ms: 1_000, age_ms: 700 },
            prev: 0,
            position: Some(3),
            low: 3,
            key: None,
            uncounted: false,
            failing_ms: 0,
            born,
            ran_ms,
            restraint: restraint.map(Box::new),
            source: 0,
        }))
    }

    fn restraint() -> Restraint {
        let wait = Wait { until: AT + 5_000, wait_ms: 5_000 };
        let breaker = Some(OpenBreaker { since: AT, probes: 2, probe: wait });
        Restraint { failures: 12, failing_since: AT - 60_000, breaker, paused: Some(wait) }
    }

    #[test]
    fn what_restrains_an_endpoint_stands_in_a_checkpoint_until_it_is_released() {
        let mut state = begun(RUN_START + 1_000);
        follow(&mut state, failed(RUN_START + 1_000, RUN_START + 2_000, Some(restraint())));
        let replay = Replay {
            id: 5,
            filter: ReplayFilter::default(),
            next: 3,
            end: 4,
            rate: Some(1),
            started_at: AT,
            due_at: 0,
            pause_ms: 0,
            member: None,
            to: None,
            left: Default::default(),
        };
        follow(&mut state, Record::ReplayStarted { replay });
        let (due_at, pause_ms) = (AT + 1_000, 1_000);
        let record =
            Record::ReplayAdvanced { replay: 5, next: 4, due_at, pause_ms, left_from: None };
        follow(&mut state, record);
        follow(&mut state, Record::EndpointAway { endpoint: 1, at: AT, ran_ms: RUN_START + 3_000 });
        follow(&mut state, Record::ClockRan { ran_ms: RUN_START + 9_000 });

        let again = State::from_checkpoint(&state.checkpoint()).expect("it reads back");
        assert_eq!(again, state);
        let endpoint = &again.endpoints[&1];
        assert_eq!(endpoint.restraint.as_deref(), Some(&restraint()));
        assert_eq!((again.replays[&5].due_at, again.replays[&5].pause_ms), (AT + 1_000, 1_000));
        assert_eq!(again.ran_ms, RUN_START + 9_000);
        assert_eq!(
            endpoint.age_ms(endpoint.retrying[&3].born(), again.ran_ms),
            2_000,
            "it stands while the link is down"
        );

        let mut state = again;
        follow(
            &mut state,
            Record::EndpointBack { endpoint: 1, at: AT, ran_ms: RUN_START + 10_000 },
        );
        let reason = HoldReason::Operator;
        follow(
            &mut state,
            Record::EndpointHeld { endpoint: 1, reason, at: AT, ran_ms: RUN_START + 10_500 },
        );
        follow(
            &mut state,
            Record::EndpointReleased { endpoint: 1, at: AT, ran_ms: RUN_START + 20_000 },
        );
        let endpoint = &state.endpoints[&1];
        assert_eq!(endpoint.restraint, None);
        assert_eq!(
            endpoint.age_ms(endpoint.retrying[&3].born(), RUN_START + 20_100),
            2_600,
            "and while it is on hold"
        );
    }

    #[test]
    fn what_was_on_hold_before_there_was_a_run_clock_grows_no_older() {
        let mut state = begun(0);
        follow(&mut state, failed(0, 0, None));
        follow(
            &mut state,
            Record::EndpointHeld { endpoint: 1, reason: HoldReason::Operator, at: AT, ran_ms: 0 },
        );
        // As an earlier version wrote it.
        let mut endpoints = state.endpoints.values_mut();
        endpoints.next().expect("the endpoint").remembered_mut().age_pauses = Default::default();

        let mut state = State::from_checkpoint(&state.checkpoint()).expect("it reads back");
        follow(&mut state, Record::ClockRan { ran_ms: RUN_START + 60_000 });
        let endpoint = &state.endpoints[&1];
        assert_eq!(
            endpoint.age_ms(endpoint.retrying[&3].born(), state.ran_ms),
            700,
            "as its attempt has it"
        );
    }

    #[test]
    fn records_of_a_time_without_a_run_clock_make_nothing_older_or_younger() {
        let mut state = begun(0);
        follow(&mut state, failed(0, 0, None));
        let endpoint = &state.endpoints[&1];
        assert_eq!(state.ran_ms, RUN_START);
        assert_eq!(
            endpoint.age_ms(endpoint.retrying[&3].born(), state.ran_ms),
            700,
            "as its attempt has it"
        );
        // And the clock never goes back.
        follow(&mut state, Record::ClockRan { ran_ms: RUN_START + 5 });
        follow(&mut state, Record::ClockRan { ran_ms: RUN_START + 3 });
        assert_eq!(state.ran_ms, RUN_START + 5);
    }

    #[test]
    fn keys_are_learned_by_what_waits_and_no_record_names_unknown_endpoints() {
        let mut state = begun(RUN_START);
        follow(&mut state, failed(RUN_START, RUN_START, None));
        follow(&mut state, Record::KeysLearned { endpoint: 1, keys: vec![(3, 77), (999, 78)] });
        assert_eq!(state.endpoints[&1].retrying[&3].key, Some(77));
        for record in [
            Record::KeysLearned { endpoint: 9, keys: Vec::new() },
            Record::EndpointAway { endpoint: 9, at: AT, ran_ms: RUN_START },
            Record::EndpointBack { endpoint: 9, at: AT, ran_ms: RUN_START },
        ] {
            let refused = state.clone().apply(state.next_seq, &record);
            assert!(matches!(refused, Err(StateError::Impossible { .. })), "{refused:?}");
        }
    }
}
