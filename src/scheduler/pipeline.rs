//! The pipeline: while one step is made durable, the next one is decided on and written.
//!
//! At most one step is on its way to the disk, and one that was written waits behind it. Steps are
//! released in their order. Whoever needs that nothing is on its way waits for it with
//! [`Pipeline::drain`].

use std::io;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};

use super::releaser::{Releaser, Step};
use super::watchdog::CommitClock;
use crate::log::failpoint;

/// The scheduler thread's side.
pub(super) struct Pipeline {
    /// `None` once it has ended.
    steps: Option<SyncSender<Box<Step>>>,
    thread: Option<JoinHandle<()>>,
    /// Steps that were pushed.
    pushed: u64,
    finished: Arc<Finished>,
}

/// Steps that were released.
#[derive(Default)]
struct Finished {
    count: Mutex<u64>,
    grown: Condvar,
}

impl Pipeline {
    /// # Errors
    /// When the system gives no thread.
    pub fn start(releaser: Arc<Releaser>, watched: CommitClock) -> io::Result<Self> {
        // A step is handed over when the one before it has been released.
        let (steps, waiting) = sync_channel(0);
        let finished = Arc::new(Finished::default());

        let released = finished.clone();
        let thread = thread::Builder::new()
            .name("hookbox-commit".to_owned())
            .spawn(move || run(&waiting, &releaser, &watched, &released))?;
        Ok(Self { steps: Some(steps), thread: Some(thread), pushed: 0, finished })
    }

    /// Hands a step over, once the one before it was released.
    pub fn push(&mut self, step: Step) {
        let steps = self.steps.as_ref().expect("nothing is pushed after the end");
        self.pushed += 1;
        steps.send(Box::new(step)).expect("its thread ends the process rather than itself");
    }

    /// Waits until all that was pushed has been released.
    pub fn drain(&self) {
        let mut count = self.finished.locked();
        while *count < self.pushed {
            count = self.finished.grown.wait(count).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Ends the thread, when all has been released.
    pub fn end(&mut self) {
        self.steps = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Finished {
    fn locked(&self) -> MutexGuard<'_, u64> {
        self.count.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn run(
    steps: &Receiver<Box<Step>>,
    releaser: &Releaser,
    watched: &CommitClock,
    finished: &Finished,
) {
    for step in steps {
        let (mut released, lines) = releaser.make_durable(*step, watched);
        releaser.announce(&mut released, lines);
        releaser.hand_on(released.actions);
        failpoint::reached("step.released");

        *finished.locked() += 1;
        finished.grown.notify_one();
    }
}
