//! The lanes of one endpoint that keeps an order: which keys have something under way, so that the
//! others of the same key wait. Not remembered, like all of the runtime half of an endpoint.
//!
//! A lane's head is in flight, or waits for a retry. Behind it, up to [`AT_HAND`] deliveries of a
//! key are prefetched; what comes behind these is left in the stream (*skipped*), so that one
//! blocked key neither fills the prefetch nor takes memory, and is read again when its lane goes
//! on.
//!
//! Invariant: of one key, deliveries begin in the order of the stream, and only while no other is
//! under way.

use std::collections::{BTreeMap, BTreeSet};

use crate::model::Seq;

/// Deliveries of one key in the prefetch, while other keys want a part of it, too.
pub const AT_HAND: u32 = 16;

/// The key of the one lane of a strict endpoint.
pub const STRICT: u64 = 1;

/// One key's lane.
#[derive(Debug, Default)]
struct Lane {
    /// Deliveries that were attempted and wait, or wait with a batch, by their positions in the
    /// lane.
    waiting: BTreeSet<(Seq, Seq)>,
    /// The positions of those that do not stand at their own numbers.
    positions: BTreeMap<Seq, Seq>,
    in_flight: u32,
    prefetched: u32,
    /// The first position of the stream that was left unread for it.
    skipped: Option<Seq>,
    parked: bool,
}

/// All of them, by key. Deliveries without a key are in no lane.
#[derive(Debug, Default)]
pub struct Lanes {
    by_key: BTreeMap<u64, Lane>,
    skipped: BTreeSet<(Seq, u64)>,
}

impl Lane {
    fn leave(&mut self, delivery: Seq) {
        let position = self.positions.remove(&delivery).unwrap_or(delivery);
        self.waiting.remove(&(position, delivery));
    }
}

impl Lanes {
    /// Whether a delivery of this key may have its first attempt.
    #[must_use]
    pub fn may_begin(&self, key: Option<u64>) -> bool {
        let Some(lane) = key.and_then(|key| self.by_key.get(&key)) else { return true };
        lane.in_flight == 0 && lane.waiting.is_empty() && !lane.parked
    }

    /// Whether one that waits is the head of its lane, and the lane is free.
    #[must_use]
    pub fn may_go_on(&self, key: Option<u64>, is_it: impl Fn(Seq) -> bool) -> bool {
        let Some(lane) = key.and_then(|key| self.by_key.get(&key)) else { return true };
        lane.in_flight == 0
            && !lane.parked
            && lane.waiting.first().is_none_or(|(_, head)| is_it(*head))
    }

    /// Whether an entry at `position` has to stay in the stream, so that it does not overtake or
    /// crowd out others. Where only the `latest` of a key counts, what waits for a retry makes way
    /// for it.
    #[must_use]
    pub fn must_skip(&self, key: Option<u64>, position: Seq, latest: bool) -> bool {
        let Some(lane) = key.filter(|key| *key != STRICT).and_then(|key| self.by_key.get(&key))
        else {
            return false;
        };
        let behind = lane.skipped.is_some_and(|first| first < position);
        behind || lane.prefetched >= AT_HAND || (!latest && !lane.waiting.is_empty()) || lane.parked
    }

    /// Remembers that the entry at `position` was left in the stream.
    pub fn skip(&mut self, key: u64, position: Seq) {
        let lane = self.by_key.entry(key).or_default();
        if lane.skipped.is_none_or(|first| position < first) {
            if let Some(first) = lane.skipped.replace(position) {
                self.skipped.remove(&(first, key));
            }
            self.skipped.insert((position, key));
        }
    }

    /// The first position of the stream that was left for any lane.
    #[must_use]
    pub fn first_skipped(&self) -> Option<Seq> {
        self.skipped.first().map(|(position, _)| *position)
    }

    /// Where the stream has to be read again for this lane, now that fewer of it are prefetched.
    pub fn take_skipped(&mut self, key: Option<u64>) -> Option<Seq> {
        let key = key?;
        let lane = self.by_key.get_mut(&key).filter(|lane| lane.prefetched < AT_HAND)?;
        let position = lane.skipped.take()?;
        self.skipped.remove(&(position, key));
        self.tidy(key);
        Some(position)
    }

    /// What was left before `from` in the stream is not there any more: what is behind it may still
    /// be.
    pub fn forget_before(&mut self, from: Seq) {
        while let Some((position, key)) =
            self.skipped.first().copied().filter(|(position, _)| *position < from)
        {
            self.skipped.remove(&(position, key));
            self.skipped.insert((from, key));
            if let Some(lane) = self.by_key.get_mut(&key) {
                lane.skipped = Some(from);
            }
        }
    }

    /// Forgets what was left in the stream: it is going to be read anyway.
    pub fn forget_skipped(&mut self) {
        for (_, key) in std::mem::take(&mut self.skipped) {
            if let Some(lane) = self.by_key.get_mut(&key) {
                lane.skipped = None;
            }
            self.tidy(key);
        }
    }

    pub fn enter_prefetch(&mut self, key: Option<u64>) {
        self.change(key, |lane| lane.prefetched += 1);
    }

    pub fn leave_prefetch(&mut self, key: Option<u64>) {
        self.change(key, |lane| lane.prefetched = lane.prefetched.saturating_sub(1));
    }

    pub fn start(&mut self, key: Option<u64>) {
        self.change(key, |lane| lane.in_flight += 1);
    }

    pub fn finish(&mut self, key: Option<u64>) {
        self.change(key, |lane| lane.in_flight = lane.in_flight.saturating_sub(1));
    }

    /// A delivery of this key waits from now on, at its position in the lane; `parked`: until the
    /// operator lets it go on.
    pub fn wait(&mut self, key: Option<u64>, position: Seq, delivery: Seq, parked: bool) {
        self.change(key, |lane| {
            lane.leave(delivery);
            lane.waiting.insert((position, delivery));
            if position != delivery {
                lane.positions.insert(delivery, position);
            }
            lane.parked |= parked;
        });
    }

    pub fn wait_no_more(&mut self, key: Option<u64>, delivery: Seq) {
        self.change(key, |lane| {
            lane.leave(delivery);
        });
    }

    pub fn unpark(&mut self, key: Option<u64>) {
        self.change(key, |lane| lane.parked = false);
    }

    pub fn unpark_all(&mut self) {
        self.by_key.values_mut().for_each(|lane| lane.parked = false);
    }

    /// Those of this key that wait, in their order.
    pub fn waiting(&self, key: u64) -> impl Iterator<Item = Seq> + '_ {
        self.by_key
            .get(&key)
            .into_iter()
            .flat_map(|lane| lane.waiting.iter().map(|(_, delivery)| *delivery))
    }

    /// The newest of those of this key that wait.
    #[must_use]
    pub fn newest_waiting(&self, key: u64) -> Option<Seq> {
        self.waiting(key).max()
    }

    /// The delivery that the others of this key wait for.
    #[must_use]
    pub fn head(&self, key: u64) -> Option<Seq> {
        self.by_key.get(&key)?.waiting.first().map(|(_, delivery)| *delivery)
    }

    /// How many there are with something in them, and how many of these are parked.
    #[must_use]
    pub fn count(&self) -> (usize, usize) {
        (self.by_key.len(), self.by_key.values().filter(|lane| lane.parked).count())
    }

    fn change(&mut self, key: Option<u64>, with: impl FnOnce(&mut Lane)) {
        let Some(key) = key else { return };
        with(self.by_key.entry(key).or_default());
        self.tidy(key);
    }

    /// Forgets a lane with nothing in it.
    fn tidy(&mut self, key: u64) {
        let empty = self.by_key.get(&key).is_some_and(|lane| {
            lane.waiting.is_empty()
                && lane.in_flight == 0
                && lane.prefetched == 0
                && lane.skipped.is_none()
                && !lane.parked
        });
        if empty {
            self.by_key.remove(&key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{AT_HAND, Lanes};

    #[test]
    fn what_was_put_at_the_end_again_goes_after_what_came_before() {
        let mut lanes = Lanes::default();
        let key = Some(7);
        lanes.wait(key, 30, 5, false);
        lanes.wait(key, 10, 10, false);
        lanes.wait(key, 40, 40, false);
        assert_eq!(lanes.waiting(7).collect::<Vec<_>>(), [10, 5, 40]);
        assert!(lanes.may_go_on(key, |seq| seq == 10) && !lanes.may_go_on(key, |seq| seq == 5));
        assert_eq!(lanes.newest_waiting(7), Some(40));

        // Whoever waits again at another position does not wait at the old one as well.
        lanes.wait(key, 50, 5, false);
        assert_eq!(lanes.waiting(7).collect::<Vec<_>>(), [10, 40, 5]);
        for delivery in [10, 40, 5] {
            lanes.wait_no_more(key, delivery);
        }
        assert_eq!((lanes.head(7), lanes.count()), (None, (0, 0)));
    }

    #[test]
    fn one_of_a_key_at_a_time_and_the_head_first() {
        let mut lanes = Lanes::default();
        let key = Some(7);
        assert!(lanes.may_begin(key) && lanes.may_begin(None));
        lanes.start(key);
        assert!(!lanes.may_begin(key) && lanes.may_begin(Some(8)));
        lanes.finish(key);
        lanes.wait(key, 20, 20, false);
        lanes.wait(key, 10, 10, false);
        assert!(!lanes.may_begin(key));
        assert!(lanes.may_go_on(key, |seq| seq == 10) && !lanes.may_go_on(key, |seq| seq == 20));
        lanes.wait(key, 10, 10, true);
        assert!(!lanes.may_go_on(key, |seq| seq == 10));
        lanes.unpark(key);
        lanes.wait_no_more(key, 10);
        assert!(lanes.may_go_on(key, |seq| seq == 20));
        lanes.wait_no_more(key, 20);
        assert_eq!(lanes.count(), (0, 0));
    }

    #[test]
    fn what_is_left_in_the_stream_is_read_again_from_its_first_place() {
        let mut lanes = Lanes::default();
        let key = Some(7);
        for _ in 0..AT_HAND {
            assert!(!lanes.must_skip(key, 1, false));
            lanes.enter_prefetch(key);
        }
        assert!(lanes.must_skip(key, 30, false));
        lanes.skip(7, 30);
        lanes.skip(7, 31);
        assert_eq!(lanes.first_skipped(), Some(30));
        assert_eq!(lanes.take_skipped(key), None);
        lanes.leave_prefetch(key);
        assert!(lanes.must_skip(key, 31, false), "30 comes first");
        assert!(!lanes.must_skip(key, 30, false));
        assert_eq!(lanes.take_skipped(key), Some(30));
        assert_eq!(lanes.first_skipped(), None);
        assert!(!lanes.must_skip(key, 31, false));
    }
}
