//! The shares that the queue keeps, each with somebody who takes all that he may have and somebody
//! who wants his part. In simulated time: what is counted is exact.

use std::collections::{BTreeMap, HashMap};

use bytes::Bytes;
use hookbox::model::limits;
use hookbox::model::share::{Share, ShareHolder};
use hookbox::model::{
    AttemptReport, Endpoint, Now, Outcome, Rate, RequestHead, ResponseHead, Source,
};
use hookbox::queue::{
    Action, AttemptOrder, CreateEndpoint, CreateSource, HoldEndpoint, Input, Maintenance, NewEvent,
    Queue, QueueRequest, ReleaseEndpoint,
};
use hookbox::scheduler::{Core, Envelope, Store, read};

use super::requests::{answer, matched};
use super::store::Disk;

const ANSWER_MS: u64 = 20;

struct Stage {
    core: Core<&'static mut Disk>,
    now: Now,
    agenda: BTreeMap<(u64, u64), Input>,
    planned: u64,
    /// Attempts under way, and those made in all, by endpoint.
    in_flight: HashMap<String, usize>,
    most_in_flight: HashMap<String, usize>,
    made: HashMap<String, usize>,
}

impl Stage {
    fn new(endpoints: Vec<Endpoint>, pace: Option<Rate>) -> Self {
        let now = Now { mono_ms: 0, wall_ms: 1_800_000_000_000 };
        let disk: &'static mut Disk = Box::leak(Box::new(Disk::new(100_000)));
        let mut queue = Queue::new(disk.fold(), 1, now);
        let begun = queue.begin(now, "sim");
        queue.set_pace(pace);
        let mut core = Core { queue, store: disk };
        core.store.commit(&begun.records).expect("the first commit");

        let mut made = Self {
            core,
            now,
            agenda: BTreeMap::new(),
            planned: 0,
            in_flight: HashMap::new(),
            most_in_flight: HashMap::new(),
            made: HashMap::new(),
        };

        made.command(CreateSource(Box::new(Source::new("in", "none"))));
        for endpoint in endpoints {
            made.command(CreateEndpoint(Box::new(endpoint)));
        }
        made
    }

    fn command<R: QueueRequest>(&mut self, request: R) {
        let (envelope, receiver) = Envelope::ask(request, None);
        self.step(vec![envelope]);
        answer(receiver).expect("it is not refused");
    }

    fn step(&mut self, requests: Vec<Envelope>) {
        let mut released = self.core.step(self.now, requests, true).expect("nothing fails");
        released.send_answers();
        released.actions.into_iter().for_each(|action| self.perform(action));
        self.core.roll_when_due(self.now.wall_ms).expect("only commits fail");
    }

    fn accept(&mut self, count: usize) {
        let source = self.core.queue.state().sources.values().next().expect("the source").clone();
        for _ in 0..count {
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
            let accept = matched(&self.core.queue, event);
            self.command(accept);
        }
    }

    fn id(&self, name: &str) -> u32 {
        let found =
            self.core.queue.state().living().find(|endpoint| endpoint.settings.name == name);
        found.expect("an endpoint").settings.id
    }

    fn plan(&mut self, at: u64, input: Input) {
        self.planned += 1;
        self.agenda.insert((at, self.planned), input);
    }

    fn run_for(&mut self, ms: u64) {
        let end = self.now.mono_ms + ms;
        while self.now.mono_ms < end {
            let due = self.core.queue.next_wake(self.now);
            let next = self.agenda.first_key_value().map(|((at, _), _)| *at);
            let target =
                due.into_iter().chain(next).min().unwrap_or(end).max(self.now.mono_ms).min(end);
            self.now.wall_ms += target - self.now.mono_ms;
            self.now.mono_ms = target;

            let mut requests = Vec::new();
            while let Some(entry) = self.agenda.first_entry()
                && entry.key().0 <= target
            {
                let input = entry.remove();
                if let Input::Finished { delivery, .. } = &input {
                    let name =
                        self.core.queue.state().endpoints[&delivery.endpoint].settings.name.clone();
                    *self.in_flight.entry(name).or_default() -= 1;
                }
                requests.push(Envelope::report(input));
            }
            self.step(requests);
        }
    }

    fn perform(&mut self, action: Action) {
        match action {
            Action::Attempt(AttemptOrder::One { delivery, endpoint, .. }) => {
                let name = endpoint.name.clone();
                *self.made.entry(name.clone()).or_default() += 1;
                let in_flight = self.in_flight.entry(name.clone()).or_default();
                *in_flight += 1;

                let most = self.most_in_flight.entry(name.clone()).or_default();
                *most = (*most).max(*in_flight);
                if !name.starts_with("hangs") {
                    let report = delivered(self.now);
                    self.plan(self.now.mono_ms + ANSWER_MS, Input::Finished { delivery, report });
                }
            }
            Action::Read(order) => {
                let input = read(order, &*self.core.store);
                self.plan(self.now.mono_ms + 1, input);
            }
            Action::Report(_) | Action::Maintain(Maintenance::Publish) => {}
            other => panic!("nobody asked for {other:?}"),
        }
    }

    fn made(&self, name: &str) -> usize {
        self.made.get(name).copied().unwrap_or(0)
    }

    /// Whether the queue says that this one found the share full.
    fn is_full(&self, share: Share, name: &str) -> bool {
        let of = ShareHolder::Endpoint(self.id(name));
        let full = self.core.queue.status(self.now).full.lately(self.now);
        full.iter()
            .any(|full| full.share == share && (full.of == of || full.of == ShareHolder::Others))
    }
}

fn delivered(now: Now) -> AttemptReport {
    AttemptReport {
        started_at: now.wall_ms,
        duration_ms: ANSWER_MS,
        connect_ms: None,
        outcome: Outcome::Delivered,
        request: RequestHead::default(),
        response: Some(ResponseHead { status: 200, headers: Vec::new(), body: Bytes::new() }),
        error: None,
        fault: None,
        command: None,
    }
}

fn endpoint(name: impl Into<String>) -> Endpoint {
    let name = name.into();
    let url = format!("http://{name}.example/");
    Endpoint::new(name, url)
}

#[test]
fn endpoints_without_proof_of_life_leave_the_others_half_of_the_places() {
    let mut all: Vec<Endpoint> = (0..60).map(|n| endpoint(format!("hangs{n}"))).collect();
    all.push(endpoint("good"));
    let mut sim = Stage::new(all, None);
    sim.accept(200);
    sim.run_for(10_000);
    let hanging: usize = sim
        .most_in_flight
        .iter()
        .filter(|(name, _)| name.starts_with("hangs"))
        .map(|(_, most)| most)
        .sum();
    // The first attempt to each of them has a slot of its own.
    assert!(hanging <= limits::IN_FLIGHT_ON_PROBATION + 60, "{hanging} slots");
    assert_eq!(sim.made("good"), 200, "all of its deliveries were made within ten seconds");
    assert!(sim.is_full(Share::ProbationSlots, "hangs59"), "status says who waits");
    assert!(!sim.is_full(Share::SlotsInFlight, "good"));
}

#[test]
fn one_endpoint_leaves_the_others_places() {
    let wide = Endpoint { concurrency: limits::CONCURRENCY, ..endpoint("wide") };
    let mut sim = Stage::new(vec![wide, endpoint("good")], None);
    // Each success makes its window wider, up to all that it asks for.
    sim.accept(3000);
    sim.run_for(60_000);
    let most = sim.most_in_flight["wide"];
    assert!(most <= limits::IN_FLIGHT * 3 / 4, "{most} slots");
    assert_eq!((sim.made("wide"), sim.made("good")), (3000, 3000));
    assert!(sim.is_full(Share::SlotsInFlight, "wide") || sim.now.mono_ms > limits::SHARE_SHOWN_MS);
}

#[test]
fn a_shared_pace_is_shared_by_turns() {
    let rate = Rate { count: 20, per_ms: 1000 };
    let mut sim =
        Stage::new(vec![endpoint("first"), endpoint("second"), endpoint("third")], Some(rate));
    for name in ["first", "second", "third"] {
        sim.command(HoldEndpoint { name: name.to_owned() });
    }
    sim.accept(500);
    for name in ["first", "second", "third"] {
        sim.command(ReleaseEndpoint { name: name.to_owned() });
    }
    sim.run_for(15_000);
    let made = ["first", "second", "third"].map(|name| sim.made(name));
    let all: usize = made.iter().sum();
    assert!((290..=310).contains(&all), "{made:?}");
    assert!(made.iter().all(|own| *own * 10 >= all / 3 * 9), "each its part: {made:?}");
    assert!(sim.is_full(Share::CatchUpPace, "first") && sim.is_full(Share::CatchUpPace, "third"));
}
