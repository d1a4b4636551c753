//! The fold: what each record changes in the state. Nothing else changes it.

use std::sync::Arc;

use super::endpoint::EndpointQueue;
use super::endpoint_state::{EndpointState, Retrying};
use super::meanwhile::Meanwhile;
use super::state::{State, StateError, impossible};
use crate::model::{
    DeliveryId, Endpoint, EndpointId, Event, Fingerprints, Order, Seq, Source, WallMs, limits,
};
use crate::record::{Record, WaitingDelivery};

impl State {
    /// Folds one record into the state.
    ///
    /// # Errors
    /// When the record cannot follow from this state.
    pub fn apply(&mut self, seq: Seq, record: &Record) -> Result<(), StateError> {
        if seq != self.next_seq {
            return Err(StateError::OutOfOrder { seq, expected: self.next_seq });
        }
        self.next_seq = seq + 1;
        self.ran_ms = self.ran_ms.max(record.ran_ms().unwrap_or(0));
        if self.unfolded.is_empty() {
            return self.fold(seq, record);
        }
        self.fill_in(record);
        match self.fold(seq, record) {
            // It speaks of an endpoint, a source or a replay that a missing record made.
            Err(StateError::Impossible { .. }) => Ok(()),
            folded => folded,
        }
    }

    /// One arm for each record, and none for all others: a new record has to say what it changes.
    #[allow(clippy::too_many_lines, reason = "one arm for each kind of record")]
    fn fold(&mut self, seq: Seq, record: &Record) -> Result<(), StateError> {
        let ran_ms = self.ran_ms;
        match record {
            Record::LogStarted { salt, .. } => self.salt = *salt,

            // Sources and endpoints.
            Record::SourceSet { source } => {
                self.next_source = self.next_source.max(source.id + 1);
                self.sources.insert(source.id, Arc::new(Source::clone(source)));
            }
            Record::SourceDeleted { source } => {
                self.sources
                    .remove(source)
                    .ok_or_else(|| impossible(seq, "it deletes an unknown source"))?;
                self.bins.remove(source);
                self.dedupe.forget_source(*source);
            }
            Record::EndpointSet { endpoint } => self.endpoint_set(seq, endpoint),
            Record::EndpointDeleted { endpoint, .. } => {
                let endpoint = self.remembered(seq, *endpoint)?;
                let cancelled = endpoint.delete(seq);
                self.counts.cancelled += cancelled;
            }
            Record::EndpointHeld { endpoint, reason, at, .. } => {
                self.remembered(seq, *endpoint)?.hold((reason.clone(), *at), ran_ms);
            }
            Record::EndpointReleased { endpoint, at, .. } => {
                self.remembered(seq, *endpoint)?.release(*at, ran_ms);
            }
            Record::EndpointAway { endpoint, ran_ms, .. } => {
                self.remembered(seq, *endpoint)?.go_away(*ran_ms)
            }
            Record::EndpointBack { endpoint, ran_ms, .. } => {
                self.remembered(seq, *endpoint)?.come_back(*ran_ms)
            }

            Record::EndpointLagged { endpoint, since, .. } => {
                let endpoint = self.remembered(seq, *endpoint)?;
                endpoint.lagging = Some(Meanwhile::since(*since, endpoint.counts()));
            }
            Record::EndpointCaughtUp { endpoint, .. } => {
                self.remembered(seq, *endpoint)?.lagging = None;
            }

            // Its time has been taken already.
            Record::ClockRan { .. } => {}
            Record::KeysLearned { endpoint, keys } => {
                self.remembered(seq, *endpoint)?.learn_keys(keys)
            }

            // Events and their deliveries.
            Record::EventAccepted { event, dedupe, fan_out, beside, .. } => {
                self.event_accepted(seq, event, *dedupe, fan_out, beside)?;
            }
            Record::DuplicateSeen { event, .. } => self.duplicate_seen(*event),
            Record::AttemptFinished(attempt) => self.attempt_finished(seq, attempt)?,
            Record::BatchFormed { endpoint, members, low, format } => {
                self.batch_formed(seq, *endpoint, members, *low, *format)?;
            }
            Record::BatchFinished(finished) => self.batch_finished(seq, finished)?,
            Record::DeliveryDied { dead } => self.died(seq, dead)?,
            Record::RateSpent { endpoint, at } => {
                self.remembered(seq, *endpoint)?.last_attempt_at = *at
            }
            Record::Superseded { endpoint, deliveries, low, .. } => {
                self.superseded(seq, *endpoint, deliveries, *low)?;
            }
            Record::DeliveryCancelled { delivery, dead_letter_seq, .. } => {
                self.cancelled(seq, *delivery, *dead_letter_seq)?
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
                // It is asked for anew, and begins a life of its own.
                let entry = Retrying {
                    born: ran_ms,
                    asked: true,
                    position: Some(seq),
                    ..Retrying::due(*event, *attempts, *last, *at)
                };
                self.retried(seq, *delivery, *dead_letter_seq, entry, *in_stream)?;
            }

            // Replays.
            Record::ReplayStarted { replay } => {
                self.replays.insert(replay.id, replay.clone());
            }
            Record::Replayed { event, endpoint, .. } => {
                let endpoint = self.remembered(seq, *endpoint)?;
                endpoint.undone += 1;
                endpoint.needs(*event, seq);
            }
            Record::ReplayAdvanced { replay, next, due_at, pause_ms } => {
                self.replay_advanced(seq, *replay, *next, (*due_at, *pause_ms))?;
            }

            // Retention, imports, and records that are lost.
            Record::EventRelocated { seq: number, event, .. } => {
                self.moved.insert(*number, seq);
                self.count_share(seq, event);
            }
            Record::DeliveriesRelocated { waiting } => self.deliveries_relocated(seq, waiting)?,
            Record::DeadLetterRecorded { dead_letter_seq, .. } => {
                self.dead_letter_seqs.remove(*dead_letter_seq);
                self.dead_letter_seqs.insert(seq);
            }
            Record::DeadLettersForgotten { dead_letter_seqs } => {
                for dead_letter_seq in dead_letter_seqs {
                    self.dead_letter_seqs.remove(*dead_letter_seq);
                }
            }
            Record::SegmentDropped { first, last, .. } => self.segment_dropped(*first, *last),
            Record::StreamPositionRelocated { waiting } => self.position_relocated(seq, waiting)?,
            Record::EventImported { event, identity, at } => {
                self.dedupe.insert_imported(*identity, *event, *at)
            }
            Record::RecordsLost { first, last, kept, .. } => self.records_lost(*first, *last, kept),
            Record::FilterUndecided { event, endpoints, .. } => {
                self.filter_undecided(seq, *event, endpoints)?
            }
        }
        Ok(())
    }

    fn filter_undecided(
        &mut self,
        seq: Seq,
        event: Seq,
        endpoints: &[EndpointId],
    ) -> Result<(), StateError> {
        for endpoint in endpoints {
            let endpoint = self.remembered(seq, *endpoint)?;
            endpoint.undecided += 1;
            endpoint.undecided_last = event;
        }
        Ok(())
    }

    fn event_accepted(
        &mut self,
        seq: Seq,
        event: &Event,
        dedupe: Option<u64>,
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
        self.known_from_now_on(seq, event, dedupe, beside);
        let all_are_known = self.unfolded.is_empty();
        for endpoint in fan_out {
            match self.remembered(seq, *endpoint) {
                Ok(endpoint) => endpoint.undone += 1,
                Err(error) if all_are_known => return Err(error),
                Err(_) => {}
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

        let latest_of = |e: &Endpoint| (e.catch_up.mode, e.catch_up.key.clone());
        let changed = latest_of(&endpoint.settings) != latest_of(&settings);
        if changed && settings.order == Order::None {
            // What they are the latest of is another question now.
            endpoint.retrying.values_mut().for_each(|waiting| waiting.key = None);
        }
        endpoint.settings = settings;
    }

    /// Remembers what a repetition of this event is known by, for the window of its source.
    fn known_from_now_on(
        &mut self,
        seq: Seq,
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
        let since = event.received_at.saturating_sub(window);
        self.dedupe.insert(event.source, key, beside, (seq, event.received_at), since);
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
            endpoint.undone = endpoint
                .undone
                .checked_sub(1)
                .ok_or_else(|| impossible(seq, "it cancels what had ended"))?;
        }
        endpoint.leave_batch(seq, delivery.seq);
        endpoint.retrying.remove(&delivery.seq);
        endpoint.revived.remove(delivery.seq);
        endpoint.replayed_dead.remove(&delivery.seq);
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
            endpoint.revived.insert(delivery.seq);
            if entry.event != delivery.seq {
                endpoint.needs(entry.event, seq);
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
            let endpoint = self.remembered(seq, w.delivery.endpoint)?;
            endpoint.take_up(Some(w.position), 0);
            endpoint.revived.remove(w.delivery.seq);
            let position = Retrying::position_if_moved(w.delivery.seq, w.position);
            let entry = Retrying {
                key: w.key,
                born: w.born,
                position,
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
        let (key, event) = (waiting.delivery.seq, waiting.event);
        let endpoint = self.remembered(seq, waiting.delivery.endpoint)?;
        endpoint.take_up(Some(waiting.position), 0);
        endpoint.revived.insert(key);
        if key != event {
            endpoint.needs(event, seq);
        }
        Ok(())
    }

    fn replay_advanced(
        &mut self,
        seq: Seq,
        replay: u64,
        next: Seq,
        due: (WallMs, u64),
    ) -> Result<(), StateError> {
        let job = self
            .replays
            .get_mut(&replay)
            .ok_or_else(|| impossible(seq, "it advances an unknown replay"))?;
        job.next = next;
        (job.due_at, job.pause_ms) = due;
        if next > job.end {
            self.replays.remove(&replay);
        }
        Ok(())
    }

    fn segment_dropped(&mut self, first: Seq, last: Seq) {
        self.first_seq = self.first_seq.max(last + 1);
        self.moved.retain(|_, stands_at| *stands_at < first || *stands_at > last);
        self.dead_letter_seqs.remove_range(first..=last);
        self.lost.remove_range(..=last);
        self.shares.drop_to(last);
        self.duplicates.retain(|event, _| *event < first || *event > last);
        let counts = &mut self.counts;
        self.endpoints.retain(|_, endpoint| {
            let stays =
                endpoint.deleted.is_none_or(|deleted| deleted > last) || !endpoint.dead.is_empty();
            counts.delivered_elsewhere += if stays { 0 } else { endpoint.delivered };
            stays
        });
        for endpoint in self.endpoints.values_mut().map(EndpointQueue::remembered_mut) {
            endpoint.cancelled.remove_range(first..=last);
            // Nothing waits at these positions any more: what did was relocated.
            endpoint.take_up(None, last);
        }
    }
}
