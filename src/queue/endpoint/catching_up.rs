//! One endpoint works off its backlog. See `catchup`.

use super::backlog::CatchingUp;
use super::bucket::TokenBucket;
use super::delivery::TimerKey;
use super::endpoint_queue::EndpointQueue;
use super::left_out::LeftOut;
use crate::model::{CatchUpMode, Now, Seq};

impl EndpointQueue {
    /// How it works off its backlog, if it does.
    #[must_use]
    pub fn catching_up(&self) -> Option<&CatchingUp> {
        self.runtime.catching_up.as_ref()
    }

    /// What is to be read backward: from before the first position down to the second.
    #[must_use]
    pub fn reads_back(&self) -> Option<(Seq, Seq)> {
        self.catching_up().and_then(CatchingUp::back)
    }

    /// Whether what has just come in goes before what waited, because the newest go first.
    #[must_use]
    pub fn takes_in_front(&self) -> bool {
        self.catching_up().is_some_and(CatchingUp::takes_in_front)
    }

    /// Whether this delivery is part of a backlog that is being worked off.
    #[must_use]
    pub fn is_backlog(&self, delivery: Seq) -> bool {
        self.catching_up().is_some_and(|catching| delivery < catching.end)
    }

    /// Whether the newest go first right now.
    #[must_use]
    pub(super) fn newest_first(&self) -> bool {
        self.catching_up().is_some_and(|catching| catching.mode != CatchUpMode::Oldest)
    }

    /// The newest delivery of what waits.
    pub(super) fn newest_of(&self, timer: TimerKey) -> Seq {
        match timer {
            TimerKey::One(delivery) => delivery,
            TimerKey::Batch(id) => {
                let batch = self.batches.get(&id);
                batch.and_then(|batch| batch.members.iter().max().copied()).unwrap_or(0)
            }
        }
    }

    /// Whether catching up lets this go that waits for a retry: not before what is newer and has
    /// not been read yet.
    pub(super) fn lets_go(&self, timer: TimerKey) -> bool {
        let Some((before, _)) = self.reads_back() else { return true };
        // So much waits for a retry already that nothing more is read.
        if self.is_full_of_retries() {
            return true;
        }
        let asked = |delivery| self.retrying.get(&delivery).is_some_and(|waiting| waiting.asked);
        matches!(timer, TimerKey::One(delivery) if asked(delivery))
            || self.newest_of(timer) >= before
    }

    /// What waits is a backlog from now on, and is worked off as the endpoint wants it; the window
    /// begins small.
    pub fn catch_up(&mut self, next_seq: Seq) {
        self.runtime.window = 1;
        if self.undone == 0 {
            return;
        }

        let mode = self.catch_up_mode();
        let mut from = self.first_unread();
        if mode != CatchUpMode::Oldest {
            // What was prefetched was read forward: it has its turn with the others.
            let first = self.clear_prefetch();
            // Those of which it is not known what they are the latest of are met on the way back.
            let mut unknown = self.retrying.iter().filter(|(seq, w)| self.lacks_key(**seq, w));
            let unknown = unknown.next().map(|(seq, _)| *seq);
            from = [from, first, unknown].into_iter().flatten().min();
        }

        let mut catching = CatchingUp::new(mode, from, next_seq);
        if let Some(before) = self.runtime.catching_up.take() {
            catching.bucket = before.bucket;
        }
        if catching.back.is_some() {
            self.runtime.prefetch.set_unread(None);
            self.runtime.lanes.forget_skipped();
            self.runtime.left_out = LeftOut::default();
        }
        self.runtime.catching_up = Some(catching);
    }

    /// The backlog was found at a start: its pace does not begin with a burst.
    pub fn pace_backlog_after_start(&mut self, now: Now) {
        let last_at = self.last_attempt_at;
        if let (Some(catching), Some(rate)) =
            (&mut self.runtime.catching_up, self.remembered.settings.catch_up.rate)
        {
            catching.bucket = TokenBucket::after_start(rate, 1, last_at, now);
        }
    }

    /// Ends the catching up when nothing is left of the backlog that could go now.
    pub fn look_whether_caught_up(&mut self, now_mono: u64) {
        let Some(catching) = self.catching_up() else { return };
        let end = catching.end;
        let unread = self.first_unread().is_some_and(|unread| unread < end);
        if catching.back.is_some() || self.prefetch().is_reading() || unread {
            return;
        }

        let mut due = self.runtime.timers.due(now_mono);
        let waits = due.any(|(_, timer)| self.newest_of(timer) < end);
        if !waits && self.prefetch().iter().all(|job| job.delivery.seq >= end) {
            self.runtime.catching_up = None;
        }
    }

    /// Takes note of the newest delivery of a key, while a backlog is worked off. False when there
    /// are too many keys to keep this one.
    pub fn note_latest(&mut self, key: u64, delivery: Seq) -> bool {
        let catching = &mut self.runtime.catching_up;
        catching.as_mut().is_none_or(|catching| catching.note(key, delivery))
    }

    /// The backlog has been read backward to `next`. Where there are too many keys the rest goes
    /// oldest first, which leaves nobody with an old value either.
    pub fn read_back_to(&mut self, next: Seq, too_many_keys: bool) {
        let Some(catching) = &mut self.runtime.catching_up else { return };
        catching.read_to(next);
        if too_many_keys && let Some((_, until)) = catching.back.take() {
            self.runtime.prefetch.read_again_from(until);
        }
    }

    /// The stream has been read past one that was accepted at `born`: nothing older is left in it,
    /// unless it was left there.
    pub fn read_past(&mut self, born: u64) {
        let left = self.runtime.lanes.first_skipped().or(self.runtime.left_out.first_position());
        if left.is_none() && !self.takes_in_front() {
            self.runtime.ages.read_past(born);
        }
    }
}
