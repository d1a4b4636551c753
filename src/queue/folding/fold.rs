//! The fold: what each record changes in the state. Nothing else changes it.

use std::collections::BTreeMap;
use std::sync::Arc;

use roaring::RoaringTreemap;

use super::state::{State, StateError, impossible};
use crate::model::{
    DeliveryId, Endpoint, EndpointId, Event, Fingerprints, Order, Seq, Source, SourceId, WallMs,
    limits,
};
use crate::queue::endpoint::EndpointQueue;
use crate::queue::remembered::dedupe::KeyTime;
use crate::queue::remembered::endpoint_state::EndpointState;
use crate::queue::remembered::meanwhile::Meanwhile;
use crate::queue::remembered::waiting::Retrying;
use crate::queue::stream::relocation::SegmentRange;
use crate::record::{Record, Replay, WaitingDelivery};

impl State {
    /// Folds one record into the state.
    ///
    /// After missing records (see `gaps`) a record may name an endpoint, a source or a replay that
    /// no record at hand has made. Then it is folded as far as what it names is known: an arm that
    /// is about several things leaves out the unknown ones, and does not stop at them. So the error
    /// of an arm says that the one thing it is about is unknown, and that no more of it is to be
    /// folded.
    ///
    /// # Errors
    /// When the record cannot follow from this state.
    pub fn apply(&mut self, seq: Seq, record: &Record) -> Result<(), StateError> {
        if seq != self.next_seq {
            return Err(StateError::OutOfOrder { seq, expected: self.next_seq });
        }
        self.next_seq = seq + 1;
        self.ran_ms = self.ran_ms.max(record.ran_ms().unwrap_or(0));
        let has_gaps = !self.unfolded.is_empty();
        if has_gaps {
            self.fill_in(record);
        }
        let folded = self.fold(seq, record);
        self.count_changed();

        match folded {
            // The one thing that it is about was made by a missing record.
            Err(StateError::Impossible { .. }) if has_gaps => Ok(()),
            folded => folded,
        }
    }

    /// One arm for each record, and none for all others: a new record has to say what it changes.
    fn fold(&mut self, seq: Seq, record: &Record) -> Result<(), StateError> {
        match record {
            Record::LogStarted { salt, .. } => self.salt = *salt,
            // Its time has been taken already.
            Record::ClockRan { .. } => {}

            // Sources and endpoints.
            Record::SourceSet { source } => self.source_set(source),
            Record::SourceDeleted { source } => self.source_deleted(seq, *source)?,
            Record::EndpointSet { endpoint } => self.endpoint_set(seq, endpoint),
            Record::EndpointDeleted { endpoint, .. } => self.endpoint_deleted(seq, *endpoint)?,
            Record::EndpointHeld { endpoint: id, reason, at, .. } => {
                let ran_ms = self.ran_ms;
                self.remembered(seq, *id)?.put_on_hold(reason, *at, ran_ms);
            }
            Record::EndpointReleased { endpoint: id, at, .. } => {
                let ran_ms = self.ran_ms;
                self.run_times.note(ran_ms, *at);
                self.remembered(seq, *id)?.resume_all(*at, ran_ms);
            }
            Record::EndpointAway { endpoint: id, ran_ms, .. } => {
                self.remembered(seq, *id)?.pause_ages_for_link(*ran_ms);
            }
            Record::EndpointBack { endpoint: id, ran_ms, .. } => {
                self.remembered(seq, *id)?.resume_ages_after_link(*ran_ms);
            }
            Record::EndpointLagged { endpoint: id, since, .. } => {
                let endpoint = self.remembered(seq, *id)?;
                endpoint.lagging = Some(Meanwhile::since(*since, endpoint.counts()));
            }
            Record::EndpointCaughtUp { endpoint: id, .. } => {
                self.remembered(seq, *id)?.lagging = None;
            }
            Record::KeysLearned { endpoint: id, keys } => {
                self.remembered(seq, *id)?.learn_keys(keys);
            }
            Record::RateSpent { endpoint: id, at } => self.remembered(seq, *id)?.rate_spent(*at),

            // Events and their deliveries.
            Record::EventAccepted { event, dedupe, fan_out, beside, ran_ms } => {
                // What was imported was accepted before, at a time that only the wall clock has.
                let ran_ms = if event.first_id.is_some() { 0 } else { *ran_ms };
                self.run_times.note(ran_ms, event.received_at);
                let now = KeyTime { ran_ms, wall_ms: event.received_at };
                self.event_accepted(seq, event, fan_out, beside)?;
                self.known_from_now_on(seq, now, event, *dedupe, beside);
            }
            Record::DuplicateSeen { event, .. } => self.duplicate_seen(*event),
            Record::FilterUndecided { event, endpoints, .. } => {
                self.filter_undecided(seq, *event, endpoints)?;
            }
            Record::AttemptFinished(attempt) => self.attempt_finished(seq, attempt)?,
            Record::BatchFormed { endpoint, members, low, format } => {
                self.batch_formed(seq, *endpoint, members, *low, *format)?;
            }
            Record::BatchFinished(finished) => self.batch_finished(seq, finished)?,
            Record::DeliveryDied { dead } => self.died(seq, dead)?,
            Record::Superseded { endpoint, deliveries, low, .. } => {
                self.superseded(seq, *endpoint, deliveries, *low)?;
            }
            Record::DeliveryCancelled { delivery, dead_letter_seq, .. } => {
                self.cancelled(seq, *delivery, *dead_letter_seq)?;
            }
            Record::DeliveryRetried {
                delivery,
                at,
                dead_letter_seq,
                event,
                attempts,
                last,
                in_stream,
                ..
            } => {
                self.run_times.note(self.ran_ms, *at);
                let entry =
                    Retrying::due(*event, *attempts, *last, *at).asked_again(seq, self.ran_ms);
                self.retried(seq, *delivery, *dead_letter_seq, entry, *in_stream)?;
            }

            // Replays.
            Record::ReplayStarted { replay } => self.replay_started(replay),
            Record::Replayed { event, endpoint: id, at, ran_ms } => {
                self.run_times.note(*ran_ms, *at);
                self.remembered(seq, *id)?.replayed(seq, *event);
            }
            Record::ReplayAdvanced { replay, next, due_at, pause_ms, left_from } => {
                self.replay_advanced(seq, *replay, (*next, *left_from), (*due_at, *pause_ms))?;
            }

            // Retention, imports, and records that are lost.
            Record::EventRelocated { seq: from, event, .. } => {
                self.event_relocated(*from, seq, event)
            }
            Record::DeliveriesRelocated { waiting } => self.deliveries_relocated(seq, waiting)?,
            Record::StreamPositionRelocated { waiting } => self.position_relocated(seq, waiting)?,
            Record::PositionsRelocated { waiting } => self.positions_relocated(seq, waiting)?,
            Record::DeadLetterRecorded { dead_letter_seq: from, .. } => {
                self.dead_letter_seqs.remove(*from);
                self.dead_letter_seqs.insert(seq);
            }
            Record::DeadLettersForgotten { dead_letter_seqs } => {
                self.dead_letters_forgotten(dead_letter_seqs);
            }
            Record::SegmentDropped { first, last, .. } => self.segment_dropped(*first, *last),
            Record::EventImported { event, identity, at } => {
                self.dedupe.insert_imported(*identity, *event, *at);
            }
            Record::RecordsLost { first, last, kept, .. } => self.records_lost(*first, *last, kept),
            Record::DamageAcknowledged { ranges, at } => self.acknowledged.add(ranges, *at),
        }
        Ok(())
    }

    fn source_set(&mut self, source: &Source) {
        self.next_source = self.next_source.max(source.id + 1);
        self.sources.insert(source.id, Arc::new(source.clone()));
    }

    fn source_deleted(&mut self, seq: Seq, source: SourceId) -> Result<(), StateError> {
        self.sources
            .remove(&source)
            .ok_or_else(|| impossible(seq, "it deletes an unknown source"))?;
        self.bins.remove(&source);
        self.dedupe.forget_source(source);
        Ok(())
    }

    fn endpoint_deleted(&mut self, seq: Seq, id: EndpointId) -> Result<(), StateError> {
        let cancelled = self.remembered(seq, id)?.delete(seq);
        self.counts.cancelled += cancelled;
        Ok(())
    }

    fn replay_started(&mut self, replay: &Replay) {
        let to = self.replayed_to(replay);
        self.replays.insert(replay.id, Replay { to, ..replay.clone() });
    }

    /// The endpoint of a replay, by its number. A replay of an earlier version knows it by its name
    /// alone.
    fn replayed_to(&self, replay: &Replay) -> Option<EndpointId> {
        replay.to.or_else(|| {
            let name = replay.filter.to.as_deref()?;
            let named = self.living().find(|endpoint| endpoint.settings.name == name);
            named.map(|endpoint| endpoint.settings.id)
        })
    }

    /// Gives the replays of a checkpoint of an earlier version the numbers of their endpoints.
    pub(in crate::queue) fn number_replays(&mut self) {
        let to: Vec<_> = self.replays.values().map(|replay| self.replayed_to(replay)).collect();
        for (replay, to) in self.replays.values_mut().zip(to) {
            replay.to = to;
        }
    }

    fn event_relocated(&mut self, from: Seq, to: Seq, event: &Event) {
        let stood_at = self.held_at(from);
        self.replays.values_mut().for_each(|replay| replay.relocated(from, stood_at));
        self.moved.insert(from, to);
        self.count_share(to, event);
    }

    fn dead_letters_forgotten(&mut self, dead_letter_seqs: &[Seq]) {
        for dead_letter_seq in dead_letter_seqs {
            self.dead_letter_seqs.remove(*dead_letter_seq);
        }
    }

    fn filter_undecided(
        &mut self,
        seq: Seq,
        event: Seq,
        endpoints: &[EndpointId],
    ) -> Result<(), StateError> {
        for id in endpoints {
            let Some(endpoint) = self.remembered_if_known(seq, *id)? else { continue };
            endpoint.undecided += 1;
            endpoint.undecided_last = event;
        }
        Ok(())
    }

    fn event_accepted(
        &mut self,
        seq: Seq,
        event: &Event,
        fan_out: &[EndpointId],
        beside: &Fingerprints,
    ) -> Result<(), StateError> {
        self.counts.events += 1;
        self.last_wall = event.received_at;
        self.count_share(seq, event);
        if self.sources.get(&event.source).is_some_and(|source| source.verify == "bin") {
            let bin = self.bins.entry(event.source).or_default();
            bin.events += 1;
            bin.bytes += event.cost() as u64;
        }
        self.counts.conflicts += u64::from(beside.conflicts_with.is_some());
        for id in fan_out {
            if let Some(endpoint) = self.remembered_if_known(seq, *id)? {
                endpoint.undone += 1;
                endpoint.stream_end = seq;
            }
        }
        Ok(())
    }

    fn count_share(&mut self, seq: Seq, event: &Event) {
        // The daemon's own events are nobody's share.
        if !event.is_own() {
            self.shares.add(event.source, seq, event.cost() as u64);
        }
    }

    fn endpoint_set(&mut self, seq: Seq, settings: &Endpoint) {
        self.next_endpoint = self.next_endpoint.max(settings.id + 1);
        let settings = Arc::new(settings.clone());
        let new = || EndpointQueue::new(EndpointState::new(settings.clone(), seq));
        let endpoint = self.endpoints.entry(settings.id).or_insert_with(new).remembered_mut();
        self.changed.push(settings.id);

        let latest_of = |e: &Endpoint| (e.catch_up.mode, e.catch_up.key.clone());
        let changed = latest_of(&endpoint.settings) != latest_of(&settings);
        if changed && settings.order == Order::None {
            // What they are the latest of is another question now.
            endpoint.retrying.values_mut().for_each(|waiting| waiting.key = None);
            endpoint.latest_since = seq;
        }
        endpoint.settings = settings;
    }

    /// Remembers what a repetition of this event is known by, for the window of its source.
    fn known_from_now_on(
        &mut self,
        seq: Seq,
        now: KeyTime,
        event: &Event,
        key: Option<u64>,
        beside: &Fingerprints,
    ) {
        if key.is_none() && beside.also.is_none() {
            return;
        }
        let window = self
            .sources
            .get(&event.source)
            .map_or(limits::DEFAULT_DEDUPE_WINDOW_MS, |s| s.dedupe_window_ms);
        self.dedupe.insert(event.source, key, beside, (seq, now), now.before(window));
    }

    fn duplicate_seen(&mut self, event: Seq) {
        self.counts.duplicates += 1;
        *self.duplicates.entry(event).or_insert(0) += 1;
        if self.duplicates.len() > limits::DUPLICATE_COUNTS {
            self.duplicates.pop_first();
        }
    }

    fn cancelled(
        &mut self,
        seq: Seq,
        delivery: DeliveryId,
        dead_letter_seq: Option<Seq>,
    ) -> Result<(), StateError> {
        if let Some(dead_letter_seq) = dead_letter_seq {
            self.dead_letter_seqs.remove(dead_letter_seq);
        }
        self.counts.cancelled += 1;
        let endpoint = self.remembered(seq, delivery.endpoint)?;
        if !endpoint.dead.remove(delivery.seq) {
            self.count_end(seq, delivery.endpoint)?;
        }

        let endpoint = self.remembered(seq, delivery.endpoint)?;
        endpoint.leave_batch(seq, delivery.seq);
        endpoint.retrying.remove(&delivery.seq);
        endpoint.leave_stream(seq, delivery.seq);
        endpoint.replayed_dead.remove(&delivery.seq);
        endpoint.kept.take_up(delivery.seq);
        endpoint.cancelled.insert(delivery.seq);
        Ok(())
    }

    fn retried(
        &mut self,
        seq: Seq,
        delivery: DeliveryId,
        dead_letter_seq: Option<Seq>,
        entry: Retrying,
        in_stream: bool,
    ) -> Result<(), StateError> {
        if let Some(dead_letter_seq) = dead_letter_seq {
            self.dead_letter_seqs.remove(dead_letter_seq);
        }
        if in_stream {
            self.position_records.insert(seq);
        }

        let endpoint = self.remembered(seq, delivery.endpoint)?;
        let was_dead = endpoint.dead.remove(delivery.seq);
        let was_cancelled = endpoint.cancelled.remove(delivery.seq);
        endpoint.replayed_dead.remove(&delivery.seq);
        if was_dead || was_cancelled {
            endpoint.undone += 1;
        }
        // It may have been cancelled before its position in the stream was read, which must not
        // count again.
        endpoint.take_up(Some(delivery.seq), 0);

        if in_stream {
            endpoint.retrying.remove(&delivery.seq);
            endpoint.wait_in_stream(delivery.seq, seq);
            if entry.event != delivery.seq {
                endpoint.needs_event(entry.event, seq);
            }
        } else if let Some(waiting) = endpoint.retrying.get_mut(&delivery.seq) {
            // The operator hurries one that waits: it stays in its lane and in its batch.
            (waiting.due_at, waiting.delay_ms, waiting.parked) = (entry.due_at, 0, false);
            (waiting.age_ms, waiting.born, waiting.asked) = (0, entry.born, true);
            if let Some(batch) = waiting.batch.and_then(|id| endpoint.batches.get_mut(&id)) {
                (batch.due_at, batch.delay_ms) = (entry.due_at, 0);
            }
        } else {
            endpoint.retrying.insert(delivery.seq, entry);
        }
        Ok(())
    }

    /// Positions in the stream are dropped, and their deliveries wait among the retries.
    fn deliveries_relocated(
        &mut self,
        seq: Seq,
        waiting: &[WaitingDelivery],
    ) -> Result<(), StateError> {
        for w in waiting {
            let id = w.delivery.endpoint;
            let Some(endpoint) = self.remembered_if_known(seq, id)? else { continue };
            endpoint.take_up(Some(w.position), 0);
            endpoint.revived.remove(w.delivery.seq);
            let position = Retrying::position_if_moved(w.delivery.seq, w.position);
            let entry = Retrying {
                key: w.key,
                born: w.born,
                position,
                source: w.source,
                ..Retrying::due(w.event, w.attempts, w.last, 0)
            };
            endpoint.retrying.insert(w.delivery.seq, entry);
        }
        Ok(())
    }

    /// A position in the stream is dropped, and its delivery waits at this record's.
    fn position_relocated(
        &mut self,
        seq: Seq,
        waiting: &WaitingDelivery,
    ) -> Result<(), StateError> {
        self.position_records.insert(seq);
        let (delivery, event) = (waiting.delivery.seq, waiting.event);
        let endpoint = self.remembered(seq, waiting.delivery.endpoint)?;
        endpoint.take_up(Some(waiting.position), 0);
        endpoint.wait_in_stream(delivery, seq);
        if delivery != event {
            endpoint.needs_event(event, seq);
        }
        Ok(())
    }

    /// The records of positions in streams are dropped, and this one holds them from now on.
    fn positions_relocated(
        &mut self,
        seq: Seq,
        waiting: &[WaitingDelivery],
    ) -> Result<(), StateError> {
        self.position_records.insert(seq);
        let mut by_endpoint: BTreeMap<EndpointId, Vec<&WaitingDelivery>> = BTreeMap::new();
        for waiting in waiting {
            by_endpoint.entry(waiting.delivery.endpoint).or_default().push(waiting);
        }
        for (id, waiting) in by_endpoint {
            if let Some(endpoint) = self.remembered_if_known(seq, id)? {
                endpoint.keep_positions(&waiting, seq);
            }
        }
        Ok(())
    }

    fn replay_advanced(
        &mut self,
        seq: Seq,
        replay: u64,
        (next, left_from): (Seq, Option<Seq>),
        due: (WallMs, u64),
    ) -> Result<(), StateError> {
        let job = self
            .replays
            .get_mut(&replay)
            .ok_or_else(|| impossible(seq, "it advances an unknown replay"))?;
        job.next = next;
        (job.due_at, job.pause_ms) = due;
        if let Some(from) = left_from {
            job.left.remove_range(..from);
        }
        if next > job.end && (left_from.is_none() || job.left.is_empty()) {
            self.replays.remove(&replay);
        }
        Ok(())
    }

    fn segment_dropped(&mut self, first: Seq, last: Seq) {
        self.first_seq = self.first_seq.max(last + 1);
        self.moved.forget_standing(SegmentRange { first, last });
        self.position_records.forget(SegmentRange { first, last });
        self.dead_letter_seqs.remove_range(first..=last);
        self.lost.remove_range(..=last);
        self.acknowledged.drop_to(last);
        self.shares.drop_to(last);
        self.duplicates.retain(|event, _| *event < first || *event > last);

        let (counts, totals) = (&mut self.counts, &mut self.totals);
        self.endpoints.retain(|_, endpoint| {
            let stays =
                endpoint.deleted.is_none_or(|deleted| deleted > last) || !endpoint.dead.is_empty();
            if !stays {
                counts.delivered_elsewhere += endpoint.delivered;
                if let Some(counted) = endpoint.counted {
                    totals.forget(&endpoint.settings.name, counted);
                }
            }
            stays
        });

        for endpoint in self.endpoints.values_mut().map(EndpointQueue::remembered_mut) {
            endpoint.cancelled.remove_range(first..=last);
            // Nothing waits in these records any more: what did is kept by others.
            endpoint.kept.forget_records(SegmentRange { first, last }, &RoaringTreemap::new());
            endpoint.raise_low(last);
        }
    }
}
