//! What must hold, remembered apart from the queue.

use std::collections::{BTreeMap, BTreeSet};

use hookbox::model::{BatchId, DeliveryId, EventId, Seq};
use hookbox::record::{Consequence, Record};

use crate::sim::store::Disk;

/// What must hold, remembered apart from the queue.
#[derive(Default)]
pub(super) struct Checker {
    pub acknowledged: BTreeMap<Seq, EventId>,
    pub in_flight: BTreeMap<DeliveryId, u32>,
    pub answered_2xx: BTreeSet<DeliveryId>,
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
    /// Deliveries of endpoints that keep an order which have not ended, by endpoint and lane.
    pub lanes: BTreeMap<(u32, String), BTreeSet<Seq>>,
    pub lane_of: BTreeMap<DeliveryId, String>,
    /// Those that the operator asked for again stand outside the order.
    pub revived: BTreeSet<DeliveryId>,
    /// When attempts were started, of endpoints with a rate, in this life.
    pub started: BTreeMap<u32, Vec<u64>>,
    /// The last record that was released, or was found in the log after a crash.
    pub seen: Seq,
}

impl Checker {
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
