//! Is our link down, or their server? Volatile.
//!
//! Attempts that fail to reach a host (no route, no name, no connection) are evidence against the
//! link when they fail at unrelated hosts for `limits::LINK_SPAN_MS` while no host beyond our own
//! network answers, or when the system itself says that there is no route. The daemon is *offline*
//! then. The endpoints that failed this way are *away*: their deliveries grow no older, none of
//! their attempts counts, and one request at a time goes out to probe the link. Other endpoints go
//! on: hosts in our own network may well be reachable, and an endpoint that is not becomes away by
//! its next failure.
//!
//! A request that was in flight when the link went down, or went out on a connection from before,
//! is cut off by its deadline. That is neither an answer nor a failure to reach the host.

use std::collections::{BTreeMap, BTreeSet};

use crate::model::{AttemptFault, AttemptReport, Endpoint, EndpointId, limits};

pub use crate::model::Locality;

/// Where the endpoint is.
#[must_use]
pub fn locality(endpoint: &Endpoint) -> Locality {
    endpoint.url.locality(endpoint.allow_private)
}

/// What an attempt shows about the link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LinkEvidence {
    /// The host was reached at this time, by the monotonic clock: it answered, refused, or accepted
    /// a connection.
    Reached { at: u64 },
    /// The host was not reached.
    Failed(AttemptFault),
    /// Nothing came on a connection that had been open before.
    Silence,
}

impl LinkEvidence {
    /// The evidence of an attempt that has ended `now`.
    #[must_use]
    pub fn by(report: &AttemptReport, now: u64) -> Self {
        match (report.fault, report.connect_ms) {
            (None, _) => Self::Reached { at: now },
            (Some(AttemptFault::Unclear), Some(connect_ms)) => Self::Reached {
                at: now.saturating_sub(report.duration_ms.saturating_sub(connect_ms)),
            },
            (Some(AttemptFault::Unclear), None) => Self::Silence,
            (Some(fault), _) => Self::Failed(fault),
        }
    }
}

/// The state of the link.
#[derive(Debug, Default)]
pub struct Link {
    pub offline: Option<Offline>,
    /// Far hosts that were not reached since a far host answered last, with the time when each of
    /// them was first not reached.
    suspects: BTreeMap<String, u64>,
    /// How often there was no route to a host while others answered, since the host answered last.
    lost: BTreeMap<String, u32>,
    /// The host to which there was no route when the daemon went offline.
    blamed: Option<String>,
    /// Endpoints that were not reached and have not answered since.
    pub away: BTreeSet<EndpointId>,
}

/// The daemon is offline. Times are by the monotonic clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Offline {
    pub since: u64,
    pub probe_at: u64,
    probes: u32,
    /// The endpoint of the probe in flight.
    pub probing: Option<EndpointId>,
    /// The endpoint that was probed last: the one after it is next.
    pub last: EndpointId,
    /// No endpoint that is away had anything to send: none is looked at again before this time.
    look_at: u64,
}

impl Offline {
    fn begins(now: u64, probe_at: u64, last: EndpointId) -> Self {
        Self { since: now, probe_at, probes: 0, probing: None, last, look_at: 0 }
    }

    /// When a probe may go out, unless one is in flight; `u64::MAX` when no endpoint has anything
    /// to send.
    #[must_use]
    pub fn next_at(&self) -> u64 {
        self.probe_at.max(self.look_at)
    }
}

/// What an attempt changed about the link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LinkChange {
    None,
    WentOffline,
    CameBack,
}

impl Link {
    /// Learns from an attempt.
    pub fn learn(
        &mut self,
        id: EndpointId,
        locality: &Locality,
        evidence: LinkEvidence,
        now: u64,
    ) -> LinkChange {
        let (host, far) = match locality {
            // Its URL led elsewhere when the link went down.
            Locality::Here if self.away.contains(&id) => {
                return self.answered(id, (&String::new(), false), now, now);
            }
            Locality::Here => return LinkChange::None,
            Locality::Near(host) => (host, false),
            Locality::Far(host) => (host, true),
        };

        match evidence {
            LinkEvidence::Reached { at }
                if self.offline.is_none_or(|offline| at >= offline.since) =>
            {
                self.lost.remove(host);
                self.answered(id, (host, far), at, now)
            }
            // It was cut off because the link is down: it waits with the others.
            LinkEvidence::Reached { .. } | LinkEvidence::Silence => {
                if self.offline.is_some() {
                    self.away.insert(id);
                    self.missed(id, now);
                }
                LinkChange::None
            }
            LinkEvidence::Failed(fault) => self.failed(id, (host, far), fault, now),
        }
    }

    /// An attempt found nobody.
    fn failed(
        &mut self,
        id: EndpointId,
        (host, far): (&String, bool),
        fault: AttemptFault,
        now: u64,
    ) -> LinkChange {
        // A host to which there is never a route, whatever the link does: an IPv6 address on a
        // machine without IPv6.
        let no_route = fault == AttemptFault::NoRoute;
        let never_routed = self.lost.get(host).is_some_and(|n| *n >= limits::LINK_LOST);
        if no_route && never_routed && self.offline.is_none() {
            self.away.remove(&id);
            return LinkChange::None;
        }

        self.away.insert(id);
        if far {
            self.suspects.entry(host.clone()).or_insert(now);
        }
        if self.offline.is_some() {
            self.missed(id, now);
            return LinkChange::None;
        }

        // One silent host is its own fault. Two of them for long, or the system's word that there
        // is no route, is the link's.
        let long = |since: &u64| now.saturating_sub(*since) >= limits::LINK_SPAN_MS;
        let all_silent = self.suspects.len() >= 2 && self.suspects.values().min().is_some_and(long);
        if !no_route && !all_silent {
            return LinkChange::None;
        }

        self.blamed = no_route.then(|| host.clone());
        self.offline = Some(Offline::begins(now, now + gap_ms(0), id));
        LinkChange::WentOffline
    }

    /// This endpoint waited for the link when the daemon ended. It goes on waiting, and the first
    /// request is a probe.
    pub fn restore(&mut self, id: EndpointId, now: u64) {
        self.away.insert(id);
        self.offline.get_or_insert(Offline::begins(now, now, id));
    }

    /// If the attempt was a probe, the next one follows after a longer gap.
    fn missed(&mut self, id: EndpointId, now: u64) {
        if let Some(offline) = self.offline.as_mut().filter(|offline| offline.probing == Some(id)) {
            offline.probing = None;
            offline.probes = offline.probes.saturating_add(1);
            offline.probe_at = now + gap_ms(offline.probes);
        }
    }

    /// A host answered.
    fn answered(
        &mut self,
        id: EndpointId,
        (host, far): (&String, bool),
        at: u64,
        now: u64,
    ) -> LinkChange {
        self.away.remove(&id);
        if far {
            self.suspects.retain(|_, since| *since > at);
        }
        let Some(offline) = &mut self.offline else { return LinkChange::None };
        if far || self.away.is_empty() {
            self.offline = None;
            if let Some(host) = self.blamed.take().filter(|blamed| blamed != host) {
                if self.lost.len() >= limits::ENDPOINTS {
                    // These are hosts to which nothing is sent any more.
                    self.lost.clear();
                }
                *self.lost.entry(host).or_default() += 1;
            }
            return LinkChange::CameBack;
        }

        // Only a near host is back: probe the next endpoint.
        if offline.probing == Some(id) {
            (offline.probing, offline.probe_at) = (None, now);
        }
        LinkChange::None
    }

    /// Whether this endpoint waits for the link.
    #[must_use]
    pub fn keeps_back(&self, id: EndpointId) -> bool {
        self.offline.is_some() && self.away.contains(&id)
    }

    /// The endpoints to try for the next probe, beginning after the one that was probed last; none
    /// while no probe is due.
    #[must_use]
    pub fn candidates(&self, now: u64) -> Vec<EndpointId> {
        let Some(offline) = self.offline.filter(|o| o.probing.is_none() && o.next_at() <= now)
        else {
            return Vec::new();
        };

        let behind = self.away.range(offline.last.saturating_add(1)..);
        behind.chain(self.away.range(..=offline.last)).copied().collect()
    }

    /// A probe went out.
    pub fn probes(&mut self, id: EndpointId) {
        if let Some(offline) = &mut self.offline {
            (offline.probing, offline.last) = (Some(id), id);
        }
    }

    /// The probe ended without evidence about the link: the attempt was refused before it was sent,
    /// or its delivery was cancelled.
    pub fn probe_came_to_nothing(&mut self, now: u64) {
        if let Some(offline) = &mut self.offline {
            (offline.probing, offline.probe_at) = (None, now + gap_ms(0));
        }
    }

    /// No endpoint that is away has anything to send before `until`.
    pub fn rest(&mut self, until: u64) {
        if let Some(offline) = &mut self.offline {
            offline.look_at = until;
        }
    }

    /// An endpoint that is away may have something to send at this time.
    pub fn look_again(&mut self, id: EndpointId, at: u64) {
        if let Some(offline) = self.offline.as_mut().filter(|offline| offline.look_at > at)
            && self.away.contains(&id)
        {
            offline.look_at = at;
        }
    }

    /// An endpoint was deleted. The link is no longer down when it was the last one away.
    pub fn forget(&mut self, id: EndpointId) -> LinkChange {
        self.away.remove(&id);
        if let Some(offline) = &mut self.offline
            && offline.probing == Some(id)
        {
            offline.probing = None;
        }
        if self.away.is_empty() && self.offline.take().is_some() {
            return LinkChange::CameBack;
        }
        LinkChange::None
    }
}

fn gap_ms(probes: u32) -> u64 {
    limits::LINK_GAP_MS.saturating_mul(1 << probes.min(30)).min(limits::LINK_GAP_MAX_MS)
}

#[cfg(test)]
mod tests;
