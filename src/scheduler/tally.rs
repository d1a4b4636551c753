//! What happened since somebody last took it, for the history of the daemon: numbers over all and
//! for each endpoint that had a part in it.

use std::collections::BTreeMap;

use crate::model::{EndpointId, Outcome, limits};
use crate::record::{BatchFinished, Consequence, Record};

/// Bounds for what should take milliseconds: a commit, a request.
pub const SHORT_MS: &[u64] = &[1, 2, 5, 10, 25, 50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000];
/// Bounds for the way from acceptance to delivery, which may take days.
pub const LATENCY_MS: &[u64] = &[
    10, 50, 100, 500, 1_000, 5_000, 10_000, 60_000, 300_000, 1_800_000, 3_600_000, 21_600_000,
    86_400_000,
];

/// Classes of durations: one for each bound, and one beyond the last.
pub const DURATIONS: usize = 14;
const _: () = assert!(LATENCY_MS.len() + 1 == DURATIONS && SHORT_MS.len() + 1 == DURATIONS);

/// How many durations were in each class.
pub type DurationCounts = [u64; DURATIONS];

/// What was counted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counted {
    /// Over all: events. Of an endpoint: deliveries that were made for it.
    pub accepted: u64,
    /// Deliveries.
    pub delivered: u64,
    /// Requests to receivers that failed.
    pub failed: u64,
    /// Deliveries that were given up.
    pub dead: u64,
    /// From acceptance to delivery, by [`LATENCY_MS`].
    pub latency: DurationCounts,
}

/// What happened since somebody last took it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    pub all: Counted,
    /// How long commits took, by [`SHORT_MS`].
    pub commit: DurationCounts,
    pub endpoints: BTreeMap<EndpointId, Counted>,
}

impl Tally {
    /// Counts the records of a step that is durable.
    pub(super) fn count(
        &mut self,
        records: &[Record],
        took_ms: u64,
        delivered_after: &[(EndpointId, u64)],
    ) {
        self.commit[class(SHORT_MS, took_ms)] += 1;
        records.iter().for_each(|record| self.record(record));

        for (endpoint, after_ms) in delivered_after {
            let class = class(LATENCY_MS, *after_ms);
            self.all.latency[class] += 1;
            self.endpoint(*endpoint, |counted| counted.latency[class] += 1);
        }
    }

    fn record(&mut self, record: &Record) {
        // What was made.
        if let Record::EventAccepted { fan_out, .. } = record {
            self.all.accepted += 1;
            for endpoint in fan_out {
                self.endpoint(*endpoint, |counted| counted.accepted += 1);
            }
        } else if let Record::Replayed { endpoint, .. } = record {
            self.endpoint(*endpoint, |counted| counted.accepted += 1);
        }

        // What was tried, and what has ended.
        if let Record::AttemptFinished(attempt) = record {
            let failed = u64::from(attempt.report.outcome != Outcome::Delivered);
            self.ends(attempt.delivery.endpoint, failed, [&attempt.next]);
        } else if let Record::BatchFinished(batch) = record {
            self.batch(batch);
        } else if let Record::DeliveryDied { dead } = record {
            self.both(dead.delivery.endpoint, |counted| counted.dead += 1);
        }
    }

    /// One request for several deliveries.
    fn batch(&mut self, batch: &BatchFinished) {
        let failed = u64::from(batch.report.outcome != Outcome::Delivered);
        self.ends(batch.endpoint, failed, batch.members.iter().map(|member| &member.next));
    }

    fn ends<'a>(
        &mut self,
        endpoint: EndpointId,
        failed: u64,
        ends: impl IntoIterator<Item = &'a Consequence>,
    ) {
        let (mut delivered, mut dead) = (0, 0);
        for end in ends {
            delivered += u64::from(matches!(end, Consequence::Delivered));
            dead += u64::from(matches!(end, Consequence::Dead { .. }));
        }

        self.both(endpoint, |counted| {
            counted.delivered += delivered;
            counted.failed += failed;
            counted.dead += dead;
        });
    }

    fn both(&mut self, endpoint: EndpointId, count: impl Fn(&mut Counted)) {
        count(&mut self.all);
        self.endpoint(endpoint, count);
    }

    /// Those of endpoints that were made and deleted since it was last taken are many at most when
    /// nobody takes it.
    fn endpoint(&mut self, endpoint: EndpointId, count: impl Fn(&mut Counted)) {
        if self.endpoints.len() < limits::ENDPOINTS || self.endpoints.contains_key(&endpoint) {
            count(self.endpoints.entry(endpoint).or_default());
        }
    }
}

/// The class of a duration.
fn class(bounds_ms: &[u64], ms: u64) -> usize {
    bounds_ms.partition_point(|bound| *bound < ms)
}
