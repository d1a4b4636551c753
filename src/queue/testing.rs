//! The queue's test world: a queue with a source, endpoints and a clock, that remembers what was
//! decided and reads events as the log would. And new events and reports, for the tests of others.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;

use super::matcher::Steps;
use super::{
    Accept, Action, AttemptOrder, CreateEndpoint, CreateSource, Input, Loaded, NewEvent, Queue,
    QueueRequest, ReadOrder, Relocate, RelocatedEvent, RelocationSlice, State, StreamEntry,
    StreamOrder, StreamRead,
};
use crate::model::{
    AttemptReport, BatchFormat, BatchId, DeliveryId, Endpoint, Event, EventId, Header, Now,
    Outcome, RequestHead, ResponseHead, Seq, Source, limits,
};
use crate::record::Record;

/// When a [`TestQueue`] begins.
pub(super) const START: Now = Now { mono_ms: 1_000, wall_ms: 1_800_000_000_000 };

/// A batch that was sent.
pub(super) struct SentBatch {
    pub id: BatchId,
    pub format: BatchFormat,
    pub events: Vec<EventId>,
}

/// A queue with one source, and what it decided.
pub(super) struct TestQueue {
    pub queue: Queue,
    pub now: Now,
    /// Everything that was remembered.
    pub records: Vec<Record>,
    /// The deliveries of single attempts, in the order in which they began.
    pub attempts: Vec<DeliveryId>,
    pub batches: Vec<SentBatch>,
    /// The other actions.
    pub actions: Vec<Action>,
    /// The accepted events, by their records.
    events: BTreeMap<Seq, Arc<Event>>,
    /// The event that retention relocates before the next read of a batch.
    relocates: Option<EventId>,
}

impl TestQueue {
    /// A queue with the source `in` and these endpoints, numbered from 1.
    pub fn new(endpoints: impl IntoIterator<Item = Endpoint>) -> Self {
        Self::at(START, endpoints)
    }

    /// The same, at another time.
    pub fn at(now: Now, endpoints: impl IntoIterator<Item = Endpoint>) -> Self {
        let mut world = Self {
            queue: Queue::new(State::new(), 1, now),
            now,
            records: Vec::new(),
            attempts: Vec::new(),
            batches: Vec::new(),
            actions: Vec::new(),
            events: BTreeMap::new(),
            relocates: None,
        };
        let begun = world.queue.begin(now, "1");
        world.records.extend(begun.records);

        world.input(CreateSource(Box::new(Source::new("in", "none"))));
        for endpoint in endpoints {
            world.input(CreateEndpoint(Box::new(endpoint)));
        }
        world
    }

    /// Gives the queue a request, and starts what is due.
    pub fn input<R: QueueRequest>(&mut self, request: R) -> R::Answer {
        let answer = self.decide(request);
        self.run();
        answer
    }

    /// Gives the queue a request, and starts nothing.
    pub fn decide<R: QueueRequest>(&mut self, request: R) -> R::Answer {
        let decision = self.queue.handle(self.now, request);
        self.perform(decision.records, decision.actions);
        decision.answer.expect("it is not refused")
    }

    /// Starts what is due.
    pub fn run(&mut self) {
        let decision = self.queue.run(self.now);
        self.queue.assert_counts();
        self.perform(decision.records, decision.actions);
    }

    /// The process ends, and another one starts with what was remembered.
    pub fn restart(&mut self, now: Now) {
        let mut state = State::new();
        for (seq, record) in (1..).zip(&self.records) {
            state.apply(seq, record).expect("it follows");
        }
        (self.queue, self.now) = (Queue::new(state, 1, now), now);
        self.run();
    }

    /// Lets time pass, and starts what is due then.
    pub fn pass(&mut self, ms: u64) {
        self.now = Now { mono_ms: self.now.mono_ms + ms, wall_ms: self.now.wall_ms + ms };
        self.run();
    }

    /// An event that is not accepted yet, matched with the endpoints.
    pub fn matched(&self, headers: Vec<Header>, body: impl Into<Bytes>) -> super::Matched {
        self.matched_of("in", headers, body)
    }

    /// The same, of this source.
    pub fn matched_of(
        &self,
        source: &str,
        headers: Vec<Header>,
        body: impl Into<Bytes>,
    ) -> super::Matched {
        let mut sources = self.queue.state().sources.values();
        let source = sources.find(|known| known.name == source).expect("the source");
        let event = new_event(Arc::clone(source), headers, body.into());
        self.queue.matcher().matched(event, &mut Steps::new(limits::FILTER_STEPS))
    }

    /// Accepts an event.
    pub fn accept(&mut self, body: impl Into<Bytes>) -> EventId {
        self.accept_with(Vec::new(), body)
    }

    /// Accepts an event with headers.
    pub fn accept_with(&mut self, headers: Vec<Header>, body: impl Into<Bytes>) -> EventId {
        let event = self.matched(headers, body);
        self.input(Accept(vec![event]))[0].id
    }

    /// Ends an attempt.
    pub fn finish(&mut self, delivery: DeliveryId, report: AttemptReport) {
        self.input(Input::Finished { delivery, report });
    }

    /// Ends the attempt for the batch that was sent last.
    pub fn finish_batch(&mut self, report: AttemptReport, failed: Vec<EventId>) {
        let batch = self.batches.last().expect("a batch was sent").id;
        self.input(Input::BatchFinished { endpoint: 1, batch, report, failed });
    }

    /// Before a batch is read the next time, retention relocates this event, and drops its record.
    pub fn relocate_at_next_read(&mut self, event: EventId) {
        self.relocates = Some(event);
    }

    /// Retention relocates this event, and drops its record.
    pub fn relocate(&mut self, id: EventId) {
        let at = self.queue.state().stands_at(id.seq).expect("the event is known");
        let event = self.events.remove(&at).expect("the event is there");
        let relocated =
            RelocatedEvent { seq: id.seq, at, event: event.clone(), fan_out: vec![1], known: true };
        let slice = RelocationSlice { events: vec![relocated], ..Default::default() };

        self.decide(Relocate { first: at, last: at, slice });
        let to = self.queue.state().stands_at(id.seq).expect("the event is known");
        assert_ne!(to, at, "it is needed, and so it is relocated");
        self.events.insert(to, event);
    }

    /// Applies a record that nothing was decided for.
    pub fn remember(&mut self, record: Record) {
        self.queue.remember_for_test(record.clone());
        self.records.push(record);
    }

    /// The id of the event that this record accepted.
    pub fn event_id(&self, seq: Seq) -> EventId {
        self.events.get(&seq).expect("the event is there").id
    }

    /// Keeps what was decided, and reads the events that are to be read.
    fn perform(&mut self, records: Vec<Record>, actions: Vec<Action>) {
        for record in &records {
            if let Record::EventAccepted { event, .. } = record {
                self.events.insert(event.id.seq, event.clone());
            }
        }
        self.records.extend(records);

        // What is read comes back later than everything else is done.
        let (reads, others): (Vec<Action>, Vec<Action>) =
            actions.into_iter().partition(|action| matches!(action, Action::Read(_)));
        for action in others.into_iter().chain(reads) {
            match action {
                Action::Attempt(AttemptOrder::One { delivery, .. }) => self.attempts.push(delivery),
                Action::Attempt(AttemptOrder::Batch { batch, events, format, .. }) => {
                    let events = events.iter().map(|event| event.id).collect();
                    self.batches.push(SentBatch { id: batch, format, events });
                }
                Action::Read(ReadOrder::Event { delivery, event }) => {
                    let event = self.events.get(&event).cloned();
                    self.input(Input::Loaded { delivery, event });
                }
                Action::Read(ReadOrder::Batch { endpoint, batch, events, .. }) => {
                    if let Some(event) = self.relocates.take() {
                        self.relocate(event);
                    }
                    let read =
                        |seq| self.events.get(seq).cloned().map_or(Loaded::Gone, Loaded::Event);
                    let events = events.iter().map(read).collect();
                    self.input(Input::BatchLoaded { endpoint, batch, events });
                }
                Action::Read(ReadOrder::Stream(order)) if order.until.is_none() => {
                    self.refill(order);
                }
                other => self.actions.push(other),
            }
        }
    }

    /// Reads a stream forward.
    fn refill(&mut self, order: StreamOrder) {
        let StreamOrder { endpoint, from, keys, max_entries, .. } = order;
        let records = (1..).zip(&self.records).skip_while(|(seq, _)| *seq < from);
        let found = records.flat_map(|(seq, record)| {
            let own = record.stream_positions(seq).filter(move |waiting| waiting.position == seq);
            own.filter(move |waiting| waiting.delivery.endpoint == endpoint)
        });
        let entries = found.map(|waiting| {
            // Its own record holds the event, or an earlier one, which is read for the keys alone.
            let event = self.events.get(&waiting.event);
            let own = event.filter(|_| waiting.event == waiting.position).cloned();
            let mut entry = StreamEntry::new(waiting, own);
            if let Some(event) = event.filter(|_| !keys.is_empty()) {
                keys.fill(&mut entry, event);
            }
            entry
        });

        let entries: Vec<StreamEntry> = entries.take(max_entries).collect();
        let last = entries.last().filter(|_| entries.len() == max_entries);
        let next = last.map_or(self.queue.state().next_seq, |last| last.position + 1);
        let read = StreamRead { from, entries, next, ..StreamRead::default() };
        self.input(Input::Refilled { endpoint, read, keys });
    }
}

/// An event that is not accepted yet.
pub(crate) fn new_event(source: Arc<Source>, headers: Vec<Header>, body: Bytes) -> NewEvent {
    NewEvent {
        source,
        kind: "t".into(),
        dedupe_key: None,
        dedupe: None,
        beside: Default::default(),
        request_line: String::new(),
        remote: String::new(),
        headers,
        body,
    }
}

/// The report of an attempt that began and ended now.
pub(crate) fn report(now: Now, outcome: Outcome) -> AttemptReport {
    AttemptReport {
        started_at: now.wall_ms,
        duration_ms: 1,
        connect_ms: None,
        outcome,
        request: RequestHead::default(),
        response: None,
        error: None,
        fault: None,
        command: None,
    }
}

/// The report of an attempt that was answered now.
pub(crate) fn answered(now: Now, outcome: Outcome, status: u16) -> AttemptReport {
    let response = ResponseHead { status, headers: Vec::new(), body: Bytes::new() };
    AttemptReport { response: Some(response), ..report(now, outcome) }
}
