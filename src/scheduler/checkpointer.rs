//! The checkpointer: a thread that writes down the state before a segment, while the segment is in
//! use already.
//!
//! It does not ask the queue for the state, which has gone on meanwhile. It folds the state anew
//! from the checkpoint before and the records since, as a start does. So the thread that decides
//! does nothing for a checkpoint, however large the state is, and shares nothing with it; and a
//! checkpoint that is not complete when the process ends is one that the next start makes.
//!
//! Where records are missing or cannot be read, the queue's state is not what a fold gives. Then
//! the log asks for the queue's own at the next roll ([`Reader::require_state`]).

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;

use super::fold::{FoldError, fold_log};
use crate::log::{LogError, Reader};
use crate::model::Seq;

/// Between two tries, when the disk has no space or the system refuses.
const AGAIN: Duration = Duration::from_secs(5);

/// The thread, for the one that rolls the log.
#[derive(Debug)]
pub(super) struct Checkpointer {
    reader: Reader,
    calls: SyncSender<()>,
    /// The last segment that it was called for.
    called_for: Seq,
    stopping: Arc<AtomicBool>,
    thread: JoinHandle<()>,
}

impl Checkpointer {
    /// Starts it. A checkpoint that is missing from the last time is made at once.
    pub fn start(reader: Reader) -> io::Result<Self> {
        let (calls, called) = sync_channel(1);
        let stopping = Arc::new(AtomicBool::new(false));

        let worker = Worker { reader: reader.clone(), stopping: stopping.clone() };
        let thread = std::thread::Builder::new().name("hookbox-checkpoint".to_owned());
        let thread = thread.spawn(move || worker.run(&called))?;

        let mut checkpointer = Self { reader, calls, called_for: 0, stopping, thread };
        checkpointer.look();
        Ok(checkpointer)
    }

    /// Calls the thread when a segment was begun since.
    pub fn look(&mut self) {
        let wanted = self.reader.wanted_checkpoint();
        if let Some(segment) = wanted.filter(|segment| *segment != self.called_for) {
            self.called_for = segment;
            // One call waits already when the channel is full.
            let _ = self.calls.try_send(());
        }
    }

    /// Lets it leave what it is at. The thread ends soon.
    pub fn stop(self) -> JoinHandle<()> {
        self.stopping.store(true, Ordering::Release);
        self.thread
    }
}

struct Worker {
    reader: Reader,
    stopping: Arc<AtomicBool>,
}

impl Worker {
    /// Until the other side is gone.
    fn run(&self, calls: &Receiver<()>) {
        let mut tries_again = false;
        loop {
            let called = match tries_again {
                false => calls.recv().map_err(RecvTimeoutError::from),
                true => calls.recv_timeout(AGAIN),
            };
            if called == Err(RecvTimeoutError::Disconnected) || self.is_stopping() {
                return;
            }

            tries_again = false;
            while let Some(before) = self.reader.wanted_checkpoint() {
                if let Err(error) = self.write(before) {
                    tries_again = !matches!(error, FoldError::Stopped);
                    report(before, &error);
                    break;
                }
            }
        }
    }

    fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Acquire)
    }

    /// Makes the checkpoint before this record.
    fn write(&self, before: Seq) -> Result<(), FoldError> {
        if !self.reader.fits_checkpoint() {
            return Err(FoldError::NoSpace);
        }
        let base = self.reader.fold_base();
        let folded = fold_log(&self.reader, &base, before, &mut || !self.is_stopping())?;
        // It may be large, and so may be what follows.
        drop(base);
        if folded.has_gaps {
            self.reader.require_state();
            return Ok(());
        }

        let mut encode = |out: &mut dyn io::Write| folded.state.write_checkpoint(out);
        let written = self.reader.write_checkpoint(before, &mut encode);
        let bytes = written.map_err(FoldError::Read)?;
        tracing::debug!(before, bytes, "a checkpoint is complete");
        Ok(())
    }
}

fn report(before: Seq, error: &FoldError) {
    let why = match error {
        FoldError::Stopped => return,
        // It has been dropped meanwhile.
        FoldError::Read(LogError::NoSuchSegment { .. }) => return,
        FoldError::NoSpace => "the disk has no space for it".to_owned(),
        FoldError::Read(error) => error.to_string(),
        FoldError::Checkpoint(error) | FoldError::Record(error) => error.to_string(),
    };
    tracing::error!(
        before, %why,
        "the checkpoint before a segment could not be written: it is tried again, and a start \
         takes longer until then"
    );
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::AtomicBool;

    use super::{Checkpointer, Worker};
    use crate::log::FoldBase;
    use crate::queue::State;
    use crate::scheduler::fold::{FoldError, fold_log};
    use crate::scheduler::testing::TestScheduler;

    /// A segment that was begun without a checkpoint, and another before and behind it.
    fn rolled_ahead() -> TestScheduler {
        TestScheduler::new(|core| {
            core.accept_for_held();
            core.roll();
            core.accept_for_held();
            core.import_dead(5);
            core.roll_ahead();
            core.accept_for_held();
        })
    }

    fn worker(world: &TestScheduler, stopping: bool) -> Worker {
        let stopping = Arc::new(AtomicBool::new(stopping));
        Worker { reader: world.reader.clone(), stopping }
    }

    #[test]
    fn it_writes_what_a_start_would_fold() {
        let world = rolled_ahead();
        let before = world.reader.wanted_checkpoint().expect("one is missing");
        let whole = FoldBase { state: None, fold_from: 1 };
        let folded = fold_log(&world.reader, &whole, before, &mut || true).expect("it folds");
        assert!(!folded.has_gaps);

        worker(&world, false).write(before).expect("it is written");
        let FoldBase { state, fold_from } = world.reader.fold_base();
        assert_eq!((fold_from, world.reader.wanted_checkpoint()), (before, None));
        let written = State::from_checkpoint(&state.expect("a state")).expect("it reads back");
        assert_eq!(written, folded.state);
    }

    #[test]
    fn it_leaves_off_when_the_daemon_ends() {
        let world = TestScheduler::new(|core| {
            core.import_dead(300);
            core.roll_ahead();
        });
        let before = world.reader.wanted_checkpoint().expect("one is missing");
        let stopped = worker(&world, true).write(before);
        assert!(matches!(stopped, Err(FoldError::Stopped)), "{stopped:?}");
        assert_eq!(world.reader.wanted_checkpoint(), Some(before));

        let thread = Checkpointer::start(world.reader.clone()).expect("a thread").stop();
        thread.join().expect("it ends");
    }

    #[test]
    fn where_records_are_lost_the_queues_own_state_is_asked_for() {
        let world = TestScheduler::new(|core| {
            core.accept_for_held();
            core.roll_ahead();
            core.accept_for_held();
            core.give_up_oldest();
        });
        let before = world.reader.wanted_checkpoint().expect("one is missing");
        worker(&world, false).write(before).expect("it is no error");
        assert_eq!(world.reader.wanted_checkpoint(), None);
        assert!(world.reader.checkpoint_before() < before, "nothing was written");
    }
}
