//! Our link, or their server? Volatile.
//!
//! Attempts that fail on the way (no route, no name, no connection) are held against the link when they hit unrelated
//! hosts for `limits::LINK_SPAN_MS` with no host beyond our own network answering, or when the system itself says that
//! there is no route. *Offline* then: the endpoints that failed this way are *away*: their clock of max age stands, none of
//! their attempts counts, and one request at a time goes out to see whether the link is back. Others go on as they
//! were: what lies in our own network may well be reached, and whoever cannot be joins the others by its next failure.
//! A request that was out, or went out on a connection from before, when the link went finds nobody and is cut off by its
//! deadline: that is neither an answer nor a failure on the way.

use std::collections::{BTreeMap, BTreeSet};

use crate::model::{AttemptReport, Endpoint, EndpointId, Fault, limits};

/// Where an endpoint leads, as far as the link is concerned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// On this machine: nothing of it says anything about the link.
    Here,
    /// In our own network, or one that may be.
    Near(String),
    Far(String),
}

/// Where the endpoint's URL leads.
#[must_use]
pub fn place(endpoint: &Endpoint) -> Place {
    let Some((_, rest)) = endpoint.url.split_once("://") else { return Place::Here };
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    let host = match host.strip_prefix('[') {
        Some(v6) => v6.split(']').next().unwrap_or_default(),
        None => host.split(':').next().unwrap_or_default(),
    };
    let host = host.to_ascii_lowercase();
    let loopback = host.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback());
    match loopback || host == "localhost" {
        true => Place::Here,
        false if endpoint.allow_private => Place::Near(host),
        false => Place::Far(host),
    }
}

/// What an attempt says of the way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Said {
    /// Somebody was there at this time, by the monotonic clock: answered, refused, or let a connection come about.
    Reached { at: u64 },
    /// It failed on the way.
    Failed(Fault),
    /// Nothing came on a connection that had been there before.
    Nothing,
}

impl Said {
    /// By an attempt that has ended `now`.
    #[must_use]
    pub fn by(report: &AttemptReport, now: u64) -> Self {
        match (report.fault, report.connect_ms) {
            (None, _) => Self::Reached { at: now },
            (Some(Fault::Unclear), Some(connect_ms)) => {
                Self::Reached { at: now.saturating_sub(report.duration_ms.saturating_sub(connect_ms)) }
            }
            (Some(Fault::Unclear), None) => Self::Nothing,
            (Some(fault), _) => Self::Failed(fault),
        }
    }
}

/// What is known of the link.
#[derive(Debug, Default)]
pub struct Link {
    pub offline: Option<Offline>,
    /// Hosts that failed on the way since a far one answered last, with the time that each of them did so first.
    suspects: BTreeMap<String, u64>,
    /// Hosts to which there was no route, while others answered: how often, since they answered last.
    lost: BTreeMap<String, u32>,
    /// The last one to which there was no route, so that the daemon took itself for offline.
    blamed: Option<String>,
    /// Endpoints that failed on the way and have not answered since.
    pub away: BTreeSet<EndpointId>,
}

/// Offline.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Offline {
    pub since: u64,
    pub probe_at: u64,
    probes: u32,
    /// The endpoint that a request is out to.
    pub probing: Option<EndpointId>,
    /// The one that was probed last: the next has its turn.
    pub last: EndpointId,
}

/// What a result changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    None,
    WentOffline,
    CameBack,
}

impl Link {
    /// Learns from an attempt.
    pub fn learn(&mut self, id: EndpointId, place: &Place, said: Said, now: u64) -> Turn {
        let (host, far) = match place {
            Place::Here => return Turn::None,
            Place::Near(host) => (host, false),
            Place::Far(host) => (host, true),
        };
        let fault = match said {
            Said::Reached { at } if self.offline.is_none_or(|offline| at >= offline.since) => {
                self.lost.remove(host);
                return self.answered(id, (host, far), at, now);
            }
            // It was cut off as the link is down: it waits with the others.
            Said::Reached { .. } | Said::Nothing => {
                if self.offline.is_some() {
                    self.away.insert(id);
                    self.missed(id, now);
                }
                return Turn::None;
            }
            Said::Failed(fault) => fault,
        };
        let no_route = fault == Fault::NoRoute;
        if no_route && self.offline.is_none() && self.lost.get(host).is_some_and(|n| *n >= limits::LINK_LOST) {
            // No way leads there, whatever the link does: an IPv6 address on a machine without IPv6.
            self.away.remove(&id);
            return Turn::None;
        }
        self.away.insert(id);
        if far {
            self.suspects.entry(host.clone()).or_insert(now);
        }
        if self.offline.is_some() {
            self.missed(id, now);
            return Turn::None;
        }
        let long = |since: &u64| now.saturating_sub(*since) >= limits::LINK_SPAN_MS;
        let all_silent = self.suspects.len() >= 2 && self.suspects.values().min().is_some_and(long);
        if !no_route && !all_silent {
            return Turn::None;
        }
        self.blamed = no_route.then(|| host.clone());
        self.offline = Some(Offline { since: now, probe_at: now + gap_ms(0), probes: 0, probing: None, last: id });
        Turn::WentOffline
    }

    /// A probe has found nobody.
    fn missed(&mut self, id: EndpointId, now: u64) {
        if let Some(offline) = self.offline.as_mut().filter(|offline| offline.probing == Some(id)) {
            offline.probing = None;
            offline.probes = offline.probes.saturating_add(1);
            offline.probe_at = now + gap_ms(offline.probes);
        }
    }

    fn answered(&mut self, id: EndpointId, (host, far): (&String, bool), at: u64, now: u64) -> Turn {
        self.away.remove(&id);
        if far {
            self.suspects.retain(|_, since| *since > at);
        }
        let Some(offline) = &mut self.offline else { return Turn::None };
        if far || self.away.is_empty() {
            self.offline = None;
            if let Some(host) = self.blamed.take().filter(|blamed| blamed != host) {
                if self.lost.len() >= limits::ENDPOINTS {
                    // Of hosts that nobody is sent to any more.
                    self.lost.clear();
                }
                *self.lost.entry(host).or_default() += 1;
            }
            return Turn::CameBack;
        }
        // Only what lies near is back: the next one has its turn.
        if offline.probing == Some(id) {
            (offline.probing, offline.probe_at) = (None, now);
        }
        Turn::None
    }

    /// Whether this endpoint's attempts wait for the link.
    #[must_use]
    pub fn keeps_back(&self, id: EndpointId) -> bool {
        self.offline.is_some() && self.away.contains(&id)
    }

    /// The endpoints to try for the next probe, beginning behind the one that was tried last; none while it is not time.
    #[must_use]
    pub fn candidates(&self, now: u64) -> Vec<EndpointId> {
        let Some(offline) = self.offline.filter(|o| o.probing.is_none() && o.probe_at <= now) else {
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

    /// An endpoint is gone.
    pub fn forget(&mut self, id: EndpointId) {
        self.away.remove(&id);
        if let Some(offline) = &mut self.offline
            && offline.probing == Some(id)
        {
            offline.probing = None;
        }
        if self.away.is_empty() {
            self.offline = None;
        }
    }
}

fn gap_ms(probes: u32) -> u64 {
    limits::LINK_GAP_MS.saturating_mul(1 << probes.min(30)).min(limits::LINK_GAP_MAX_MS)
}

#[cfg(test)]
mod tests {
    use super::{Link, Place, Said, Turn, place};
    use crate::model::{AttemptReport, Endpoint, Fault, limits};

    fn far(host: &str) -> Place {
        Place::Far(host.to_owned())
    }

    #[test]
    fn places_are_told_apart() {
        let at = |url: &str, allow_private| place(&Endpoint { allow_private, ..Endpoint::new("e", url) });
        for here in ["http://127.0.0.1:80/x", "http://[::1]:8/", "http://localhost/", "unix:/run/a:/", "exec:/bin/a"] {
            assert_eq!(at(here, true), Place::Here, "{here}");
        }
        assert_eq!(at("https://user@A.example:444/x", false), far("a.example"));
        assert_eq!(at("http://192.0.2.7/", true), Place::Near("192.0.2.7".into()));
    }

    #[test]
    fn one_silent_host_is_its_own_fault_and_two_are_the_links() {
        let mut link = Link::default();
        let out = Said::Failed(Fault::Unreachable);
        assert_eq!(link.learn(1, &far("a"), out, 1_000), Turn::None);
        assert_eq!(link.learn(1, &far("a"), out, 2_000), Turn::None);
        assert_eq!(link.learn(2, &far("b"), out, 3_000), Turn::None, "that may be chance");
        let t = 1_000 + limits::LINK_SPAN_MS;
        assert_eq!(link.learn(2, &far("b"), out, t), Turn::WentOffline);
        assert!(link.keeps_back(1) && link.keeps_back(2) && !link.keeps_back(3));
        assert!(link.candidates(t + 500).is_empty());
        assert_eq!(link.candidates(t + 1_000), [1, 2]);
        link.probes(1);
        assert!(link.candidates(t + 1_000).is_empty(), "one at a time");
        assert_eq!(link.learn(1, &far("a"), out, t + 2_000), Turn::None);
        assert!(link.candidates(t + 3_000).is_empty(), "the gap has doubled");
        assert_eq!(link.candidates(t + 4_000), [2, 1]);
        link.probes(2);
        assert_eq!(link.learn(2, &far("b"), Said::Reached { at: t + 4_100 }, t + 4_100), Turn::CameBack);
        assert!(!link.keeps_back(1));
    }

    #[test]
    fn dead_hosts_beside_one_that_answers_are_dead_hosts() {
        let mut link = Link::default();
        for n in 0..100 {
            let now = n * 100;
            assert_eq!(link.learn(999, &far("good"), Said::Reached { at: now }, now), Turn::None);
            let id = u32::try_from(n).expect("a small number");
            let failed = Said::Failed(Fault::Unreachable);
            assert_eq!(link.learn(id, &far(&format!("dead{n}")), failed, now), Turn::None);
        }
    }

    #[test]
    fn no_route_is_enough_and_our_own_machine_says_nothing() {
        let mut link = Link::default();
        assert_eq!(link.learn(1, &Place::Here, Said::Failed(Fault::NoRoute), 1), Turn::None);
        assert_eq!(link.learn(1, &far("a"), Said::Failed(Fault::NoRoute), 1), Turn::WentOffline);
        assert_eq!(
            link.learn(7, &Place::Near("printer".into()), Said::Reached { at: 2 }, 2),
            Turn::None,
            "near ones say nothing of it"
        );
        link.forget(1);
        assert!(link.offline.is_none());
    }

    #[test]
    fn a_host_without_a_route_beside_others_that_answer_is_soon_its_own_fault() {
        let mut link = Link::default();
        let no_route = Said::Failed(Fault::NoRoute);
        for n in 0..limits::LINK_LOST {
            let now = u64::from(n) * 1_000;
            assert_eq!(link.learn(1, &far("six"), no_route, now), Turn::WentOffline);
            assert_eq!(link.learn(2, &far("four"), Said::Reached { at: now + 5 }, now + 5), Turn::CameBack);
        }
        assert_eq!(link.learn(1, &far("six"), no_route, 10_000), Turn::None);
        assert!(!link.away.contains(&1), "its attempts count");
        assert_eq!(link.learn(2, &far("four"), no_route, 11_000), Turn::WentOffline, "that is the link");
        assert_eq!(link.learn(1, &far("six"), no_route, 11_500), Turn::None);
        assert!(link.keeps_back(1), "as long as there is none for anybody");
        assert_eq!(link.learn(1, &far("six"), Said::Reached { at: 12_000 }, 12_000), Turn::CameBack);
        assert_eq!(link.learn(1, &far("six"), no_route, 13_000), Turn::WentOffline, "there was a way meanwhile");
    }

    #[test]
    fn what_was_under_way_when_the_link_went_is_no_answer() {
        let mut link = Link::default();
        assert_eq!(link.learn(1, &far("a"), Said::Failed(Fault::NoRoute), 1_000), Turn::WentOffline);
        // Out since before, on a connection of its own; and sent since, on one from before. Both are cut off much later.
        assert_eq!(link.learn(2, &far("b"), Said::Reached { at: 900 }, 16_000), Turn::None);
        assert_eq!(link.learn(3, &far("c"), Said::Nothing, 16_000), Turn::None);
        assert!(link.keeps_back(2) && link.keeps_back(3), "they wait with the others, and nothing counts");
        link.probes(3);
        assert_eq!(link.learn(3, &far("c"), Said::Nothing, 31_000), Turn::None);
        assert_eq!(link.offline.map(|offline| (offline.probing, offline.probe_at)), Some((None, 33_000)));
        assert_eq!(link.learn(2, &far("b"), Said::Reached { at: 40_000 }, 55_000), Turn::CameBack);
    }

    #[test]
    fn silence_on_a_connection_neither_accuses_the_link_nor_clears_it() {
        let mut link = Link::default();
        let out = Said::Failed(Fault::Unreachable);
        assert_eq!(link.learn(1, &far("a"), out, 1_000), Turn::None);
        assert_eq!(link.learn(2, &far("b"), Said::Nothing, 2_000), Turn::None);
        assert_eq!(link.learn(3, &far("c"), Said::Reached { at: 500 }, 3_000), Turn::None, "that was before");
        assert_eq!(link.learn(1, &far("a"), out, 9_000), Turn::None, "one host alone");
        assert_eq!(link.learn(2, &far("b"), out, 9_000), Turn::WentOffline);
    }

    #[test]
    fn what_an_attempt_says_is_as_old_as_its_connection() {
        let report = |fault, connect_ms| AttemptReport {
            started_at: 1,
            duration_ms: 15_000,
            connect_ms,
            outcome: crate::model::Outcome::Retryable { after_ms: None },
            request: crate::model::RequestHead::default(),
            response: None,
            error: None,
            fault,
            command: None,
        };
        let said = |fault, connect_ms| Said::by(&report(fault, connect_ms), 20_000);
        assert_eq!(said(None, None), Said::Reached { at: 20_000 });
        assert_eq!(said(Some(Fault::Unclear), Some(100)), Said::Reached { at: 5_100 });
        assert_eq!(said(Some(Fault::Unclear), None), Said::Nothing);
        assert_eq!(said(Some(Fault::NoRoute), None), Said::Failed(Fault::NoRoute));
    }
}
