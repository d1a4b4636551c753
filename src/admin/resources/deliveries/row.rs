//! A delivery on its way into a list, with what is known of its event.

use crate::admin::context::Admin;
use crate::admin::resources::names::endpoint_name;
use crate::admin::scan::dead_letters::DeadDelivery;
use crate::api::values::{Text, Time};
use crate::api::views::DeliveryView;
use crate::model::{
    DeliveryFilter, DeliveryId, DeliveryState, Event, EventId, EventTraits, Seq, WallMs,
};
use crate::queue::DeliverySnapshot;

/// A delivery that a scan of the log found.
pub struct DeliveryRow {
    pub id: DeliveryId,
    pub event: EventId,
    first_id: Option<EventId>,
    source: Option<String>,
    kind: Option<String>,
    made_at: Option<WallMs>,
}

impl DeliveryRow {
    pub fn new(id: DeliveryId, event: &Event, made_at: WallMs) -> Self {
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
    pub fn of(id: DeliveryId, seq: Seq, event: Option<&Event>, made_at: Option<WallMs>) -> Self {
        match event {
            Some(event) => Self::new(id, event, made_at.unwrap_or(event.received_at)),
            None => {
                let event = EventId { seq, tag: 0 };
                Self { id, event, first_id: None, source: None, kind: None, made_at }
            }
        }
    }

    pub fn passes(&self, filter: &DeliveryFilter, admin: &Admin) -> bool {
        self.passes_at(filter, admin, self.made_at)
    }

    /// The same, for a list by other times than those at which deliveries were made.
    pub fn passes_at(&self, filter: &DeliveryFilter, admin: &Admin, at: Option<WallMs>) -> bool {
        let event = EventTraits {
            id: self.event,
            first_id: self.first_id,
            source: self.source.as_deref(),
            kind: self.kind.as_deref(),
            at,
        };
        filter.matches(&event, &endpoint_name(admin, self.id.endpoint))
    }

    /// The row as it is shown, with the state of the delivery and the number of its attempts, where
    /// that is known.
    pub fn view(
        &self,
        admin: &Admin,
        snapshot: &DeliverySnapshot,
        attempts: Option<u32>,
    ) -> DeliveryView {
        let due_at = due_at(snapshot, self.made_at);
        DeliveryView { attempts, due_at: due_at.map(Time), ..self.view_in(admin, snapshot.state) }
    }

    /// The row of a dead letter, as each list shows it.
    pub fn dead_view(&self, admin: &Admin, dead: &DeadDelivery) -> DeliveryView {
        DeliveryView {
            attempts: Some(dead.revive.attempts),
            died_at: Some(Time(dead.died_at)),
            reason: Some(dead.reason.clone()),
            ..self.view_in(admin, DeliveryState::Dead)
        }
    }

    fn view_in(&self, admin: &Admin, state: DeliveryState) -> DeliveryView {
        DeliveryView {
            id: Text(self.id),
            event: Text(self.event),
            endpoint: endpoint_name(admin, self.id.endpoint),
            state: state.into(),
            attempts: None,
            due_at: None,
            source: self.source.clone(),
            event_type: self.kind.clone(),
            created_at: self.made_at.map(Time),
            died_at: None,
            reason: None,
        }
    }
}

/// When the next attempt may start of a delivery that was made at this time.
fn due_at(snapshot: &DeliverySnapshot, made_at: Option<WallMs>) -> Option<WallMs> {
    let own = match (snapshot.state, snapshot.retry) {
        (DeliveryState::Pending, Some(retry)) => Some(retry.due_at),
        // Never attempted: due since it was made.
        (DeliveryState::Pending, None) => made_at,
        // What is held is due when it is released.
        _ => None,
    };
    // What is due before its batch closes waits for that.
    own.map(|own| own.max(snapshot.batch_closes_at.unwrap_or(0)))
}

#[cfg(test)]
mod tests {
    use super::due_at;
    use crate::model::{DeliveryId, DeliveryState};
    use crate::queue::{DeliverySnapshot, RetrySnapshot};

    #[test]
    fn a_delivery_is_due_when_it_was_made_is_tried_again_or_its_batch_closes() {
        let delivery = DeliveryId { seq: 7, endpoint: 1 };
        let retry = RetrySnapshot { attempts: 1, due_at: 60, last: 8, event: 7 };
        let due = |state, retry, batch_closes_at| {
            due_at(&DeliverySnapshot { delivery, state, retry, batch_closes_at }, Some(10))
        };

        assert_eq!(due(DeliveryState::Pending, None, None), Some(10));
        assert_eq!(due(DeliveryState::Pending, None, Some(50)), Some(50));
        assert_eq!(due(DeliveryState::Pending, Some(retry), Some(50)), Some(60));
        assert_eq!(due(DeliveryState::Pending, Some(retry), Some(70)), Some(70));
        assert_eq!(due(DeliveryState::InFlight, None, None), None);
    }
}
