//! Makes steps durable, and hands out what is released. Used by the scheduler thread for a step
//! that is alone, and by the pipeline's thread for one behind which the next is decided on.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{SyncSender, TrySendError};

use tokio::sync::{broadcast, mpsc};

use super::core::{FailedCommit, Released, WrittenStep};
use super::health::Health;
use super::tail::{self, TailLine};
use super::watchdog::{self, CommitClock, Fatal};
use crate::log::{Log, LogError, failpoint};
use crate::model::Clock;
use crate::queue::{Action, AttemptOrder, ReadOrder, State};
use crate::record::Record;

/// A step that was written, and its lines for those who watch.
#[derive(Debug)]
pub(super) struct Step {
    written: WrittenStep<Log>,
    lines: Vec<Arc<TailLine>>,
}

pub(super) struct Releaser {
    pub health: Arc<Health>,
    pub tail: broadcast::Sender<Arc<TailLine>>,
    pub attempts: mpsc::Sender<AttemptOrder>,
    pub reads: SyncSender<Box<ReadOrder>>,
    pub clock: Clock,
    pub fatal: Fatal,
    /// Events that were kept and go nowhere, because they have passed too many daemons.
    pub looping: AtomicU64,
}

impl Step {
    pub fn new(written: WrittenStep<Log>, lines: Vec<Arc<TailLine>>) -> Self {
        Self { written, lines }
    }
}

impl Releaser {
    /// Makes a step durable. `watched` is the clock that the watchdog looks at.
    pub fn make_durable(
        &self,
        step: Step,
        watched: &CommitClock,
    ) -> (Released, Vec<Arc<TailLine>>) {
        // It is the disk that takes its time here, and only that is watched.
        watched.begin((self.clock)().mono_ms);
        let released = step.written.release().unwrap_or_else(|failed| self.die(&failed));
        if let Some(last) = released.last() {
            self.health.durable.store(last, Ordering::Release);
        }
        failpoint::reached("step.committed");
        watched.end();
        (released, step.lines)
    }

    /// Sends the answers of a step that is durable, and its lines. Its actions are left.
    pub fn announce(&self, released: &mut Released, lines: Vec<Arc<TailLine>>) {
        self.log_looping(&released.records);
        released.send_answers();
        for line in lines {
            let _ = self.tail.send(line);
        }
    }

    /// The lines of these records, when somebody watches.
    pub fn lines(&self, records: &[Record], state: &State) -> Vec<Arc<TailLine>> {
        if self.tail.receiver_count() == 0 {
            return Vec::new();
        }
        records.iter().flat_map(|record| tail::lines(record, state)).collect()
    }

    /// Ends the process: after a commit that failed nobody knows what the disk holds.
    pub fn die(&self, failed: &FailedCommit<LogError>) -> ! {
        self.health.accepting.store(false, Ordering::Release);
        let error = &failed.error;
        let what = format!(
            "the log could not be written: {error}. What was not answered may or may not be \
             remembered; hookboxd ends here and reads the log anew when it is started"
        );
        watchdog::end(&self.fatal, &what)
    }

    /// Performs the actions of which [`is_handed_on`] is true.
    pub fn hand_on(&self, actions: Vec<Action>) {
        for action in actions {
            match action {
                Action::Attempt(order) => self.attempt(order),
                Action::Read(order) => self.read(order),
                Action::Maintain(_) => {}
            }
        }
    }

    pub fn attempt(&self, order: AttemptOrder) {
        match self.attempts.try_send(order) {
            Ok(()) => {}
            Err(mpsc::error::TrySendError::Closed(_)) => {
                // The daemon ends: it is attempted after the next start.
                tracing::debug!("an attempt was not handed out");
            }
            // Its delivery would stay in flight, and its slot taken, until the next start.
            Err(mpsc::error::TrySendError::Full(_)) => {
                let what = "the channel of attempts is full, which its size rules out";
                watchdog::end(&self.fatal, what)
            }
        }
    }

    pub fn read(&self, order: ReadOrder) {
        match self.reads.try_send(Box::new(order)) {
            Ok(()) => {}
            Err(TrySendError::Full(_)) => {
                let what = "the reader's channel is full, which its size rules out";
                watchdog::end(&self.fatal, what)
            }
            Err(TrySendError::Disconnected(_)) => {
                watchdog::end(&self.fatal, "the reader thread has ended")
            }
        }
    }

    /// Logs that events which go round in circles are kept and go nowhere: the first, the second,
    /// the fourth, the eighth, because their senders decide how many there are.
    fn log_looping(&self, records: &[Record]) {
        for record in records {
            let Record::EventAccepted { event, fan_out, .. } = record else { continue };
            if !fan_out.is_empty() || !event.is_looping() {
                continue;
            }

            let since_start = self.looping.fetch_add(1, Ordering::Relaxed) + 1;
            if since_start.is_power_of_two() {
                let (source, event, hops) = (&event.source_name, event.id, event.hops());
                tracing::warn!(
                    source, %event, hops, since_start,
                    "an event has passed too many daemons of this kind (hookbox-hops): it is kept \
                     and goes nowhere"
                );
            }
        }
    }
}

/// Whether an action is only handed to somebody else. For the others the scheduler thread is
/// needed, with its state and its log.
pub(super) fn is_handed_on(action: &Action) -> bool {
    match action {
        Action::Attempt(_) => true,
        Action::Read(order) => !matches!(order, ReadOrder::Replay { .. }),
        Action::Maintain(_) => false,
    }
}
