//! Why a command leaves a delivery out, and what to do instead: one text for each reason, in the
//! real run and in a dry run, which asks the queue what it would do.

use super::dead_letters::MOVED;
use crate::model::{DeliveryId, DeliveryState, Now};
use crate::queue::Queue;
use crate::queue::input::Revive;
use crate::queue::request::Query;

pub const ENDPOINT_DELETED: &str = "cannot be attempted again: its endpoint was deleted; use \
                                    `hookboxctl replay --event ID --to ENDPOINT`, or \
                                    `hookboxctl dlq discard`";
pub const ON_HOLD: &str = "waits behind an endpoint on hold: use `hookboxctl endpoint release`";
pub const UNDER_WAY: &str = "is being attempted right now: try again in a moment";
pub const EVENT_DROPPED: &str = "cannot be attempted again: its event was dropped by retention";
pub const EVENT_LOST: &str = "cannot be attempted again: its event was lost with damaged records \
                              of the log; use `hookboxctl dlq discard`";
pub const KEPT_BACK: &str = "has its first attempt before it, and its endpoint is paused or \
                             fails: use `hookboxctl endpoint release`";
pub const BEHIND_PARKED: &str = "waits behind the head of its lane, which is parked: use \
                                 `hookboxctl delivery retry` or `delivery cancel` with that one, \
                                 which `hookboxctl delivery explain` names";
pub const FRESH: &str = "waits for its first attempt, which is made when its turn comes: see \
                         `hookboxctl delivery explain`";
pub const DELIVERED: &str = "was delivered already: use `hookboxctl replay --event`";

pub const ENDED_DEAD: &str = "is a dead letter: use `hookboxctl dlq discard`";
pub const ENDED_DELIVERED: &str = "was delivered already";
pub const ENDED_CANCELLED: &str = "was cancelled already";

/// Why each of these deliveries would not be attempted again; `None` where it would.
#[derive(Clone, Debug)]
pub struct RetryCheckQuery(pub Vec<Revive>);

impl Query for RetryCheckQuery {
    type Answer = Vec<Option<&'static str>>;

    fn answer(&self, queue: &Queue, now: Now) -> Self::Answer {
        let check = |revive: &Revive| {
            let state = queue.delivery_state(revive.delivery);
            // One that was moved is read where it is now.
            queue.check_retry(now, revive, state).err().filter(|why| *why != MOVED)
        };
        self.0.iter().map(check).collect()
    }
}

/// Why each of these deliveries would not be cancelled; `None` where it would.
#[derive(Clone, Debug)]
pub struct CancelCheckQuery(pub Vec<DeliveryId>);

impl Query for CancelCheckQuery {
    type Answer = Vec<Option<&'static str>>;

    fn answer(&self, queue: &Queue, _: Now) -> Self::Answer {
        self.0.iter().map(|delivery| check_cancel(queue.delivery_state(*delivery)).err()).collect()
    }
}

/// Refuses to cancel a delivery in this state, and says what to do instead.
pub(in crate::queue) fn check_cancel(state: DeliveryState) -> Result<(), &'static str> {
    match state {
        DeliveryState::Pending | DeliveryState::Held | DeliveryState::InFlight => Ok(()),
        DeliveryState::Dead => Err(ENDED_DEAD),
        DeliveryState::Delivered => Err(ENDED_DELIVERED),
        DeliveryState::Cancelled => Err(ENDED_CANCELLED),
    }
}

#[cfg(test)]
mod tests {
    use super::{CancelCheckQuery, RetryCheckQuery};
    use crate::model::{DeliveryId, Endpoint, Outcome};
    use crate::queue::testing::{TestQueue, report};
    use crate::queue::{CancelDeliveries, HoldEndpoint, RetryDeliveries, Revive};

    /// A dry run says of each delivery what the real run says of it.
    #[test]
    fn a_dry_run_has_the_reasons_of_the_real_run() {
        let endpoint = |name: &str| Endpoint::new(name, format!("http://{name}.example/"));
        let mut world = TestQueue::new([
            endpoint("good"),
            endpoint("held"),
            endpoint("dead"),
            endpoint("slow"),
            endpoint("sick"),
        ]);
        world.input(HoldEndpoint { name: "held".to_owned() });
        let event = world.accept("{}").seq;
        let id = |endpoint| DeliveryId { seq: event, endpoint };
        world.finish(id(1), report(world.now, Outcome::Delivered));
        world.finish(id(3), report(world.now, Outcome::Refused));
        world.finish(id(5), report(world.now, Outcome::Retryable { after_ms: None }));

        let died_at = world.queue.state().dead_letter_seqs.max();
        let ids: Vec<DeliveryId> = (1..=6).map(id).collect();
        let revives = ids.iter().map(|delivery| Revive {
            delivery: *delivery,
            event,
            attempts: 1,
            last: 0,
            dead_letter_seq: died_at.filter(|_| delivery.endpoint == 3),
        });
        let revives: Vec<Revive> = revives.collect();

        let reasons = world.queue.ask(world.now, &RetryCheckQuery(revives.clone()));
        assert_eq!(reasons.iter().flatten().count(), 4, "{reasons:?}");
        let real = world.decide(RetryDeliveries { deliveries: revives });
        let whys = real.left_out.keys().copied().collect::<Vec<_>>();
        let mut said: Vec<&str> = reasons.into_iter().flatten().collect();
        said.sort_unstable();
        assert_eq!((real.count, said), (2, whys));

        let reasons = world.queue.ask(world.now, &CancelCheckQuery(ids.clone()));
        let real = world.decide(CancelDeliveries { deliveries: ids });
        let left: usize = real.left_out.values().sum();
        assert_eq!((reasons.iter().flatten().count(), real.count), (left, 6 - left));
        assert!(reasons.iter().flatten().all(|why| real.left_out.contains_key(why)), "{reasons:?}");
    }
}
