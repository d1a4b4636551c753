//! Why a delivery waits: the facts behind `hookboxctl delivery explain`. Pure, and changes nothing; the sentences are
//! made where they are shown.

use super::Queue;
use super::flow::{Flow, Work};
use super::run::has_its_share;
use super::state::{Lane, Retrying};
use crate::model::{
    BatchId, CatchUpMode, DeliveryId, DeliveryState, EndpointId, HoldReason, Now, Order, Rate, Seq, WallMs, limits,
};

/// Where a delivery stands and what keeps it there, the weightiest first. Empty when it has ended.
#[derive(Clone, Debug, PartialEq)]
pub struct Explanation {
    pub delivery: DeliveryId,
    pub state: DeliveryState,
    /// Attempts that count, and the record of the last one, as far as the state knows.
    pub attempts: u32,
    pub last: Option<Seq>,
    pub reasons: Vec<Reason>,
}

/// One thing that keeps a delivery. Times are by the wall clock.
#[derive(Clone, Debug, PartialEq)]
pub enum Reason {
    /// An attempt is under way: of itself, or of a batch.
    UnderWay { number: u32, batch: Option<BatchId>, members: usize },
    /// Its endpoint is on hold.
    Hold { reason: HoldReason, since: WallMs },
    /// Its lane is parked; it may be the head itself.
    Parked { head: DeliveryId, itself: bool, attempts: u32, last: Seq },
    /// The link is down.
    Offline { since: WallMs, probe_at: WallMs },
    /// The wall clock cannot be believed, and signatures carry it.
    Clock { until: WallMs },
    /// Its endpoint has done nothing but fail: only probes go out.
    Breaker { since: WallMs, probe_at: WallMs, failures: u32 },
    /// The receiver asked to be left alone.
    Paused { until: WallMs },
    /// Another one of its lane has to end first.
    Behind { head: DeliveryId, under_way: bool, attempts: u32, due_at: Option<WallMs> },
    /// It failed, and waits for its next attempt.
    Retry { number: u32, due_at: WallMs, most: Option<u32>, gives_up_in_ms: u64 },
    /// It waits with a batch.
    InBatch { batch: BatchId, members: usize, number: u32, due_at: Option<WallMs> },
    /// Nobody takes deliveries of its pull endpoint right now.
    NoConsumer,
    /// The endpoint's rate.
    Rate { rate: Rate, next_at: WallMs },
    /// The pace of catching up, of the endpoint or of all together.
    CatchingUp { mode: CatchUpMode, next_at: WallMs },
    /// As many attempts are under way as the endpoint's window has places.
    Window { in_flight: usize, width: usize, most: u32 },
    /// So many wait for a retry already that no first attempts are made.
    Retries { waiting: usize, most: usize },
    /// So many attempts are under way over all endpoints, or over all that keep failing or took nothing yet.
    Places { in_flight: usize, most: usize, doubtful: bool },
    /// Its endpoint has its share of the places.
    Share { own: usize, left: usize },
    /// Its batch is still open.
    Gathering { max_events: u32, closes_at: WallMs },
    /// Others of its endpoint have their turn before it.
    InLine { before: usize },
    /// It has not been read from the disk yet.
    OnDisk { before_at_most: u64 },
    /// Nothing keeps it: it goes out at once.
    Turn,
}

/// How an endpoint fares right now. Times are by the wall clock.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct FlowView {
    /// Attempts that may be under way at a time.
    pub width: usize,
    pub failures_in_row: u32,
    /// Since when it is open, and when the next probe goes out.
    pub breaker: Option<(WallMs, WallMs)>,
    /// It waits for the link.
    pub away: bool,
    pub paused_until: Option<WallMs>,
    /// When its rate lets the next attempt go.
    pub next_token_at: Option<WallMs>,
    /// Lanes with something in them, and how many of these are parked.
    pub lanes: usize,
    pub parked: usize,
    pub batches: usize,
    pub catching_up: Option<CatchUpMode>,
    pub succeeded: u64,
    pub failed: u64,
    pub failing_ms: u64,
    /// The record of the oldest that waits, or one before it.
    pub oldest: Option<Seq>,
}

/// A time of the monotonic clock on the wall's.
pub(super) fn on_the_wall(now: Now, mono_ms: u64) -> WallMs {
    match mono_ms.checked_sub(now.mono_ms) {
        Some(ahead) => now.wall_ms.saturating_add(ahead),
        None => now.wall_ms.saturating_sub(now.mono_ms - mono_ms),
    }
}

impl Queue {
    /// Why this delivery stands where it stands. `key` is its lane, where its endpoint has one for each key.
    #[must_use]
    pub fn explain(&self, now: Now, delivery: DeliveryId, key: Option<u64>) -> Explanation {
        let state = self.delivery_state(delivery);
        let id = delivery.endpoint;
        let (lane, flow) = (self.state.lanes.get(&id), self.flows.get(&id));
        let waiting = lane.and_then(|lane| lane.retrying.get(&delivery.seq));
        let attempts = waiting.map_or(0, |waiting| waiting.attempts);
        let last = waiting.map(|waiting| waiting.last).filter(|last| *last > 0);
        let reasons = match (lane, flow, state) {
            (Some(lane), Some(flow), DeliveryState::InFlight) => vec![under_way(lane, flow, delivery.seq)],
            (Some(lane), Some(flow), DeliveryState::Pending | DeliveryState::Held) => {
                let ask = Asked { queue: self, lane, flow, now, seq: delivery.seq, key: lane_key(lane, waiting, key) };
                ask.reasons(waiting)
            }
            _ => Vec::new(),
        };
        Explanation { delivery, state, attempts, last, reasons }
    }

    /// How an endpoint fares.
    pub(super) fn flow_view(&self, now: Now, lane: &Lane) -> FlowView {
        let known = FlowView {
            succeeded: lane.succeeded,
            failed: lane.failed,
            failing_ms: lane.failing_ms,
            batches: lane.batches.len(),
            ..FlowView::default()
        };
        let id = lane.endpoint.id;
        let Some(flow) = self.flows.get(&id) else { return known };
        let wall = |mono| on_the_wall(now, mono);
        let ahead = |mono: u64| (mono > now.mono_ms).then(|| wall(mono));
        let (lanes, parked) = flow.lanes.count();
        let in_stream = flow.outstanding().filter_map(|job| job.position).min();
        let oldest = [flow.first_unread(), in_stream, lane.retrying.keys().next().copied()];
        let oldest = oldest.into_iter().flatten().min().filter(|_| lane.undone > 0);
        FlowView {
            width: flow.slots(),
            failures_in_row: flow.breaker.failures_in_row,
            breaker: flow.breaker.open.map(|open| (wall(open.since), wall(open.probe_at))),
            away: self.link.keeps_back(id),
            paused_until: ahead(flow.paused_until),
            next_token_at: flow.rate_ready_at(lane).and_then(ahead),
            lanes,
            parked,
            catching_up: flow.catching_up.as_ref().map(|catching| catching.mode),
            oldest: oldest.map(|seq| self.state.moved.get(&seq).copied().unwrap_or(seq)),
            ..known
        }
    }
}

/// The lane of a delivery.
fn lane_key(lane: &Lane, waiting: Option<&Retrying>, key: Option<u64>) -> Option<u64> {
    match (lane.endpoint.order, waiting) {
        (_, Some(waiting)) => lane.key_of(waiting.key),
        (Order::None, None) => None,
        (Order::Strict, None) => Some(super::lanes::STRICT),
        (Order::Key, None) => key,
    }
}

fn under_way(lane: &Lane, flow: &Flow, seq: Seq) -> Reason {
    if let Some(job) = flow.in_flight.get(&seq) {
        return Reason::UnderWay { number: job.attempts + 1, batch: None, members: 1 };
    }
    let mut batches = flow.batches.values();
    if let Some(batch) = batches.find(|batch| batch.members.iter().any(|m| m.delivery == seq && !m.ended)) {
        let members = batch.members.iter().filter(|member| !member.ended).count();
        return Reason::UnderWay { number: batch.attempts + 1, batch: Some(batch.id), members };
    }
    let attempts = lane.retrying.get(&seq).map_or(0, |waiting| waiting.attempts);
    Reason::UnderWay { number: attempts + 1, batch: None, members: flow.gathering.len() }
}

/// One question under way.
struct Asked<'a> {
    queue: &'a Queue,
    lane: &'a Lane,
    flow: &'a Flow,
    now: Now,
    seq: Seq,
    key: Option<u64>,
}

impl Asked<'_> {
    fn id(&self) -> EndpointId {
        self.lane.endpoint.id
    }

    fn wall(&self, mono_ms: u64) -> WallMs {
        on_the_wall(self.now, mono_ms)
    }

    fn reasons(&self, waiting: Option<&Retrying>) -> Vec<Reason> {
        let mut reasons = Vec::new();
        if let Some((reason, since)) = &self.lane.hold {
            reasons.push(Reason::Hold { reason: reason.clone(), since: *since });
        }
        reasons.extend(self.lane_ahead());
        if self.lane.hold.is_none() {
            self.kept_by_endpoint(&mut reasons);
        }
        let due = match waiting {
            Some(waiting) => self.retry(waiting, &mut reasons),
            None => true,
        };
        let free = self.lane.hold.is_none() && due;
        let stands_in_line = reasons.iter().any(|r| matches!(r, Reason::Behind { .. } | Reason::Parked { .. }));
        if free && !stands_in_line {
            self.kept_by_room(waiting.is_none(), &mut reasons);
        }
        if waiting.is_none() {
            let place = self.place_in_line();
            // What its lane waits for is what keeps it from being read.
            reasons.extend(place.filter(|p| !stands_in_line || *p != Reason::OnDisk { before_at_most: 0 }));
        }
        if reasons.is_empty() {
            reasons.push(Reason::Turn);
        }
        reasons
    }

    /// What stands between the whole endpoint and its receiver.
    fn kept_by_endpoint(&self, reasons: &mut Vec<Reason>) {
        let (queue, flow, now) = (self.queue, self.flow, self.now.mono_ms);
        if let Some(offline) = queue.link.offline.filter(|_| queue.link.keeps_back(self.id())) {
            let (since, probe_at) = (self.wall(offline.since), self.wall(offline.probe_at.max(now)));
            reasons.push(Reason::Offline { since, probe_at });
        }
        let signs = !self.lane.endpoint.is_pull() && !self.lane.endpoint.is_exec();
        if let Some(until) = queue.clock_until.filter(|until| signs && *until > now) {
            reasons.push(Reason::Clock { until: self.wall(until) });
        }
        if let Some(open) = flow.breaker.open {
            let (since, probe_at) = (self.wall(open.since), self.wall(open.probe_at.max(now)));
            reasons.push(Reason::Breaker { since, probe_at, failures: flow.breaker.failures_in_row });
        }
        if flow.paused_until > now {
            reasons.push(Reason::Paused { until: self.wall(flow.paused_until) });
        }
    }

    /// The delivery of its lane that has to end first, if there is one.
    fn lane_ahead(&self) -> Option<Reason> {
        let key = self.key?;
        let flying = self.flow.in_flight.values().chain(&self.flow.gathering).filter(|job| job.key == self.key);
        let in_batches = self.flow.batches.values().flat_map(|batch| &batch.members);
        let in_batches = in_batches.filter(|member| member.key == self.key && !member.ended);
        let flying = flying.map(|job| (job.delivery.seq, job.attempts));
        let flying = flying.chain(in_batches.map(|member| (member.delivery, member.attempts))).min();
        let at = |seq| DeliveryId { seq, endpoint: self.id() };
        if let Some((seq, attempts)) = flying.filter(|(seq, _)| *seq != self.seq) {
            return Some(Reason::Behind { head: at(seq), under_way: true, attempts, due_at: None });
        }
        let head = self.flow.lanes.head(key)?;
        let waiting = self.lane.retrying.get(&head)?;
        let itself = head == self.seq;
        if waiting.parked {
            let (attempts, last) = (waiting.attempts, waiting.last);
            return Some(Reason::Parked { head: at(head), itself, attempts, last });
        }
        let work = waiting.batch.map_or(Work::One(head), Work::Batch);
        // Those of one batch go out together.
        let together = waiting
            .batch
            .is_some_and(|id| self.lane.batches.get(&id).is_some_and(|batch| batch.members.contains(&self.seq)));
        let due_at = self.flow.timer(work).map(|due| self.wall(due));
        (!itself && !together).then(|| Reason::Behind {
            head: at(head),
            under_way: false,
            attempts: waiting.attempts,
            due_at,
        })
    }

    /// Its own timer, or its batch's. Says whether it is due.
    fn retry(&self, waiting: &Retrying, reasons: &mut Vec<Reason>) -> bool {
        let now = self.now.mono_ms;
        if let Some((id, batch)) = waiting.batch.and_then(|id| Some((id, self.lane.batches.get(&id)?))) {
            let due = self.flow.timer(Work::Batch(id));
            let (members, number) = (batch.members.len(), batch.attempts + 1);
            let due_at = due.map(|due| self.wall(due));
            reasons.push(Reason::InBatch { batch: id, members, number, due_at });
            return due.is_some_and(|due| due <= now);
        }
        let Some(due) = self.flow.timer(Work::One(self.seq)) else { return false };
        let since = self.flow.timers.get(&(due, Work::One(self.seq))).copied().unwrap_or(u64::MAX);
        let age_ms = waiting.age_ms + self.flow.age_clock(now).saturating_sub(since);
        let policy = &self.lane.endpoint.retry;
        reasons.push(Reason::Retry {
            number: waiting.attempts + 1,
            due_at: self.wall(due),
            most: policy.max_attempts,
            gives_up_in_ms: policy.max_age_ms.saturating_sub(age_ms),
        });
        due <= now
    }

    /// What keeps one that is due, or was never attempted: rates and places.
    fn kept_by_room(&self, first: bool, reasons: &mut Vec<Reason>) {
        let (queue, flow, lane, now) = (self.queue, self.flow, self.lane, self.now.mono_ms);
        let endpoint = &lane.endpoint;
        if flow.lacks_consumers(lane) {
            reasons.push(Reason::NoConsumer);
        }
        if let (Some(rate), Some(next)) = (endpoint.rate, flow.rate_ready_at(lane).filter(|at| *at > now)) {
            reasons.push(Reason::Rate { rate, next_at: self.wall(next) });
        }
        if let Some(catching) = &flow.catching_up {
            let own = endpoint.catch_up.rate.map(|rate| catching.bucket.ready_at(rate, 1));
            let overall = queue.pace.map(|pace| pace.bucket.ready_at(pace.rate, 1));
            if let Some(next) = own.max(overall).filter(|at| *at > now) {
                reasons.push(Reason::CatchingUp { mode: catching.mode, next_at: self.wall(next) });
            }
        }
        if !endpoint.is_pull() && flow.under_way() >= flow.slots() {
            let (in_flight, width) = (flow.under_way(), flow.slots());
            reasons.push(Reason::Window { in_flight, width, most: endpoint.concurrency });
        }
        if first && !flow.may_begin(lane) {
            let most = if flow.is_failing() { limits::RETRYING_FAILING } else { limits::RETRYING };
            reasons.push(Reason::Retries { waiting: lane.retrying.len(), most });
        }
        let doubtful = flow.is_doubtful() && queue.in_flight_doubtful >= limits::IN_FLIGHT_DOUBTFUL;
        if !endpoint.is_pull() && (doubtful || queue.in_flight >= limits::IN_FLIGHT) {
            let (in_flight, most) = match doubtful {
                true => (queue.in_flight_doubtful, limits::IN_FLIGHT_DOUBTFUL),
                false => (queue.in_flight, limits::IN_FLIGHT),
            };
            reasons.push(Reason::Places { in_flight, most, doubtful });
        } else if !endpoint.is_pull() && !flow.is_doubtful() && has_its_share(flow.under_way(), queue.in_flight) {
            let (own, left) = (flow.under_way(), limits::IN_FLIGHT - queue.in_flight);
            reasons.push(Reason::Share { own, left });
        }
        let batch = endpoint.batch;
        let closes = batch.and_then(|batch| flow.batch_due(lane, batch, now));
        if let (Some(batch), Some(at)) = (batch, closes.filter(|at| *at > now)) {
            reasons.push(Reason::Gathering { max_events: batch.max_events, closes_at: self.wall(at) });
        }
    }

    /// How many of its endpoint have their first attempt before it.
    fn place_in_line(&self) -> Option<Reason> {
        let at = self.flow.window().iter().position(|job| job.delivery.seq == self.seq);
        if let Some(before) = at {
            return (before > 0).then_some(Reason::InLine { before });
        }
        // Every one that waits in the stream has a record of its own.
        let in_window = self.flow.window_len() as u64;
        let from = self.flow.first_unread().unwrap_or(self.seq);
        let by_records = in_window + self.seq.saturating_sub(from);
        let before_at_most = self.lane.in_stream().saturating_sub(1).min(by_records);
        Some(Reason::OnDisk { before_at_most })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::{Explanation, Reason};
    use crate::model::{
        AttemptReport, Batch, BatchFormat, DeliveryId, DeliveryState, Endpoint, Fault, HeadOfLine, HoldReason, Now,
        Order, Outcome, Rate, RequestHead, RetryPolicy, Source, limits,
    };
    use crate::queue::{Action, Command, Input, NewEvent, Query, Queue, Reply, State};

    const START: u64 = 1_800_000_000_000;

    /// A queue with one endpoint, its clock, and what it wants done.
    struct World {
        queue: Queue,
        now: Now,
        attempts: Vec<DeliveryId>,
    }

    impl World {
        fn new(endpoint: Endpoint) -> Self {
            Self::at(endpoint, START)
        }

        fn at(endpoint: Endpoint, wall_ms: u64) -> Self {
            let now = Now { mono_ms: 1_000, wall_ms };
            let queue = Queue::new(State::new(), 1, now);
            let mut world = Self { queue, now, attempts: Vec::new() };
            world.tell(Input::Command(Command::CreateSource(Box::new(Source::new("in", "none")))));
            world.tell(Input::Command(Command::CreateEndpoint(Box::new(endpoint))));
            world
        }

        fn tell(&mut self, input: Input) -> Reply {
            let decision = self.queue.handle(self.now, input);
            assert!(!matches!(decision.reply, Reply::Refused(_)), "{:?}", decision.reply);
            self.act(decision.actions);
            self.run();
            decision.reply
        }

        fn run(&mut self) {
            let actions = self.queue.run(self.now).actions;
            self.act(actions);
        }

        /// Takes note of what goes out; everything is at hand, so nothing has to be read.
        fn act(&mut self, actions: Vec<Action>) {
            for action in actions {
                match action {
                    Action::Attempt { delivery, .. } => self.attempts.push(delivery),
                    Action::AttemptBatch { endpoint, batch, events, .. } => {
                        let ids = events.iter().map(|e| DeliveryId { seq: e.id.seq, endpoint: endpoint.id });
                        self.attempts.extend(ids);
                        assert!(batch.seq > 0);
                    }
                    _ => {}
                }
            }
        }

        fn accept(&mut self, body: &str) -> DeliveryId {
            let source = Arc::clone(self.queue.state().sources.values().next().expect("there"));
            let event = NewEvent {
                source,
                kind: "t".into(),
                dedupe_key: None,
                dedupe: None,
                request_line: String::new(),
                remote: String::new(),
                headers: Vec::new(),
                body: body.to_owned().into(),
            };
            let Reply::Accepted(made) = self.tell(Input::Accept(vec![event])) else { panic!("refused") };
            DeliveryId { seq: made[0].id.seq, endpoint: 1 }
        }

        fn end(&mut self, delivery: DeliveryId, outcome: Outcome, fault: Option<Fault>, status: u16) {
            let response = (fault.is_none()).then(|| crate::model::ResponseHead {
                status,
                headers: Vec::new(),
                body: bytes::Bytes::new(),
            });
            let report = AttemptReport {
                started_at: self.now.wall_ms,
                duration_ms: 1,
                connect_ms: None,
                outcome,
                request: RequestHead::default(),
                command: None,
                response,
                error: None,
                fault,
            };
            self.tell(Input::Finished { delivery, report });
        }

        fn fail(&mut self, delivery: DeliveryId) {
            self.end(delivery, Outcome::Retryable { after_ms: None }, None, 500);
        }

        fn pass(&mut self, ms: u64) {
            self.now = Now { mono_ms: self.now.mono_ms + ms, wall_ms: self.now.wall_ms + ms };
            self.run();
        }

        fn ask(&self, delivery: DeliveryId) -> Explanation {
            match self.queue.ask(self.now, &Query::Explain { delivery, key: None }) {
                Reply::Explained(explained) => *explained,
                other => panic!("{other:?}"),
            }
        }

        #[track_caller]
        fn first(&self, delivery: DeliveryId) -> Reason {
            self.ask(delivery).reasons.into_iter().next().expect("a reason")
        }
    }

    fn endpoint() -> Endpoint {
        let retry = RetryPolicy { base_ms: 10_000, jitter: 0.0, max_attempts: Some(7), ..RetryPolicy::default() };
        Endpoint { retry, allow_private: true, ..Endpoint::new("app", "http://app.example/") }
    }

    #[test]
    fn under_way_then_due_and_then_over() {
        let mut world = World::new(endpoint());
        let one = world.accept("{}");
        assert_eq!(world.first(one), Reason::UnderWay { number: 1, batch: None, members: 1 });
        world.fail(one);
        world.pass(4_000);
        let due_at = world.now.wall_ms + 6_000;
        let gives_up_in_ms = 3 * 86_400_000 - 4_000;
        let explained = world.ask(one);
        assert_eq!(explained.reasons, [Reason::Retry { number: 2, due_at, most: Some(7), gives_up_in_ms }]);
        assert_eq!((explained.attempts, explained.state), (1, DeliveryState::Pending));
        assert!(explained.last.is_some());
        world.pass(6_000);
        world.end(one, Outcome::Delivered, None, 200);
        assert_eq!((world.ask(one).state, world.ask(one).reasons), (DeliveryState::Delivered, vec![]));
    }

    #[test]
    fn holds_say_who_and_since_when() {
        let mut world = World::new(endpoint());
        let one = world.accept("{}");
        world.end(one, Outcome::Gone, None, 410);
        let since = START + 1;
        assert_eq!(world.first(one), Reason::Hold { reason: HoldReason::Gone, since });
        assert_eq!(world.ask(one).state, DeliveryState::Held);
        let mut world = World::new(endpoint());
        world.tell(Input::Command(Command::HoldEndpoint { name: "app".into() }));
        let one = world.accept("{}");
        assert_eq!(world.first(one), Reason::Hold { reason: HoldReason::Operator, since: START });
    }

    #[test]
    fn a_full_window_and_the_line_before_it() {
        let mut world = World::new(Endpoint { concurrency: 1, ..endpoint() });
        let (_, second, third) = (world.accept("1"), world.accept("2"), world.accept("3"));
        let full = Reason::Window { in_flight: 1, width: 1, most: 1 };
        assert_eq!(world.ask(second).reasons, vec![full.clone()]);
        assert_eq!(world.ask(third).reasons, [full, Reason::InLine { before: 1 }]);
    }

    #[test]
    fn a_strict_lane_waits_for_its_head_and_parks() {
        let order = Endpoint { order: Order::Strict, head_of_line: HeadOfLine::Park { after: 2 }, ..endpoint() };
        let mut world = World::new(order);
        let (head, next) = (world.accept("1"), world.accept("2"));
        assert_eq!(world.first(next), Reason::Behind { head, under_way: true, attempts: 0, due_at: None });
        world.fail(head);
        let due_at = Some(world.now.wall_ms + 10_000);
        assert_eq!(world.first(next), Reason::Behind { head, under_way: false, attempts: 1, due_at });
        world.pass(10_000);
        world.fail(head);
        assert!(matches!(world.first(next), Reason::Parked { itself: false, attempts: 2, .. }));
        assert!(matches!(world.first(head), Reason::Parked { itself: true, head: h, .. } if h == head));
    }

    #[test]
    fn a_key_lane_is_found_by_its_key() {
        let mut world = World::new(Endpoint { order: Order::Key, order_key: Some("/k".into()), ..endpoint() });
        let (head, next, other) = (world.accept(r#"{"k":1}"#), world.accept(r#"{"k":1}"#), world.accept(r#"{"k":2}"#));
        world.fail(head);
        assert!(matches!(world.first(other), Reason::UnderWay { .. }), "another lane");
        let key = world.queue.state().lanes[&1].retrying[&head.seq].key;
        let Reply::Explained(told) = world.queue.ask(world.now, &Query::Explain { delivery: next, key }) else {
            panic!("no answer")
        };
        assert!(matches!(told.reasons[0], Reason::Behind { head: h, .. } if h == head), "{told:?}");
    }

    #[test]
    fn an_open_breaker_says_when_it_probes() {
        let retry = RetryPolicy { base_ms: 1_000, max_ms: 1_000, jitter: 0.0, ..RetryPolicy::default() };
        let mut world = World::new(Endpoint { retry, ..endpoint() });
        let one = world.accept("{}");
        for _ in 0..11 {
            world.fail(one);
            world.pass(1_000);
        }
        let reasons = world.ask(one).reasons;
        assert!(matches!(reasons[0], Reason::UnderWay { .. }), "the probe itself: {reasons:?}");
        world.fail(one);
        let other = world.accept("2");
        let since = world.now.wall_ms - 1_000;
        let probe_at = world.now.wall_ms + 1_000;
        assert_eq!(world.first(other), Reason::Breaker { since, probe_at, failures: 12 });
    }

    #[test]
    fn a_pause_and_a_rate_say_when_it_goes_on() {
        let rate = Rate { count: 1, per_ms: 60_000 };
        let mut world = World::new(Endpoint { rate: Some(rate), ..endpoint() });
        let (one, two) = (world.accept("1"), world.accept("2"));
        let next_at = world.now.wall_ms + 60_000;
        assert_eq!(world.first(two), Reason::Rate { rate, next_at });
        world.end(one, Outcome::Retryable { after_ms: Some(90_000) }, None, 503);
        assert_eq!(world.first(two), Reason::Paused { until: world.now.wall_ms + 90_000 });
    }

    #[test]
    fn offline_is_the_reason_for_those_behind_the_link() {
        let mut world = World::new(endpoint());
        world.queue.flows.get_mut(&1).expect("there").place = crate::queue::link::Place::Far("app.example".into());
        let one = world.accept("{}");
        world.end(one, Outcome::Retryable { after_ms: None }, Some(Fault::NoRoute), 0);
        let (since, probe_at) = (world.now.wall_ms, world.now.wall_ms + limits::LINK_GAP_MS);
        assert_eq!(world.first(one), Reason::Offline { since, probe_at });
        let Reply::Status(status) = world.queue.ask(world.now, &Query::Status) else { panic!("no status") };
        assert_eq!((status.offline, status.away), (Some((since, probe_at)), 1));
    }

    #[test]
    fn a_clock_of_1970_keeps_what_is_signed() {
        let mut world = World::at(endpoint(), 5_000);
        let one = world.accept("{}");
        assert_eq!(world.first(one), Reason::Clock { until: 5_000 + limits::CLOCK_WAIT_MS });
    }

    #[test]
    fn batches_gather_go_out_and_wait_together() {
        let batch = Batch { max_events: 2, max_bytes: 1_000, max_wait_ms: 5_000, format: BatchFormat::Json };
        let mut world = World::new(Endpoint { batch: Some(batch), ..endpoint() });
        let one = world.accept("1");
        let closes_at = world.now.wall_ms + 5_000;
        assert_eq!(world.first(one), Reason::Gathering { max_events: 2, closes_at });
        let two = world.accept("2");
        let Reason::UnderWay { number: 1, batch: Some(id), members: 2 } = world.first(two) else {
            panic!("{:?}", world.ask(two))
        };
        let report = AttemptReport {
            started_at: world.now.wall_ms,
            duration_ms: 1,
            connect_ms: None,
            outcome: Outcome::Retryable { after_ms: None },
            request: RequestHead::default(),
            command: None,
            response: None,
            error: Some("refused".into()),
            fault: None,
        };
        world.tell(Input::BatchFinished { endpoint: 1, batch: id, report, failed: Vec::new() });
        let due_at = Some(world.now.wall_ms + 10_000);
        assert_eq!(world.first(one), Reason::InBatch { batch: id, members: 2, number: 2, due_at });
    }

    #[test]
    fn a_pull_endpoint_waits_for_a_consumer() {
        let mut world = World::new(Endpoint { url: "pull:".into(), ..endpoint() });
        let one = world.accept("1");
        assert_eq!(world.first(one), Reason::NoConsumer);
        world.tell(Input::Wanted { endpoint: 1, total: 1 });
        assert!(matches!(world.first(one), Reason::UnderWay { .. }));
    }

    #[test]
    fn a_backlog_on_the_disk_says_how_much_is_before_it() {
        let mut world = World::new(Endpoint { concurrency: 1, ..endpoint() });
        let all: Vec<DeliveryId> = (0..limits::WINDOW + 10).map(|n| world.accept(&n.to_string())).collect();
        let last = *all.last().expect("some");
        let reasons = world.ask(last).reasons;
        let Some(Reason::OnDisk { before_at_most }) = reasons.last() else { panic!("{reasons:?}") };
        let before = all.len() as u64 - 1;
        assert!((before - 1..=before).contains(before_at_most), "{before_at_most} of {before}");
    }

    #[test]
    fn an_endpoint_tells_how_it_fares() {
        let mut world = World::new(Endpoint { order: Order::Strict, ..endpoint() });
        let (one, two) = (world.accept("1"), world.accept("2"));
        world.fail(one);
        world.pass(10_000);
        world.end(one, Outcome::Delivered, None, 200);
        let Reply::Endpoints(views) = world.queue.ask(world.now, &Query::Endpoints) else { panic!("no views") };
        let flow = &views[0].flow;
        assert_eq!((flow.succeeded, flow.failed, flow.oldest), (1, 1, Some(two.seq)));
        assert_eq!((flow.lanes, flow.parked, flow.breaker), (1, 0, None));
    }
}
