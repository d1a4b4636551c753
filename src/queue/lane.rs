//! One endpoint and its deliveries, as the state remembers them.

use std::collections::BTreeMap;
use std::sync::Arc;

use roaring::RoaringTreemap;
use serde::{Deserialize, Serialize};

use super::lanes::STRICT;
use crate::model::{BatchId, DeliveryState, Endpoint, HoldReason, Order, Seq, WallMs};

/// One endpoint and its deliveries.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Lane {
    pub endpoint: Arc<Endpoint>,
    pub hold: Option<(HoldReason, WallMs)>,
    /// The stream has been taken up to here.
    pub low: Seq,
    /// Places beyond `low` that have been taken up too. At most a window of them.
    pub ahead: RoaringTreemap,
    /// By the record that made the delivery.
    pub retrying: BTreeMap<Seq, Retrying>,
    pub dead: RoaringTreemap,
    /// Asked for again by the operator, waiting in the stream.
    pub revived: RoaringTreemap,
    pub cancelled: RoaringTreemap,
    /// The events of dead letters that were replays.
    pub replayed_dead: BTreeMap<Seq, Seq>,
    /// The oldest event that replays and revived deliveries in the stream need, and the last place of such a one:
    /// until the stream has been read to there, retention keeps the events of `wanted`.
    pub needs_from: Seq,
    pub needs_until: Seq,
    /// Deliveries that have not ended.
    pub undone: u64,
    pub delivered: u64,
    pub last_error: Option<String>,
    pub last_success_at: Option<WallMs>,
    /// The record that deleted the endpoint. Its lane stays, so that what was delivered, died or was cancelled is still
    /// told, until retention has dropped that record and no dead letter is left.
    pub deleted: Option<Seq>,
    /// Batches that were formed and have not ended.
    #[serde(default)]
    pub batches: BTreeMap<BatchId, Batch>,
    /// How long there has been nothing but failure, counted while the daemon ran and was online.
    #[serde(default)]
    pub failing_ms: u64,
    /// When its last attempt was started, as far as it is remembered.
    #[serde(default)]
    pub last_attempt_at: WallMs,
    /// Requests that were answered well, and those that were not.
    #[serde(default)]
    pub succeeded: u64,
    #[serde(default)]
    pub failed: u64,
    /// The events that replays in the stream need, and some that they needed: it is emptied when all were read.
    #[serde(default)]
    pub wanted: RoaringTreemap,
}

/// A delivery that waits for a retry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Retrying {
    pub event: Seq,
    pub attempts: u32,
    pub due_at: WallMs,
    pub delay_ms: u64,
    /// How long it had been tried when this was recorded, counted while the daemon ran.
    pub age_ms: u64,
    /// The record of its last attempt.
    pub last: Seq,
    /// The lane it is the head of, where the endpoint keeps an order.
    #[serde(default)]
    pub key: Option<u64>,
    /// The batch it waits with; the batch's own times count then.
    #[serde(default)]
    pub batch: Option<BatchId>,
    /// Waits for the operator, and so does its lane.
    #[serde(default)]
    pub parked: bool,
}

/// A batch that waits for an attempt.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Batch {
    /// By the records that made the deliveries, in their order.
    pub members: Vec<Seq>,
    pub attempts: u32,
    pub due_at: WallMs,
    pub delay_ms: u64,
    pub age_ms: u64,
    /// It is part of a larger one that was refused.
    pub halved: bool,
}

impl Retrying {
    /// One that is due at once and has not been tried for any time that counts.
    #[must_use]
    pub fn due(event: Seq, attempts: u32, last: Seq, due_at: WallMs) -> Self {
        Self { event, attempts, due_at, delay_ms: 0, age_ms: 0, last, key: None, batch: None, parked: false }
    }
}

impl Lane {
    /// The operator lets it go on: all that waits is due.
    pub(super) fn release(&mut self, at: WallMs) {
        self.hold = None;
        self.failing_ms = 0;
        for waiting in self.retrying.values_mut() {
            (waiting.parked, waiting.due_at, waiting.delay_ms) = (false, at, 0);
        }
        for batch in self.batches.values_mut() {
            (batch.due_at, batch.delay_ms) = (at, 0);
        }
    }

    pub(super) fn new(endpoint: Arc<Endpoint>, seq: Seq) -> Self {
        Self {
            endpoint,
            hold: None,
            low: seq,
            ahead: RoaringTreemap::new(),
            retrying: BTreeMap::new(),
            dead: RoaringTreemap::new(),
            revived: RoaringTreemap::new(),
            cancelled: RoaringTreemap::new(),
            replayed_dead: BTreeMap::new(),
            needs_from: 0,
            needs_until: 0,
            undone: 0,
            delivered: 0,
            last_error: None,
            last_success_at: None,
            deleted: None,
            batches: BTreeMap::new(),
            failing_ms: 0,
            last_attempt_at: 0,
            succeeded: 0,
            failed: 0,
            wanted: RoaringTreemap::new(),
        }
    }

    /// Where the delivery made by record `seq` stands; `in_flight` is not known here.
    #[must_use]
    pub fn state_of(&self, seq: Seq) -> DeliveryState {
        if self.cancelled.contains(seq) {
            return DeliveryState::Cancelled;
        }
        if self.dead.contains(seq) {
            return DeliveryState::Dead;
        }
        let waits = self.retrying.contains_key(&seq) || self.revived.contains(seq) || !self.taken_up(seq);
        match (waits, &self.hold) {
            (false, _) => DeliveryState::Delivered,
            (true, _) if self.deleted.is_some() => DeliveryState::Cancelled,
            (true, None) => DeliveryState::Pending,
            (true, Some(_)) => DeliveryState::Held,
        }
    }

    /// The lane of a delivery whose event has this key: one for all where the order is strict.
    #[must_use]
    pub fn key_of(&self, key: Option<u64>) -> Option<u64> {
        match self.endpoint.order {
            Order::None => None,
            Order::Strict => Some(STRICT),
            Order::Key => key,
        }
    }

    /// The lane of a delivery that waits.
    #[must_use]
    pub fn key_of_waiting(&self, delivery: Seq) -> Option<u64> {
        self.key_of(self.retrying.get(&delivery).and_then(|waiting| waiting.key))
    }

    /// Whether the place `position` of the stream has been taken up.
    #[must_use]
    pub fn taken_up(&self, position: Seq) -> bool {
        position <= self.low || self.ahead.contains(position)
    }

    /// Deliveries that wait in the stream.
    #[must_use]
    pub fn in_stream(&self) -> u64 {
        self.undone.saturating_sub(self.retrying.len() as u64)
    }

    /// Ends everything that waits. Returns how much that was.
    pub(super) fn delete(&mut self, seq: Seq) -> u64 {
        self.deleted = Some(seq);
        self.hold = None;
        self.batches.clear();
        self.cancelled.extend(std::mem::take(&mut self.retrying).into_keys());
        self.cancelled |= std::mem::take(&mut self.revived);
        std::mem::take(&mut self.undone)
    }

    /// Takes a delivery out of the batch it waits with. A batch that others stay in gets the id `(seq, 0)`, because
    /// its content is another one.
    pub(super) fn leave_batch(&mut self, seq: Seq, key: Seq) {
        let Some(id) = self.retrying.get_mut(&key).and_then(|waiting| waiting.batch.take()) else { return };
        let Some(mut batch) = self.batches.remove(&id) else { return };
        batch.members.retain(|member| *member != key);
        if batch.members.is_empty() {
            return;
        }
        let renamed = BatchId { seq, part: 0 };
        for member in &batch.members {
            if let Some(waiting) = self.retrying.get_mut(member) {
                waiting.batch = Some(renamed);
            }
        }
        self.batches.insert(renamed, batch);
    }

    /// The stream has a new entry at `position` that needs an older event.
    pub(super) fn needs(&mut self, event: Seq, position: Seq) {
        let all_read = self.low >= self.needs_until;
        if all_read {
            self.wanted.clear();
        }
        self.wanted.insert(event);
        self.needs_from = if all_read { event } else { self.needs_from.min(event) };
        self.needs_until = position;
    }

    pub(super) fn take_up(&mut self, position: Option<Seq>, low: Seq) {
        if low > self.low {
            self.low = low;
            self.ahead.remove_range(..=low);
        }
        if let Some(position) = position
            && position > self.low
        {
            self.ahead.insert(position);
        }
    }
}
