//! When the daemon ran: what tells a time in which nothing happened from one of which nothing is
//! known.

use std::collections::VecDeque;

use super::varint;
use crate::model::{Now, WallMs, limits};

/// The wall clock was set when it differs by so much from what the monotonic clock says.
const CLOCK_SET_MS: u64 = 5_000;

/// Stretches of time in which the daemon ran, by the wall clock, in the order in which they came.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Runs {
    runs: VecDeque<Run>,
    /// When it was last looked.
    seen: Option<Now>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Run {
    from: WallMs,
    to: WallMs,
}

impl Runs {
    /// The daemon runs now. `true` when this begins a stretch: after the start, and when the clock
    /// was set or stood still meanwhile.
    pub fn see(&mut self, now: Now) -> bool {
        let before = self.seen.replace(now);
        let expected = before.map(|before| {
            before.wall_ms.saturating_add(now.mono_ms.saturating_sub(before.mono_ms))
        });
        let goes_on = expected.is_some_and(|at| at.abs_diff(now.wall_ms) < CLOCK_SET_MS);

        if let (Some(run), Some(at)) = (self.runs.back_mut(), expected) {
            run.to = run.to.max(if goes_on { now.wall_ms } else { at });
        }
        if !goes_on {
            self.runs.push_back(Run { from: now.wall_ms, to: now.wall_ms });
            if self.runs.len() > limits::HISTORY_RUNS {
                self.runs.pop_front();
            }
        }
        !goes_on
    }

    /// Whether the daemon ran at some time from `from` until before `to`.
    pub fn overlap(&self, from: WallMs, to: WallMs) -> bool {
        self.runs.iter().any(|run| run.from < to && run.to >= from)
    }

    /// For a file.
    pub fn write(&self, out: &mut Vec<u8>) {
        varint::put(out, self.runs.len() as u64);
        for run in &self.runs {
            varint::put(out, run.from);
            varint::put(out, run.to);
        }
    }

    /// Takes them off the front of a file; `None` when they are not as they were written.
    pub fn read(file: &mut &[u8]) -> Option<Self> {
        let count = varint::take(file)?;
        if count > limits::HISTORY_RUNS as u64 {
            return None;
        }
        let run = |_| Some(Run { from: varint::take(file)?, to: varint::take(file)? });
        Some(Self { runs: (0..count).map(run).collect::<Option<_>>()?, seen: None })
    }
}
