//! What follows from records that the log cannot give back.
//!
//! When the log is read it turns out which records cannot be read. The queue settles that
//! ([`Loss`]). A delivery whose event is lost becomes a dead letter with the reason [`LOST`]. One
//! of which only the position in the stream is lost gets another position. Dead letters of lost
//! records are recorded again.
//!
//! How many deliveries waited at lost positions follows from the number of deliveries that an
//! endpoint waits for and the number that the log still has. Which records these were is not always
//! known, so such a dead letter is named after a lost record. At the end [`Record::RecordsLost`]
//! says that nothing waits there any more. Each part is remembered for itself: after a crash the
//! rest is found again.

use roaring::RoaringTreemap;

use super::unsettled::{Loss, StreamWaits, Unsettled};
use crate::model::{DeliveryId, EndpointId, Now, Seq, limits};
use crate::queue::decision::Refusal;
use crate::queue::endpoint::EndpointQueue;
use crate::queue::request::QueueRequest;
use crate::queue::{Draft, Queue};
use crate::record::{DeadLetter, LOST, Record, WaitingDelivery};

/// Settles a part of what follows from records that the log cannot give back. Answers how many
/// deliveries or dead letters were changed by it.
#[derive(Clone, Debug)]
pub struct SettleLoss(pub Loss);

impl QueueRequest for SettleLoss {
    type Answer = usize;

    fn decide(self, queue: &mut Queue, now: Now, draft: &mut Draft) -> Result<usize, Refusal> {
        Ok(queue.settle_loss(now, self.0, draft))
    }
}

impl Queue {
    /// What has to be settled when these records cannot be read.
    pub(in crate::queue) fn unsettled(&self, unreadable: &RoaringTreemap) -> Unsettled {
        let records = unreadable - &self.state.lost;
        let is_new = !records.is_empty();

        let waits = |endpoint: &&EndpointQueue| {
            endpoint.in_stream() > 0 && (is_new || endpoint.may_wait_among(unreadable))
        };
        let streams =
            self.state.living().filter(waits).map(|endpoint| self.stream_waits(endpoint)).collect();
        let lost_dead_letter_seqs = &self.state.dead_letter_seqs & unreadable;
        let (mut dead_letter_seqs, mut dead) = (RoaringTreemap::new(), Vec::new());
        let dead_letters = self.state.totals().dead;

        // A death may be remembered whose record was missing when the state was folded.
        if !lost_dead_letter_seqs.is_empty() || dead_letters > self.state.dead_letter_seqs.len() {
            dead_letter_seqs = self.state.dead_letter_seqs.clone();
            dead = self
                .state
                .endpoints
                .iter()
                .map(|(id, endpoint)| (*id, RoaringTreemap::clone(&endpoint.dead)))
                .collect();
        }

        Unsettled {
            records,
            streams,
            end: self.state.next_seq,
            events: self.unreadable_events(unreadable),
            lost_dead_letter_seqs,
            dead_letter_seqs,
            dead,
        }
    }

    /// The events that are held by records which cannot be read.
    fn unreadable_events(&self, unreadable: &RoaringTreemap) -> RoaringTreemap {
        let mut events = unreadable.clone();
        for (event, at) in self.state.moved.iter() {
            if unreadable.contains(at) {
                events.insert(event);
            } else {
                events.remove(event);
            }
        }
        events
    }

    /// The deliveries of an endpoint that wait in its stream.
    fn stream_waits(&self, endpoint: &EndpointQueue) -> StreamWaits {
        let mut elsewhere = RoaringTreemap::clone(&endpoint.dead);
        elsewhere.extend(endpoint.retrying.keys().copied());
        StreamWaits {
            endpoint: endpoint.settings.id,
            low: endpoint.low,
            ahead: endpoint.ahead.clone(),
            count: endpoint.in_stream(),
            revived: endpoint.revived.clone(),
            waits_at: endpoint.waits_at.clone(),
            cancelled: endpoint.cancelled.clone(),
            kept: endpoint.kept.clone(),
            elsewhere,
            at_hand: endpoint.open_positions().collect(),
        }
    }

    /// Settles a part of a loss. Answers how many deliveries or dead letters were changed by it.
    pub(in crate::queue) fn settle_loss(
        &mut self,
        now: Now,
        loss: Loss,
        draft: &mut Draft,
    ) -> usize {
        match loss {
            Loss::Events(records) => self.end_retries(now, &records, draft),
            Loss::Deliveries { endpoint, deliveries } => {
                self.end_lost(now, endpoint, &deliveries, draft)
            }
            Loss::Positions { endpoint, deliveries } => {
                self.give_new_positions(endpoint, &deliveries, draft)
            }
            Loss::DeadLetters(dead_letter_seqs) => self.record_again(now, &dead_letter_seqs, draft),

            // The last part: nothing waits among these records any more.
            Loss::Records { first, last } => {
                let open = self.state.living().flat_map(|endpoint| {
                    let id = endpoint.settings.id;
                    endpoint.open_positions().map(move |position| (id, position))
                });
                let is_lost = |(id, position): &(EndpointId, Seq)| {
                    let endpoint = self.state.endpoint(*id);
                    (first..=last).contains(&endpoint.record_of_position(*position))
                };
                let kept = open.filter(is_lost).collect();
                self.remember(Record::RecordsLost { first, last, kept, at: now.wall_ms }, draft);
                0
            }
        }
    }

    /// Ends deliveries that wait for a retry and whose events are lost. Those in flight end by
    /// their attempts.
    fn end_retries(&mut self, now: Now, records: &RoaringTreemap, draft: &mut Draft) -> usize {
        let record_of = |event: Seq| self.state.held_at(event);
        let lost = self
            .state
            .endpoints
            .iter()
            .filter(|(_, endpoint)| endpoint.deleted.is_none())
            .flat_map(|(id, endpoint)| {
                let waiting = endpoint
                    .retrying
                    .iter()
                    .filter(|(_, waiting)| records.contains(record_of(waiting.event)));
                waiting
                    .map(|(seq, waiting)| (DeliveryId { seq: *seq, endpoint: *id }, waiting.event))
            });
        let lost: Vec<(DeliveryId, Seq)> = lost
            .filter(|(delivery, _)| !self.is_in_flight(*delivery))
            .take(limits::SLICE)
            .collect();

        for (delivery, event) in &lost {
            self.die(now, *delivery, *event, LOST, draft);
        }
        lost.len()
    }

    /// Ends deliveries that waited in the stream, and whose positions are lost.
    fn end_lost(
        &mut self,
        now: Now,
        endpoint: EndpointId,
        deliveries: &[Seq],
        draft: &mut Draft,
    ) -> usize {
        let mut ended = 0;
        for seq in deliveries {
            // The endpoint may have been deleted while the log was read.
            let Some(found) = self.state.find_mut(endpoint) else { return ended };
            let is_elsewhere = found.retrying.contains_key(seq)
                || found.dead.contains(*seq)
                || found.cancelled.contains(*seq);
            let is_in_memory = found.prefetch().find(*seq).is_some_and(|job| job.loaded.is_some());
            if is_elsewhere || is_in_memory || found.is_in_flight(*seq) {
                continue;
            }

            // What was found to wait at a position that can be read may have been prefetched since.
            found.withdraw(*seq);
            let at_hand = found.open_positions().count() as u64;
            if found.in_stream() <= at_hand {
                continue;
            }

            let delivery = DeliveryId { seq: *seq, endpoint };
            let reason = LOST.to_owned();
            let dead = DeadLetter {
                delivery,
                event: *seq,
                attempts: 0,
                died_at: now.wall_ms,
                reason,
                last: 0,
                kept_since: None,
            };
            self.remember(Record::DeliveryDied { dead: dead.clone() }, draft);
            self.notify_dead(now, &dead, None, false, draft);
            ended += 1;
        }
        self.wake(endpoint);
        ended
    }

    /// Gives deliveries that were asked for again, and of which only the positions are lost, new
    /// positions.
    fn give_new_positions(
        &mut self,
        endpoint: EndpointId,
        deliveries: &[Seq],
        draft: &mut Draft,
    ) -> usize {
        let mut moved = 0;
        for seq in deliveries {
            let delivery = DeliveryId { seq: *seq, endpoint };
            let remembered = self.state.endpoints.get(&endpoint);
            let waits = remembered.is_some_and(|endpoint| endpoint.revived.contains(*seq));
            if !waits || self.is_in_flight(delivery) {
                continue;
            }

            let entry = WaitingDelivery {
                delivery,
                position: 0,
                event: *seq,
                attempts: 0,
                last: 0,
                key: None,
                // When it was asked for is lost with its position. It counts as asked for now.
                born: self.ran_ms,
                source: 0,
            };
            self.relocate_position(entry, draft);
            moved += 1;
        }
        moved
    }

    /// Records dead letters again whose records are lost, and with them their reasons.
    fn record_again(
        &mut self,
        now: Now,
        dead_letter_seqs: &[(Seq, DeliveryId)],
        draft: &mut Draft,
    ) -> usize {
        let mut recorded = 0;
        for (dead_letter_seq, delivery) in dead_letter_seqs {
            let Some(endpoint) = self.state.endpoints.get(&delivery.endpoint) else { continue };
            if !endpoint.dead.contains(delivery.seq)
                || (*dead_letter_seq > 0 && !self.state.dead_letter_seqs.contains(*dead_letter_seq))
            {
                continue;
            }

            let event = endpoint.replayed_dead.get(&delivery.seq).copied().unwrap_or(delivery.seq);
            let (reason, died_at) = (LOST.to_owned(), now.wall_ms);
            let (attempts, last, kept_since) = (0, 0, None);
            let delivery = *delivery;
            let dead = DeadLetter { delivery, event, attempts, died_at, reason, last, kept_since };
            self.remember(
                Record::DeadLetterRecorded { dead, dead_letter_seq: *dead_letter_seq },
                draft,
            );
            recorded += 1;
        }
        recorded
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::SettleLoss;
    use crate::model::{DeliveryId, Endpoint, Seq};
    use crate::queue::testing::TestQueue;
    use crate::queue::{
        Input, Loss, OWN_SOURCE, Queue, Refusal, RetryCheckQuery, RetryDeliveries, Revive, State,
    };
    use crate::record::Record;

    /// The numbers and types of the daemon's own events among these records.
    fn notices(records: &[Record]) -> Vec<(Seq, String)> {
        let own = records.iter().filter_map(|record| match record {
            Record::EventAccepted { event, .. } if event.is_own() => Some(event),
            _ => None,
        });
        own.map(|event| (event.id.seq, event.kind.clone())).collect()
    }

    /// How many notices of dead letters there are when the log cannot give this delivery back
    /// after a restart.
    fn notices_when_lost(world: &TestQueue, endpoint: u32, seq: Seq) -> usize {
        let mut state = State::new();
        for (seq, record) in (1..).zip(&world.records) {
            state.apply(seq, record).expect("it follows");
        }

        let mut now = world.now;
        let mut queue = Queue::new(state, 1, now);
        let lost = Loss::Deliveries { endpoint, deliveries: vec![seq] };
        let settled = queue.handle(now, SettleLoss(lost));
        assert_eq!(settled.answer.expect("it is not refused"), 1, "it became a dead letter");

        let mut records = settled.records;
        for _ in 0..3 {
            (now.mono_ms, now.wall_ms) = (now.mono_ms + 60_000, now.wall_ms + 60_000);
            records.extend(queue.run(now).records);
        }
        notices(&records).iter().filter(|(_, kind)| kind == "hookbox.delivery.dead").count()
    }

    #[test]
    fn a_dead_letter_whose_event_is_lost_is_refused_by_a_dry_run_as_by_the_real_one() {
        let mut world = TestQueue::new([Endpoint::new("app", "pull:")]);
        let seq = world.accept("{}").seq;
        let mut state = State::new();
        for (seq, record) in (1..).zip(&world.records) {
            state.apply(seq, record).expect("it follows");
        }
        let mut queue = Queue::new(state, 1, world.now);
        let lost = Loss::Deliveries { endpoint: 1, deliveries: vec![seq] };
        queue.handle(world.now, SettleLoss(lost)).answer.expect("settled");
        let lost = Loss::Records { first: seq, last: seq };
        queue.handle(world.now, SettleLoss(lost)).answer.expect("settled");

        let dead_letter_seq = queue.state().dead_letter_seqs.min();
        let delivery = DeliveryId { seq, endpoint: 1 };
        let revive = Revive { delivery, event: seq, attempts: 0, last: 0, dead_letter_seq };
        let why = queue.ask(world.now, &RetryCheckQuery(vec![revive]))[0].expect("it is left out");
        assert!(why.contains("lost with damaged records"), "{why}");
        let done = queue.handle(world.now, RetryDeliveries { deliveries: vec![revive] }).answer;
        assert_eq!(done, Err(Refusal::Impossible(format!("delivery {delivery} {why}"))));
    }

    #[test]
    fn a_notice_that_is_lost_makes_no_other_notice() {
        let to = |name: &str, from: &str| Endpoint {
            from: vec![from.to_owned()],
            ..Endpoint::new(name, "http://127.0.0.1:9/")
        };
        let endpoints = [to("mail", OWN_SOURCE), to("pager", OWN_SOURCE), to("app", "in")];
        let mut world = TestQueue::new(endpoints);
        world.input(Input::Announce { kind: "hookbox.test".to_owned(), data: json!({}) });
        let [(notice, _)] = notices(&world.records)[..] else { panic!("it is sent") };
        let event = world.accept("{}");

        assert_eq!(notices_when_lost(&world, 3, event.seq), 1, "of others there is a notice");
        assert_eq!(notices_when_lost(&world, 1, notice), 0);
    }
}
