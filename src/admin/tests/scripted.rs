//! A scripted scheduler: it answers requests from what a test wrote down, and remembers what it was
//! asked to do.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex};

use roaring::RoaringTreemap;

use crate::model::share::ShareTally;
use crate::model::{
    DeliveryId, DeliveryState, Endpoint, EndpointId, EventId, HoldReason, Seq, Source,
};
use crate::queue::{
    Accept, Accepted, CancelCheckQuery, CancelDeliveries, Candidates, CandidatesQuery, CountQuery,
    CreateEndpoint, CreateSource, DeadLetterSeqsQuery, DeadOfQuery, DeleteEndpoint, DeleteSource,
    DeliveriesChanged, DeliveriesQuery, DeliverySnapshot, DiscardDeadLetters, EndedReplaysQuery,
    EndpointSnapshot, EndpointsQuery, EventSnapshot, EventsQuery, ExplainQuery, Explanation,
    GoneQuery, GoneRecords, HoldEndpoint, ImportEvents, ImportedQuery, LastDeliveryQuery, NewEvent,
    OldestDeadLetterSeqsQuery, Orphans, OrphansQuery, QueueRequest, Refusal, ReleaseEndpoint,
    RelocatedQuery, ReplaysQuery, RetryCheckQuery, RetryDeliveries, RetrySnapshot, RetryingQuery,
    Revive, StartReplay, Status, StatusQuery, UpdateEndpoint, UpdateSource, WithSubscription,
    WorstEndpoints, WorstQuery, left_out,
};
use crate::scheduler::{Channels, Directory, Envelope};

/// What the scripted scheduler knows, and what was asked of it.
#[derive(Default)]
pub(super) struct Script {
    pub sources: Vec<Arc<Source>>,
    pub endpoints: Vec<Arc<Endpoint>>,
    pub held: HashSet<String>,
    /// The record of the last attempt that failed, of every endpoint.
    pub last_failure: Seq,
    pub states: HashMap<DeliveryId, (DeliveryState, Option<RetrySnapshot>)>,
    pub dead_letter_seqs: Vec<Seq>,
    /// The records that the queue says can be of deliveries in a state; nothing where it knows
    /// none.
    pub candidates: HashMap<DeliveryState, Vec<Seq>>,
    /// How many deliveries are in a state, where the queue knows it.
    pub counts: HashMap<DeliveryState, u64>,
    /// The last record that can be of a delivery of an endpoint.
    pub last_delivery: Option<Seq>,
    /// The records that events and positions were relocated to.
    pub relocated: Vec<Seq>,
    /// Dead letters that are relocated before the next command reaches them.
    pub moving: Vec<DeliveryId>,
    pub stands: HashMap<Seq, Seq>,
    pub duplicates: HashMap<Seq, u32>,
    /// How many commands there were, and what some of them held.
    pub commands: usize,
    pub retried: Vec<Vec<Revive>>,
    pub replays: Vec<StartReplay>,
    pub accepted: Vec<Vec<NewEvent>>,
    pub full: ShareTally,
}

impl Script {
    pub fn with_one_source_and_two_endpoints() -> Self {
        let mut source = Source::new("github", "github");
        source.id = 3;
        let mut endpoints = [Endpoint::new("app", "http://a/"), Endpoint::new("crm", "http://b/")];
        endpoints[0].id = 1;
        endpoints[1].id = 2;
        Self {
            sources: vec![Arc::new(source)],
            endpoints: endpoints.into_iter().map(Arc::new).collect(),
            ..Self::default()
        }
    }

    pub fn directory(&self) -> Arc<Directory> {
        let by =
            |key: fn(&Source) -> String| self.sources.iter().map(|s| (key(s), s.clone())).collect();
        Arc::new(Directory {
            sources_by_path: by(|s| s.path().trim_start_matches("/in/").to_owned()),
            sources_by_name: by(|s| s.name.clone()),
            former_endpoints: std::collections::HashMap::new(),
            endpoints: self.endpoints.clone(),
            salt: 7,
            matcher: Arc::default(),
        })
    }

    fn set_source(&mut self, source: Source) -> Arc<Source> {
        self.sources.retain(|s| s.name != source.name);
        let source = Arc::new(source);
        self.sources.push(source.clone());
        source
    }

    fn create_source(&mut self, source: Source) -> Result<Arc<Source>, Refusal> {
        if self.sources.iter().any(|s| s.name == source.name) {
            return Err(Refusal::Exists { what: "source", name: source.name });
        }
        Ok(self.set_source(source))
    }

    fn set_endpoint(&mut self, endpoint: Endpoint) -> Arc<Endpoint> {
        self.endpoints.retain(|e| e.name != endpoint.name);
        let endpoint = Arc::new(endpoint);
        self.endpoints.push(endpoint.clone());
        endpoint
    }

    /// Does something with an endpoint, if there is one of that name.
    fn with_endpoint<T>(
        &mut self,
        name: &str,
        act: impl FnOnce(&mut Self) -> T,
    ) -> Result<T, Refusal> {
        if !self.endpoints.iter().any(|e| e.name == name) {
            return Err(Refusal::NotFound { what: "endpoint", name: name.to_owned() });
        }
        Ok(act(self))
    }

    fn forget_dead(&mut self, deliveries: &[Revive]) -> usize {
        self.dead_letter_seqs
            .retain(|seq| !deliveries.iter().any(|d| d.dead_letter_seq == Some(*seq)));
        deliveries.len()
    }

    fn discard(&mut self, deliveries: &[Revive]) -> DeliveriesChanged {
        let moved = std::mem::take(&mut self.moving);
        let there = deliveries.iter().filter(|revive| !moved.contains(&revive.delivery));
        let there: Vec<Revive> = there.copied().collect();
        DeliveriesChanged { moved, ..all(self.forget_dead(&there)) }
    }

    fn dead_before(&self, before: Seq, limit: usize) -> Vec<Seq> {
        let mut seqs: Vec<Seq> =
            self.dead_letter_seqs.iter().copied().filter(|seq| *seq < before).collect();
        seqs.sort_unstable_by_key(|seq| std::cmp::Reverse(*seq));
        seqs.truncate(limit);
        seqs
    }

    fn dead_after(&self, after: Seq, limit: usize) -> Vec<Seq> {
        let mut seqs: Vec<Seq> =
            self.dead_letter_seqs.iter().copied().filter(|seq| *seq > after).collect();
        seqs.sort_unstable();
        seqs.truncate(limit);
        seqs
    }

    /// The dead deliveries whose records cannot be read.
    fn orphans(&self, gone: &GoneRecords) -> Orphans {
        let dead = self.states.iter().filter(|(_, (state, _))| *state == DeliveryState::Dead);
        let dead = dead.filter(|(delivery, _)| gone.contains(delivery.seq));
        let of = |id| dead.clone().filter(|(d, _)| d.endpoint == id).map(|(d, _)| d.seq).collect();
        let dead = self.endpoints.iter().map(|endpoint| (endpoint.id, of(endpoint.id))).collect();
        Orphans { dead, next: None }
    }

    /// The dead deliveries of the endpoint of this name.
    fn dead_of(&self, name: &str) -> Vec<(EndpointId, RoaringTreemap)> {
        let dead = self.states.iter().filter(|(_, (state, _))| *state == DeliveryState::Dead);
        let of = |id| dead.clone().filter(|(d, _)| d.endpoint == id).map(|(d, _)| d.seq).collect();
        let named = self.endpoints.iter().filter(|endpoint| endpoint.name == name);
        named.map(|endpoint| (endpoint.id, of(endpoint.id))).collect()
    }

    /// Two at a time, so that there are several parts.
    fn candidates(&self, query: &CandidatesQuery) -> Option<Candidates> {
        let mut records = self.candidates.get(&query.state)?.clone();
        records.retain(|seq| *seq < query.before);
        records.sort_unstable_by_key(|seq| std::cmp::Reverse(*seq));
        let is_last = records.len() <= 2;
        records.truncate(2);
        let from = records.last().copied().filter(|_| !is_last).unwrap_or(0);
        let endpoints = Some(self.endpoints.iter().map(|endpoint| endpoint.id).collect());
        Some(Candidates { from, records: records.into_iter().collect(), endpoints })
    }

    /// One at a time.
    fn relocated(&self, query: &RelocatedQuery) -> Candidates {
        let between = |seq: &Seq| *seq > query.after && *seq < query.before;
        let newest = self.relocated.iter().copied().filter(between).max();
        let records = newest.into_iter().collect();
        Candidates { from: newest.unwrap_or(0), records, endpoints: None }
    }

    fn delivery(&self, delivery: DeliveryId) -> DeliverySnapshot {
        let known = self.states.get(&delivery).copied();
        let (state, retry) = known.unwrap_or((DeliveryState::Pending, None));
        DeliverySnapshot { delivery, state, retry, batch_closes_at: None }
    }

    fn check_retry(&self, delivery: DeliveryId) -> Option<&'static str> {
        if !self.endpoints.iter().any(|endpoint| endpoint.id == delivery.endpoint) {
            return Some(left_out::ENDPOINT_DELETED);
        }
        match self.delivery(delivery) {
            DeliverySnapshot { state: DeliveryState::Held, .. } => Some(left_out::ON_HOLD),
            DeliverySnapshot { state: DeliveryState::Pending, retry: None, .. } => {
                Some(left_out::FRESH)
            }
            _ => None,
        }
    }

    fn check_cancel(&self, delivery: DeliveryId) -> Option<&'static str> {
        let is_delivered = self.delivery(delivery).state == DeliveryState::Delivered;
        is_delivered.then_some(left_out::ENDED_DELIVERED)
    }

    /// Nothing but its turn is before it.
    fn explanation(&self, delivery: DeliveryId) -> Explanation {
        let DeliverySnapshot { state, retry, .. } = self.delivery(delivery);
        let (attempts, last) = (retry.map_or(0, |retry| retry.attempts), retry.map(|r| r.last));
        Explanation { delivery, state, attempts, last, reasons: Vec::new() }
    }

    fn event(&self, seq: Seq) -> EventSnapshot {
        EventSnapshot {
            seq,
            duplicates: self.duplicates.get(&seq).copied().unwrap_or(0),
            stands_at: self.stands.get(&seq).copied().unwrap_or(seq),
        }
    }

    fn accept(&mut self, request: Accept) -> Vec<Accepted> {
        self.accepted.push(request.0.into_iter().map(|matched| matched.event).collect());
        let id = EventId { seq: 99, tag: 1 };
        vec![Accepted { id, duplicate: false, conflicts_with: None }]
    }

    fn start_replay(&mut self, request: StartReplay) -> crate::record::Replay {
        self.replays.push(request.clone());
        let StartReplay { filter, rate, next, end, member } = request;
        crate::record::Replay {
            id: 1,
            filter,
            next,
            end,
            rate,
            started_at: 0,
            due_at: 0,
            pause_ms: 0,
            member,
            to: None,
            left: Default::default(),
        }
    }

    fn status(&self) -> Status {
        Status { events: 3, pending: 2, dead: 1, full: self.full.clone(), ..Status::default() }
    }

    /// Those on hold.
    fn worst(&self) -> WorstEndpoints {
        let held = self.endpoints.iter().filter(|endpoint| self.held.contains(&endpoint.name));
        let endpoints: Vec<_> = held.map(|endpoint| (self.view(endpoint), None)).collect();
        let troubled = endpoints.len();
        WorstEndpoints { endpoints, troubled, urgent: 0 }
    }

    fn view(&self, endpoint: &Arc<Endpoint>) -> EndpointSnapshot {
        EndpointSnapshot {
            endpoint: endpoint.clone(),
            hold: self.held.contains(&endpoint.name).then_some((HoldReason::Operator, 5)),
            waiting: 2,
            in_flight: 0,
            retrying: 1,
            delivered: 4,
            dead: 1,
            last_error: Some("connection refused".into()),
            last_failure: self.last_failure,
            last_success_at: None,
            undecided: 0,
            undecided_last: None,
            lagging_since: None,
            troubled_since: None,
            flow: crate::queue::EndpointActivity::default(),
        }
    }
}

/// Answers until every handle is gone.
pub(super) fn schedule(channels: Channels, script: Arc<Mutex<Script>>) {
    std::thread::spawn(move || {
        while let Ok(envelope) = channels.requests.recv() {
            let mut script = script.lock().expect("not poisoned");
            answer(&channels, &mut script, envelope);
        }
    });
}

fn answer(channels: &Channels, script: &mut Script, envelope: Envelope) {
    let open = Open { channels, script, envelope: Some(envelope) };
    let open = questions(commands(endpoints(sources(open))));
    // Nobody scripted an answer: it is dropped, as a scheduler that ends would do.
    drop(open.envelope);
}

fn sources(open: Open<'_>) -> Open<'_> {
    open.command(|script, CreateSource(source)| script.create_source(*source))
        .command(|script, UpdateSource(source)| Ok(script.set_source(*source)))
        .command(|script, DeleteSource { name }| {
            script.sources.retain(|source| source.name != name);
            Ok(())
        })
}

fn endpoints(open: Open<'_>) -> Open<'_> {
    open.command(|script, request: WithSubscription<CreateEndpoint>| {
        Ok(script.set_endpoint(*request.request.0))
    })
    .command(|script, request: WithSubscription<UpdateEndpoint>| {
        Ok(script.set_endpoint(*request.request.0))
    })
    .command(|script, DeleteEndpoint { name }| {
        script.with_endpoint(&name, |script| {
            script.endpoints.retain(|endpoint| endpoint.name != name);
            3
        })
    })
}

fn commands(open: Open<'_>) -> Open<'_> {
    open.command(|script, HoldEndpoint { name }| {
        script.with_endpoint(&name, |script| script.held.insert(name.clone())).map(drop)
    })
    .command(|script, ReleaseEndpoint { name }| {
        script.with_endpoint(&name, |script| script.held.remove(&name)).map(drop)
    })
    .command(|_, CancelDeliveries { deliveries }| Ok(all(deliveries.len())))
    .command(|script, RetryDeliveries { deliveries }| {
        script.retried.push(deliveries.clone());
        Ok(all(script.forget_dead(&deliveries)))
    })
    .command(|script, DiscardDeadLetters { deliveries }| Ok(script.discard(&deliveries)))
    .command(|_, ImportEvents { events }| Ok(events.len()))
    .command(|script, request: StartReplay| Ok(script.start_replay(request)))
}

fn all(count: usize) -> DeliveriesChanged {
    DeliveriesChanged { count, ..DeliveriesChanged::default() }
}

fn questions(open: Open<'_>) -> Open<'_> {
    let open =
        open.on(|script, request: Accept| Ok(script.accept(request)))
            .on(|script, StatusQuery| Ok(script.status()))
            .on(|script, EndpointsQuery| {
                Ok(script.endpoints.iter().map(|e| script.view(e)).collect())
            })
            .on(|script, DeliveriesQuery(ids)| {
                Ok(ids.into_iter().map(|id| script.delivery(id)).collect())
            })
            .on(|script, ExplainQuery { delivery, .. }| Ok(script.explanation(delivery)))
            .on(|script, RetryCheckQuery(revives)| {
                Ok(revives.into_iter().map(|revive| script.check_retry(revive.delivery)).collect())
            })
            .on(|script, CancelCheckQuery(ids)| {
                Ok(ids.into_iter().map(|id| script.check_cancel(id)).collect())
            })
            .on(|script, DeadLetterSeqsQuery { before, limit }| {
                Ok(script.dead_before(before, limit))
            })
            .on(|script, OldestDeadLetterSeqsQuery { after, limit }| {
                Ok(script.dead_after(after, limit))
            })
            .on(|script, DeadOfQuery(name)| Ok(script.dead_of(&name)));

    // What lists ask, and the rest.
    open.on(|script, query: CandidatesQuery| Ok(script.candidates(&query)))
        .on(|script, query: CountQuery| Ok(script.counts.get(&query.state).copied()))
        .on(|script, LastDeliveryQuery(_)| Ok(script.last_delivery))
        .on(|script, query: RelocatedQuery| Ok(script.relocated(&query)))
        .on(|_, GoneQuery| Ok(GoneRecords::default()))
        .on(|script, OrphansQuery { gone, .. }| Ok(script.orphans(&gone)))
        .on(|script, EventsQuery(seqs)| Ok(seqs.into_iter().map(|seq| script.event(seq)).collect()))
        .on(|script, WorstQuery { .. }| Ok(script.worst()))
        .on(|_, ReplaysQuery| Ok(Vec::new()))
        .on(|_, EndedReplaysQuery| Ok(Vec::new()))
        .on(|_, ImportedQuery(_)| Ok(None))
        .on(|_, RetryingQuery { .. }| Ok(Vec::new()))
}

/// A request that may not have been answered yet.
struct Open<'a> {
    channels: &'a Channels,
    script: &'a mut Script,
    envelope: Option<Envelope>,
}

impl Open<'_> {
    /// Answers it if it is of this type. What changed is published before the answer leaves.
    fn on<R: QueueRequest>(
        mut self,
        act: impl FnOnce(&mut Script, R) -> Result<R::Answer, Refusal>,
    ) -> Self {
        let envelope = self.envelope.take();
        self.envelope = envelope.and_then(|envelope| {
            let answered = envelope.answer(|request| {
                let answer = act(self.script, request);
                self.channels.directory.send_replace(self.script.directory());
                answer
            });
            answered.err()
        });
        self
    }

    /// The same, and counts it.
    fn command<R: QueueRequest>(
        self,
        act: impl FnOnce(&mut Script, R) -> Result<R::Answer, Refusal>,
    ) -> Self {
        self.on(|script, request| {
            script.commands += 1;
            act(script, request)
        })
    }
}
