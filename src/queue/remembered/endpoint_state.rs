//! One endpoint and its deliveries, as the state remembers them.

use std::collections::BTreeMap;
use std::sync::Arc;

use roaring::RoaringTreemap;
use serde::{Deserialize, Serialize};

use super::age::{AgePauses, RUN_START};
use super::counted_seqs::CountedSeqs;
use super::meanwhile::{EndpointCounts, Meanwhile};
use super::retries::Retries;
use super::totals::EndpointPart;
use super::waiting::{Retrying, WaitingBatch};
use crate::model::{BatchId, CatchUpMode, DeliveryState, Endpoint, HoldReason, Order, Seq, WallMs};
use crate::queue::stream::kept::KeptPositions;
use crate::queue::stream::lanes::STRICT;
use crate::queue::stream::order::{Keys, NO_VALUE};
use crate::queue::stream::stream_entry::StreamEntry;
use crate::record::Restraint;

/// One endpoint and its deliveries.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EndpointState {
    pub settings: Arc<Endpoint>,
    pub hold: Option<(HoldReason, WallMs)>,
    /// The low watermark of the stream: every position up to here has been taken up.
    pub low: Seq,
    /// Positions beyond `low` that have been taken up too: few, except where deliveries ended while
    /// they stood in the stream.
    pub ahead: RoaringTreemap,
    /// By the record that made the delivery.
    pub retrying: Retries,
    pub dead: CountedSeqs,
    /// Asked for again by the operator, waiting in the stream.
    pub revived: RoaringTreemap,
    pub cancelled: RoaringTreemap,
    /// The events of dead letters that were replays.
    pub replayed_dead: BTreeMap<Seq, Seq>,
    /// The oldest event that replays and revived deliveries in the stream need, and the last
    /// position of such a one: until the stream has been read to there, retention keeps
    /// `needed_events`.
    pub needs_from: Seq,
    pub needs_until: Seq,
    /// Deliveries that have not ended.
    pub undone: u64,
    pub delivered: u64,
    pub last_error: Option<String>,
    pub last_success_at: Option<WallMs>,
    /// The record that deleted the endpoint. This state stays, so that it is still known what was
    /// delivered, died or was cancelled, until retention has dropped that record and no dead letter
    /// is left.
    pub deleted: Option<Seq>,
    /// Batches that were formed and have not ended.
    #[serde(default)]
    pub batches: BTreeMap<BatchId, WaitingBatch>,
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
    /// The events that replays in the stream need, and some that they needed: it is emptied when
    /// all were read.
    #[serde(default)]
    pub needed_events: RoaringTreemap,
    /// Events of which its filter could not tell whether it holds, and the record of the last of
    /// them.
    #[serde(default)]
    pub undecided: u64,
    #[serde(default)]
    pub undecided_last: Seq,
    /// Records are missing from the fold: that everything up to some position was taken up says a
    /// record that counts on them, so only positions that a record names are taken up.
    #[serde(skip)]
    pub(in crate::queue) keeps_low: bool,
    /// When the clock of its deliveries stood.
    #[serde(default)]
    pub age_pauses: AgePauses,
    /// What keeps it back since its last attempt.
    #[serde(default)]
    pub restraint: Option<Box<Restraint>>,
    /// The record of the attempt that ended with its last error, as far as it is known.
    #[serde(default)]
    pub last_failure: Seq,
    /// Deliveries that were given up.
    #[serde(default)]
    pub died: u64,
    /// How it was when its breaker opened, and when it began to lag behind `warn_after`.
    #[serde(default)]
    pub failing: Option<Meanwhile>,
    #[serde(default)]
    pub lagging: Option<Meanwhile>,
    /// The record of the last attempt of which something was taken.
    #[serde(default)]
    pub last_taken: Seq,
    /// Deliveries that ended while they waited at a later position than their own, which stays in
    /// the stream: where they wait if they are asked for again, and before that the record of their
    /// end. Kept until the stream has been taken up to there.
    #[serde(default)]
    pub(in crate::queue) waits_at: BTreeMap<Seq, Seq>,
    /// Positions of the stream that are held by other records than their own. They have not been
    /// taken up, though they may lie before `low`.
    #[serde(default)]
    pub kept: KeptPositions,
    /// Keys in records before this one are values at another pointer: what they are the latest of
    /// has changed since.
    #[serde(default)]
    pub latest_since: Seq,
    /// The last position of the stream; 0 when it is not known.
    #[serde(default)]
    pub stream_end: Seq,
    /// How it was before the first of its last attempts that have done nothing but fail.
    #[serde(default)]
    pub failing_from: Option<Meanwhile>,
    /// What the receiver answered with its last error, or the command said, made harmless.
    #[serde(default)]
    pub last_words: Option<String>,
    /// What the totals over all endpoints have of it.
    #[serde(skip)]
    pub(in crate::queue) counted: Option<EndpointPart>,
}

impl EndpointState {
    /// It is put on hold: the clock of what waits stands.
    pub(in crate::queue) fn put_on_hold(&mut self, reason: &HoldReason, at: WallMs, ran_ms: u64) {
        if *reason != HoldReason::Operator {
            // As with a breaker: what it goes through ends with the first success after that.
            let counts = self.counts();
            self.failing.get_or_insert_with(|| Meanwhile::since(at, counts));
        }
        self.hold = Some((reason.clone(), at));
        self.age_pauses.stop(ran_ms);
    }

    /// Whether it is on hold for what its receiver answered: a success of an attempt that was under
    /// way then ends nothing.
    pub(in crate::queue) fn waits_for_release(&self) -> bool {
        self.hold.as_ref().is_some_and(|(reason, _)| *reason != HoldReason::Operator)
    }

    /// The last error, with what the receiver answered then, or the command said.
    pub(in crate::queue) fn last_error_with_words(&self) -> Option<String> {
        let error = self.last_error.as_ref()?;
        Some(match &self.last_words {
            Some(words) => format!("{error}: {words}"),
            None => error.clone(),
        })
    }

    /// Since when its oldest delivery has been older than its `warn_after`.
    pub fn lagging_since(&self) -> Option<WallMs> {
        self.lagging.map(|it| it.since.saturating_add(self.settings.warn_after_ms.unwrap_or(0)))
    }

    /// A checkpoint of an earlier version does not say that the clock of an endpoint on hold
    /// stands.
    pub(in crate::queue) fn pause_if_held(&mut self, ran_ms: u64) {
        if self.hold.is_some() {
            self.age_pauses.stop(ran_ms);
        }
    }

    /// The link is down for it: the clock of what waits stands.
    pub(in crate::queue) fn pause_ages_for_link(&mut self, ran_ms: u64) {
        self.age_pauses.away = true;
        self.age_pauses.stop(ran_ms);
    }

    /// The link is back for it: the clock goes on, unless it is on hold as well.
    pub(in crate::queue) fn resume_ages_after_link(&mut self, ran_ms: u64) {
        self.age_pauses.away = false;
        if self.hold.is_none() {
            self.age_pauses.go_on(ran_ms);
        }
    }

    /// The operator lets it go on: all that waits is due, and nothing keeps it back. What was
    /// parked begins anew.
    pub(in crate::queue) fn resume_all(&mut self, at: WallMs, ran_ms: u64) {
        self.hold = None;
        self.failing_ms = 0;
        self.restraint = None;
        self.failing_from = None;
        // What it went through ends with the first success.
        if !self.age_pauses.away {
            self.age_pauses.go_on(ran_ms);
        }
        for waiting in self.retrying.values_mut() {
            if std::mem::take(&mut waiting.parked) {
                waiting.born = ran_ms;
            }
            (waiting.due_at, waiting.delay_ms) = (at, 0);
        }
        for batch in self.batches.values_mut() {
            (batch.due_at, batch.delay_ms) = (at, 0);
        }
    }

    /// One that was made by record `seq`: nothing waits, and its stream begins there.
    pub(in crate::queue) fn new(settings: Arc<Endpoint>, seq: Seq) -> Self {
        Self {
            settings,
            hold: None,
            deleted: None,

            low: seq,
            ahead: RoaringTreemap::new(),
            retrying: Retries::default(),
            dead: CountedSeqs::default(),
            revived: RoaringTreemap::new(),
            cancelled: RoaringTreemap::new(),
            replayed_dead: BTreeMap::new(),
            needs_from: 0,
            needs_until: 0,
            undone: 0,
            delivered: 0,
            batches: BTreeMap::new(),

            last_error: None,
            last_success_at: None,
            failing_ms: 0,
            last_attempt_at: 0,
            succeeded: 0,
            failed: 0,
            needed_events: RoaringTreemap::new(),
            keeps_low: false,
            undecided: 0,
            undecided_last: 0,
            age_pauses: AgePauses::default(),
            restraint: None,
            last_failure: 0,
            died: 0,
            failing: None,
            lagging: None,
            last_taken: 0,
            waits_at: BTreeMap::new(),
            kept: KeptPositions::default(),
            latest_since: 0,
            stream_end: 0,
            failing_from: None,
            last_words: None,
            counted: None,
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
        let waits =
            self.retrying.contains_key(&seq) || self.revived.contains(seq) || !self.taken_up(seq);
        match (waits, &self.hold) {
            (false, _) => DeliveryState::Delivered,
            (true, _) if self.deleted.is_some() => DeliveryState::Cancelled,
            (true, None) => DeliveryState::Pending,
            (true, Some(_)) => DeliveryState::Held,
        }
    }

    /// The lane of a delivery whose event has this key: one for all where the order is strict;
    /// where only the latest of a key counts, a lane for each as well, and none for what has no
    /// value there, for nothing is a newer one of it.
    #[must_use]
    pub fn lane_of_key(&self, key: Option<u64>) -> Option<u64> {
        match self.settings.order {
            Order::None => key.filter(|key| self.is_latest() && *key != NO_VALUE),
            Order::Strict => Some(STRICT),
            Order::Key => key,
        }
    }

    /// The lane of a delivery that waits.
    #[must_use]
    pub fn lane_of_waiting(&self, delivery: Seq) -> Option<u64> {
        self.lane_of_key(self.retrying.get(&delivery).and_then(|waiting| waiting.key))
    }

    /// The entry of a delivery that waits for a retry.
    ///
    /// # Panics
    /// When it does not: whoever asks has seen its timer, or has just remembered that it waits.
    #[track_caller]
    pub(in crate::queue) fn waiting(&self, delivery: Seq) -> &Retrying {
        self.retrying.get(&delivery).unwrap_or_else(|| {
            panic!(
                "delivery {delivery} of endpoint '{}' does not wait for a retry",
                self.settings.name
            )
        })
    }

    /// The position in its lane of a delivery that waits.
    #[must_use]
    pub fn position_in_lane(&self, delivery: Seq) -> Seq {
        self.retrying.get(&delivery).and_then(|waiting| waiting.position).unwrap_or(delivery)
    }

    /// How old a delivery is that was accepted at `born`, by the run clock.
    #[must_use]
    pub fn age_ms(&self, born: u64, ran_ms: u64) -> u64 {
        self.age_pauses.age_ms(if born > 0 { born } else { RUN_START }, ran_ms)
    }

    #[must_use]
    pub fn counts(&self) -> EndpointCounts {
        let Self { delivered, failed, died, undone: waiting, .. } = *self;
        EndpointCounts { delivered, failed, died, waiting }
    }

    /// What keeps it back since its last attempt; and how it was when that began. Where the
    /// operator has lifted it, what it went through ends with the first success all the same.
    pub(in crate::queue) fn set_restraint(
        &mut self,
        restraint: Option<&Restraint>,
        has_succeeded: bool,
    ) {
        if has_succeeded && !self.waits_for_release() {
            self.failing = None;
        }
        if has_succeeded || restraint.is_none_or(|restraint| restraint.failures == 0) {
            self.failing_from = None;
        }
        if let Some(open) = restraint.filter(|restraint| restraint.breaker.is_some()) {
            // The failures that opened it, and the dead letters that these made, belong to what it
            // went through. Of failures that an earlier version counted, only the number is known.
            let before = self.failed.saturating_sub(open.failures.into());
            let counted = || Meanwhile { failed: before, ..Meanwhile::since(0, self.counts()) };
            let now = || Meanwhile {
                since: open.failing_since,
                ..self.failing_from.unwrap_or_else(counted)
            };
            self.failing = Some(self.failing.unwrap_or_else(now));
        }
        self.restraint = restraint.map(|restraint| Box::new(restraint.clone()));
    }

    pub(in crate::queue) fn learn_keys(&mut self, keys: &[(Seq, u64)]) {
        for (delivery, key) in keys {
            if let Some(waiting) = self.retrying.get_mut(delivery) {
                waiting.key = Some(*key);
            }
        }
    }

    /// Deliveries that wait in the stream.
    #[must_use]
    pub fn in_stream(&self) -> u64 {
        self.undone.saturating_sub(self.retrying.len() as u64)
    }

    /// Ends everything that waits. Returns how much that was.
    pub(in crate::queue) fn delete(&mut self, seq: Seq) -> u64 {
        self.deleted = Some(seq);
        // Only its name is still shown: its settings, which may be large, need not stand in every
        // checkpoint.
        let mut name_only = Endpoint::new(self.settings.name.clone(), "");
        (name_only.id, name_only.created_at) = (self.settings.id, self.settings.created_at);
        self.settings = Arc::new(name_only);
        self.hold = None;
        self.batches.clear();
        self.kept = KeptPositions::default();
        self.cancelled.extend(std::mem::take(&mut self.retrying).keys());
        self.cancelled |= std::mem::take(&mut self.revived);
        self.waits_at.clear();
        std::mem::take(&mut self.undone)
    }

    /// Takes a delivery out of the batch it waits with. A batch that others stay in gets the id
    /// `(seq, 0)`, because its content is another one.
    pub(in crate::queue) fn leave_batch(&mut self, seq: Seq, delivery: Seq) {
        // A delivery that waits alone, or not at all, leaves nothing.
        let Some(id) = self.retrying.get_mut(&delivery).and_then(|waiting| waiting.batch.take())
        else {
            return;
        };
        // In a log with a gap the record that made the batch may be missing.
        let Some(mut batch) = self.batches.remove(&id) else { return };
        batch.members.retain(|member| *member != delivery);
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

    /// A replay has made delivery `seq` of an older event.
    pub(in crate::queue) fn replayed(&mut self, seq: Seq, event: Seq) {
        self.undone += 1;
        self.stream_end = seq;
        self.needs_event(event, seq);
    }

    /// An attempt was started at a rate that is remembered.
    pub(in crate::queue) fn rate_spent(&mut self, at: WallMs) {
        self.last_attempt_at = at;
    }

    /// How its backlog is worked off. The newest first would break an order.
    #[must_use]
    pub fn catch_up_mode(&self) -> CatchUpMode {
        match self.settings.order {
            Order::None => self.settings.catch_up.mode,
            Order::Strict | Order::Key => CatchUpMode::Oldest,
        }
    }

    #[must_use]
    pub fn is_latest(&self) -> bool {
        self.catch_up_mode() == CatchUpMode::Latest
    }

    /// What is read of the events of its stream.
    #[must_use]
    pub fn keys(&self) -> Keys {
        Keys { latest_since: self.latest_since, ..Keys::of(&self.settings) }
    }

    /// The lane of an entry of the stream.
    #[must_use]
    pub fn lane_of(&self, entry: &StreamEntry) -> Option<u64> {
        if !self.is_latest() {
            return self.lane_of_key(entry.key);
        }
        self.lane_of_key(entry.latest_key.filter(|_| !entry.was_asked_for()))
    }

    /// Whether it is not known what this one is the latest of, because it was attempted before that
    /// was asked.
    #[must_use]
    pub fn lacks_key(&self, delivery: Seq, waiting: &Retrying) -> bool {
        self.is_latest() && waiting.key.is_none() && !waiting.asked && waiting.event == delivery
    }
}
