//! An event comes in: is it a duplicate, and which endpoints does it go to?

use std::sync::Arc;

use super::decision::Refusal;
use super::input::Accepted;
use super::new_event::{FanOut, Matched, NewEvent};
use super::remembered::dedupe::{DedupeVerdict, KeyTime};
use super::request::{Growth, QueueRequest};
use super::{Draft, Queue};
use crate::model::share::{Share, ShareHolder};
use crate::model::{EndpointId, Event, EventId, Fingerprints, Now, Seq, WallMs, limits};
use crate::record::Record;

/// Accepts events that passed their source's checks and were matched with what the endpoints want,
/// all or none. Answers each of them, in their order.
#[derive(Clone, Debug)]
pub struct Accept(pub Vec<Matched>);

impl QueueRequest for Accept {
    type Answer = Vec<Accepted>;

    fn decide(
        self,
        queue: &mut Queue,
        now: Now,
        draft: &mut Draft,
    ) -> Result<Vec<Accepted>, Refusal> {
        queue.accept(now, self.0, draft)
    }

    fn growth(&self) -> Growth<'_> {
        /// What an event takes beside its body and its headers.
        const OVERHEAD: usize = 512;
        let source = self.0.first().map(|matched| matched.event.source.as_ref());
        let of_event = |matched: &Matched| {
            let deliveries = matched.fan_out.wanted.len() * limits::DELIVERY_BYTES;
            matched.event.bytes() + OVERHEAD + deliveries
        };
        let bytes = self.0.iter().map(of_event).sum();
        Growth::Events { source, bytes }
    }

    fn brings_events(&self, queue: &Queue, now: Now) -> bool {
        let is_new = |matched: &Matched| {
            !matches!(queue.dedupe_verdict(now, &matched.event), DedupeVerdict::Duplicate(_))
        };
        queue.refusal(&self.0).is_none() && self.0.iter().all(is_new)
    }
}

/// Why events are not accepted.
struct AcceptRefusal {
    refusal: Refusal,
    /// The endpoint that has more than its share of the log.
    full: Option<EndpointId>,
}

/// An event that is about to be remembered.
pub(super) struct Acceptance {
    pub event: Arc<Event>,
    /// The salted fingerprint of (source, dedupe key).
    pub dedupe: Option<u64>,
    /// Further fingerprints by which a duplicate is recognized.
    pub fingerprints: Fingerprints,
    /// Endpoints that it is to be delivered to.
    pub waiting: Vec<EndpointId>,
    /// Endpoints of which its delivery has ended already, as the records after it say.
    pub ended: Vec<EndpointId>,
    /// Its keys at JSON Pointers, as far as they were found.
    pub keys: Vec<(String, u64)>,
}

impl Queue {
    /// Accepts events, all or none.
    fn accept(
        &mut self,
        now: Now,
        events: Vec<Matched>,
        draft: &mut Draft,
    ) -> Result<Vec<Accepted>, Refusal> {
        if let Some(AcceptRefusal { refusal, full }) = self.refusal(&events) {
            if let Some(id) = full {
                self.full_shares.note(Share::LogSpace, ShareHolder::Endpoint(id), now);
            }
            return Err(refusal);
        }

        let accepted = events.into_iter().map(|event| self.accept_one(now, event, draft)).collect();

        // The keys of a source may have been forgotten to make room for these.
        if let Some(source) = self.state.dedupe.take_forgetful() {
            self.full_shares.note(Share::DedupeKeys, ShareHolder::Source(source), now);
        }
        Ok(accepted)
    }

    /// Why these events cannot be accepted, if they cannot.
    fn refusal(&self, events: &[Matched]) -> Option<AcceptRefusal> {
        let is_gone =
            |matched: &&Matched| !self.state.sources.contains_key(&matched.event.source.id);
        if let Some(Matched { event, .. }) = events.iter().find(is_gone) {
            let refusal = Refusal::NotFound { what: "source", name: event.source.name.clone() };
            return Some(AcceptRefusal { refusal, full: None });
        }
        if let Some(refusal) = self.full_bin(events) {
            return Some(AcceptRefusal { refusal, full: None });
        }

        let full = self.with_full_backlog(events, limits::RELOCATED_EVENTS as u64)?;
        Some(AcceptRefusal { refusal: self.backlog_is_full(full), full: Some(full) })
    }

    /// The refusal of events for a bin that is full. A bin accepts what anybody sends, so it has a
    /// small budget of its own.
    fn full_bin(&self, events: &[Matched]) -> Option<Refusal> {
        let source =
            &events.first().filter(|matched| matched.event.source.verify == "bin")?.event.source;

        let used = self.state.bins.get(&source.id).copied().unwrap_or_default();
        let bytes: u64 = events.iter().map(|matched| matched.event.bytes() as u64).sum();
        let full = used.events + events.len() as u64 > limits::BIN_EVENTS
            || used.bytes + bytes > limits::BIN_BYTES;
        full.then(|| Refusal::BinFull { name: source.name.clone() })
    }

    /// The endpoint that one of these events is for, and for which so many wait that it leaves the
    /// others no share of the log: so many deliveries wait for all that their events could not be
    /// relocated, and it has more than its part of them.
    fn with_full_backlog(&self, events: &[Matched], most: u64) -> Option<EndpointId> {
        // There are not as many records, so not as many events wait.
        let records = self.state.next_seq.saturating_sub(self.state.first_seq);
        if records + self.state.moved.len() < most {
            return None;
        }
        let totals = self.state.totals();
        if totals.pending + totals.held < most {
            return None;
        }

        // An equal part for each that has a backlog, and for one more that may get one.
        let part = most / (totals.with_backlog as u64 + 1);
        let mut wanted = events.iter().flat_map(|matched| &matched.fan_out.wanted);
        let is_over =
            |id: &&EndpointId| self.state.find(**id).is_some_and(|endpoint| endpoint.undone > part);
        wanted.find(is_over).copied()
    }

    fn backlog_is_full(&self, id: EndpointId) -> Refusal {
        let endpoint = self.state.endpoint(id);
        Refusal::NoDiskSpace(format!(
            "{} deliveries wait for endpoint '{}', which is more than its share of the log: \
             repair, release or delete it",
            endpoint.undone, endpoint.settings.name
        ))
    }

    fn accept_one(&mut self, now: Now, matched: Matched, draft: &mut Draft) -> Accepted {
        let Matched { event: new, fan_out } = matched;

        let conflicts_with = match self.dedupe_verdict(now, &new) {
            DedupeVerdict::New => None,
            DedupeVerdict::Conflict(first) => Some(self.event_id(first)),
            DedupeVerdict::Duplicate(first) => {
                self.remember(Record::DuplicateSeen { event: first, at: now.wall_ms }, draft);
                let id = self.event_id(first);
                return Accepted { id, duplicate: true, conflicts_with: None };
            }
        };

        let id = self.event_id(self.state.next_seq);
        let (dedupe, fingerprints) = (new.dedupe, Fingerprints { conflicts_with, ..new.beside });
        let event = Arc::new(into_event(new, id, now.wall_ms));

        // Decided for each event alone, so that a looping event never meets others in a batch.
        let is_looping = event.is_looping();
        let FanOut { wanted, undecided, keys, .. } =
            if is_looping { FanOut::default() } else { fan_out };

        // Endpoints may have been deleted since it was matched.
        let waiting = wanted.into_iter().filter(|id| self.state.lives(*id)).collect();
        let ended = Vec::new();
        let event_of_notice = event.clone();
        let acceptance = Acceptance { event, dedupe, fingerprints, waiting, ended, keys };
        self.remember_event(acceptance, draft);

        // Records about the event follow its own: its id says which record it is.
        for endpoint in self.remember_undecided(now, id.seq, undecided, draft) {
            self.notify_undecided(now, endpoint, id.seq, draft);
        }
        if is_looping {
            self.notify_looping(now, &event_of_notice, draft);
        }

        Accepted { id, duplicate: false, conflicts_with }
    }

    /// Whether an event is a duplicate of one that its source still remembers.
    fn dedupe_verdict(&self, now: Now, new: &NewEvent) -> DedupeVerdict {
        let now = KeyTime { ran_ms: self.ran_ms, wall_ms: now.wall_ms };
        let taken = self.state.dedupe.taken_once(new.source.id, &new.beside, now);
        if let Some(first) = taken {
            return DedupeVerdict::Duplicate(first);
        }

        // Times are remembered by the second, so a window of 0 is a case of its own.
        let window_ms = new.source.dedupe_window_ms;
        if window_ms == 0 {
            return DedupeVerdict::New;
        }

        self.state.dedupe.verdict(new.source.id, new.dedupe, &new.beside, now.before(window_ms))
    }

    /// Remembers an event with its fan-out, and adds its deliveries to the streams of the
    /// endpoints.
    pub(super) fn remember_event(&mut self, acceptance: Acceptance, draft: &mut Draft) {
        let Acceptance { event, dedupe, fingerprints, waiting, ended, keys } = acceptance;
        let seq = event.id.seq;

        let record = Record::EventAccepted {
            event: event.clone(),
            dedupe,
            fan_out: [waiting.as_slice(), &ended].concat(),
            beside: fingerprints,
            ran_ms: self.ran_ms,
        };
        self.remember(record, draft);

        for endpoint in &waiting {
            self.stream_grew(*endpoint, seq);
        }
        if !waiting.is_empty() {
            self.recent.push_event(event, waiting, keys, self.ran_ms);
        }
    }

    /// Remembers the endpoints whose filters could not be evaluated for the event of the record
    /// before. Returns them, without those that were deleted meanwhile.
    pub(super) fn remember_undecided(
        &mut self,
        now: Now,
        event: Seq,
        mut endpoints: Vec<EndpointId>,
        draft: &mut Draft,
    ) -> Vec<EndpointId> {
        endpoints.retain(|id| self.state.lives(*id));
        if !endpoints.is_empty() {
            let record =
                Record::FilterUndecided { event, endpoints: endpoints.clone(), at: now.wall_ms };
            self.remember(record, draft);
        }

        endpoints
    }

    /// The id of the event that record `seq` holds.
    pub(super) fn event_id(&self, seq: Seq) -> EventId {
        EventId::in_log(self.state.salt, seq)
    }

    pub(super) fn tag_of(&self, seq: Seq) -> u64 {
        EventId::in_log(self.state.salt, seq).tag
    }
}

fn into_event(new: NewEvent, id: EventId, received_at: WallMs) -> Event {
    Event {
        id,
        source: new.source.id,
        source_name: new.source.name.clone(),
        kind: new.kind,
        received_at,
        dedupe_key: new.dedupe_key,
        request_line: new.request_line,
        remote: new.remote,
        headers: new.headers,
        body: new.body,
        from_provider: new.source.is_provider(),
        first_id: None,
    }
}

#[cfg(test)]
mod tests {
    use crate::model::{Endpoint, Fingerprints, Header, Now, Source, limits};
    use crate::queue::testing::{START, TestQueue};
    use crate::queue::{Accept, Growth, Queue, QueueRequest, State, UpdateSource};

    #[test]
    fn headers_count_as_growth() {
        let world = TestQueue::new([]);
        let growth = |headers| match Accept(vec![world.matched(headers, "")]).growth() {
            Growth::Events { bytes, .. } => bytes,
            other => panic!("{other:?}"),
        };
        let bare = growth(Vec::new());
        assert_eq!(growth(vec![Header::new("x", "y".repeat(1000))]), bare + 1001);
    }

    /// A step takes as long as the deliveries that it makes.
    #[test]
    fn deliveries_count_as_growth() {
        let world = TestQueue::new([]);
        let growth = |endpoints: u32| {
            let mut matched = world.matched(Vec::new(), "");
            matched.fan_out.wanted = (1..=endpoints).collect();
            match Accept(vec![matched]).growth() {
                Growth::Events { bytes, .. } => bytes,
                other => panic!("{other:?}"),
            }
        };
        assert_eq!(growth(4096), growth(0) + 4096 * limits::DELIVERY_BYTES);
        const { assert!(limits::REQUEST_DELIVERIES * limits::DELIVERY_BYTES > limits::STEP_BYTES) };
    }

    #[test]
    fn without_a_dedupe_window_nothing_is_a_duplicate() {
        for (window_ms, repeats) in [(0, false), (1, true)] {
            let mut world = TestQueue::new([]);
            let source = Source { dedupe_window_ms: window_ms, ..Source::new("in", "none") };
            world.input(UpdateSource(Box::new(source)));

            let mut accept = || {
                let mut event = world.matched(Vec::new(), "{}");
                (event.event.dedupe_key, event.event.dedupe) = (Some("k".into()), Some(7));
                world.input(Accept(vec![event]))[0].duplicate
            };
            assert_eq!([accept(), accept()], [false, repeats], "a window of {window_ms} ms");
        }
    }

    /// Only those who send to the endpoint whose backlog is too long are refused.
    #[test]
    fn an_endpoint_with_too_long_a_backlog_gets_no_more_and_the_others_do() {
        let endpoint = |name: &str, kind: &str| Endpoint {
            types: vec![kind.to_owned()],
            ..Endpoint::new(name, "pull:")
        };
        let mut world = TestQueue::new([endpoint("full", "a"), endpoint("well", "b")]);
        let of_kind = |world: &TestQueue, kind: &str| {
            let mut matched = world.matched(Vec::new(), "{}");
            matched.fan_out.wanted = vec![if kind == "a" { 1 } else { 2 }];
            matched
        };
        for n in 0..30 {
            let event = of_kind(&world, if n % 10 == 0 { "b" } else { "a" });
            world.input(Accept(vec![event]));
        }

        let full =
            |most: u64, kind: &str| world.queue.with_full_backlog(&[of_kind(&world, kind)], most);
        assert_eq!((full(30, "a"), full(30, "b")), (Some(1), None));
        assert_eq!((full(31, "a"), full(31, "b")), (None, None), "there is room for more");
        let refused = world.queue.backlog_is_full(1).to_string();
        assert!(refused.contains("27 deliveries wait for endpoint 'full'"), "{refused}");
    }

    /// Accepts an event with this key. Says whether it was a duplicate.
    fn accept_key(world: &mut TestQueue, key: u64) -> bool {
        let mut event = world.matched(Vec::new(), "{}");
        (event.event.dedupe_key, event.event.dedupe) = (Some(key.to_string()), Some(key));
        world.decide(Accept(vec![event]))[0].duplicate
    }

    /// Folding what was remembered gives the very state that there is.
    fn folded(world: &TestQueue) -> State {
        let mut state = State::new();
        for (seq, record) in (1..).zip(&world.records) {
            state.apply(seq, record).expect("it follows");
        }
        assert!(state == *world.queue.state(), "a replay gives another state");
        state
    }

    #[test]
    fn what_was_accepted_in_1970_is_known_when_the_clock_is_set() {
        let mut world = TestQueue::at(Now { mono_ms: 10_000, wall_ms: 10_000 }, []);
        assert!(!accept_key(&mut world, 7));
        world.now = Now { mono_ms: 40_000, wall_ms: START.wall_ms };
        assert!(accept_key(&mut world, 7), "it is repeated");

        // After a restart as well, and until the window is over by the time that passed.
        world.queue = Queue::new(folded(&world), 1, world.now);
        assert!(accept_key(&mut world, 7));
        world.pass(limits::DEFAULT_DEDUPE_WINDOW_MS + 1_000);
        assert!(!accept_key(&mut world, 7), "the window is over");
    }

    #[test]
    fn a_clock_that_jumps_ahead_for_a_moment_forgets_no_key() {
        let mut world = TestQueue::new([]);
        for key in 0..10_000 {
            assert!(!accept_key(&mut world, key));
        }
        let before = world.now;
        world.now.wall_ms += 400 * 86_400_000;
        assert!(accept_key(&mut world, 5), "it came a moment ago");
        for key in 10_000..20_000 {
            assert!(!accept_key(&mut world, key));
        }
        world.now = before;
        assert!(accept_key(&mut world, 5), "it is repeated");
        folded(&world);
    }

    /// Whoever has a delivery whose signature does not hold its body together could otherwise use
    /// it once more after the window.
    #[test]
    fn what_was_signed_is_taken_once_for_as_long_as_its_time_is_accepted() {
        const DAY_MS: u64 = 86_400_000;
        for window_ms in [3 * DAY_MS, 1_000, 0] {
            let mut world = TestQueue::new([]);
            let source = Source { dedupe_window_ms: window_ms, ..Source::new("in", "paypal") };
            world.input(UpdateSource(Box::new(source)));

            let accept = |world: &mut TestQueue, key: u64, also: u64| {
                let mut event = world.matched(Vec::new(), format!("{key}"));
                let beside = Fingerprints {
                    also: Some(also),
                    also_for_ms: 4 * DAY_MS,
                    ..Default::default()
                };
                (event.event.dedupe, event.event.beside) = (Some(key), beside);
                world.input(Accept(vec![event]))[0].duplicate
            };
            assert!(!accept(&mut world, 1, 100));
            // Many others come meanwhile, so that what is old is dropped.
            world.pass(7 * DAY_MS / 2);
            (0..5_000).for_each(|n| assert!(!accept(&mut world, 1_000 + n, 1_000_000 + n)));
            assert!(accept(&mut world, 2, 100), "after 3.5 d, with a window of {window_ms} ms");
            world.pass(DAY_MS);
            assert!(!accept(&mut world, 3, 100), "its time is over");
        }
    }
}
