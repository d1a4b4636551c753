//! The pace that all endpoints share which work off a backlog. They take turns: whoever has
//! something of its backlog to attempt waits in a queue, the first of it gets the next token, and
//! goes to its end again.

use crate::model::share::{Share, ShareHolder};
use crate::model::{EndpointId, Now, Rate};
use crate::queue::endpoint::bucket::TokenBucket;
use crate::queue::turn_taking::shared_pace::SharedPace;
use crate::queue::turn_taking::wait_queue::WaitQueue;
use crate::queue::{Draft, Queue};

impl Queue {
    /// How fast all endpoints together work off their backlogs; no limit when `None`.
    pub fn set_pace(&mut self, rate: Option<Rate>) {
        let last_at = self.state.living().map(|endpoint| endpoint.last_attempt_at).max();
        let (last_at, started) = (last_at.unwrap_or(0), self.started);
        self.pace = rate.map(|rate| SharedPace {
            rate,
            bucket: TokenBucket::after_start(rate, 1, last_at, started),
            waiting: WaitQueue::default(),
            turn: None,
        });
    }

    /// Whether this endpoint may attempt something of its backlog now.
    pub(in crate::queue) fn has_turn(&self, id: EndpointId) -> bool {
        self.pace.as_ref().is_none_or(|pace| pace.turn == Some(id))
    }

    /// It has something of its backlog to attempt, and waits for its turn.
    pub(in crate::queue) fn await_pace(&mut self, id: EndpointId, now: Now) {
        if let Some(pace) = &mut self.pace
            && pace.waiting.push(id)
        {
            self.full_shares.note(Share::CatchUpPace, ShareHolder::Endpoint(id), now);
        }
    }

    /// Something of a backlog goes out.
    pub(in crate::queue) fn spend_pace(&mut self, now: Now) {
        if let Some(pace) = &mut self.pace {
            pace.bucket.take(pace.rate, now.mono_ms);
            pace.turn = None;
        }
    }

    /// Gives the tokens that there are to those who have waited longest.
    pub(in crate::queue) fn run_pace(&mut self, now: Now, draft: &mut Draft) {
        while self.slots.free() > 0
            && let Some(pace) = self.pace.as_mut().filter(|pace| pace.ready_at() <= now.mono_ms)
            && let Some(id) = pace.waiting.pop()
        {
            pace.turn = Some(id);
            self.run_unless_offline(id, now, draft);
        }

        if let Some(pace) = &mut self.pace {
            pace.turn = None;
        }
    }

    /// One that waits for the link does not wait here as well: where there is a token, what is sent
    /// to look for the link may be of a backlog.
    pub(in crate::queue) fn run_endpoint_with_turn(
        &mut self,
        id: EndpointId,
        now: Now,
        draft: &mut Draft,
    ) {
        if let Some(pace) = self.pace.as_mut().filter(|pace| pace.ready_at() <= now.mono_ms) {
            pace.turn = Some(id);
        }
        self.run_endpoint(id, now, draft);
        if let Some(pace) = &mut self.pace {
            pace.turn = None;
        }
    }

    /// When the first of those who wait has its turn, on the monotonic clock.
    pub(in crate::queue) fn pace_wake(&self, now: Now) -> Option<u64> {
        let pace =
            self.pace.as_ref().filter(|pace| !pace.waiting.is_empty() && self.slots.free() > 0)?;
        Some(pace.ready_at().max(now.mono_ms))
    }

    /// When the shared pace lets the next attempt of any backlog go.
    pub(in crate::queue) fn pace_ready_at(&self) -> Option<u64> {
        self.pace.as_ref().map(SharedPace::ready_at)
    }
}
