//! What restrains the queue, kept apart from it: pauses and open breakers hold over crashes; what
//! waits ends at its max age, whatever it waits for; the last value that a receiver sees of a key
//! is never an old one.

use std::collections::{BTreeMap, BTreeSet};

use hookbox::model::{
    AttemptFault, AttemptReport, CatchUpMode, DeliveryId, DeliveryState, Endpoint, EndpointId,
    Event, Now, Order, Outcome, Seq, limits,
};
use hookbox::queue::{DeliveriesQuery, Queue, State};
use hookbox::record::{Consequence, DeadLetter, Record};

/// How late a delivery may end: its last attempt falls on its max age, and what is on the disk has
/// to be read.
const LATE_MS: u64 = 1_000;

/// A time by the wall clock that is waited for, but no longer than so long.
#[derive(Clone, Copy, Debug)]
struct Wait {
    until: u64,
    most_ms: u64,
    /// On the monotonic clock of this life, and when it began to be waited for, if that was in this
    /// life.
    mono: u64,
    since: Option<u64>,
}

impl Wait {
    /// Begins now.
    fn from(now: Now, ms: u64) -> Self {
        Self {
            until: now.wall_ms.saturating_add(ms),
            most_ms: ms,
            mono: now.mono_ms + ms,
            since: Some(now.mono_ms),
        }
    }
}

#[derive(Debug, Default)]
struct Kept {
    paused: Option<Wait>,
    probe: Option<Wait>,
    /// Failures in a row, when the first of them was by the run clock, and the probes since the
    /// breaker opened.
    failures: u32,
    failing_since: u64,
    probes: Option<u32>,
    /// How long the clock of its deliveries has stood, and since when it does.
    stood: u64,
    stands: Option<u64>,
    held: bool,
    away: bool,
    /// By the settings that the last record gave it.
    max_age_ms: u64,
}

impl Kept {
    fn clock(&mut self, ran: u64) {
        let stands = self.held || self.away;
        match (self.stands, stands) {
            (None, true) => self.stands = Some(ran),
            (Some(since), false) => {
                self.stood += ran.saturating_sub(since);
                self.stands = None;
            }
            _ => {}
        }
    }

    fn stood(&self, ran: u64) -> u64 {
        self.stood + self.stands.map_or(0, |since| ran.saturating_sub(since))
    }

    /// Each record of an attempt says how much is left of the waits: what was over by then does not
    /// come again, whatever the wall clock says at the next start.
    fn forget_what_is_over(&mut self, now: Now) {
        for wait in [&mut self.paused, &mut self.probe] {
            *wait = wait.filter(|wait| wait.mono > now.mono_ms);
        }
    }

    /// A receiver that asked for a pause has it, the longest of those that it asked for.
    fn pause_as_asked(&mut self, report: &AttemptReport, now: Now) {
        let (Outcome::Retryable { after_ms: Some(ms) }, Some(429 | 503)) =
            (&report.outcome, report.response.as_ref().map(|response| response.status))
        else {
            return;
        };
        if self.paused.is_none_or(|paused| paused.mono < now.mono_ms + ms) {
            self.paused = Some(Wait::from(now, *ms));
        }
    }

    /// A failure that counts. `known`: whether the queue knows of an open breaker.
    fn fail(&mut self, id: u32, ran: u64, known: bool) {
        if self.failures == 0 {
            self.failing_since = ran;
        }
        self.failures += 1;

        // A crash may make the run look shorter than it was: what the queue does not know yet does
        // not bind it.
        let long = ran.saturating_sub(self.failing_since) >= limits::BREAKER_SPAN_MS;
        let opens = self.failures >= limits::BREAKER_FAILURES && long;
        assert!(
            known || !opens || self.probes.is_none(),
            "the breaker of {id} was open, and is forgotten"
        );
    }

    /// The next probe of an open breaker, which comes `longest` after this one at the latest.
    fn set_probe(&mut self, now: Now, longest: u64) {
        let probes = self.probes.map_or(0, |probes| probes + 1);
        self.probes = Some(probes);
        let gap = (limits::PROBE_GAP_MS << probes.min(20)).min(longest);
        self.probe = Some(Wait::from(now, gap));
    }
}

#[derive(Debug, Default)]
pub struct Restraints {
    endpoints: BTreeMap<u32, Kept>,
    /// What waits: when it was accepted, and how long the clock of its endpoint had stood by then.
    born: BTreeMap<DeliveryId, (u64, u64)>,
    /// Deliveries of which the operator asked for one alone: nothing keeps them.
    urged: BTreeSet<DeliveryId>,
    /// All that it was ever asked for.
    asked: BTreeSet<DeliveryId>,
    /// What retention has moved within the stream: how old these are is not followed.
    moved: BTreeSet<DeliveryId>,
    /// What came back from an attempt in this life, and when: it may have grown too old under way.
    ended: BTreeMap<DeliveryId, u64>,
    /// When replays go on.
    replays: BTreeMap<u64, Wait>,
    /// The run clock at the beginning of this life.
    base: u64,
    /// By endpoint, and source and key: the newest that its receiver saw, and the last.
    seen: BTreeMap<(u32, String), (Seq, Seq)>,
    /// An attempt may leave so much later than it was decided on.
    read_ms: u64,
    pub paused_over_crashes: u64,
    pub too_old: u64,
}

impl Restraints {
    pub fn new(read_ms: u64) -> Self {
        Self { read_ms, ..Self::default() }
    }

    pub fn begin_life(&mut self, state: &State, wall_ms: u64) {
        self.base = state.ran_ms;
        self.ended.clear();
        let replays = self.replays.values_mut();
        let endpoints = self.endpoints.values_mut();
        let kept = endpoints.flat_map(|kept| [&mut kept.paused, &mut kept.probe]).flatten();
        for wait in replays.chain(kept) {
            wait.mono = wait.until.saturating_sub(wall_ms).min(wait.most_ms);
            wait.since = None;
            self.paused_over_crashes += u64::from(wait.mono > 0);
        }
    }

    /// Deliveries of an endpoint that wait, as far as is known.
    pub fn waiting(&self, endpoint: EndpointId) -> impl Iterator<Item = DeliveryId> + '_ {
        self.born.keys().copied().filter(move |delivery| delivery.endpoint == endpoint)
    }

    /// Whether an endpoint's breaker is open.
    pub fn is_open(&self, endpoint: EndpointId) -> bool {
        self.endpoints.get(&endpoint).is_some_and(|endpoint| endpoint.probes.is_some())
    }

    /// How old a delivery is that waits.
    pub fn age(&self, now: Now, delivery: DeliveryId) -> Option<u64> {
        let (born, stood) = self.born.get(&delivery)?;
        let ran = self.ran(now);
        let endpoint = self.endpoints.get(&delivery.endpoint)?;
        let stood = endpoint.stood(ran).saturating_sub(*stood);
        Some(ran.saturating_sub(*born).saturating_sub(stood))
    }

    fn ran(&self, now: Now) -> u64 {
        self.base + now.mono_ms
    }

    pub fn record(&mut self, state: &State, now: Now, seq: Seq, record: &Record) {
        let ran = self.ran(now);

        match record {
            Record::EndpointSet { endpoint } => {
                let known = self.endpoints.entry(endpoint.id).or_default();
                known.max_age_ms = endpoint.retry.max_age_ms;
            }
            Record::EventAccepted { fan_out, .. } => {
                for endpoint in fan_out {
                    self.begin(ran, DeliveryId { seq, endpoint: *endpoint });
                }
            }
            Record::Replayed { endpoint, .. } => {
                self.begin(ran, DeliveryId { seq, endpoint: *endpoint })
            }
            Record::DeliveryRetried { delivery, .. } => {
                self.begin(ran, *delivery);
                self.urged.insert(*delivery);
                self.asked.insert(*delivery);
            }
            Record::DeliveryCancelled { delivery, .. } => {
                self.born.remove(delivery);
            }
            Record::DeliveryDied { dead } => {
                self.check_death(now, dead);
                self.too_old += u64::from(self.born.remove(&dead.delivery).is_some());
            }
            Record::Superseded { endpoint, deliveries, .. } => {
                self.born.retain(|delivery, _| {
                    delivery.endpoint != *endpoint || !deliveries.contains(&delivery.seq)
                });
            }
            Record::EndpointDeleted { endpoint, .. } => {
                self.born.retain(|delivery, _| delivery.endpoint != *endpoint)
            }
            // A position that retention moved is only found when the reading comes to it.
            Record::StreamPositionRelocated { waiting } => {
                self.born.remove(&waiting.delivery);
                self.moved.insert(waiting.delivery);
            }
            Record::ReplayAdvanced { replay, pause_ms, .. } => {
                // One whose endpoint is deleted ends at once.
                let is_ended = *pause_ms == 0 && !state.replays.contains_key(replay);
                if !is_ended {
                    self.replay_advanced(now, *replay, *pause_ms);
                }
            }
            Record::EndpointHeld { endpoint, .. } => self.change(*endpoint, ran, |e| e.held = true),
            Record::EndpointReleased { endpoint, .. } => self.released(state, ran, *endpoint),
            Record::EndpointAway { endpoint, .. } => self.change(*endpoint, ran, |e| e.away = true),
            Record::EndpointBack { endpoint, .. } => {
                self.change(*endpoint, ran, |e| e.away = false)
            }
            _ => {}
        }

        self.attempts(state, now, record);
    }

    fn begin(&mut self, ran: u64, delivery: DeliveryId) {
        let stood = self.endpoints.entry(delivery.endpoint).or_default().stood(ran);
        self.born.insert(delivery, (ran, stood));
    }

    /// What was parked begins anew, and nothing keeps the endpoint any more.
    fn released(&mut self, state: &State, ran: u64, id: EndpointId) {
        self.change(id, ran, |endpoint| {
            endpoint.held = false;
            (endpoint.paused, endpoint.probe, endpoint.probes) = (None, None, None);
            endpoint.failures = 0;
        });

        let endpoint = state.endpoints.get(&id);
        for seq in endpoint.into_iter().flat_map(|endpoint| endpoint.retrying.keys()) {
            let delivery = DeliveryId { seq: *seq, endpoint: id };
            if !self.born.contains_key(&delivery) && !self.moved.contains(&delivery) {
                self.begin(ran, delivery);
            }
        }
    }

    fn replay_advanced(&mut self, now: Now, replay: u64, pause_ms: u64) {
        let before = self.replays.insert(replay, Wait::from(now, pause_ms));
        // One that was under way at a start goes on by either clock.
        let by_wall = |wait: Wait| wait.since.is_none() && now.wall_ms >= wait.until;
        let early = before.is_some_and(|wait| now.mono_ms < wait.mono && !by_wall(wait));
        assert!(!early, "replay {replay} goes on before its pause is over: {before:?}");
    }

    /// What ends because of its age is as old as that.
    fn check_death(&self, now: Now, dead: &DeadLetter) {
        let endpoint = self.endpoints.get(&dead.delivery.endpoint);
        let (Some(endpoint), Some(age)) = (endpoint, self.age(now, dead.delivery)) else { return };
        let max_age_ms = endpoint.max_age_ms;
        assert!(
            !dead.reason.starts_with("older than") || age >= max_age_ms,
            "{} died of its age, which is {age} ms of {max_age_ms}: {}",
            dead.delivery,
            dead.reason
        );
    }

    fn change(&mut self, endpoint: u32, ran: u64, with: impl FnOnce(&mut Kept)) {
        let endpoint = self.endpoints.entry(endpoint).or_default();
        with(endpoint);
        endpoint.clock(ran);
    }

    fn attempts(&mut self, state: &State, now: Now, record: &Record) {
        let ran = self.ran(now);
        for attempt in record.attempts() {
            let id = attempt.delivery.endpoint;
            match attempt.next {
                Consequence::Held { .. } => self.change(id, ran, |e| e.held = true),
                // It waits for the operator.
                Consequence::Parked { .. } | Consequence::Delivered | Consequence::Dead { .. } => {
                    self.born.remove(&attempt.delivery);
                }
                _ => {}
            }
            self.urged.remove(&attempt.delivery);
            self.ended.insert(attempt.delivery, now.mono_ms);
        }

        let (id, report, uncounted, restraint) = match record {
            Record::AttemptFinished(a) => {
                (a.delivery.endpoint, &a.report, a.uncounted, &a.restraint)
            }
            Record::BatchFinished(f) => (f.endpoint, &f.report, f.uncounted, &f.restraint),
            _ => return,
        };
        let Some(remembered) = state.endpoints.get(&id).filter(|e| !e.settings.is_leased()) else {
            return;
        };

        let endpoint = self.endpoints.entry(id).or_default();
        endpoint.forget_what_is_over(now);
        let failed = report.outcome != Outcome::Delivered;
        if failed && uncounted || report.fault == Some(AttemptFault::NotTaken) {
            return;
        }

        endpoint.pause_as_asked(report, now);
        if failed {
            let known = restraint.as_ref().is_some_and(|restraint| restraint.breaker.is_some());
            let longest = limits::PROBE_GAP_MAX_MS.min(remembered.settings.retry.max_ms);
            endpoint.fail(id, ran, known);
            if known {
                endpoint.set_probe(now, longest);
            }
        } else {
            (endpoint.failures, endpoint.probes, endpoint.probe) = (0, None, None);
        }
    }

    /// A request goes out: nothing may keep it.
    pub fn attempt(
        &mut self,
        now: Now,
        endpoint: &Endpoint,
        deliveries: &[DeliveryId],
        events: &[std::sync::Arc<Event>],
    ) {
        let urged = deliveries.iter().any(|delivery| self.urged.contains(delivery));
        if let Some(known) =
            self.endpoints.get(&endpoint.id).filter(|_| !urged && !endpoint.is_leased())
        {
            for (what, wait) in [("pause", known.paused), ("breaker", known.probe)] {
                // It was decided before its event was read.
                let decided = now.mono_ms.saturating_sub(self.read_ms);
                let early = wait.filter(|wait| {
                    wait.since.is_none_or(|since| since < decided) && now.mono_ms < wait.mono
                });
                let _ = early.is_none_or(|wait| {
                    panic!("{deliveries:?} in spite of a {what}: {wait:?} at {now:?} {endpoint:?}")
                });
            }
        }

        let latest = endpoint.catch_up.mode == CatchUpMode::Latest && endpoint.order == Order::None;
        for (delivery, event) in deliveries.iter().zip(events).filter(|_| latest) {
            if delivery.seq != event.id.seq || self.asked.contains(delivery) {
                continue;
            }
            let body: serde_json::Value = serde_json::from_slice(&event.body).unwrap_or_default();
            // What has no value there is the latest of nothing.
            let Some(value) = body.pointer("/k") else { continue };
            // Each source has keys of its own.
            let key = format!("{} {value}", event.source);
            let seen = self.seen.entry((endpoint.id, key)).or_default();
            *seen = (seen.0.max(delivery.seq), delivery.seq);
        }
    }

    /// Nothing waits that is too old; what is under way does not wait.
    pub fn tick(&self, queue: &Queue, now: Now) {
        let ran = self.ran(now);
        for (delivery, (born, stood)) in &self.born {
            let remembered = queue.state().endpoints.get(&delivery.endpoint);
            let Some(remembered) = remembered else { continue };
            let Some(endpoint) =
                self.endpoints.get(&delivery.endpoint).filter(|e| e.stands.is_none())
            else {
                continue;
            };

            let stood = endpoint.stood(ran).saturating_sub(*stood);
            let age = ran.saturating_sub(*born).saturating_sub(stood);
            // What was under way when the process died, or until now, waits since then.
            let waits_since = self.ended.get(delivery).copied().unwrap_or(0);
            if age <= remembered.settings.retry.max_age_ms + LATE_MS
                || now.mono_ms <= waits_since + LATE_MS
            {
                continue;
            }

            let views = queue.ask(now, &DeliveriesQuery(vec![*delivery]));
            let waits = views[0].state != DeliveryState::InFlight;
            assert!(
                !waits,
                "{delivery} waits, and is {age} ms old: {:?} {:?}",
                remembered.settings,
                queue.stuck()
            );
        }
    }

    /// At rest: a receiver that saw an old value of a key last, as the newest and the last delivery
    /// that it saw.
    pub fn stale(&self) -> Option<(DeliveryId, DeliveryId)> {
        let at = |endpoint: u32, seq: Seq| DeliveryId { seq, endpoint };
        let stale = self.seen.iter().find(|(_, (newest, last))| newest != last);
        stale.map(|((endpoint, _), (newest, last))| (at(*endpoint, *newest), at(*endpoint, *last)))
    }
}
