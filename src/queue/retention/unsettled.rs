//! What whoever reads the log asks and reports about records that it cannot give back. See
//! `losses`.

use std::collections::BTreeMap;

use roaring::RoaringTreemap;

use crate::model::{DeliveryId, EndpointId, Seq};
use crate::queue::stream::kept::KeptPositions;

/// A part of what follows from records that the log cannot give back; at most `limits::SLICE` of
/// each.
#[derive(Clone, Debug)]
pub enum Loss {
    /// End deliveries that wait for a retry and whose events stand among these records. Asked again
    /// until none is left.
    Events(RoaringTreemap),
    /// End these deliveries of an endpoint, which waited in its stream at positions that are lost.
    Deliveries { endpoint: EndpointId, deliveries: Vec<Seq> },
    /// Give these deliveries new positions in the stream: only their positions are lost, and not
    /// their events.
    Positions { endpoint: EndpointId, deliveries: Vec<Seq> },
    /// Give these dead letters new records: the records by which they died are lost.
    DeadLetters(Vec<(Seq, DeliveryId)>),
    /// All that waited among these records has been settled.
    Records { first: Seq, last: Seq },
}

/// What has to be known of the state in order to settle the loss of records.
#[derive(Clone, Debug, Default)]
pub struct Unsettled {
    /// Lost records of which nothing has been settled yet.
    pub records: RoaringTreemap,
    /// Endpoints that may wait for some of them.
    pub streams: Vec<StreamWaits>,
    /// All of this is as of the moment before this record.
    pub end: Seq,
    /// Records whose events stand among those that cannot be read.
    pub events: RoaringTreemap,
    /// The lost records that hold dead letters; and, if there are any, or too few in all, all
    /// records that do, and all dead letters.
    pub lost_dead_letter_seqs: RoaringTreemap,
    pub dead_letter_seqs: RoaringTreemap,
    pub dead: Vec<(EndpointId, RoaringTreemap)>,
}

/// What one endpoint waits for in its stream, so that it can be counted how much of that the log
/// still has.
#[derive(Clone, Debug, Default)]
pub struct StreamWaits {
    pub endpoint: EndpointId,
    /// The stream has been taken up to `low`, and at the positions `ahead` of it.
    pub low: Seq,
    pub ahead: RoaringTreemap,
    /// Deliveries that wait in it, in all.
    pub count: u64,
    /// Deliveries asked for again, which wait at other positions than their own.
    pub revived: RoaringTreemap,
    /// Of some of them: at which one.
    pub waits_at: BTreeMap<Seq, Seq>,
    pub cancelled: RoaringTreemap,
    /// Positions that other records hold than their own.
    pub kept: KeptPositions,
    /// Deliveries that stand elsewhere: dead ones, and those that wait for a retry.
    pub elsewhere: RoaringTreemap,
    /// Positions of deliveries that are in memory.
    pub at_hand: RoaringTreemap,
}

impl StreamWaits {
    /// Whether this delivery waits at this position, which record `at` holds.
    #[must_use]
    pub fn waits(&self, at: Seq, position: Seq, delivery: Seq) -> bool {
        let is_open = match self.kept.record_of(position) {
            Some(record) => record == at,
            None => position == at && position > self.low && !self.ahead.contains(position),
        };
        is_open
            && if position == delivery {
                !self.cancelled.contains(delivery)
            } else {
                self.revived.contains(delivery)
                    && self.waits_at.get(&delivery).is_none_or(|at| *at == position)
            }
    }
}
