//! Receivers, good and bad ones.

use std::collections::BTreeSet;
use std::sync::Arc;

use bytes::Bytes;
use hookbox::model::{
    AttemptFault, AttemptReport, Endpoint, Event, EventId, Outcome, RequestHead, ResponseHead,
};
use rand::Rng;

use super::World;

/// How a receiver behaves.
#[derive(Clone, Copy, Debug)]
pub(super) enum Temper {
    Good,
    Slow,
    Flaky,
    Dead,
    Gone,
    AsksForTime,
    Refuses,
    /// Takes no more than so many events at once (413).
    Small,
    /// Refuses whatever holds a poisoned event (422).
    Picky,
    /// Takes only some of a batch, and says so in many ways.
    Partial,
    /// Says hold and drop.
    Steers,
    /// Says nothing until the deadline.
    Hangs,
}

pub(super) const TEMPERS: [Temper; 12] = [
    Temper::Good,
    Temper::Slow,
    Temper::Flaky,
    Temper::Dead,
    Temper::Gone,
    Temper::AsksForTime,
    Temper::Refuses,
    Temper::Small,
    Temper::Picky,
    Temper::Partial,
    Temper::Steers,
    Temper::Hangs,
];

/// What an answer comes to: the outcome, its status, which events it names as not taken, which were
/// taken in truth, and how long it took.
pub(super) struct Answer {
    pub outcome: Outcome,
    pub status: Option<u16>,
    pub failed: Vec<EventId>,
    pub taken: BTreeSet<EventId>,
    pub within_ms: u64,
    pub fault: Option<AttemptFault>,
}

impl World {
    pub(super) fn report(&self, answer: Answer, error: &str) -> AttemptReport {
        let response = answer.status.map(|status| ResponseHead {
            status,
            headers: Vec::new(),
            body: Bytes::new(),
        });
        AttemptReport {
            started_at: self.now.wall_ms,
            duration_ms: 1,
            connect_ms: None,
            outcome: answer.outcome,
            request: RequestHead::default(),
            response,
            error: Some(error.to_owned()),
            fault: answer.fault,
            command: None,
        }
    }

    pub(super) fn behave(&mut self, endpoint: &Endpoint, events: &[Arc<Event>]) -> Answer {
        if self.now.mono_ms < self.uplink_away_until && endpoint.url.contains(".example") {
            // It finds nobody on the way, or nothing comes on a connection from before.
            let fault = Some(if self.rng.random_bool(0.7) {
                AttemptFault::Unreachable
            } else {
                AttemptFault::Unclear
            });
            let outcome = Outcome::Retryable { after_ms: None };
            let (failed, taken) = (Vec::new(), BTreeSet::new());
            return Answer { outcome, status: None, failed, taken, within_ms: 1000, fault };
        }

        let temper = self.tempers.get(&endpoint.id).copied().unwrap_or(Temper::Good);
        let poisoned = events.iter().any(|event| event.body.windows(6).any(|w| w == b"poison"));
        let rng = &mut self.rng;
        let retry = |after_ms| Outcome::Retryable { after_ms };

        let (outcome, status, within_ms) = match temper {
            Temper::Good => (Outcome::Delivered, 200, rng.random_range(1..50)),
            Temper::Slow => (Outcome::Delivered, 200, rng.random_range(1000..15_000)),
            Temper::Flaky if rng.random_bool(0.5) => {
                (Outcome::Delivered, 200, rng.random_range(1..500))
            }
            Temper::Flaky => (retry(None), 500, rng.random_range(1..500)),
            Temper::Dead => (retry(None), 503, 15_000),
            Temper::Hangs => (retry(None), 0, 15_000),
            Temper::Gone if rng.random_bool(0.05) => (Outcome::Gone, 410, 10),
            Temper::AsksForTime if rng.random_bool(0.5) => (
                retry(Some(rng.random_range(0..100_000))),
                if rng.random_bool(0.5) { 429 } else { 500 },
                10,
            ),
            Temper::Refuses if rng.random_bool(0.3) => (Outcome::Refused, 0, 10),
            Temper::Small if events.len() > 3 => (retry(None), 413, 10),
            Temper::Picky if poisoned => (retry(None), 422, 10),
            Temper::Steers if rng.random_bool(0.02) => (Outcome::Hold, 503, 10),
            Temper::Steers if rng.random_bool(0.1) => (Outcome::Drop, 400, 10),
            _ => (Outcome::Delivered, 200, rng.random_range(1..20)),
        };

        let status = (status > 0).then_some(status);
        if matches!(temper, Temper::Partial) && endpoint.batch.is_some() {
            return self.take_a_part(events, within_ms);
        }
        let took_all = outcome == Outcome::Delivered;
        let taken = events.iter().filter(|_| took_all).map(|event| event.id).collect();
        Answer { outcome, status, failed: Vec::new(), taken, within_ms, fault: None }
    }
}
