//! Signs of life of the loops, and log lines that do not repeat themselves.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use crate::model::{Clock, limits};

/// When a loop came round last.
pub struct RoutePulse {
    clock: Clock,
    beat_ms: AtomicU64,
}

impl RoutePulse {
    pub fn new(clock: Clock) -> Self {
        let beat_ms = AtomicU64::new(clock().mono_ms);
        Self { clock, beat_ms }
    }

    pub fn beat(&self) {
        self.beat_ms.store((self.clock)().mono_ms, Ordering::Relaxed);
    }

    pub fn is_alive(&self) -> bool {
        let beat = self.beat_ms.load(Ordering::Relaxed);
        (self.clock)().mono_ms < beat.saturating_add(limits::NATS_ALIVE_MS)
    }
}

/// Lets one line of a kind through in `limits::NATS_LINE_GAP_MS`.
pub struct LineGap {
    clock: Clock,
    /// When the next may be written, and how many were left out.
    state: Mutex<(u64, u64)>,
}

impl LineGap {
    pub fn new(clock: Clock) -> Self {
        Self { clock, state: Mutex::default() }
    }

    /// How many were left out since the last one, when this one may be written.
    pub fn open(&self) -> Option<u64> {
        let now = (self.clock)().mono_ms;
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let (next, left_out) = &mut *state;
        if now < *next {
            *left_out += 1;
            return None;
        }
        *next = now + limits::NATS_LINE_GAP_MS;
        Some(std::mem::take(left_out))
    }
}

/// A time before which nothing more is begun.
pub struct Gate {
    clock: Clock,
    opens_ms: AtomicU64,
}

impl Gate {
    pub fn new(clock: Clock) -> Self {
        Self { clock, opens_ms: AtomicU64::new(0) }
    }

    pub fn close_for(&self, ms: u64) {
        self.opens_ms.fetch_max((self.clock)().mono_ms.saturating_add(ms), Ordering::Relaxed);
    }

    /// How much longer it is closed.
    pub fn closed_ms(&self) -> u64 {
        self.opens_ms.load(Ordering::Relaxed).saturating_sub((self.clock)().mono_ms)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::{Gate, LineGap, RoutePulse};
    use crate::model::{Clock, Now, limits};

    fn clock() -> (Clock, Arc<AtomicU64>) {
        let ms = Arc::new(AtomicU64::new(1_000));
        let read = ms.clone();
        let now = move || Now { mono_ms: read.load(Ordering::Relaxed), wall_ms: 0 };
        (Arc::new(now), ms)
    }

    #[test]
    fn a_loop_that_hangs_is_not_alive() {
        let (clock, ms) = clock();
        let pulse = RoutePulse::new(clock);
        ms.fetch_add(limits::NATS_ALIVE_MS - 1, Ordering::Relaxed);
        assert!(pulse.is_alive());
        ms.fetch_add(1, Ordering::Relaxed);
        assert!(!pulse.is_alive());
        pulse.beat();
        assert!(pulse.is_alive());
    }

    #[test]
    fn one_line_says_how_many_were_left_out() {
        let (clock, ms) = clock();
        let gap = LineGap::new(clock);
        assert_eq!((gap.open(), gap.open(), gap.open()), (Some(0), None, None));
        ms.fetch_add(limits::NATS_LINE_GAP_MS, Ordering::Relaxed);
        assert_eq!(gap.open(), Some(2));
    }

    #[test]
    fn a_gate_opens_by_itself_and_is_not_opened_early() {
        let (clock, ms) = clock();
        let gate = Gate::new(clock);
        assert_eq!(gate.closed_ms(), 0);
        gate.close_for(500);
        gate.close_for(100);
        assert_eq!(gate.closed_ms(), 500);
        ms.fetch_add(600, Ordering::Relaxed);
        assert_eq!(gate.closed_ms(), 0);
    }
}
