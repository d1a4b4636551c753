//! What is kept of a stretch of time: counts of what happened, and how things stood.

use crate::scheduler::{Counted, DURATIONS, DurationCounts};

/// Numbers of one stretch of time, over all or of one endpoint. Of an endpoint some stay 0.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Figures {
    /// Deliveries that had not ended.
    pub pending: Gauge,
    /// Seconds since the oldest of them was accepted, or was retried by the operator.
    pub oldest_s: Gauge,
    pub accepted: u64,
    pub delivered: u64,
    pub failed: u64,
    pub dead: u64,
    pub latency: DurationCounts,
    pub refused: u64,
    /// What the log took at the end.
    pub disk_kib: u64,
    pub commit: DurationCounts,
}

/// How something stood: at the end, and at most.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Gauge {
    pub last: u64,
    pub most: u64,
}

/// How many numbers they are.
pub const COLUMNS: usize = 10 + 2 * DURATIONS;

impl Gauge {
    pub fn at(value: u64) -> Self {
        Self { last: value, most: value }
    }

    fn then(&mut self, later: Self) {
        self.last = later.last;
        self.most = self.most.max(later.most);
    }
}

impl Figures {
    pub fn of(counted: &Counted) -> Self {
        Self {
            accepted: counted.accepted,
            delivered: counted.delivered,
            failed: counted.failed,
            dead: counted.dead,
            latency: counted.latency,
            ..Self::default()
        }
    }

    /// Whether something happened.
    pub fn has_counts(&self) -> bool {
        let counts = [self.accepted, self.delivered, self.failed, self.dead, self.refused];
        let durations = self.latency.iter().chain(&self.commit);
        counts.iter().chain(durations).any(|count| *count > 0)
    }

    /// Adds what came later: counts add up, and how things stood is how they stood last.
    pub fn then(&mut self, later: &Self) {
        self.pending.then(later.pending);
        self.oldest_s.then(later.oldest_s);
        self.disk_kib = later.disk_kib;

        for (count, more) in [
            (&mut self.accepted, later.accepted),
            (&mut self.delivered, later.delivered),
            (&mut self.failed, later.failed),
            (&mut self.dead, later.dead),
            (&mut self.refused, later.refused),
        ] {
            *count = count.saturating_add(more);
        }
        add(&mut self.latency, &later.latency);
        add(&mut self.commit, &later.commit);
    }

    /// All numbers, those first that are seldom 0.
    pub fn columns(&self) -> [u64; COLUMNS] {
        let more = |gauge: Gauge| gauge.most - gauge.last.min(gauge.most);
        let mut columns = [0; COLUMNS];
        columns[..8].copy_from_slice(&[
            self.pending.last,
            more(self.pending),
            self.oldest_s.last,
            more(self.oldest_s),
            self.accepted,
            self.delivered,
            self.failed,
            self.dead,
        ]);
        columns[8..8 + DURATIONS].copy_from_slice(&self.latency);
        columns[8 + DURATIONS] = self.refused;
        columns[9 + DURATIONS] = self.disk_kib;
        columns[10 + DURATIONS..].copy_from_slice(&self.commit);
        columns
    }

    pub fn from_columns(columns: &[u64; COLUMNS]) -> Self {
        let gauge = |at: usize| Gauge {
            last: columns[at],
            most: columns[at].saturating_add(columns[at + 1]),
        };
        let mut figures = Self {
            pending: gauge(0),
            oldest_s: gauge(2),
            accepted: columns[4],
            delivered: columns[5],
            failed: columns[6],
            dead: columns[7],
            refused: columns[8 + DURATIONS],
            disk_kib: columns[9 + DURATIONS],
            ..Self::default()
        };
        figures.latency.copy_from_slice(&columns[8..8 + DURATIONS]);
        figures.commit.copy_from_slice(&columns[10 + DURATIONS..]);
        figures
    }
}

fn add(counts: &mut DurationCounts, more: &DurationCounts) {
    for (count, more) in counts.iter_mut().zip(more) {
        *count = count.saturating_add(*more);
    }
}

/// The duration that a share of them, in thousandths, does not exceed: between the bounds of its
/// class as if they were spread evenly there. `None` when there are none.
pub fn quantile_ms(counts: &DurationCounts, bounds_ms: &[u64], thousandths: u64) -> Option<u64> {
    let total: u64 = counts.iter().fold(0, |sum, count| sum.saturating_add(*count));
    let rank = total.saturating_mul(thousandths).div_ceil(1000).max(1);
    let mut before: u64 = 0;

    for (class, count) in counts.iter().enumerate() {
        if before.saturating_add(*count) < rank {
            before = before.saturating_add(*count);
            continue;
        }
        let low = class.checked_sub(1).map_or(0, |below| bounds_ms[below]);
        // Beyond the last bound nothing is known but that.
        let Some(high) = bounds_ms.get(class) else { return Some(low) };
        let share = u128::from(high - low) * u128::from(rank - before);
        let above = share.div_ceil(u128::from(*count));
        return Some(low + u64::try_from(above).unwrap_or(high - low));
    }
    None
}
