//! How much waits, and how old the oldest of it is: asked now and then by the history.

use crate::model::{EndpointId, Now, WallMs};
use crate::queue::Queue;
use crate::queue::request::Query;

/// What waits, over all endpoints and at each of these.
#[derive(Clone, Debug)]
pub struct BacklogQuery {
    pub endpoints: Vec<EndpointId>,
}

/// What waits.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Backlog {
    /// Deliveries that have not ended, without those on hold.
    pub pending: u64,
    /// How long the daemon has run since the oldest of them was accepted, or was retried by the
    /// operator.
    pub oldest_age_ms: u64,
    /// Those of the endpoints that are there.
    pub endpoints: Vec<EndpointBacklog>,
}

/// What waits at one endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EndpointBacklog {
    pub endpoint: EndpointId,
    pub created_at: WallMs,
    /// Deliveries that have not ended, those on hold included.
    pub pending: u64,
    pub oldest_age_ms: u64,
}

impl Query for BacklogQuery {
    type Answer = Backlog;

    fn answer(&self, queue: &Queue, _: Now) -> Backlog {
        let mut backlog = Backlog::default();
        for endpoint in queue.state.living().filter(|endpoint| endpoint.hold.is_none()) {
            backlog.pending += endpoint.undone;
            let age_ms = queue.oldest_age_ms(endpoint).unwrap_or(0);
            backlog.oldest_age_ms = backlog.oldest_age_ms.max(age_ms);
        }

        let living = self.endpoints.iter().filter_map(|id| queue.state.endpoints.get(id));
        let living = living.filter(|endpoint| endpoint.deleted.is_none());
        backlog.endpoints = living
            .map(|endpoint| EndpointBacklog {
                endpoint: endpoint.settings.id,
                created_at: endpoint.settings.created_at,
                pending: endpoint.undone,
                oldest_age_ms: queue.oldest_age_ms(endpoint).unwrap_or(0),
            })
            .collect();
        backlog
    }
}
