//! Shares: how much one address, source, endpoint or user may take of a resource that all use, so
//! that the others find their part; and who reached the limit of such a share lately. Pure.
//!
//! The sizes are in [`limits`]. Each share is enforced where its resource is used
//! (`ingest::budget`, `admin`, …). Here are their names, and the count of when they were reached,
//! which `status` and `/metrics` show.

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;

use super::{EndpointId, Now, SourceId, WallMs, limits};

/// A resource that all use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Share {
    Connections,
    OpenStreams,
    BytesBeingRead,
    ParsedBytes,
    UnprovenRequests,
    WaitingRequests,
    FilterWork,
    DedupeKeys,
    LogSpace,
    SlotsInFlight,
    ProbationSlots,
    Retries,
    Leases,
    Consumers,
    Commands,
    CatchUpPace,
    Lookups,
    BlockingThreads,
    AdminConnections,
}

/// What happens to whoever has reached the limit of a share.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    Refused,
    Delayed,
    /// The oldest entry is forgotten.
    Forgotten,
}

impl Effect {
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Refused => "refused",
            Self::Delayed => "delayed",
            Self::Forgotten => "forgotten",
        }
    }
}

impl Share {
    pub const ALL: [Self; 19] = [
        Self::Connections,
        Self::OpenStreams,
        Self::BytesBeingRead,
        Self::ParsedBytes,
        Self::UnprovenRequests,
        Self::WaitingRequests,
        Self::FilterWork,
        Self::DedupeKeys,
        Self::LogSpace,
        Self::SlotsInFlight,
        Self::ProbationSlots,
        Self::Retries,
        Self::Leases,
        Self::Consumers,
        Self::Commands,
        Self::CatchUpPace,
        Self::Lookups,
        Self::BlockingThreads,
        Self::AdminConnections,
    ];

    /// Its name in `status` and metrics, the effect on whoever has reached its limit, and what is
    /// shown of them.
    fn description(self) -> (&'static str, Effect, &'static str) {
        use Effect::{Delayed, Forgotten, Refused};

        let name = match self {
            Self::Connections => "connections",
            Self::OpenStreams => "open_streams",
            Self::BytesBeingRead => "bytes_being_read",
            Self::ParsedBytes => "parsed_bytes",
            Self::UnprovenRequests => "unproven_requests",
            Self::WaitingRequests => "waiting_requests",
            Self::FilterWork => "filter_work",
            Self::DedupeKeys => "dedupe_keys",
            Self::LogSpace => "log_space",
            Self::SlotsInFlight => "slots_in_flight",
            Self::ProbationSlots => "probation_slots",
            Self::Retries => "retries",
            Self::Leases => "leases",
            Self::Consumers => "consumers",
            Self::Commands => "commands",
            Self::CatchUpPace => "catch_up_pace",
            Self::Lookups => "lookups",
            Self::BlockingThreads => "blocking_threads",
            Self::AdminConnections => "admin_connections",
        };

        let (effect, words) = match self {
            Self::Connections => (Refused, "has reached its limit of connections"),
            Self::OpenStreams => (Refused, "has reached its limit of open requests"),
            Self::BytesBeingRead => (Refused, "has reached its limit of memory for requests"),
            Self::ParsedBytes => (Delayed, "has large bodies that wait to be verified"),
            Self::UnprovenRequests => {
                (Refused, "gets more requests without a proof than its rate allows")
            }
            Self::WaitingRequests => {
                (Delayed, "has reached its limit of requests that wait for the scheduler")
            }
            Self::FilterWork => (Refused, "has reached its limit of events that wait for filters"),
            Self::DedupeKeys => (Forgotten, "has reached its limit of dedupe keys"),
            Self::LogSpace => {
                (Refused, "holds more than its share of the log while disk space is scarce")
            }
            Self::SlotsInFlight => (Delayed, "has reached its limit of attempts in flight"),
            Self::ProbationSlots => {
                (Delayed, "waits for a slot of the endpoints that fail or have not succeeded yet")
            }
            Self::Retries => (
                Delayed,
                "has reached its limit of deliveries that wait for a retry at an endpoint",
            ),
            Self::Leases => (Delayed, "has reached its limit of deliveries that consumers hold"),
            Self::Consumers => (Refused, "has reached its limit of consumers that wait"),
            Self::Commands => (Delayed, "has reached its limit of commands at a time"),
            Self::CatchUpPace => (Delayed, "waits for its turn in the catch-up rate"),
            Self::Lookups => (Delayed, "waits for a name look-up behind slow names"),
            Self::BlockingThreads => {
                (Delayed, "has reached its limit of lists and log queries at a time")
            }
            Self::AdminConnections => (Refused, "has reached its limit of admin connections"),
        };

        (name, effect, words)
    }

    #[must_use]
    pub fn name(self) -> &'static str {
        self.description().0
    }

    #[must_use]
    pub fn effect(self) -> Effect {
        self.description().1
    }

    /// What is shown of whoever has reached its limit, behind the name.
    #[must_use]
    pub fn words(self) -> &'static str {
        self.description().2
    }
}

/// Whose share it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ShareHolder {
    /// What all have together.
    All,
    /// An address; of IPv6 the first one of its /64.
    Address(IpAddr),
    Source(SourceId),
    Endpoint(EndpointId),
    User(u32),
    /// A host name.
    Name(String),
    /// Several that came when there were too many to name them.
    Others,
}

impl fmt::Display for ShareHolder {
    /// Sources and endpoints with their numbers; whoever knows their names shows these.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All => f.write_str("everybody"),
            Self::Address(ip @ IpAddr::V4(_)) => write!(f, "address {ip}"),
            Self::Address(ip @ IpAddr::V6(_)) => write!(f, "address {ip}/64"),
            Self::Source(id) => write!(f, "source {id}"),
            Self::Endpoint(id) => write!(f, "endpoint {id}"),
            Self::User(uid) => write!(f, "user {uid}"),
            Self::Name(name) => write!(f, "name {name}"),
            Self::Others => f.write_str("others"),
        }
    }
}

/// A share that was full for somebody lately.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FullShare {
    pub share: Share,
    pub of: ShareHolder,
    /// How often since then.
    pub count: u64,
    pub since: WallMs,
    pub last: WallMs,
    last_mono: u64,
}

/// Who found which share full: of each share a few, and how often in all since the start.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ShareTally {
    lately: BTreeMap<Share, Vec<FullShare>>,
    totals: BTreeMap<Share, u64>,
}

impl ShareTally {
    /// Counts that somebody found a share full.
    pub fn note(&mut self, share: Share, of: ShareHolder, now: Now) {
        *self.totals.entry(share).or_default() += 1;
        let lately = self.lately.entry(share).or_default();
        let is_old =
            |full: &FullShare| now.mono_ms.saturating_sub(full.last_mono) > limits::SHARE_SHOWN_MS;

        // A holder that is not named yet takes the entry of an old one, or counts among the others.
        let found = lately.iter().position(|full| full.of == of);
        let at = match found {
            Some(at) => at,
            None => {
                lately.retain(|full| !is_old(full));
                let of =
                    if lately.len() < limits::SHARE_HOLDERS { of } else { ShareHolder::Others };
                let others = lately.iter().position(|full| full.of == of);
                others.unwrap_or_else(|| {
                    lately.push(FullShare {
                        share,
                        of,
                        count: 0,
                        since: now.wall_ms,
                        last: 0,
                        last_mono: now.mono_ms,
                    });
                    lately.len() - 1
                })
            }
        };

        let full = &mut lately[at];
        if is_old(full) {
            (full.count, full.since) = (0, now.wall_ms);
        }
        (full.count, full.last, full.last_mono) = (full.count + 1, now.wall_ms, now.mono_ms);
    }

    /// Those of the last minutes, by share.
    #[must_use]
    pub fn lately(&self, now: Now) -> Vec<FullShare> {
        let all = self.lately.values().flatten();
        all.filter(|full| now.mono_ms.saturating_sub(full.last_mono) <= limits::SHARE_SHOWN_MS)
            .cloned()
            .collect()
    }

    /// How often a share was full since the start.
    #[must_use]
    pub fn total(&self, share: Share) -> u64 {
        self.totals.get(&share).copied().unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::{Share, ShareHolder, ShareTally};
    use crate::model::{Now, limits};

    fn at(seconds: u64) -> Now {
        Now { mono_ms: 1000 * seconds, wall_ms: 1_000_000 + 1000 * seconds }
    }

    #[test]
    fn each_share_has_a_name_of_its_own_and_words() {
        let names: BTreeSet<_> = Share::ALL.iter().map(|share| share.name()).collect();
        assert_eq!(names.len(), Share::ALL.len());
        assert!(
            Share::ALL.is_sorted() && Share::ALL.iter().all(|share| !share.words().ends_with('.'))
        );
    }

    #[test]
    fn who_found_a_share_full_is_shown_for_two_minutes() {
        let mut tally = ShareTally::default();
        (0..3).for_each(|n| tally.note(Share::Connections, ShareHolder::User(1), at(n)));
        tally.note(Share::Lookups, ShareHolder::Name("a.example".into()), at(60));
        let seen = tally.lately(at(100));
        assert_eq!(seen.len(), 2);
        assert_eq!(
            (&seen[0].of, seen[0].count, seen[0].since),
            (&ShareHolder::User(1), 3, at(0).wall_ms)
        );
        assert_eq!(tally.lately(at(130)).len(), 1);
        tally.note(Share::Connections, ShareHolder::User(1), at(300));
        let again = &tally.lately(at(300))[0];
        assert_eq!((again.count, again.since), (1, at(300).wall_ms), "it begins anew");
        assert_eq!((tally.total(Share::Connections), tally.total(Share::LogSpace)), (4, 0));
    }

    #[test]
    fn a_few_are_named_and_the_others_are_counted_together() {
        let mut tally = ShareTally::default();
        for _ in 0..2 {
            (0..1000)
                .for_each(|uid| tally.note(Share::AdminConnections, ShareHolder::User(uid), at(1)));
        }
        let seen = tally.lately(at(1));
        assert_eq!(seen.len(), limits::SHARE_HOLDERS + 1);
        let others = seen.last().expect("some");
        assert_eq!(
            (&others.of, others.count),
            (&ShareHolder::Others, 2 * (1000 - limits::SHARE_HOLDERS as u64))
        );
        assert_eq!(seen[0].count, 2);
        // The oldest are forgotten.
        tally.note(Share::AdminConnections, ShareHolder::User(5000), at(1000));
        assert_eq!(
            tally.lately(at(1000)).iter().map(|full| full.of.clone()).collect::<Vec<_>>(),
            [ShareHolder::User(5000)]
        );
    }

    #[test]
    fn holders_are_called_by_what_they_are() {
        let ip = |text: &str| ShareHolder::Address(text.parse().expect("an address"));
        for (of, shown) in [
            (ip("192.0.2.1"), "address 192.0.2.1"),
            (ip("2001:db8::"), "address 2001:db8::/64"),
            (ShareHolder::All, "everybody"),
            (ShareHolder::User(1000), "user 1000"),
            (ShareHolder::Name("a.example".into()), "name a.example"),
        ] {
            assert_eq!(of.to_string(), shown);
        }
    }
}
