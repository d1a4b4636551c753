//! The history as a value: a scripted clock, and what happens by it.

mod answers;
mod clocks;
mod endpoints;
mod files;
mod sums;

use super::answer::answer;
use super::book::{History, Observation};
use crate::admin::HistoryAsk;
use crate::api::views::HistoryView;
use crate::model::{EndpointId, Now, WallMs};
use crate::queue::{Backlog, EndpointBacklog};
use crate::scheduler::{Counted, Tally};

/// The beginning of an hour.
const START: WallMs = 1_800_000_000_000;
const SECOND: u64 = 1000;
const MINUTE: u64 = 60 * SECOND;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;

/// A daemon that runs by a scripted clock.
struct HistoryWorld {
    history: History,
    now: Now,
    /// Endpoints that are there, with when they were made.
    endpoints: Vec<(EndpointId, WallMs)>,
    pending: u64,
    oldest_age_ms: u64,
}

impl HistoryWorld {
    fn new() -> Self {
        Self::at(START, History::default())
    }

    /// One that starts then, with what an earlier one has left.
    fn at(wall_ms: WallMs, history: History) -> Self {
        let now = Now { mono_ms: 0, wall_ms };
        let mut world = Self { history, now, endpoints: vec![], pending: 0, oldest_age_ms: 0 };
        world.look(Tally::default());
        world
    }

    /// Time passes, and the clock goes on.
    fn pass(&mut self, ms: u64) {
        self.now.mono_ms += ms;
        self.now.wall_ms += ms;
    }

    fn look(&mut self, tally: Tally) {
        let wanted = self.history.wanted(&tally);
        let there = self.endpoints.iter().filter(|(id, _)| wanted.contains(id));
        let backlog = Backlog {
            pending: self.pending,
            oldest_age_ms: self.oldest_age_ms,
            endpoints: there
                .map(|(endpoint, created_at)| EndpointBacklog {
                    endpoint: *endpoint,
                    created_at: *created_at,
                    pending: self.pending,
                    oldest_age_ms: self.oldest_age_ms,
                })
                .collect(),
        };

        let seen = Observation { tally, refused: 0, backlog: Some(backlog), disk_kib: 1024 };
        self.history.observe(self.now, self.now.wall_ms, &seen);
    }

    /// So many events come in now, and go to these endpoints.
    fn accept(&mut self, accepted: u64, endpoints: &[EndpointId]) {
        let counted = Counted { accepted, ..Counted::default() };
        let of = |id: &EndpointId| (*id, counted.clone());
        let endpoints = endpoints.iter().map(of).collect();
        self.look(Tally { all: counted.clone(), endpoints, ..Tally::default() });
    }

    fn ask(&self, ago: u64, step_ms: Option<u64>) -> HistoryView {
        let until = self.now.wall_ms + 1;
        let ask = HistoryAsk { endpoint: None, since: until - ago, until, step_ms };
        answer(&self.history, &ask, self.now.wall_ms).expect("an answer")
    }

    fn ask_endpoint(&self, endpoint: EndpointId, ago: u64) -> HistoryView {
        let until = self.now.wall_ms + 1;
        let (endpoint, since, step_ms) = (Some(endpoint), until - ago, Some(MINUTE));
        let ask = HistoryAsk { endpoint, since, until, step_ms };
        answer(&self.history, &ask, self.now.wall_ms).expect("an answer")
    }
}

/// The accepted ones of all rows.
fn accepted(view: &HistoryView) -> u64 {
    view.rows.iter().filter_map(|row| row.accepted).sum()
}
