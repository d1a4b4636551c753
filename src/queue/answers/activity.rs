//! What an endpoint is doing now.

use super::explanation::{EndpointActivity, on_the_wall};
use crate::model::Now;
use crate::queue::Queue;
use crate::queue::endpoint::EndpointQueue;
use crate::queue::folding::state::Retrying;

impl Queue {
    /// What an endpoint is doing now.
    pub(in crate::queue) fn endpoint_activity(
        &self,
        now: Now,
        endpoint: &EndpointQueue,
    ) -> EndpointActivity {
        let id = endpoint.settings.id;
        let wall = |mono| on_the_wall(now, mono);
        let ahead = |mono: u64| (mono > now.mono_ms).then(|| wall(mono));

        let open = endpoint.breaker().open;
        let breaker = open.map(|open| (open.since, endpoint.next_probe_at(open, now.mono_ms)));
        let (lanes, parked) = endpoint.lanes().count();

        // The oldest delivery is in the stream, in memory, or among the retries.
        let in_stream = endpoint.outstanding().filter_map(|job| job.position).min();
        let oldest = [endpoint.first_unread(), in_stream, endpoint.retrying.keys().next().copied()];
        let oldest = oldest.into_iter().flatten().min().filter(|_| endpoint.undone > 0);

        EndpointActivity {
            width: endpoint.window(),
            failures_in_row: endpoint.breaker().failures_in_row,
            breaker: breaker.map(|(since, probe_at)| (since, wall(probe_at))),
            away: self.link.keeps_back(id),
            paused_until: ahead(endpoint.paused_until()),
            next_token_at: endpoint.rate_ready_at().and_then(ahead),
            lanes,
            parked,
            catching_up: endpoint.catching_up().map(|catching| catching.mode),
            oldest_age_ms: self.oldest_age_ms(endpoint),
            oldest_waiting_at: oldest_born(endpoint)
                .and_then(|born| self.state.run_times.wall_ms(born)),
            oldest: oldest.map(|seq| self.state.held_at(seq)),
            succeeded: endpoint.succeeded,
            failed: endpoint.failed,
            failing_ms: endpoint.failing_ms,
            batches: endpoint.batches.len(),
        }
    }

    /// How long the daemon has run since the oldest delivery of an endpoint that has not ended was
    /// accepted. Those at hand are known by when they were accepted; what is still in the stream
    /// came later.
    pub(in crate::queue) fn oldest_age_ms(&self, endpoint: &EndpointQueue) -> Option<u64> {
        oldest_born(endpoint).map(|born| self.ran_ms.saturating_sub(born))
    }
}

/// When the oldest delivery of an endpoint that has not ended was accepted, by the run clock.
fn oldest_born(endpoint: &EndpointQueue) -> Option<u64> {
    if endpoint.undone == 0 {
        return None;
    }
    let waiting = endpoint.retrying.values().next().map(Retrying::born);
    endpoint.outstanding().map(|job| job.born).chain(waiting).min()
}
