//! What may join a batch, and when a batch closes.

use std::collections::BTreeSet;

use super::delivery::{ActiveDelivery, TimerKey};
use super::endpoint_queue::EndpointQueue;
use crate::model::{Batch, Seq};

/// What may join a batch of what waits for a retry.
struct Joining {
    ones: Vec<Seq>,
    /// Lanes of which nothing else waits.
    cleared: BTreeSet<u64>,
    /// When the first of these was due, and when the next one is.
    oldest: u64,
    later: u64,
}

impl EndpointQueue {
    /// Takes what is due out of prefetch and timers, to become a batch once it has been read.
    pub fn take_for_batch(&mut self, batch: Batch, now_mono: u64) -> Vec<ActiveDelivery> {
        let most = batch.max_events as usize;
        let newest_first = self.newest_first();
        let mut ones = self.joining(now_mono, most).ones;
        if newest_first {
            self.sort_newest_lane_first(&mut ones);
        }

        // What waits for a retry goes first, or what is newest of all.
        let mut ones = ones.into_iter().peekable();
        let (mut jobs, mut bytes) = (Vec::new(), 0);
        while jobs.len() < most && bytes < batch.max_bytes {
            let fresh = self.next_fresh().filter(|_| self.runtime.gathers_fresh);
            let fresh = fresh.map(|(at, job)| (at, job.delivery.seq));
            let newer = |waiting: Seq| fresh.is_none_or(|(_, delivery)| waiting > delivery);
            if let Some(delivery) = ones.next_if(|waiting| !newest_first || newer(*waiting)) {
                jobs.push(self.take_waiting(delivery));
            } else if let Some((at, _)) = fresh {
                let job = self.take_out(at);
                bytes += job.size;
                jobs.push(job);
            } else {
                break;
            }
        }
        jobs
    }

    /// Deliveries that wait for a retry alone and may join a batch now. In a lane, those that
    /// follow one another go together.
    fn joining(&self, now_mono: u64, most: usize) -> Joining {
        let mut joining = Joining {
            ones: Vec::new(),
            cleared: BTreeSet::new(),
            oldest: u64::MAX,
            later: u64::MAX,
        };
        for (due, timer) in self.runtime.timers.iter() {
            let TimerKey::One(delivery) = timer else { continue };
            if due > now_mono {
                joining.later = due;
                break;
            }
            if joining.ones.len() >= most {
                break;
            }

            joining.oldest = joining.oldest.min(due);
            match self.lane_of_waiting(delivery) {
                Some(lane) => self.join_lane(lane, now_mono, most, &mut joining),
                None => joining.ones.push(delivery),
            }
        }
        joining
    }

    fn join_lane(&self, lane: u64, now_mono: u64, most: usize, joining: &mut Joining) {
        for (at, delivery) in self.runtime.lanes.waiting(lane).enumerate() {
            let behind = || self.runtime.timers.get_behind(TimerKey::One(delivery));
            let due = if at == 0 { Some(now_mono) } else { behind() };
            if joining.ones.len() >= most || due.is_none_or(|due| due > now_mono) {
                return;
            }
            joining.ones.push(delivery);
        }
        joining.cleared.insert(lane);
    }

    /// When the batch closes that is open now.
    #[must_use]
    pub fn batch_closes_at(&self, now_mono: u64) -> Option<u64> {
        let (at, _) = self.batch_due(self.settings.batch?, now_mono)?;
        (at > now_mono).then_some(at)
    }

    /// When the deliveries at hand are enough for a batch, or have waited long enough for one; and
    /// the newest of them that would be first in it.
    #[must_use]
    pub fn batch_due(&self, batch: Batch, now_mono: u64) -> Option<(u64, Seq)> {
        if !self.runtime.gathering.is_empty() {
            return None;
        }

        let most = batch.max_events as usize;
        let joining = self.joining(now_mono, most);
        let mut newest = joining.ones.first().copied().unwrap_or(0);
        let (mut count, mut bytes, mut oldest) = (joining.ones.len(), 0u64, joining.oldest);

        // What was not attempted yet joins, where its lane is free or becomes free by this batch.
        if self.may_begin() {
            let is_cleared = |lane: Option<u64>| lane.is_some_and(|l| joining.cleared.contains(&l));
            let is_free = |lane| self.runtime.lanes.may_begin(lane) || is_cleared(lane);
            for job in self.prefetch().iter().filter(|job| is_free(job.lane)) {
                if count == 0 || self.newest_first() {
                    newest = newest.max(job.delivery.seq);
                }
                count += 1;
                bytes += job.size;
                oldest = oldest.min(job.arrived);
                if count >= most || bytes >= batch.max_bytes {
                    break;
                }
            }
        }

        if count >= most || bytes >= batch.max_bytes {
            return Some((now_mono, newest));
        }
        let first = oldest.min(joining.later);
        (first < u64::MAX).then(|| (first.saturating_add(batch.max_wait_ms), newest))
    }
}
