//! What the operator asks for.

use std::sync::Arc;

use super::commands::DeliveriesChanged;
use crate::model::{
    BatchId, DeliveryId, DeliveryState, Endpoint, EndpointId, HoldReason, Now, Order, Source,
    SourceId, check_name, limits,
};
use crate::queue::action::{Action, Maintenance};
use crate::queue::decision::Refusal;
use crate::queue::input::Revive;
use crate::queue::notices::OWN_SOURCE;
use crate::queue::settings::SettingsOwner;
use crate::queue::stream::stream_entry::StreamEntry;
use crate::queue::subscription::Subscription;
use crate::queue::{Draft, Queue, operating::dead_letters, operating::left_out};
use crate::record::{Record, WaitingDelivery};

impl Queue {
    /// The number of the endpoint of that name.
    pub(in crate::queue) fn endpoint_named(&self, name: &str) -> Option<EndpointId> {
        self.state
            .living()
            .find(|endpoint| endpoint.settings.name == name)
            .map(|endpoint| endpoint.settings.id)
    }

    fn source_named(&self, name: &str) -> Option<SourceId> {
        self.state.sources.values().find(|source| source.name == name).map(|source| source.id)
    }

    pub(in crate::queue) fn create_source(
        &mut self,
        now: Now,
        mut source: Source,
        draft: &mut Draft,
    ) -> Result<Arc<Source>, Refusal> {
        check_name(&source.name).map_err(Refusal::Invalid)?;
        if source.name == OWN_SOURCE {
            return Err(Refusal::Invalid(format!(
                "the source '{OWN_SOURCE}' is built in: its events are the notices about the \
                 daemon, for endpoints with --from {OWN_SOURCE}; choose another name"
            )));
        }
        if self.source_named(&source.name).is_some() {
            return Err(Refusal::Exists { what: "source", name: source.name });
        }
        if self.state.sources.len() >= limits::SOURCES {
            return Err(Refusal::TooMany { what: "sources", limit: limits::SOURCES });
        }
        source.id = self.state.next_source;
        source.created_at = now.wall_ms;
        self.set_source(source, draft)
    }

    pub(in crate::queue) fn update_source(
        &mut self,
        mut source: Source,
        draft: &mut Draft,
    ) -> Result<Arc<Source>, Refusal> {
        let id = self.source_named(&source.name).ok_or_else(|| no_source(&source.name))?;
        source.id = id;
        source.created_at = self.state.sources.get(&id).map_or(0, |old| old.created_at);
        self.set_source(source, draft)
    }

    fn set_source(&mut self, source: Source, draft: &mut Draft) -> Result<Arc<Source>, Refusal> {
        self.settings.account(SettingsOwner::Source(source.id), &source.name, &source)?;
        self.remember(Record::SourceSet { source: Box::new(source.clone()) }, draft);
        draft.actions.push(Action::Maintain(Maintenance::Publish));
        Ok(Arc::new(source))
    }

    pub(in crate::queue) fn delete_source(
        &mut self,
        name: &str,
        draft: &mut Draft,
    ) -> Result<(), Refusal> {
        let source = self.source_named(name).ok_or_else(|| no_source(name))?;
        self.remember(Record::SourceDeleted { source }, draft);
        self.settings.forget(SettingsOwner::Source(source));
        draft.actions.push(Action::Maintain(Maintenance::Publish));
        Ok(())
    }

    pub(in crate::queue) fn create_endpoint(
        &mut self,
        now: Now,
        mut endpoint: Endpoint,
        compiled: Option<Arc<Subscription>>,
        draft: &mut Draft,
    ) -> Result<Arc<Endpoint>, Refusal> {
        check_name(&endpoint.name).map_err(Refusal::Invalid)?;
        if self.endpoint_named(&endpoint.name).is_some() {
            return Err(Refusal::Exists { what: "endpoint", name: endpoint.name });
        }
        if self.state.living().count() >= limits::ENDPOINTS {
            return Err(Refusal::TooMany { what: "endpoints", limit: limits::ENDPOINTS });
        }
        endpoint.id = self.state.next_endpoint;
        endpoint.created_at = now.wall_ms;
        self.set_endpoint(now, endpoint, compiled, draft)
    }

    pub(in crate::queue) fn update_endpoint(
        &mut self,
        now: Now,
        mut endpoint: Endpoint,
        compiled: Option<Arc<Subscription>>,
        draft: &mut Draft,
    ) -> Result<Arc<Endpoint>, Refusal> {
        let id = self.endpoint_named(&endpoint.name).ok_or_else(|| no_endpoint(&endpoint.name))?;
        endpoint.id = id;
        endpoint.created_at =
            self.state.endpoints.get(&id).map_or(0, |endpoint| endpoint.settings.created_at);
        self.set_endpoint(now, endpoint, compiled, draft)
    }

    fn set_endpoint(
        &mut self,
        now: Now,
        endpoint: Endpoint,
        compiled: Option<Arc<Subscription>>,
        draft: &mut Draft,
    ) -> Result<Arc<Endpoint>, Refusal> {
        for name in endpoint.from.iter().filter(|name| *name != OWN_SOURCE) {
            self.source_named(name).ok_or_else(|| no_source(name))?;
        }

        let subscription = self.matcher.subscription_of(&endpoint, compiled);
        self.check_subscription(&endpoint, &subscription)?;
        self.settings.account(SettingsOwner::Endpoint(endpoint.id), &endpoint.name, &endpoint)?;
        Ok(self.put_endpoint(now, endpoint, subscription, draft))
    }

    pub(in crate::queue) fn delete_endpoint(
        &mut self,
        now: Now,
        name: &str,
        draft: &mut Draft,
    ) -> Result<usize, Refusal> {
        let id = self.endpoint_named(name).ok_or_else(|| no_endpoint(name))?;
        Ok(self.remove_endpoint(now, id, draft))
    }

    pub(in crate::queue) fn hold(
        &mut self,
        now: Now,
        name: &str,
        draft: &mut Draft,
    ) -> Result<(), Refusal> {
        let id = self.endpoint_named(name).ok_or_else(|| no_endpoint(name))?;
        if self.state.endpoints.get(&id).is_some_and(|endpoint| endpoint.hold.is_some()) {
            return Ok(());
        }
        self.remember(
            Record::EndpointHeld {
                endpoint: id,
                reason: HoldReason::Operator,
                at: now.wall_ms,
                ran_ms: self.ran_ms,
            },
            draft,
        );
        self.state.endpoint_mut(id).drop_bodies();
        Ok(())
    }

    pub(in crate::queue) fn release(
        &mut self,
        now: Now,
        name: &str,
        draft: &mut Draft,
    ) -> Result<(), Refusal> {
        let id = self.endpoint_named(name).ok_or_else(|| no_endpoint(name))?;
        let endpoint = self.state.endpoint(id);
        let is_parked = endpoint.retrying.values().any(|waiting| waiting.parked);
        // The pause that a receiver asked for and the gaps between probes are lifted as well.
        if endpoint.hold.is_none() && !is_parked && !endpoint.is_kept_back(now.mono_ms) {
            return Ok(());
        }
        self.remember(
            Record::EndpointReleased { endpoint: id, at: now.wall_ms, ran_ms: self.ran_ms },
            draft,
        );
        self.state.endpoint_mut(id).make_all_due(now.mono_ms);
        self.catch_up(id);
        Ok(())
    }

    pub(in crate::queue) fn cancel(
        &mut self,
        now: Now,
        deliveries: &[DeliveryId],
        draft: &mut Draft,
    ) -> Result<DeliveriesChanged, Refusal> {
        let id = |delivery: &DeliveryId| *delivery;
        self.each(deliveries, id, |queue, delivery, state| {
            left_out::check_cancel(state)?;
            queue.cancel_one(now, *delivery, draft);
            Ok(())
        })
    }

    fn cancel_one(&mut self, now: Now, delivery: DeliveryId, draft: &mut Draft) {
        let DeliveryId { seq, endpoint } = delivery;
        let waiting = self.state.endpoint(endpoint).retrying.get(&seq).copied();
        let record = Record::DeliveryCancelled { delivery, at: now.wall_ms, dead_letter_seq: None };
        let renamed = BatchId { seq: self.remember(record, draft), part: 0 };

        let found = self.state.endpoint_mut(endpoint);
        found.end_in_flight(seq, renamed);
        found.withdraw(seq);
        if let Some(waiting) = waiting {
            let lane = found.lane_of_key(waiting.key);
            found.wait_no_more(lane, seq);
            found.unpark(lane.filter(|_| waiting.parked));
            if let Some(batch) = waiting.batch {
                found.rename_batch(batch, renamed);
            }
            found.free_lane(lane, now.mono_ms);
        }
        self.wake(endpoint);
    }

    pub(in crate::queue) fn retry(
        &mut self,
        now: Now,
        deliveries: &[Revive],
        draft: &mut Draft,
    ) -> Result<DeliveriesChanged, Refusal> {
        let alone = deliveries.len() == 1;
        let id = |revive: &Revive| revive.delivery;
        self.each(deliveries, id, |queue, revive, state| {
            queue.check_retry(now, revive, state)?;

            // What waits for a retry is hurried; what had ended begins anew.
            match state {
                DeliveryState::Dead | DeliveryState::Cancelled => queue.revive(now, *revive, draft),
                _ => queue.hurry(now, revive.delivery, draft),
            }
            if alone {
                let DeliveryId { seq, endpoint } = revive.delivery;
                queue.state.endpoint_mut(endpoint).make_urgent(seq);
            }
            Ok(())
        })
    }

    /// Refuses to attempt a delivery in this state again, and says what to do instead.
    pub(in crate::queue) fn check_retry(
        &self,
        now: Now,
        revive: &Revive,
        state: DeliveryState,
    ) -> Result<(), &'static str> {
        let delivery = revive.delivery;
        if !self.state.lives(delivery.endpoint) {
            return Err(left_out::ENDPOINT_DELETED);
        }
        if state == DeliveryState::Held {
            return Err(left_out::ON_HOLD);
        }
        if self.is_in_flight(delivery) {
            return Err(left_out::UNDER_WAY);
        }
        match self.state.stands_at(revive.event) {
            Some(_) => {}
            None if self.state.lost.contains(self.state.held_at(revive.event)) => {
                return Err(left_out::EVENT_LOST);
            }
            None => return Err(left_out::EVENT_DROPPED),
        }

        match state {
            DeliveryState::Dead if !self.holds_dead_letter(revive) => Err(dead_letters::MOVED),
            DeliveryState::Pending if self.is_kept_back(now, delivery) => Err(left_out::KEPT_BACK),
            DeliveryState::Pending if self.waits_behind_parked(delivery) => {
                Err(left_out::BEHIND_PARKED)
            }
            DeliveryState::Pending if self.is_fresh(delivery) => Err(left_out::FRESH),
            DeliveryState::Delivered => Err(left_out::DELIVERED),
            DeliveryState::Pending
            | DeliveryState::Dead
            | DeliveryState::Cancelled
            | DeliveryState::Held
            | DeliveryState::InFlight => Ok(()),
        }
    }

    /// Does something with each delivery. One alone that cannot be done is a refusal; of several,
    /// those are left out, and counted by the reason.
    pub(in crate::queue) fn each<T>(
        &mut self,
        asked: &[T],
        id: impl Fn(&T) -> DeliveryId,
        mut act: impl FnMut(&mut Self, &T, DeliveryState) -> Result<(), &'static str>,
    ) -> Result<DeliveriesChanged, Refusal> {
        let mut changed = DeliveriesChanged::default();
        for one in asked {
            let delivery = id(one);
            let state = self.delivery_state(delivery);
            match act(self, one, state) {
                Ok(()) => changed.count += 1,
                Err(dead_letters::MOVED) => changed.moved.push(delivery),
                Err(why) if asked.len() == 1 => {
                    return Err(Refusal::Impossible(format!("delivery {delivery} {why}")));
                }
                Err(why) => *changed.left_out.entry(why).or_default() += 1,
            }
        }
        Ok(changed)
    }

    /// Attempts a dead or cancelled delivery again: at once, or in the stream when too many wait
    /// already.
    fn revive(&mut self, now: Now, revive: Revive, draft: &mut Draft) {
        let Revive { delivery, event, attempts, last, dead_letter_seq } = revive;
        // One whose endpoint was deleted has been refused before.
        let endpoint = self.state.endpoint(delivery.endpoint);
        let waiting: usize =
            self.state.endpoints.values().map(|endpoint| endpoint.retrying.len()).sum();

        // Where there is an order it comes in at the end.
        let ordered = endpoint.settings.order != Order::None;
        let in_stream = ordered
            || endpoint.retrying.len() >= limits::RETRYING
            || endpoint.leaves_out(0)
            || waiting >= limits::RETRYING_ALL;

        let at = now.wall_ms;
        let ran_ms = self.ran_ms;
        let record = Record::DeliveryRetried {
            delivery,
            at,
            dead_letter_seq,
            event,
            attempts,
            last,
            in_stream,
            ran_ms,
        };
        let position = self.remember(record, draft);

        if in_stream {
            let asked = WaitingDelivery::asked_again(delivery, event, attempts, last, ran_ms);
            let waiting = WaitingDelivery { position, ..asked };
            self.recent.push_single(StreamEntry::new(waiting, None));
            self.stream_grew(delivery.endpoint, position);
        } else {
            self.due_now(now, delivery);
        }
    }

    /// Makes a delivery that waits for a retry due at once. One that waits for its first attempt
    /// has its turn.
    fn hurry(&mut self, now: Now, delivery: DeliveryId, draft: &mut Draft) {
        let Some(waiting) = self
            .state
            .endpoints
            .get(&delivery.endpoint)
            .and_then(|l| l.retrying.get(&delivery.seq))
        else {
            return;
        };

        let record = Record::DeliveryRetried {
            delivery,
            at: now.wall_ms,
            dead_letter_seq: None,
            event: waiting.event,
            attempts: waiting.attempts,
            last: waiting.last,
            in_stream: false,
            ran_ms: self.ran_ms,
        };
        self.remember(record, draft);
        self.due_now(now, delivery);
    }

    /// Whether nothing of its endpoint goes out for a while, and it waits for its first attempt.
    fn is_kept_back(&self, now: Now, delivery: DeliveryId) -> bool {
        self.is_fresh(delivery) && self.state.endpoint(delivery.endpoint).is_kept_back(now.mono_ms)
    }

    /// Whether it waits for its first attempt.
    fn is_fresh(&self, delivery: DeliveryId) -> bool {
        !self.state.endpoint(delivery.endpoint).retrying.contains_key(&delivery.seq)
    }

    /// Whether its lane is parked, as far as it is known, and it is not the head of it.
    fn waits_behind_parked(&self, delivery: DeliveryId) -> bool {
        let endpoint = self.state.endpoint(delivery.endpoint);
        let fresh = || endpoint.prefetch().find(delivery.seq).and_then(|job| job.lane);
        let lane = match (endpoint.retrying.get(&delivery.seq), endpoint.settings.order) {
            (Some(waiting), _) => endpoint.lane_of_key(waiting.key),
            (None, Order::Strict) => Some(crate::queue::stream::lanes::STRICT),
            (None, _) => fresh(),
        };

        let head = lane.and_then(|lane| endpoint.lanes().head(lane));
        let head = head.filter(|head| *head != delivery.seq);
        head.and_then(|head| endpoint.retrying.get(&head)).is_some_and(|head| head.parked)
    }

    fn due_now(&mut self, now: Now, delivery: DeliveryId) {
        self.state.endpoint_mut(delivery.endpoint).hurry(delivery.seq, now.mono_ms);
        self.mark_sooner(delivery.endpoint);
        self.wake(delivery.endpoint);
    }
}

pub(in crate::queue) fn no_source(name: &str) -> Refusal {
    Refusal::NotFound { what: "source", name: name.to_owned() }
}

fn no_endpoint(name: &str) -> Refusal {
    Refusal::NotFound { what: "endpoint", name: name.to_owned() }
}
