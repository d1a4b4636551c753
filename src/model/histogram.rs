//! Counts of durations, for metrics. Anybody may count and read at any time.

use std::sync::atomic::{AtomicU64, Ordering};

/// How many durations were within each of some bounds.
#[derive(Debug)]
pub struct Histogram {
    /// Milliseconds, ascending.
    bounds_ms: &'static [u64],
    /// Those between a bound and the one before it; at the end those beyond the last.
    counts: Vec<AtomicU64>,
    sum_ms: AtomicU64,
}

/// A histogram as it stood at one time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HistogramCounts {
    /// For each bound in milliseconds, how many were at most that long.
    pub at_most: Vec<(u64, u64)>,
    pub count: u64,
    pub sum_ms: u64,
}

impl Histogram {
    #[must_use]
    pub fn new(bounds_ms: &'static [u64]) -> Self {
        let counts = (0..=bounds_ms.len()).map(|_| AtomicU64::new(0)).collect();
        Self { bounds_ms, counts, sum_ms: AtomicU64::new(0) }
    }

    pub fn observe(&self, ms: u64) {
        let place = self.bounds_ms.partition_point(|bound| *bound < ms);
        self.counts[place].fetch_add(1, Ordering::Relaxed);
        self.sum_ms.fetch_add(ms, Ordering::Relaxed);
    }

    #[must_use]
    pub fn counts(&self) -> HistogramCounts {
        let mut count = 0;
        let mut at_most = Vec::with_capacity(self.bounds_ms.len());
        for (place, each) in self.counts.iter().enumerate() {
            count += each.load(Ordering::Relaxed);
            at_most.extend(self.bounds_ms.get(place).map(|bound| (*bound, count)));
        }
        HistogramCounts { at_most, count, sum_ms: self.sum_ms.load(Ordering::Relaxed) }
    }
}

#[cfg(test)]
mod tests {
    use super::Histogram;

    #[test]
    fn a_duration_counts_for_every_bound_that_it_keeps() {
        let histogram = Histogram::new(&[1, 10, 100]);
        for ms in [0, 1, 2, 10, 11, 1000] {
            histogram.observe(ms);
        }
        let counts = histogram.counts();
        assert_eq!(counts.at_most, [(1, 2), (10, 4), (100, 5)]);
        assert_eq!((counts.count, counts.sum_ms), (6, 1024));
    }
}
