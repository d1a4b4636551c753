//! Which endpoints have a history of their own: the busiest ones of late.
//!
//! Each endpoint has a score, which grows by what happens there and loses an eighth in an hour. An
//! endpoint takes the place of the least busy one when it is busier by far, so that two of a kind
//! do not change places all the time.

use std::collections::BTreeMap;

use super::figures::Figures;
use super::ring::{Ring, RingSize};
use super::varint;
use crate::model::{EndpointId, WallMs, limits};
use crate::queue::EndpointBacklog;
use crate::scheduler::{Counted, Tally};

/// What one event at an endpoint is worth: small scores fade as well as large ones.
const WORTH: u64 = 1 << 10;
/// How many times busier a newcomer is than the one whose place it takes.
const BUSIER: u64 = 2;
/// Endpoints without a history whose scores are kept.
const CANDIDATES: usize = 4 * limits::HISTORY_ENDPOINTS;
const HOUR_MS: u64 = 3_600_000;
/// Hours after which every score is 0.
const FADED: u64 = 512;

/// The ring of an endpoint: a minute for a day.
pub const ENDPOINT_RING: RingSize =
    RingSize { slot_ms: 60_000, slots: 24 * 60, bytes: limits::HISTORY_ENDPOINT_BYTES };

/// The history of one endpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndpointHistory {
    /// When the endpoint was made: its number could be another one's in another log.
    created_at: WallMs,
    /// Before this nothing was counted.
    pub since: WallMs,
    score: u64,
    pub ring: Ring,
}

/// See the module.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Busiest {
    kept: BTreeMap<EndpointId, EndpointHistory>,
    candidates: BTreeMap<EndpointId, u64>,
    /// The hour up to which scores have faded.
    hour: u64,
}

impl Busiest {
    /// The history of an endpoint, if it has one.
    pub fn of(&self, endpoint: EndpointId) -> Option<&EndpointHistory> {
        self.kept.get(&endpoint)
    }

    #[cfg(test)]
    pub fn all(&self) -> impl Iterator<Item = (&EndpointId, &EndpointHistory)> {
        self.kept.iter()
    }

    /// The endpoints whose backlog is to be looked at together with this tally.
    pub fn wanted(&self, tally: &Tally) -> Vec<EndpointId> {
        let new = tally.endpoints.iter().filter(|(id, _)| !self.kept.contains_key(id));
        let mut new: Vec<(u64, EndpointId)> =
            new.map(|(id, counted)| (activity(counted), *id)).collect();
        new.sort_unstable_by(|a, b| b.cmp(a));
        new.truncate(limits::HISTORY_ENDPOINTS);
        self.kept.keys().copied().chain(new.into_iter().map(|(_, id)| id)).collect()
    }

    /// Counts what happened at the endpoints. `force` writes down how things stand even where
    /// nothing happened.
    pub fn count(
        &mut self,
        at: WallMs,
        tally: &Tally,
        backlogs: &[EndpointBacklog],
        figures: impl Fn(Option<&Counted>, &EndpointBacklog) -> Figures,
        force: bool,
    ) {
        self.fade(at / HOUR_MS);
        self.keep(backlogs);
        for (id, counted) in &tally.endpoints {
            self.score(*id, activity(counted));
        }

        for backlog in backlogs {
            let counted = tally.endpoints.get(&backlog.endpoint);
            if counted.is_some() {
                self.admit(at, backlog);
            }
            let Some(kept) = self.kept.get_mut(&backlog.endpoint) else { continue };

            let figures = figures(counted, backlog);
            let stood = kept.ring.latest().map(|latest| latest.pending.last);
            if force || figures.has_counts() || stood != Some(figures.pending.last) {
                kept.ring.add(at, &figures);
            }
        }
        self.trim();
    }

    /// Keeps the endpoints that are there.
    fn keep(&mut self, backlogs: &[EndpointBacklog]) {
        let made = |id: EndpointId| {
            backlogs.iter().find(|backlog| backlog.endpoint == id).map(|found| found.created_at)
        };
        self.kept.retain(|id, kept| made(*id) == Some(kept.created_at));
    }

    fn fade(&mut self, hour: u64) {
        for _ in 0..hour.saturating_sub(self.hour).min(FADED) {
            self.kept.values_mut().for_each(|kept| kept.score -= kept.score.div_ceil(8));
            self.candidates.values_mut().for_each(|score| *score -= score.div_ceil(8));
        }
        self.hour = hour;
    }

    fn score(&mut self, id: EndpointId, activity: u64) {
        let score = match self.kept.get_mut(&id) {
            Some(kept) => &mut kept.score,
            None => self.candidates.entry(id).or_default(),
        };
        *score = score.saturating_add(activity.saturating_mul(WORTH));
    }

    /// Gives an endpoint a history if there is a place for one more, or if it is far busier than
    /// the least busy one, which loses its own.
    fn admit(&mut self, at: WallMs, backlog: &EndpointBacklog) {
        let id = backlog.endpoint;
        let Some(score) = self.candidates.get(&id).copied() else { return };

        if self.kept.len() >= limits::HISTORY_ENDPOINTS {
            let least = self.kept.iter().min_by_key(|(_, kept)| kept.score);
            let Some((least, least_score)) = least.map(|(id, kept)| (*id, kept.score)) else {
                return;
            };
            if score <= least_score.saturating_mul(BUSIER) {
                return;
            }
            self.kept.remove(&least);
            self.candidates.insert(least, least_score);
        }

        self.candidates.remove(&id);
        let (created_at, ring) = (backlog.created_at, Ring::new(ENDPOINT_RING));
        let since = at / ENDPOINT_RING.slot_ms * ENDPOINT_RING.slot_ms;
        self.kept.insert(id, EndpointHistory { created_at, since, score, ring });
    }

    fn trim(&mut self) {
        self.candidates.retain(|_, score| *score > 0);
        while self.candidates.len() > CANDIDATES {
            let least = self.candidates.iter().min_by_key(|(_, score)| **score);
            let Some(least) = least.map(|(id, _)| *id) else { return };
            self.candidates.remove(&least);
        }
    }

    /// For a file. Scores of those without a history are not written.
    pub fn write(&self, out: &mut Vec<u8>) {
        varint::put(out, self.hour);
        varint::put(out, self.kept.len() as u64);
        for (id, kept) in &self.kept {
            for number in [u64::from(*id), kept.created_at, kept.since, kept.score] {
                varint::put(out, number);
            }
            kept.ring.write(out);
        }
    }

    /// Takes them off the front of a file; `None` when they are not as they were written.
    pub fn read(file: &mut &[u8]) -> Option<Self> {
        let mut busiest = Self { hour: varint::take(file)?, ..Self::default() };
        let count = varint::take(file)?;
        if count > limits::HISTORY_ENDPOINTS as u64 {
            return None;
        }

        for _ in 0..count {
            let id = EndpointId::try_from(varint::take(file)?).ok()?;
            let [created_at, since, score] =
                [varint::take(file)?, varint::take(file)?, varint::take(file)?];
            let ring = Ring::read(file, ENDPOINT_RING)?;
            busiest.kept.insert(id, EndpointHistory { created_at, since, score, ring });
        }
        Some(busiest)
    }
}

/// How much happened at an endpoint.
fn activity(counted: &Counted) -> u64 {
    counted.accepted + counted.delivered + counted.failed + counted.dead
}
