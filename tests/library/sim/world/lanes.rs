//! Who stands in which lane, kept apart from the queue.

use hookbox::model::{DeliveryId, Event, Order, Seq};
use hookbox::record::{Consequence, Record};
use hookbox::scheduler::Core;

use super::World;
use crate::sim::store::Disk;

impl World {
    /// Keeps, apart from the queue, who stands in which lane.
    pub(super) fn follow_lanes(&mut self, core: &Core<&mut Disk>, seq: Seq, record: &Record) {
        self.checker.seen = seq;
        let ended: Vec<DeliveryId> = match record {
            Record::EventAccepted { event, fan_out, .. } => {
                for endpoint in fan_out {
                    self.enter_lane(core, DeliveryId { seq, endpoint: *endpoint }, seq, event);
                }
                return;
            }
            Record::Replayed { event, endpoint, .. } => {
                let delivery = DeliveryId { seq, endpoint: *endpoint };
                return self.enter_lane_with(core, delivery, seq, *event);
            }
            // What waits already keeps its place.
            Record::DeliveryRetried { delivery, event, .. } => {
                if !self.checker.lane_of.contains_key(delivery) {
                    self.enter_lane_with(core, *delivery, seq, *event);
                }
                return;
            }
            Record::DeliveryCancelled { delivery, .. } => vec![*delivery],
            Record::DeliveryDied { dead } => vec![dead.delivery],
            Record::Superseded { endpoint, deliveries, .. } => {
                deliveries.iter().map(|seq| DeliveryId { seq: *seq, endpoint: *endpoint }).collect()
            }
            record => {
                let over = |next: &Consequence| {
                    matches!(next, Consequence::Delivered | Consequence::Dead { .. })
                };
                record
                    .attempts()
                    .filter(|attempt| over(attempt.next))
                    .map(|attempt| attempt.delivery)
                    .collect()
            }
        };

        for delivery in ended {
            if let Some((lane, position)) = self.checker.lane_of.remove(&delivery)
                && let Some(waiting) = self.checker.lanes.get_mut(&(delivery.endpoint, lane))
            {
                waiting.remove(&(position, delivery.seq));
            }
        }
    }

    /// One comes in whose event stands in the log.
    fn enter_lane_with(
        &mut self,
        core: &Core<&mut Disk>,
        delivery: DeliveryId,
        position: Seq,
        event: Seq,
    ) {
        let event = core.queue.state().stands_at(event).and_then(|at| core.store.event(at));
        if let Some(event) = event {
            self.enter_lane(core, delivery, position, &event);
        }
    }

    fn enter_lane(
        &mut self,
        core: &Core<&mut Disk>,
        delivery: DeliveryId,
        position: Seq,
        event: &Event,
    ) {
        let Some(endpoint) = core.queue.state().endpoints.get(&delivery.endpoint) else { return };
        let lane = match endpoint.settings.order {
            Order::None => return,
            Order::Strict => "all".to_owned(),
            Order::Key => {
                let body: serde_json::Value =
                    serde_json::from_slice(&event.body).unwrap_or_default();
                body.pointer("/k").map_or("nothing".to_owned(), ToString::to_string)
            }
        };

        self.checker
            .lanes
            .entry((delivery.endpoint, lane.clone()))
            .or_default()
            .insert((position, delivery.seq));
        self.checker.lane_of.insert(delivery, (lane, position));
    }
}
