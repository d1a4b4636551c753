//! While the link is down: who waits for it, and the requests that find out whether it is back.

use crate::model::{EndpointId, Now, limits};
use crate::queue::{Draft, Queue};

impl Queue {
    /// While the link is down: one request to one of those who wait for it.
    pub(in crate::queue) fn probe_the_link(&mut self, now: Now, draft: &mut Draft) {
        if let Some(id) = self.link.offline.and_then(|offline| offline.probing)
            && self.under_way(id) == 0
        {
            self.link.probe_came_to_nothing(now.mono_ms);
        }

        let candidates = self.link.candidates(now.mono_ms);
        for id in candidates.iter().copied() {
            let before = self.under_way(id);
            self.run_endpoint_with_turn(id, now, draft);
            if self.under_way(id) > before {
                return self.link.probes(id);
            }
        }

        // However many wait, they are not all looked at in each step.
        if !candidates.is_empty() {
            let ready = candidates.iter().filter_map(|id| self.work_at(*id, now)).min();
            let until = ready.map_or(u64::MAX, |at| at.max(now.mono_ms + limits::AGE_LOOK_MS));
            self.link.rest(until);
        }
    }

    /// Whether this one waits for the link. It has been woken, so a probe may go out to it before
    /// long.
    pub(in crate::queue) fn waits_for_the_link(&mut self, id: EndpointId, now: Now) -> bool {
        self.link.look_again(id, now.mono_ms + limits::AGE_LOOK_MS);
        self.link.keeps_back(id)
    }

    /// When a probe may go out, on the monotonic clock.
    pub(in crate::queue) fn link_wake(&self, now: Now) -> Option<u64> {
        let offline = self.link.offline.filter(|offline| offline.probing.is_none())?;
        let next_at = Some(offline.next_at()).filter(|at| *at < u64::MAX)?;
        Some(next_at.max(now.mono_ms + 1).max(self.clock_until.unwrap_or(0)))
    }

    fn under_way(&self, id: EndpointId) -> usize {
        self.state.endpoint(id).under_way()
    }

    /// When an endpoint that waits for the link has something to send.
    fn work_at(&self, id: EndpointId, now: Now) -> Option<u64> {
        let endpoint = self.state.endpoint(id);
        // What has to be read first is looked for again in a moment.
        let unread = endpoint.prefetch().unread().map(|_| now.mono_ms + limits::AGE_LOOK_MS);
        endpoint.next_due(now.mono_ms, true).or(unread)
    }
}
