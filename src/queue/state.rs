//! The state: a fold of the log's records and nothing else.
//!
//! [`State::apply`] is the only code that changes it, live and at start-up. A record that cannot follow from the
//! state is an error that names it; nothing is skipped in silence.
//!
//! **A backlog costs disk, not memory.** Each endpoint has a *stream*: the records that make or revive
//! deliveries for it, in the order of the log. `low` says up to where the stream has been taken up, `ahead`
//! which places beyond it have been too. What lies beyond both was never attempted and takes no memory at all.
//! Deliveries that wait for a retry stand in `retrying` (about a hundred bytes, bounded); ended ones take a bit in
//! a compressed set, or nothing when they were delivered.

use std::collections::BTreeMap;
use std::sync::Arc;

use roaring::RoaringTreemap;
use serde::{Deserialize, Serialize};

use super::dedupe::Dedupe;
pub use super::lane::{Lane, Retrying};
use crate::model::{DeliveryId, Endpoint, EndpointId, Seq, Source, SourceId, WallMs, limits};
use crate::record::{Record, Replay};

/// The format of a checkpoint; an unknown one is refused.
const CHECKPOINT_VERSION: u8 = 1;

/// A record that cannot follow, or a checkpoint that cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    #[error("record {seq} cannot follow record {expected}: the log has a gap or was put together from two")]
    OutOfOrder { seq: Seq, expected: Seq },
    #[error("record {seq} is impossible: {what}")]
    Impossible { seq: Seq, what: String },
    #[error(
        "the checkpoint has format {found}, this version reads {CHECKPOINT_VERSION}: use the hookbox that wrote it"
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
    pub lanes: BTreeMap<EndpointId, Lane>,
    pub next_source: SourceId,
    pub next_endpoint: EndpointId,
    pub dedupe: Dedupe,
    /// How often an event came again, for the newest of those that did.
    pub duplicates: BTreeMap<Seq, u32>,
    /// Where carried events stand: their own number to that of the record which holds them now.
    pub moved: BTreeMap<Seq, Seq>,
    /// The records by which dead letters died.
    pub graves: RoaringTreemap,
    pub replays: BTreeMap<u64, Replay>,
    pub counts: Counts,
    /// What came into each bin, for its budget.
    #[serde(default)]
    pub bins: BTreeMap<SourceId, BinUse>,
    /// The wall clock when something last came in or went out.
    #[serde(default)]
    pub last_wall: WallMs,
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
}

impl State {
    /// The state before the first record.
    #[must_use]
    pub fn new() -> Self {
        Self { next_seq: 1, first_seq: 1, next_source: 1, next_endpoint: 1, ..Self::default() }
    }

    /// Writes the state down, for the start of a segment.
    ///
    /// # Panics
    /// Never: the state can be serialized into memory.
    #[must_use]
    pub fn checkpoint(&self) -> Vec<u8> {
        let mut bytes = vec![CHECKPOINT_VERSION];
        rmp_serde::encode::write(&mut bytes, self).expect("the state serializes into memory");
        bytes
    }

    /// Reads a checkpoint back.
    ///
    /// # Errors
    /// When it was written by another version, or is damaged.
    pub fn from_checkpoint(bytes: &[u8]) -> Result<Self, StateError> {
        match bytes.split_first() {
            Some((&CHECKPOINT_VERSION, rest)) => Ok(rmp_serde::from_slice(rest)?),
            Some((&found, _)) => Err(StateError::Version { found }),
            None => Err(StateError::Version { found: 0 }),
        }
    }

    /// Folds one record into the state.
    ///
    /// # Errors
    /// When the record cannot follow from this state.
    pub fn apply(&mut self, seq: Seq, record: &Record) -> Result<(), StateError> {
        if seq != self.next_seq {
            return Err(StateError::OutOfOrder { seq, expected: self.next_seq });
        }
        self.next_seq = seq + 1;
        match record {
            Record::LogStarted { salt, .. } => self.salt = *salt,
            Record::SourceSet { source } => {
                self.next_source = self.next_source.max(source.id + 1);
                self.sources.insert(source.id, Arc::new(Source::clone(source)));
            }
            Record::SourceDeleted { source } => {
                self.sources.remove(source).ok_or_else(|| impossible(seq, "it deletes an unknown source"))?;
                self.bins.remove(source);
            }
            Record::EndpointSet { endpoint } => self.endpoint_set(seq, endpoint),
            Record::EndpointDeleted { endpoint, .. } => {
                let lane = self.lane(seq, *endpoint)?;
                let cancelled = lane.delete(seq);
                self.counts.cancelled += cancelled;
            }
            Record::EndpointHeld { endpoint, reason, at } => {
                self.lane(seq, *endpoint)?.hold = Some((reason.clone(), *at))
            }
            Record::EndpointReleased { endpoint, at } => self.lane(seq, *endpoint)?.release(*at),
            Record::EventAccepted { event, dedupe, fan_out } => {
                self.counts.events += 1;
                self.last_wall = event.received_at;
                if self.sources.get(&event.source).is_some_and(|source| source.verify == "bin") {
                    let bin = self.bins.entry(event.source).or_default();
                    bin.events += 1;
                    bin.bytes += event.cost() as u64;
                }
                if let Some(fingerprint) = dedupe {
                    self.dedupe.insert(*fingerprint, seq, event.received_at);
                }
                for endpoint in fan_out {
                    self.lane(seq, *endpoint)?.undone += 1;
                }
            }
            Record::DuplicateSeen { event, .. } => self.duplicate_seen(*event),
            Record::AttemptFinished(attempt) => self.attempt_finished(seq, attempt)?,
            Record::BatchFormed { endpoint, members, low } => self.batch_formed(seq, *endpoint, members, *low)?,
            Record::BatchFinished(finished) => self.batch_finished(seq, finished)?,
            Record::Died { dead } => self.died(seq, dead)?,
            Record::RateSpent { endpoint, at } => self.lane(seq, *endpoint)?.last_attempt_at = *at,
            Record::Superseded { endpoint, deliveries, low, .. } => {
                self.superseded(seq, *endpoint, deliveries, *low)?;
            }
            Record::DeliveryCancelled { delivery, grave, .. } => self.cancelled(seq, *delivery, *grave)?,
            Record::DeliveryRetried { delivery, at, grave, event, attempts, last, in_stream } => {
                let entry = Retrying::due(*event, *attempts, *last, *at);
                self.retried(seq, *delivery, *grave, entry, *in_stream)?;
            }
            Record::ReplayStarted { replay } => {
                self.replays.insert(replay.id, replay.clone());
            }
            Record::Replayed { event, endpoint, .. } => {
                let lane = self.lane(seq, *endpoint)?;
                lane.undone += 1;
                lane.needs(*event, seq);
            }
            Record::ReplayAdvanced { replay, next } => self.replay_advanced(seq, *replay, *next)?,
            Record::EventCarried { seq: event, .. } => {
                self.moved.insert(*event, seq);
            }
            Record::DeliveriesCarried { waiting } => {
                for w in waiting {
                    let lane = self.lane(seq, w.delivery.endpoint)?;
                    lane.take_up(Some(w.position), 0);
                    lane.revived.remove(w.delivery.seq);
                    let entry = Retrying { key: w.key, ..Retrying::due(w.event, w.attempts, w.last, 0) };
                    lane.retrying.insert(w.delivery.seq, entry);
                }
            }
            Record::DeadCarried { grave, .. } => {
                self.graves.remove(*grave);
                self.graves.insert(seq);
            }
            Record::SegmentDropped { first, last, .. } => self.segment_dropped(*first, *last),
            Record::PlaceCarried { waiting } => {
                let (key, event) = (waiting.delivery.seq, waiting.event);
                let lane = self.lane(seq, waiting.delivery.endpoint)?;
                lane.take_up(Some(waiting.position), 0);
                lane.revived.insert(key);
                if key != event {
                    lane.needs(event, seq);
                }
            }
            Record::EventImported { event, identity, at } => self.dedupe.insert(*identity, *event, *at),
        }
        Ok(())
    }

    /// Goes on behind records that are lost, as the log found when it was opened and has reported. Returns how many.
    pub fn skip_lost(&mut self, next_seq: Seq) -> u64 {
        let lost = next_seq.saturating_sub(self.next_seq);
        self.next_seq = self.next_seq.max(next_seq);
        lost
    }

    /// The endpoints that are there, with their deliveries.
    pub fn living(&self) -> impl Iterator<Item = &Lane> {
        self.lanes.values().filter(|lane| lane.deleted.is_none())
    }

    /// The endpoints that were deleted and are still told of.
    pub fn former(&self) -> impl Iterator<Item = &Endpoint> {
        self.lanes.values().filter(|lane| lane.deleted.is_some()).map(|lane| lane.endpoint.as_ref())
    }

    /// Whether there is an endpoint of this number.
    #[must_use]
    pub fn lives(&self, endpoint: EndpointId) -> bool {
        self.lanes.get(&endpoint).is_some_and(|lane| lane.deleted.is_none())
    }

    pub(super) fn lane(&mut self, seq: Seq, endpoint: EndpointId) -> Result<&mut Lane, StateError> {
        self.lanes.get_mut(&endpoint).ok_or_else(|| unknown_endpoint(seq))
    }

    fn endpoint_set(&mut self, seq: Seq, endpoint: &Endpoint) {
        self.next_endpoint = self.next_endpoint.max(endpoint.id + 1);
        let endpoint = Arc::new(endpoint.clone());
        let lane = self.lanes.entry(endpoint.id).or_insert_with(|| Lane::new(endpoint.clone(), seq));
        lane.endpoint = endpoint;
    }

    fn duplicate_seen(&mut self, event: Seq) {
        self.counts.duplicates += 1;
        *self.duplicates.entry(event).or_insert(0) += 1;
        if self.duplicates.len() > limits::DUPLICATE_COUNTS {
            self.duplicates.pop_first();
        }
    }

    fn cancelled(&mut self, seq: Seq, delivery: DeliveryId, grave: Option<Seq>) -> Result<(), StateError> {
        if let Some(grave) = grave {
            self.graves.remove(grave);
        }
        self.counts.cancelled += 1;
        let lane = self.lane(seq, delivery.endpoint)?;
        if !lane.dead.remove(delivery.seq) {
            lane.undone = lane.undone.checked_sub(1).ok_or_else(|| impossible(seq, "it cancels what had ended"))?;
        }
        lane.leave_batch(seq, delivery.seq);
        lane.retrying.remove(&delivery.seq);
        lane.revived.remove(delivery.seq);
        lane.replayed_dead.remove(&delivery.seq);
        lane.cancelled.insert(delivery.seq);
        Ok(())
    }

    fn retried(
        &mut self,
        seq: Seq,
        delivery: DeliveryId,
        grave: Option<Seq>,
        entry: Retrying,
        in_stream: bool,
    ) -> Result<(), StateError> {
        if let Some(grave) = grave {
            self.graves.remove(grave);
        }
        let lane = self.lane(seq, delivery.endpoint)?;
        let was_dead = lane.dead.remove(delivery.seq);
        let was_cancelled = lane.cancelled.remove(delivery.seq);
        lane.replayed_dead.remove(&delivery.seq);
        if was_dead || was_cancelled {
            lane.undone += 1;
        }
        // It may have been cancelled before its place in the stream was read: that place must not count again.
        lane.take_up(Some(delivery.seq), 0);
        if in_stream {
            lane.retrying.remove(&delivery.seq);
            lane.revived.insert(delivery.seq);
            if entry.event != delivery.seq {
                lane.needs(entry.event, seq);
            }
        } else if let Some(waiting) = lane.retrying.get_mut(&delivery.seq) {
            // The operator hurries one that waits: it stays in its lane and in its batch.
            (waiting.due_at, waiting.delay_ms, waiting.age_ms, waiting.parked) = (entry.due_at, 0, 0, false);
            if let Some(batch) = waiting.batch.and_then(|id| lane.batches.get_mut(&id)) {
                (batch.due_at, batch.delay_ms) = (entry.due_at, 0);
            }
        } else {
            lane.retrying.insert(delivery.seq, entry);
        }
        Ok(())
    }

    fn replay_advanced(&mut self, seq: Seq, replay: u64, next: Seq) -> Result<(), StateError> {
        let job = self.replays.get_mut(&replay).ok_or_else(|| impossible(seq, "it advances an unknown replay"))?;
        job.next = next;
        if next > job.end {
            self.replays.remove(&replay);
        }
        Ok(())
    }

    /// Where the event of record `seq` stands now; `None` when it was dropped.
    #[must_use]
    pub fn stands_at(&self, seq: Seq) -> Option<Seq> {
        let at = self.moved.get(&seq).copied().unwrap_or(seq);
        (at >= self.first_seq).then_some(at)
    }

    fn segment_dropped(&mut self, first: Seq, last: Seq) {
        self.first_seq = self.first_seq.max(last + 1);
        self.moved.retain(|_, stands_at| *stands_at < first || *stands_at > last);
        self.graves.remove_range(first..=last);
        self.duplicates.retain(|event, _| *event < first || *event > last);
        let counts = &mut self.counts;
        self.lanes.retain(|_, lane| {
            let stays = lane.deleted.is_none_or(|deleted| deleted > last) || !lane.dead.is_empty();
            counts.delivered_elsewhere += if stays { 0 } else { lane.delivered };
            stays
        });
        for lane in self.lanes.values_mut() {
            lane.cancelled.remove_range(first..=last);
            // Nothing waits at these places any more: what did was carried.
            lane.take_up(None, last);
        }
    }
}

pub(super) fn impossible(seq: Seq, what: &str) -> StateError {
    StateError::Impossible { seq, what: what.to_owned() }
}

fn unknown_endpoint(seq: Seq) -> StateError {
    impossible(seq, "it speaks of an unknown endpoint")
}
