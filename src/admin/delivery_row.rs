//! A delivery on its way into a list, with what is known of its event.

use super::Admin;
use super::events::endpoint_name;
use crate::model::{DeliveryFilter, DeliveryId, Event, EventId, EventTraits, Seq, WallMs};

/// A delivery that a scan of the log found.
pub(super) struct DeliveryRow {
    pub(super) id: DeliveryId,
    pub(super) event: EventId,
    pub(super) first_id: Option<EventId>,
    pub(super) source: Option<String>,
    pub(super) kind: Option<String>,
    pub(super) made_at: Option<WallMs>,
}

impl DeliveryRow {
    pub(super) fn new(id: DeliveryId, event: &Event, made_at: WallMs) -> Self {
        Self {
            id,
            event: event.id,
            first_id: event.first_id,
            source: Some(event.source_name.clone()),
            kind: Some(event.kind.clone()),
            made_at: Some(made_at),
        }
    }

    /// One whose event may be lost: its record still says which it was.
    pub(super) fn of(
        id: DeliveryId,
        seq: Seq,
        event: Option<&Event>,
        made_at: Option<WallMs>,
    ) -> Self {
        match event {
            Some(event) => Self::new(id, event, made_at.unwrap_or(event.received_at)),
            None => {
                let event = EventId { seq, tag: 0 };
                Self { id, event, first_id: None, source: None, kind: None, made_at }
            }
        }
    }

    pub(super) fn passes(&self, filter: &DeliveryFilter, admin: &Admin) -> bool {
        let event = EventTraits {
            id: self.event,
            first_id: self.first_id,
            source: self.source.as_deref(),
            kind: self.kind.as_deref(),
            at: self.made_at,
        };
        filter.matches(&event, &endpoint_name(admin, self.id.endpoint))
    }
}
