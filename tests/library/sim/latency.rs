//! An honest endpoint beside dead ones: how long its deliveries take from accepted to attempted, in
//! simulated time, alone and beside 99 endpoints of which none ever takes anything, or none does
//! from some moment on.

use std::collections::{BTreeMap, HashMap};

use bytes::Bytes;
use hookbox::model::{
    AttemptFault, AttemptReport, Endpoint, Now, Outcome, RequestHead, ResponseHead, RetryPolicy,
    Seq, Source,
};
use hookbox::queue::{
    Accept, Action, AttemptOrder, CreateEndpoint, CreateSource, Input, Maintenance, NewEvent, Queue,
};
use hookbox::scheduler::{Core, Envelope, Store, read};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::requests::{answer, matched};
use super::store::Disk;

/// Events that come in, and the time between two of them at most.
const EVENTS: u64 = 4_000;
const GAP_MS: u64 = 100;
/// How long the honest one takes to answer, and how long the log takes to be read.
pub const ANSWER_MS: u64 = 20;
const READ_MS: u64 = 2;

/// What comes at a time.
enum Planned {
    Report(Box<Input>),
    Accept(Accept),
}

struct Row {
    core: Core<&'static mut Disk>,
    rng: StdRng,
    now: Now,
    agenda: BTreeMap<(u64, u64), Planned>,
    planned: u64,
    dying_at: u64,
    accepted_at: HashMap<Seq, u64>,
    /// From accepted to attempted at the honest one.
    took: Vec<u64>,
}

/// Percentiles 50 and 99 of the time to the honest endpoint's attempts.
/// `dead` of them take nothing from `dying_at` on.
pub fn percentiles(dead: u32, dying_at: u64) -> (u64, u64) {
    let now = Now { mono_ms: 0, wall_ms: 1_800_000_000_000 };
    let disk: &'static mut Disk = Box::leak(Box::new(Disk::new(5_000)));
    let mut rng = StdRng::seed_from_u64(99);
    let mut queue = Queue::new(disk.fold(), rng.random(), now);
    let begun = queue.begin(now, "sim");
    let mut core = Core { queue, store: disk };
    core.store.commit(&begun.records).expect("the first commit");

    let mut requests = Vec::new();
    requests.push(Envelope::ask(CreateSource(Box::new(Source::new("in", "none"))), None).0);

    for n in 0..=dead {
        let retry = RetryPolicy { max_age_ms: 86_400_000, ..RetryPolicy::default() };
        let endpoint = Endpoint {
            retry,
            ..Endpoint::new(format!("e{n}"), format!("http://host{n}.example/"))
        };
        requests.push(Envelope::ask(CreateEndpoint(Box::new(endpoint)), None).0);
    }

    core.step(now, requests, true).expect("nothing fails");
    assert_eq!(core.queue.state().living().count(), dead as usize + 1, "all were made");

    let source = core.queue.state().sources.values().next().expect("the source").clone();
    let (agenda, accepted_at, took) = (BTreeMap::new(), HashMap::new(), Vec::new());
    let mut row = Row { core, rng, now, agenda, planned: 0, dying_at, accepted_at, took };

    let mut at = 0;
    for _ in 0..EVENTS {
        at += row.rng.random_range(1..=GAP_MS);
        let event = NewEvent {
            source: source.clone(),
            kind: "sim.event".to_owned(),
            dedupe_key: None,
            dedupe: None,
            beside: Default::default(),
            request_line: "POST /in/in".to_owned(),
            remote: "sim".to_owned(),
            headers: Vec::new(),
            body: Bytes::from_static(b"{}"),
        };
        let accept = matched(&row.core.queue, event);
        row.plan(at, Planned::Accept(accept));
    }

    row.until(at + 60_000);
    let mut took = row.took;
    assert_eq!(took.len() as u64, EVENTS, "all of them were attempted at the honest one");
    took.sort_unstable();
    (took[took.len() / 2], took[took.len() * 99 / 100])
}

impl Row {
    fn plan(&mut self, at: u64, planned: Planned) {
        self.planned += 1;
        self.agenda.insert((at, self.planned), planned);
    }

    fn until(&mut self, end: u64) {
        while self.now.mono_ms < end {
            let due = self.core.queue.next_wake(self.now);
            let next = self.agenda.first_key_value().map(|((at, _), _)| *at);
            let target =
                due.into_iter().chain(next).min().unwrap_or(end).max(self.now.mono_ms).min(end);
            self.now.wall_ms += target - self.now.mono_ms;
            self.now.mono_ms = target;

            let (mut requests, mut accepted) = (Vec::new(), Vec::new());
            while let Some(entry) = self.agenda.first_entry()
                && entry.key().0 <= target
            {
                match entry.remove() {
                    Planned::Report(input) => requests.push(Envelope::report(*input)),
                    Planned::Accept(accept) => {
                        let (envelope, receiver) = Envelope::ask(accept, None);
                        requests.push(envelope);
                        accepted.push(receiver);
                    }
                }
            }

            let mut released = self.core.step(self.now, requests, true).expect("nothing fails");
            released.send_answers();
            for receiver in accepted {
                let accepted = answer(receiver).expect("accepted");
                self.accepted_at.extend(accepted.iter().map(|event| (event.id.seq, target)));
            }

            released.actions.into_iter().for_each(|action| self.perform(action));
            self.core.roll_when_due(self.now.wall_ms).expect("only commits fail");
        }
    }

    fn perform(&mut self, action: Action) {
        let read_at = self.now.mono_ms + READ_MS;
        match action {
            Action::Attempt(AttemptOrder::One { delivery, endpoint, event, .. }) => {
                if endpoint.name == "e0" {
                    self.took.push(self.now.mono_ms - self.accepted_at[&event.id.seq]);
                }
                let (within_ms, report) = self.answer(&endpoint);
                let finished = Input::Finished { delivery, report };
                self.plan(self.now.mono_ms + within_ms, Planned::Report(Box::new(finished)));
            }
            Action::Read(order) => {
                let input = read(order, &*self.core.store);
                self.plan(read_at, Planned::Report(Box::new(input)));
            }
            Action::Report(_) | Action::Maintain(Maintenance::Publish) => {}
            other => panic!("nobody asked for {other:?}"),
        }
    }

    /// The honest one takes everything; of the others a third hangs, a third cannot be reached, a
    /// third refuses.
    fn answer(&self, endpoint: &Endpoint) -> (u64, AttemptReport) {
        let retry = Outcome::Retryable { after_ms: None };
        let (within_ms, outcome, status, fault) = match endpoint.id % 3 {
            _ if endpoint.name == "e0" || self.now.mono_ms < self.dying_at => {
                (ANSWER_MS, Outcome::Delivered, Some(200), None)
            }
            0 => (endpoint.timeout_ms, retry, None, None),
            1 => (3_000, retry, None, Some(AttemptFault::Unreachable)),
            _ => (ANSWER_MS, retry, Some(503), None),
        };

        let response =
            status.map(|status| ResponseHead { status, headers: Vec::new(), body: Bytes::new() });
        let report = AttemptReport {
            started_at: self.now.wall_ms,
            duration_ms: within_ms,
            connect_ms: None,
            outcome,
            request: RequestHead::default(),
            response,
            error: None,
            fault,
            command: None,
        };
        (within_ms, report)
    }
}
