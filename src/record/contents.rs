//! What stands in a record for those who read the log: the event that it holds, and the places in
//! endpoints' streams.

use std::sync::Arc;

use super::{Record, WaitingDelivery};
use crate::model::{DeliveryId, EndpointId, Event, Seq};

/// The event that a record holds.
#[derive(Clone, Debug)]
pub struct HeldEvent {
    pub event: Arc<Event>,
    pub fan_out: Vec<EndpointId>,
    /// The record that held it first, when it was relocated to this one.
    pub relocated_from: Option<Seq>,
}

impl Record {
    /// The event that it holds, and the endpoints that it is for.
    #[must_use]
    pub fn held_event(&self) -> Option<(&Arc<Event>, &[EndpointId])> {
        match self {
            Self::EventAccepted { event, fan_out, .. }
            | Self::EventRelocated { event, fan_out, .. } => Some((event, fan_out)),
            _ => None,
        }
    }

    /// The event that it holds.
    #[must_use]
    pub fn into_held_event(self) -> Option<HeldEvent> {
        match self {
            Self::EventAccepted { event, fan_out, .. } => {
                Some(HeldEvent { event, fan_out, relocated_from: None })
            }
            Self::EventRelocated { seq, event, fan_out } => {
                Some(HeldEvent { event, fan_out, relocated_from: Some(seq) })
            }
            _ => None,
        }
    }

    /// The deliveries that it puts into the streams of their endpoints, as record `seq`.
    pub fn stream_positions(&self, seq: Seq) -> impl Iterator<Item = WaitingDelivery> + '_ {
        let at = move |endpoint: EndpointId, event: Seq, born: u64| WaitingDelivery {
            delivery: DeliveryId { seq, endpoint },
            position: seq,
            event,
            attempts: 0,
            last: 0,
            key: None,
            born,
        };

        let (fan_out, accepted, one): (&[EndpointId], u64, Option<WaitingDelivery>) = match self {
            Self::EventAccepted { fan_out, ran_ms, .. } => (fan_out, *ran_ms, None),
            Self::Replayed { event, endpoint, ran_ms, .. } => {
                (&[], 0, Some(at(*endpoint, *event, *ran_ms)))
            }
            Self::DeliveryRetried {
                delivery,
                event,
                attempts,
                last,
                in_stream: true,
                ran_ms,
                ..
            } => {
                let new = at(delivery.endpoint, *event, *ran_ms);
                let (delivery, attempts, last) = (*delivery, *attempts, *last);
                (&[], 0, Some(WaitingDelivery { delivery, attempts, last, ..new }))
            }
            Self::StreamPositionRelocated { waiting } => {
                (&[], 0, Some(WaitingDelivery { position: seq, ..waiting.clone() }))
            }
            _ => (&[], 0, None),
        };

        let accepted = move |endpoint: &EndpointId| at(*endpoint, seq, accepted);
        fan_out.iter().map(accepted).chain(one)
    }
}
