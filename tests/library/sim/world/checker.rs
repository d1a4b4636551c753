//! What must hold, remembered apart from the queue.

use std::collections::{BTreeMap, BTreeSet};

use hookbox::model::{BatchId, DeliveryId, EventId, Seq};
use hookbox::record::{Consequence, Record};

use crate::sim::store::Disk;

/// What was decided on has left after so long: its events may be read twice.
const SETTLED_MS: u64 = 1_500;

/// What must hold, remembered apart from the queue.
#[derive(Default)]
pub(super) struct Checker {
    pub acknowledged: BTreeMap<Seq, EventId>,
    pub in_flight: BTreeMap<DeliveryId, u32>,
    /// What a receiver has taken, whatever it answered.
    pub taken: BTreeSet<DeliveryId>,
    /// Deliveries that have to end, by what the log says up to record `read_to`, whatever retention
    /// drops of it.
    pub owed: BTreeSet<DeliveryId>,
    pub read_to: Seq,
    /// The earliest time of the next attempt, by the virtual monotonic clock of this process's
    /// life.
    pub not_before: BTreeMap<DeliveryId, u64>,
    pub batches_in_flight: BTreeMap<BatchId, Vec<DeliveryId>>,
    /// What each batch holds, at every attempt and in every life.
    pub members: BTreeMap<BatchId, Vec<EventId>>,
    /// Deliveries of endpoints that keep an order which have not ended, by endpoint and lane: their
    /// positions in it, and what they are. What had ended and was asked for again comes in at the
    /// end, by the record that says so.
    pub lanes: BTreeMap<(u32, String), BTreeSet<(Seq, Seq)>>,
    pub lane_of: BTreeMap<DeliveryId, (String, Seq)>,
    /// By endpoint: attempts that may be in flight, and as many as were allowed before this time.
    pub concurrency: BTreeMap<u32, (u32, u32, u64)>,
    /// When attempts were started, of endpoints with a rate, in this life.
    pub started: BTreeMap<u32, Vec<u64>>,
    /// The last record that was released, or was found in the log after a crash.
    pub seen: Seq,
}

impl Checker {
    /// So many attempts may be in flight from now on.
    pub fn set_concurrency(&mut self, endpoint: u32, allowed: u32, now_mono: u64) {
        let before = self.concurrency.get(&endpoint).map_or(allowed, |(now, before, since)| {
            if now_mono - since < SETTLED_MS { *now.max(before) } else { *now }
        });
        self.concurrency.insert(endpoint, (allowed, before, now_mono));
    }

    /// How many attempts may be in flight. What was decided on before the last change has its event
    /// read first.
    pub fn concurrency(&self, endpoint: u32, now_mono: u64) -> u32 {
        let (allowed, before, since) = self.concurrency[&endpoint];
        if now_mono - since < SETTLED_MS { before.max(allowed) } else { allowed }
    }

    /// What the log says now, also that which a dying process did not live to see.
    pub fn read_news(&mut self, disk: &Disk) {
        let news: Vec<(Seq, Record)> = disk.forward(self.read_to + 1).collect();
        for (seq, record) in news {
            self.read_to = seq;
            match record {
                Record::EventAccepted { fan_out, .. } => {
                    self.owed
                        .extend(fan_out.into_iter().map(|endpoint| DeliveryId { seq, endpoint }));
                }
                Record::Replayed { endpoint, .. } => {
                    self.owed.insert(DeliveryId { seq, endpoint });
                }
                Record::DeliveryRetried { delivery, .. } => {
                    self.owed.insert(delivery);
                }

                Record::DeliveryCancelled { delivery, .. } => {
                    self.owed.remove(&delivery);
                }
                Record::EndpointDeleted { endpoint, .. } => {
                    self.owed.retain(|delivery| delivery.endpoint != endpoint)
                }
                Record::DeliveryDied { dead } => {
                    self.owed.remove(&dead.delivery);
                }
                Record::Superseded { endpoint, deliveries, .. } => {
                    for seq in deliveries {
                        self.owed.remove(&DeliveryId { seq, endpoint });
                    }
                }

                record => {
                    for attempt in record.attempts() {
                        if matches!(attempt.next, Consequence::Delivered | Consequence::Dead { .. })
                        {
                            self.owed.remove(&attempt.delivery);
                        }
                    }
                }
            }
        }
    }
}
