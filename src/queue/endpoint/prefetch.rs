//! The prefetch: deliveries that were read from an endpoint's stream ahead of their attempts, and
//! how far the reading is.
//!
//! Invariants: `seqs` are the deliveries in the queue, and `memory` what their loaded events cost;
//! `outstanding` has the positions of what was prefetched or is in flight and came from the stream.

use std::collections::{BTreeSet, VecDeque};

use super::delivery::ActiveDelivery;
use super::prefetch_memory::MemoryShare;
use crate::model::Seq;

/// What was read ahead, in the order of attempts.
#[derive(Debug, Default)]
pub struct Prefetch {
    deliveries: VecDeque<ActiveDelivery>,
    seqs: BTreeSet<Seq>,
    memory: MemoryShare,
    outstanding: BTreeSet<Seq>,
    /// The first position of the stream that was not read; `None` when there is none.
    unread: Option<Seq>,
    /// The stream is being read.
    is_reading: bool,
}

impl Prefetch {
    /// Nothing yet of a stream that has entries from `unread` on.
    #[must_use]
    pub(super) fn of_stream(unread: Option<Seq>, memory: MemoryShare) -> Self {
        Self { unread, memory, ..Self::default() }
    }

    #[must_use]
    pub fn len(&self) -> usize {
        self.deliveries.len()
    }

    /// Bytes of the events it holds.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.memory.bytes()
    }

    pub fn iter(&self) -> impl Iterator<Item = &ActiveDelivery> {
        self.deliveries.iter()
    }

    #[must_use]
    pub fn get(&self, at: usize) -> Option<&ActiveDelivery> {
        self.deliveries.get(at)
    }

    #[must_use]
    pub fn find(&self, delivery: Seq) -> Option<&ActiveDelivery> {
        self.position(delivery).and_then(|at| self.get(at))
    }

    /// How many come before this delivery, if it is here.
    #[must_use]
    pub fn position(&self, delivery: Seq) -> Option<usize> {
        if !self.contains(delivery) {
            return None;
        }
        self.deliveries.iter().position(|job| job.delivery.seq == delivery)
    }

    /// Where the first delivery of this lane stands.
    #[must_use]
    pub fn first_of_lane(&self, lane: Option<u64>) -> Option<usize> {
        self.deliveries.iter().position(|job| job.lane == lane)
    }

    #[must_use]
    pub fn contains(&self, delivery: Seq) -> bool {
        self.seqs.contains(&delivery)
    }

    /// Whether an event of this cost may be kept in memory beside the others.
    #[must_use]
    pub fn has_memory_for(&self, cost: usize) -> bool {
        self.memory.has_room_for(cost)
    }

    /// Takes in a delivery from the stream.
    pub fn insert(&mut self, job: ActiveDelivery, front: bool) {
        self.memory.take(cost_of(&job));
        self.outstanding.extend(job.position);
        self.seqs.insert(job.delivery.seq);
        if front { self.deliveries.push_front(job) } else { self.deliveries.push_back(job) }
    }

    /// Takes a delivery out. Its position in the stream stays outstanding.
    pub fn take_out(&mut self, at: usize) -> Option<ActiveDelivery> {
        let job = self.deliveries.remove(at)?;
        self.seqs.remove(&job.delivery.seq);
        self.memory.give_back(cost_of(&job));
        Some(job)
    }

    /// Drops the events; they are read again when their turn comes.
    pub fn drop_bodies(&mut self) {
        for job in &mut self.deliveries {
            job.loaded = None;
        }
        self.memory.give_back_all();
    }

    /// Empties it. The positions of what was in it stay outstanding.
    pub fn take_all(&mut self) -> VecDeque<ActiveDelivery> {
        self.seqs.clear();
        self.memory.give_back_all();
        std::mem::take(&mut self.deliveries)
    }

    /// A delivery that came from the stream ended, or goes back to it: its position is nobody's any
    /// more.
    pub fn release_position(&mut self, job: &ActiveDelivery) {
        if let Some(position) = job.position {
            self.outstanding.remove(&position);
        }
    }

    /// Retention has moved one that is under way within the stream.
    pub fn moved(&mut self, from: Option<Seq>, to: Seq) {
        if let Some(from) = from {
            self.outstanding.remove(&from);
        }
        self.outstanding.insert(to);
    }

    #[must_use]
    pub fn first_outstanding(&self) -> Option<Seq> {
        self.outstanding.first().copied()
    }

    #[must_use]
    pub fn unread(&self) -> Option<Seq> {
        self.unread
    }

    /// The stream has been read up to before `unread`, or to its end.
    pub fn set_unread(&mut self, unread: Option<Seq>) {
        self.unread = unread;
    }

    /// The stream is to be read from `position` at the latest.
    pub fn read_again_from(&mut self, position: Seq) {
        self.unread = Some(self.unread.map_or(position, |unread| unread.min(position)));
    }

    /// The stream has a new entry at its end.
    pub fn stream_grew(&mut self, position: Seq) {
        self.unread.get_or_insert(position);
    }

    /// What came before `from` in the stream is not there any more.
    pub fn forget_before(&mut self, from: Seq) {
        self.unread = self.unread.map(|unread| unread.max(from));
    }

    #[must_use]
    pub fn is_reading(&self) -> bool {
        self.is_reading
    }

    pub fn set_reading(&mut self, is_reading: bool) {
        self.is_reading = is_reading;
    }
}

/// Bytes that the event of a delivery takes in memory.
fn cost_of(job: &ActiveDelivery) -> usize {
    job.loaded.as_ref().map_or(0, |event| event.cost())
}
