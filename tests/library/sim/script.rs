//! A small world for one promise at a time: the real queue and the real step on a virtual clock,
//! with receivers that a test scripts, and a process that may die at any moment. What a receiver
//! gets is written down.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use hookbox::model::{
    AttemptFault, AttemptReport, BatchId, Endpoint, Event, EventId, Now, Outcome, Rate,
    RequestHead, ResponseHead, Seq, Source,
};
use hookbox::queue::{
    Action, AttemptOrder, CreateEndpoint, CreateSource, Input, Maintenance, NewEvent, Queue,
    QueueRequest, Refusal,
};
use hookbox::scheduler::{Core, Envelope, Released, Store, read};

use super::requests::{answer, matched};
use super::store::Disk;

const READ_MS: u64 = 2;

/// What a receiver says, and when.
#[derive(Clone, Debug)]
pub struct Says {
    pub within_ms: u64,
    pub outcome: Outcome,
    pub status: Option<u16>,
    pub failed: Vec<EventId>,
    pub fault: Option<AttemptFault>,
}

impl Says {
    pub fn ok() -> Self {
        Self {
            within_ms: 1,
            outcome: Outcome::Delivered,
            status: Some(200),
            failed: Vec::new(),
            fault: None,
        }
    }

    pub fn fails(status: u16) -> Self {
        Self { outcome: Outcome::Retryable { after_ms: None }, status: Some(status), ..Self::ok() }
    }

    pub fn asks_for(status: u16, after_ms: u64) -> Self {
        Self { outcome: Outcome::Retryable { after_ms: Some(after_ms) }, ..Self::fails(status) }
    }

    /// Nothing, until the deadline.
    pub fn hangs() -> Self {
        Self { within_ms: 15_000, status: None, ..Self::fails(0) }
    }
}

/// One request that a receiver got.
#[derive(Clone, Debug)]
pub struct Seen {
    pub at: u64,
    pub to: String,
    pub events: Vec<Seq>,
}

type Receiver = Box<dyn FnMut(&Endpoint, &[Arc<Event>], u64) -> Says>;

pub struct Script {
    core: Core<&'static mut Disk>,
    pub now: Now,
    agenda: BTreeMap<(u64, u64), Input>,
    planned: u64,
    receiver: Receiver,
    pub seen: Vec<Seen>,
    pace: Option<Rate>,
}

impl Script {
    pub fn new(
        endpoints: impl IntoIterator<Item = Endpoint>,
        pace: Option<Rate>,
        receiver: impl FnMut(&Endpoint, &[Arc<Event>], u64) -> Says + 'static,
    ) -> Self {
        let now = Now { mono_ms: 0, wall_ms: 1_800_000_000_000 };
        let disk: &'static mut Disk = Box::leak(Box::new(Disk::new(400)));
        let mut queue = Queue::new(disk.fold(), 7, now);
        queue.set_pace(pace);
        let begun = queue.begin(now, "sim");
        let mut core = Core { queue, store: disk };
        core.store.commit(&begun.records).expect("the first commit");
        let (agenda, receiver) = (BTreeMap::new(), Box::new(receiver));
        let mut script = Self { core, now, agenda, planned: 0, receiver, seen: Vec::new(), pace };
        script.command(CreateSource(Box::new(Source::new("in", "none"))));
        for endpoint in endpoints {
            script.command(CreateEndpoint(Box::new(endpoint)));
        }
        script
    }

    pub fn tell<R: QueueRequest>(&mut self, request: R) -> Result<R::Answer, Refusal> {
        let (envelope, receiver) = Envelope::ask(request, None);
        let mut released = self.core.step(self.now, vec![envelope], true).expect("nothing fails");
        released.send_answers();
        self.take(released);
        self.core.roll_when_due(self.now.wall_ms).expect("only commits fail");
        answer(receiver)
    }

    pub fn command<R: QueueRequest>(&mut self, request: R) {
        self.tell(request).expect("it is not refused");
    }

    /// An event comes in.
    pub fn accept(&mut self, body: impl Into<String>) -> Seq {
        let source = self.core.queue.state().sources.values().next().expect("the source").clone();
        let event = NewEvent {
            source,
            kind: "sim.event".to_owned(),
            dedupe_key: None,
            dedupe: None,
            beside: Default::default(),
            request_line: "POST /in/in".to_owned(),
            remote: "sim".to_owned(),
            headers: Vec::new(),
            body: Bytes::from(body.into()),
        };
        let accept = matched(&self.core.queue, event);
        self.tell(accept).expect("accepted")[0].id.seq
    }

    /// The process dies, and is started again after a while.
    pub fn restart(&mut self, off_ms: u64) {
        self.agenda.clear();
        self.now = Now { mono_ms: 0, wall_ms: self.now.wall_ms + off_ms };
        let mut queue = Queue::new(self.core.store.fold(), 8, self.now);
        queue.set_pace(self.pace);
        self.core.queue = queue;
    }

    pub fn queue(&self) -> &Queue {
        &self.core.queue
    }

    pub fn run_for(&mut self, ms: u64) {
        let end = self.now.mono_ms + ms;
        loop {
            let due = self.core.queue.next_wake(self.now);
            let next = self.agenda.first_key_value().map(|((at, _), _)| *at);
            let target = due.into_iter().chain(next).min().unwrap_or(end).max(self.now.mono_ms);
            if target > end {
                break;
            }
            self.now.wall_ms += target - self.now.mono_ms;
            self.now.mono_ms = target;

            let mut requests = Vec::new();
            while let Some(entry) = self.agenda.first_entry()
                && entry.key().0 <= target
            {
                requests.push(Envelope::report(entry.remove()));
            }

            let idle = requests.is_empty() && due.is_none_or(|due| due > target);
            let released = self.core.step(self.now, requests, true).expect("nothing fails");
            self.take(released);
            self.core.roll_when_due(self.now.wall_ms).expect("only commits fail");
            if idle && target == end {
                break;
            }
        }

        self.now.wall_ms += end - self.now.mono_ms;
        self.now.mono_ms = end;
    }

    fn plan(&mut self, within_ms: u64, input: Input) {
        self.planned += 1;
        self.agenda.insert((self.now.mono_ms + within_ms, self.planned), input);
    }

    fn take(&mut self, released: Released) {
        released.actions.into_iter().for_each(|action| self.perform(action));
    }

    fn perform(&mut self, action: Action) {
        let disk = &self.core.store;
        match action {
            Action::Attempt(AttemptOrder::One { delivery, endpoint, event, .. }) => {
                let (within_ms, report, _) = self.request(&endpoint, std::slice::from_ref(&event));
                self.plan(within_ms, Input::Finished { delivery, report });
            }
            Action::Attempt(AttemptOrder::Batch { endpoint, batch, events, .. }) => {
                self.request_batch(&endpoint, batch, &events)
            }
            Action::Read(order) => {
                let input = read(order, &**disk);
                self.plan(READ_MS, input);
            }
            Action::Report(_) | Action::Maintain(Maintenance::Publish) => {}
            Action::Maintain(Maintenance::DropSegment { .. }) => panic!("nobody asked for that"),
        }
    }

    fn request_batch(&mut self, endpoint: &Endpoint, batch: BatchId, events: &[Arc<Event>]) {
        let (within_ms, report, failed) = self.request(endpoint, events);
        self.plan(within_ms, Input::BatchFinished { endpoint: endpoint.id, batch, report, failed });
    }

    fn request(
        &mut self,
        endpoint: &Endpoint,
        events: &[Arc<Event>],
    ) -> (u64, AttemptReport, Vec<EventId>) {
        let says = (self.receiver)(endpoint, events, self.now.mono_ms);
        let ids = events.iter().map(|event| event.id.seq).collect();
        self.seen.push(Seen { at: self.now.mono_ms, to: endpoint.name.clone(), events: ids });

        let response = says.status.map(|status| ResponseHead {
            status,
            headers: Vec::new(),
            body: Bytes::new(),
        });
        let report = AttemptReport {
            started_at: self.now.wall_ms,
            duration_ms: says.within_ms,
            connect_ms: None,
            outcome: says.outcome,
            request: RequestHead::default(),
            response,
            error: None,
            fault: says.fault,
            command: None,
        };

        (says.within_ms, report, says.failed)
    }
}
