//! Attempts: what must hold when one leaves, and what its receiver answers.

use std::collections::BTreeMap;
use std::sync::Arc;

use hookbox::model::{BatchId, DeliveryId, DeliveryState, Endpoint, Event, EventId, Order, Seq};
use hookbox::queue::Input;
use hookbox::scheduler::Core;

use super::ends::story;
use super::{MOST_CONSUMED, World};
use crate::sim::store::Disk;

impl World {
    /// A receiver gets a request.
    pub(super) fn attempt(
        &mut self,
        core: &Core<&mut Disk>,
        delivery: DeliveryId,
        number: u32,
        endpoint: &Endpoint,
        event: &Arc<Event>,
    ) {
        self.totals.attempts += 1;
        let queue = core
            .queue
            .state()
            .endpoints
            .get(&delivery.endpoint)
            .expect("an attempt for an endpoint that exists");
        let state = queue.state_of(delivery.seq);
        let waits = matches!(state, DeliveryState::Pending | DeliveryState::Held);
        assert!(waits, "{delivery} is attempted although it is {state:?}");
        assert!(
            core.store.read(delivery.seq).is_some() || delivery.seq < core.queue.state().first_seq
        );

        if let Some(not_before) = self.checker.not_before.get(&delivery) {
            assert!(
                self.now.mono_ms >= *not_before,
                "{delivery} is attempted before its delay is over"
            );
        }

        let clash = self.checker.in_flight.insert(delivery, number);
        assert!(clash.is_none(), "{delivery} is attempted twice at a time");
        self.check_flight(core, endpoint, &[delivery]);
        self.restraints.attempt(self.now, endpoint, &[delivery], std::slice::from_ref(event));
        self.backlog.attempt(self.now, endpoint, delivery);
        self.witnesses.attempt(delivery);

        let answer = self.behave(endpoint, std::slice::from_ref(event));
        if answer.taken.contains(&event.id) {
            self.checker.taken.insert(delivery);
        }
        let within_ms = answer.within_ms;
        let report = self.report(answer, &format!("event {} was answered so", event.id.seq));
        self.plan_at(within_ms, Input::Finished { delivery, report });
    }

    /// A receiver gets a batch.
    pub(super) fn attempt_batch(
        &mut self,
        core: &Core<&mut Disk>,
        endpoint: &Endpoint,
        batch: BatchId,
        _number: u32,
        events: &[Arc<Event>],
    ) {
        self.totals.attempts += 1;
        self.totals.batches += 1;
        let limit = endpoint.batch.expect("only endpoints with batches get one");
        assert!(events.len() <= limit.max_events as usize, "{batch} holds {} events", events.len());
        let bytes: u64 = events.iter().map(|event| event.body.len() as u64).sum();
        assert!(events.len() == 1 || bytes <= limit.max_bytes, "{batch} holds {bytes} bytes");

        let ids: Vec<EventId> = events.iter().map(|event| event.id).collect();
        let before = self.checker.members.entry(batch).or_insert_with(|| ids.clone());
        assert_eq!(*before, ids, "{batch} holds something else than at its last attempt");

        let queue =
            core.queue.state().endpoints.get(&endpoint.id).expect("an endpoint that exists");
        let known = queue.batches.get(&batch).expect("a batch that the state knows");
        let members: Vec<DeliveryId> = known
            .members
            .iter()
            .map(|seq| DeliveryId { seq: *seq, endpoint: endpoint.id })
            .collect();
        assert_eq!(members.len(), events.len(), "{batch} is sent as it is remembered");
        for delivery in &members {
            if let Some(not_before) = self.checker.not_before.get(delivery) {
                assert!(
                    self.now.mono_ms >= *not_before,
                    "{delivery} is attempted before its delay is over"
                );
            }
        }

        let clash = self.checker.batches_in_flight.insert(batch, members.clone());
        assert!(clash.is_none(), "{batch} is attempted twice at a time");
        self.check_flight(core, endpoint, &members);
        self.restraints.attempt(self.now, endpoint, &members, events);

        let answer = self.behave(endpoint, events);
        let taken = members.iter().zip(&ids).filter(|(_, id)| answer.taken.contains(id));
        self.checker.taken.extend(taken.map(|(delivery, _)| *delivery));

        let (within_ms, failed) = (answer.within_ms, answer.failed.clone());
        let report = self.report(answer, "the batch was answered so");
        self.plan_at(
            within_ms,
            Input::BatchFinished { endpoint: endpoint.id, batch, report, failed },
        );
    }

    /// Concurrency, order and rate, looked at when something leaves.
    fn check_flight(
        &mut self,
        core: &Core<&mut Disk>,
        endpoint: &Endpoint,
        members: &[DeliveryId],
    ) {
        let id = endpoint.id;
        let singles = self.checker.in_flight.keys().filter(|d| d.endpoint == id).count();
        let batches =
            self.checker.batches_in_flight.values().filter(|m| m[0].endpoint == id).count();
        let in_flight = singles + batches;
        if endpoint.is_leased() {
            assert!(in_flight <= MOST_CONSUMED, "{in_flight} are lent");
        } else {
            let allowed = self.checker.concurrency(id, self.now.mono_ms);
            assert!(
                in_flight <= allowed as usize,
                "{in_flight} in flight, {allowed} allowed: {endpoint:?}"
            );
        }

        if endpoint.order == Order::Strict {
            // Their stories are read in all of the log, so they are reported only where it fails.
            let others = self.checker.in_flight.keys().filter(|d| d.endpoint == id);
            let stories = || others.map(|other| story(core.store, *other)).collect::<String>();
            assert_eq!(
                in_flight,
                1,
                "a strict endpoint gets one at a time: {members:?} {endpoint:?} {}",
                stories()
            );
        }

        self.check_order(core, endpoint, members);
        self.check_rate(endpoint);
    }

    /// Nobody overtakes another one of his lane, not in a batch either.
    fn check_order(&self, core: &Core<&mut Disk>, endpoint: &Endpoint, members: &[DeliveryId]) {
        let id = endpoint.id;
        let mut last: BTreeMap<&str, Seq> = BTreeMap::new();
        for delivery in members {
            let Some((lane, position)) = self.checker.lane_of.get(delivery) else { continue };
            let before = last.insert(lane, *position).unwrap_or(0);
            assert!(before < *position, "{delivery} overtakes others in a batch: {members:?}");

            let waiting = &self.checker.lanes[&(id, lane.clone())];
            let before = waiting
                .range(..(*position, delivery.seq))
                .map(|(_, seq)| DeliveryId { seq: *seq, endpoint: id });
            let overtaken: Vec<DeliveryId> =
                before.filter(|other| !members.contains(other)).collect();

            assert!(
                overtaken.is_empty(),
                "{delivery} overtakes {overtaken:?} in lane {lane} of {:?} {:?}: {}",
                endpoint.order,
                endpoint.batch,
                overtaken
                    .iter()
                    .take(2)
                    .map(|other| {
                        let endpoint = &core.queue.state().endpoints[&other.endpoint];
                        format!(
                            "{other} {:?} revived {} taken up {} {}",
                            endpoint.state_of(other.seq),
                            endpoint.revived.contains(other.seq),
                            endpoint.taken_up(other.seq),
                            story(core.store, *other)
                        )
                    })
                    .collect::<String>()
                    + &format!("\nFLOW {:?}", core.queue.stuck())
            );
        }
    }

    fn check_rate(&mut self, endpoint: &Endpoint) {
        let Some(rate) = endpoint.rate else { return };
        let started = self.checker.started.entry(endpoint.id).or_default();
        started.push(self.now.mono_ms);
        let burst = endpoint.burst.unwrap_or(1);
        for (at, from) in started.iter().enumerate() {
            let count = (started.len() - at) as f64;
            let allowed = f64::from(burst)
                + (self.now.mono_ms - from + self.read_ms) as f64 * f64::from(rate.count)
                    / rate.per_ms as f64;
            assert!(count <= allowed + 0.01, "{count} attempts in {} ms", self.now.mono_ms - from);
        }
    }

    /// Attempts whose report goes into the queue are not in flight any more.
    pub(super) fn reported(&mut self, input: &Input) {
        match input {
            Input::Finished { delivery, .. } => {
                self.checker.in_flight.remove(delivery);
            }
            Input::BatchFinished { batch, .. } => {
                self.checker.batches_in_flight.remove(batch);
            }
            _ => {}
        }
    }
}
