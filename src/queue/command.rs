//! What the operator asks for.

use std::sync::Arc;

use super::flow::Work;
use super::input::{Action, Command, Refusal, Reply, Revive, StreamEntry};
use super::notice::OWN_SOURCE;
use super::state::Lane;
use super::{Draft, Queue, matcher};
use crate::model::{
    BatchId, DeliveryId, DeliveryState, Endpoint, EndpointId, HoldReason, Now, Source, SourceId, limits, valid_name,
};
use crate::record::Record;

type Done = Result<Reply, Refusal>;

impl Queue {
    /// Does a command, or refuses it with nothing changed.
    pub(super) fn command(&mut self, now: Now, command: Command, draft: &mut Draft) -> Reply {
        let done = match command {
            Command::CreateSource(source) => self.create_source(now, *source, draft),
            Command::UpdateSource(source) => self.update_source(*source, draft),
            Command::DeleteSource { name } => self.delete_source(&name, draft),
            Command::CreateEndpoint(endpoint) => self.create_endpoint(now, *endpoint, draft),
            Command::UpdateEndpoint(endpoint) => self.update_endpoint(now, *endpoint, draft),
            Command::DeleteEndpoint { name } => self.delete_endpoint(now, &name, draft),
            Command::HoldEndpoint { name } => self.hold(now, &name, draft),
            Command::ReleaseEndpoint { name } => self.release(now, &name, draft),
            Command::Cancel { deliveries } => self.cancel(now, &deliveries, draft),
            Command::Retry { deliveries } => self.retry(now, &deliveries, draft),
            Command::Discard { deliveries } => self.discard(now, &deliveries, draft),
            Command::Import { events } => Ok(self.import(now, events, draft)),
            Command::StartReplay { filter, rate, next, end } => {
                Ok(self.start_replay(now, filter, rate, (next, end), draft))
            }
        };
        done.unwrap_or_else(Reply::Refused)
    }

    /// The number of the endpoint of that name.
    pub(super) fn endpoint_named(&self, name: &str) -> Option<EndpointId> {
        self.state.living().find(|lane| lane.endpoint.name == name).map(|lane| lane.endpoint.id)
    }

    fn source_named(&self, name: &str) -> Option<SourceId> {
        self.state.sources.values().find(|source| source.name == name).map(|source| source.id)
    }

    fn create_source(&mut self, now: Now, mut source: Source, draft: &mut Draft) -> Done {
        checked_name("source", &source.name)?;
        if source.name == OWN_SOURCE {
            return Err(Refusal::Invalid(format!(
                "the source '{OWN_SOURCE}' is built in: it tells of the daemon itself to endpoints with --from {OWN_SOURCE}; \
                 choose another name"
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
        Ok(self.set_source(source, draft))
    }

    fn update_source(&mut self, mut source: Source, draft: &mut Draft) -> Done {
        let id = self.source_named(&source.name).ok_or_else(|| no_source(&source.name))?;
        source.id = id;
        source.created_at = self.state.sources.get(&id).map_or(0, |old| old.created_at);
        Ok(self.set_source(source, draft))
    }

    fn set_source(&mut self, source: Source, draft: &mut Draft) -> Reply {
        self.remember(Record::SourceSet { source: Box::new(source.clone()) }, draft);
        draft.actions.push(Action::Publish);
        Reply::Source(Arc::new(source))
    }

    fn delete_source(&mut self, name: &str, draft: &mut Draft) -> Done {
        let source = self.source_named(name).ok_or_else(|| no_source(name))?;
        self.remember(Record::SourceDeleted { source }, draft);
        draft.actions.push(Action::Publish);
        Ok(Reply::Done { count: 1 })
    }

    fn create_endpoint(&mut self, now: Now, mut endpoint: Endpoint, draft: &mut Draft) -> Done {
        checked_name("endpoint", &endpoint.name)?;
        if self.endpoint_named(&endpoint.name).is_some() {
            return Err(Refusal::Exists { what: "endpoint", name: endpoint.name });
        }
        if self.state.living().count() >= limits::ENDPOINTS {
            return Err(Refusal::TooMany { what: "endpoints", limit: limits::ENDPOINTS });
        }
        endpoint.id = self.state.next_endpoint;
        endpoint.created_at = now.wall_ms;
        self.set_endpoint(now, endpoint, draft)
    }

    fn update_endpoint(&mut self, now: Now, mut endpoint: Endpoint, draft: &mut Draft) -> Done {
        let id = self.endpoint_named(&endpoint.name).ok_or_else(|| no_endpoint(&endpoint.name))?;
        endpoint.id = id;
        endpoint.created_at = self.state.lanes.get(&id).map_or(0, |lane| lane.endpoint.created_at);
        self.set_endpoint(now, endpoint, draft)
    }

    fn set_endpoint(&mut self, now: Now, endpoint: Endpoint, draft: &mut Draft) -> Done {
        for name in endpoint.from.iter().filter(|name| *name != OWN_SOURCE) {
            self.source_named(name).ok_or_else(|| no_source(name))?;
        }
        if let Some(expression) = &endpoint.filter {
            matcher::compile(expression).map_err(Refusal::Invalid)?;
        }
        let before = self.state.lanes.get(&endpoint.id).map(|lane| lane.endpoint.clone());
        self.remember(Record::EndpointSet { endpoint: Box::new(endpoint.clone()) }, draft);
        self.take_up_lane(endpoint.id, now);
        let reordered = before.is_some_and(|b| (b.order, &b.order_key) != (endpoint.order, &endpoint.order_key));
        if let (true, Some(flow), Some(lane)) =
            (reordered, self.flows.get_mut(&endpoint.id), self.state.lanes.get(&endpoint.id))
        {
            self.window_bytes -= flow.reorder(lane);
        }
        draft.actions.push(Action::Publish);
        Ok(Reply::Endpoint(Arc::new(endpoint)))
    }

    fn delete_endpoint(&mut self, now: Now, name: &str, draft: &mut Draft) -> Done {
        let id = self.endpoint_named(name).ok_or_else(|| no_endpoint(name))?;
        self.remember(Record::EndpointDeleted { endpoint: id, at: now.wall_ms }, draft);
        self.drop_flow(id);
        draft.actions.push(Action::Publish);
        Ok(Reply::Done { count: 1 })
    }

    fn hold(&mut self, now: Now, name: &str, draft: &mut Draft) -> Done {
        let id = self.endpoint_named(name).ok_or_else(|| no_endpoint(name))?;
        if self.state.lanes.get(&id).is_some_and(|lane| lane.hold.is_some()) {
            return Ok(Reply::Done { count: 0 });
        }
        self.remember(Record::EndpointHeld { endpoint: id, reason: HoldReason::Operator, at: now.wall_ms }, draft);
        if let Some(flow) = self.flows.get_mut(&id) {
            self.window_bytes -= flow.drop_bodies();
        }
        Ok(Reply::Done { count: 1 })
    }

    fn release(&mut self, now: Now, name: &str, draft: &mut Draft) -> Done {
        let id = self.endpoint_named(name).ok_or_else(|| no_endpoint(name))?;
        let parked = |lane: &Lane| lane.retrying.values().any(|waiting| waiting.parked);
        // The pause that a receiver asked for and the gaps between probes are lifted as well.
        let waits = self.flows.get(&id).is_some_and(|flow| flow.is_kept_back(now.mono_ms));
        if self.state.lanes.get(&id).is_some_and(|lane| lane.hold.is_none() && !parked(lane) && !waits) {
            return Ok(Reply::Done { count: 0 });
        }
        self.remember(Record::EndpointReleased { endpoint: id, at: now.wall_ms }, draft);
        if let (Some(flow), Some(lane)) = (self.flows.get_mut(&id), self.state.lanes.get(&id)) {
            flow.release(now.mono_ms);
            flow.let_parked_go(lane, now.mono_ms);
        }
        self.catch_up(id, now);
        Ok(Reply::Done { count: 1 })
    }

    fn cancel(&mut self, now: Now, deliveries: &[DeliveryId], draft: &mut Draft) -> Done {
        self.each(deliveries, |queue, delivery, state| match state {
            DeliveryState::Pending | DeliveryState::Held | DeliveryState::InFlight => {
                queue.cancel_one(now, delivery, draft);
                Ok(())
            }
            DeliveryState::Dead => Err("is a dead letter: use `hookboxctl dlq discard`"),
            DeliveryState::Delivered => Err("was delivered already"),
            DeliveryState::Cancelled => Err("was cancelled already"),
        })
    }

    fn cancel_one(&mut self, now: Now, delivery: DeliveryId, draft: &mut Draft) {
        let DeliveryId { seq, endpoint } = delivery;
        let waiting = self.state.lanes.get(&endpoint).and_then(|lane| lane.retrying.get(&seq)).copied();
        let record = Record::DeliveryCancelled { delivery, at: now.wall_ms, grave: None };
        let renamed = self.remember(record, draft);
        self.end_in_flight(endpoint, seq, renamed);
        let (Some(flow), Some(lane)) = (self.flows.get_mut(&endpoint), self.state.lanes.get(&endpoint)) else { return };
        self.window_bytes -= flow.remove(seq);
        if let Some(waiting) = waiting {
            let key = lane.key_of(waiting.key);
            flow.lanes.wait_no_more(key, seq);
            flow.lanes.unpark(key.filter(|_| waiting.parked));
            if let Some(batch) = waiting.batch {
                flow.rename_batch(lane, batch, BatchId { seq: renamed, part: 0 }, now.mono_ms);
            }
            flow.free_lane(lane, key, now.mono_ms);
        }
        self.wake(endpoint);
    }

    fn retry(&mut self, now: Now, deliveries: &[Revive], draft: &mut Draft) -> Done {
        let ids: Vec<DeliveryId> = deliveries.iter().map(|revive| revive.delivery).collect();
        let mut revives = deliveries.iter();
        let alone = deliveries.len() == 1;
        self.each(&ids, |queue, delivery, state| {
            let Some(revive) = revives.next() else { return Err("was not asked for") };
            match state {
                _ if !queue.state.lives(delivery.endpoint) => {
                    return Err("cannot be attempted again: its endpoint was deleted; use `hookboxctl replay --event`");
                }
                DeliveryState::Held => {
                    return Err("waits behind an endpoint on hold: use `hookboxctl endpoint release`");
                }
                _ if queue.is_flying(delivery) => return Err("is being attempted right now: try again in a moment"),
                _ if queue.state.stands_at(revive.event).is_none() => {
                    return Err("cannot be attempted again: its event was dropped by retention");
                }
                DeliveryState::Dead | DeliveryState::Cancelled => queue.revive(now, *revive, draft),
                DeliveryState::Pending if queue.is_kept_back(now, delivery) => {
                    return Err("has its first attempt before it, and its endpoint is paused or fails: use \
                                `hookboxctl endpoint release`");
                }
                DeliveryState::Pending => queue.hurry(now, delivery, draft),
                DeliveryState::InFlight => return Err("is being attempted right now: try again in a moment"),
                DeliveryState::Delivered => return Err("was delivered already: use `hookboxctl replay --event`"),
            }
            if alone && let Some(flow) = queue.flows.get_mut(&delivery.endpoint) {
                flow.make_urgent(delivery.seq, queue.state.lanes.get(&delivery.endpoint));
            }
            Ok(())
        })
    }

    fn discard(&mut self, now: Now, deliveries: &[Revive], draft: &mut Draft) -> Done {
        let ids: Vec<DeliveryId> = deliveries.iter().map(|revive| revive.delivery).collect();
        let mut revives = deliveries.iter();
        self.each(&ids, |queue, delivery, state| {
            let grave = revives.next().and_then(|revive| revive.grave);
            if state != DeliveryState::Dead {
                return Err("is not a dead letter: use `hookboxctl delivery cancel`");
            }
            queue.remember(Record::DeliveryCancelled { delivery, at: now.wall_ms, grave }, draft);
            Ok(())
        })
    }

    /// Does something with each delivery. One alone that cannot be done is a refusal; of several, those are left
    /// out of the count.
    fn each(
        &mut self,
        deliveries: &[DeliveryId],
        mut act: impl FnMut(&mut Self, DeliveryId, DeliveryState) -> Result<(), &'static str>,
    ) -> Done {
        let mut count = 0;
        for delivery in deliveries {
            let state = self.delivery_state(*delivery);
            match act(self, *delivery, state) {
                Ok(()) => count += 1,
                Err(why) if deliveries.len() == 1 => {
                    return Err(Refusal::Invalid(format!("delivery {delivery} {why}")));
                }
                Err(_) => {}
            }
        }
        Ok(Reply::Done { count })
    }

    /// Attempts a dead or cancelled delivery again: at once, or in the stream when too many wait already.
    fn revive(&mut self, now: Now, revive: Revive, draft: &mut Draft) {
        let Revive { delivery, event, attempts, last, grave } = revive;
        let Some(lane) = self.state.lanes.get(&delivery.endpoint) else { return };
        let waiting: usize = self.state.lanes.values().map(|lane| lane.retrying.len()).sum();
        let in_stream = lane.retrying.len() >= limits::RETRYING || waiting >= limits::RETRYING_ALL;
        let at = now.wall_ms;
        let record = Record::DeliveryRetried { delivery, at, grave, event, attempts, last, in_stream };
        let position = self.remember(record, draft);
        if in_stream {
            let (key, latest_key) = (None, None);
            let entry = StreamEntry { position, delivery, event, loaded: None, attempts, last, key, latest_key };
            self.recent.push_single(entry);
            self.stream_grew(delivery.endpoint, position);
        } else {
            self.due_now(now, delivery);
        }
    }

    /// Makes a delivery that waits for a retry due at once. One that waits for its first attempt has its turn.
    fn hurry(&mut self, now: Now, delivery: DeliveryId, draft: &mut Draft) {
        let Some(waiting) = self.state.lanes.get(&delivery.endpoint).and_then(|l| l.retrying.get(&delivery.seq)) else {
            return;
        };
        let record = Record::DeliveryRetried {
            delivery,
            at: now.wall_ms,
            grave: None,
            event: waiting.event,
            attempts: waiting.attempts,
            last: waiting.last,
            in_stream: false,
        };
        self.remember(record, draft);
        self.due_now(now, delivery);
    }

    /// Whether nothing of its endpoint goes out for a while, and it waits for its first attempt.
    fn is_kept_back(&self, now: Now, delivery: DeliveryId) -> bool {
        let fresh = |lane: &Lane| !lane.retrying.contains_key(&delivery.seq);
        self.state.lanes.get(&delivery.endpoint).is_some_and(fresh)
            && self.flows.get(&delivery.endpoint).is_some_and(|flow| flow.is_kept_back(now.mono_ms))
    }

    fn due_now(&mut self, now: Now, delivery: DeliveryId) {
        let lane = self.state.lanes.get(&delivery.endpoint);
        let (Some(flow), Some(lane)) = (self.flows.get_mut(&delivery.endpoint), lane) else { return };
        let Some(waiting) = lane.retrying.get(&delivery.seq) else { return };
        let since = flow.age_clock(now.mono_ms);
        let key = lane.key_of(waiting.key);
        flow.lanes.unpark(key);
        match waiting.batch {
            Some(batch) => flow.wait_turn(lane, Work::Batch(batch), now.mono_ms, since),
            None => flow.wait_in_lane(key, delivery.seq, now.mono_ms, since),
        }
        self.wake(delivery.endpoint);
    }
}

fn checked_name(what: &str, name: &str) -> Result<(), Refusal> {
    if valid_name(name) {
        return Ok(());
    }
    let most = limits::NAME_LEN;
    Err(Refusal::Invalid(format!(
        "'{name}' cannot name a {what}: use 1 to {most} of a-z A-Z 0-9 . _ - and begin with a letter or digit"
    )))
}

fn no_source(name: &str) -> Refusal {
    Refusal::NotFound { what: "source", name: name.to_owned() }
}

fn no_endpoint(name: &str) -> Refusal {
    Refusal::NotFound { what: "endpoint", name: name.to_owned() }
}
