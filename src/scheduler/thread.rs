//! The thread around the step: it waits for inputs and for what is due, and hands out what is released.

use std::collections::HashMap;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, mpsc, oneshot};

use super::core::{Core, Released};
use super::handle::{Directory, Door, Envelope, Handle};
use super::reads;
use super::retention::Retention;
use super::room::Level;
use super::tail;
use crate::log::{Log, LogError, Reader, failpoint};
use crate::model::{AttemptReport, BatchId, DeliveryId, Endpoint, Event, Now, Seq, limits};
use crate::queue::{Action, Command, Input, Queue, Refusal, Reply};

/// Reads both clocks.
pub type Clock = Arc<dyn Fn() -> Now + Send + Sync>;

/// Ends the process; called with what went wrong. It does not return.
pub type Fatal = Arc<dyn Fn(&str) + Send + Sync>;

/// The longest time the thread sleeps, so that it sees within it that it is asked to stop.
const NAP: Duration = Duration::from_millis(500);

/// What one nap of the watchdog counts at most, however long it lasted.
const AWAKE_MS: u64 = 1_000;

/// One attempt for outbound to make.
#[derive(Debug)]
pub enum AttemptOrder {
    One {
        delivery: DeliveryId,
        number: u32,
        endpoint: Arc<Endpoint>,
        event: Arc<Event>,
    },
    /// Several events in one request.
    Batch {
        endpoint: Arc<Endpoint>,
        batch: BatchId,
        number: u32,
        events: Vec<Arc<Event>>,
    },
}

/// What the thread is made of.
pub struct Parts {
    pub log: Log,
    pub reader: Reader,
    pub queue: Queue,
    pub door: Door,
    pub handle: Handle,
    pub clock: Clock,
    pub attempts: mpsc::Sender<AttemptOrder>,
    pub retention: Retention,
    pub fatal: Fatal,
}

struct Thread {
    core: Core<Log>,
    door: Door,
    clock: Clock,
    attempts: mpsc::Sender<AttemptOrder>,
    reads: SyncSender<Action>,
    fatal: Fatal,
    /// Slices of replays that wait until there is room, and segments that could not be removed yet.
    waiting: Waiting,
    /// When the commit under way began, in ms of the monotonic clock plus one; 0 when none is.
    committing_since: Arc<AtomicU64>,
}

/// An answer that is owed, and the place at the door that is given back with it.
type Owed = (Option<oneshot::Sender<Reply>>, Option<OwnedSemaphorePermit>);

/// Starts the scheduler thread, its reader, and the watchdog over its commits.
///
/// # Errors
/// When the system gives no threads.
pub fn start(parts: Parts) -> io::Result<JoinHandle<Result<(), LogError>>> {
    let Parts { log, reader, queue, door, handle, clock, attempts, retention, fatal } = parts;
    let (reads, orders) = sync_channel(limits::IN_FLIGHT + limits::LOADS + limits::REPLAYS);
    let reader_clock = clock.clone();
    let name = |name: &str| std::thread::Builder::new().name(name.to_owned());
    name("hookbox-reader").spawn(move || reads::run(&reader, &orders, &handle, &reader_clock, &retention))?;
    let committing_since = Arc::new(AtomicU64::new(0));
    let stopped = Arc::new(AtomicBool::new(false));
    let watchdog = Watchdog {
        committing_since: committing_since.clone(),
        stopped: stopped.clone(),
        clock: clock.clone(),
        fatal: fatal.clone(),
    };
    name("hookbox-watchdog").spawn(move || watchdog.run())?;
    let core = Core { queue, store: log };
    let waiting = Waiting::default();
    let mut thread = Thread { core, door, clock, attempts, reads, fatal, waiting, committing_since };
    thread.look();
    // Before any door opens: a source of the log is there from the first request on.
    thread.publish();
    name("hookbox-scheduler").spawn(move || {
        thread.run();
        thread.committing_since.store((thread.clock)().mono_ms + 1, Ordering::Release);
        let closed = thread.core.store.close();
        stopped.store(true, Ordering::Release);
        closed
    })
}

impl Thread {
    /// Steps until it is told to stop and the door is empty.
    fn run(&mut self) {
        let mut inputs = Vec::new();
        let mut owed = Vec::new();
        loop {
            let stopping = self.door.health.stopping.load(Ordering::Acquire);
            let idle = !self.gather(&mut inputs, &mut owed, stopping);
            if stopping && idle {
                return;
            }
            self.step(std::mem::take(&mut inputs), std::mem::take(&mut owed));
        }
    }

    /// Waits for inputs or for what is due. Returns whether there were any inputs.
    fn gather(&mut self, inputs: &mut Vec<Input>, owed: &mut Vec<Owed>, stopping: bool) -> bool {
        let now = (self.clock)();
        let draining = self.door.health.draining.load(Ordering::Acquire);
        let due = if draining || self.is_halted() { None } else { self.core.queue.next_wake(now) };
        let pause = due.map_or(NAP, |due| Duration::from_millis(due.saturating_sub(now.mono_ms)).min(NAP));
        let pause = if stopping { Duration::ZERO } else { pause };
        let mut bytes = 0;
        match self.door.inputs.recv_timeout(pause) {
            Ok(envelope) => bytes += self.admit(envelope, inputs, owed, bytes),
            Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => return false,
        }
        while inputs.len() < limits::STEP_INPUTS
            && bytes < limits::STEP_BYTES
            && let Ok(envelope) = self.door.inputs.try_recv()
        {
            bytes += self.admit(envelope, inputs, owed, bytes);
        }
        true
    }

    fn step(&mut self, inputs: Vec<Input>, owed: Vec<Owed>) {
        let now = (self.clock)();
        let run = !self.door.health.draining.load(Ordering::Acquire) && !self.is_halted();
        self.committing_since.store(now.mono_ms + 1, Ordering::Release);
        let released = match self.core.step(now, inputs, run) {
            Ok(released) => released,
            Err(error) => {
                self.door.health.accepting.store(false, Ordering::Release);
                return (self.fatal)(&format!(
                    "the log could not be written: {error}. What was not answered may or may not be remembered; \
                     hookboxd ends here and reads the log anew when it is started"
                ));
            }
        };
        self.door.health.durable.store(self.core.queue.state().next_seq - 1, Ordering::Release);
        failpoint::reached("step.committed");
        // Under the watchdog as well: a segment that is dropped now is written down on the disk.
        self.hand_out(released, owed);
        self.look();
        self.try_again(now);
        failpoint::reached("step.released");
        self.committing_since.store(0, Ordering::Release);
    }

    fn hand_out(&mut self, released: Released, owed: Vec<Owed>) {
        // Whoever is told of a new source finds it.
        if released.actions.iter().any(|action| matches!(action, Action::Publish)) {
            self.publish();
        }
        for (reply, (sender, _permit)) in released.replies.into_iter().zip(owed) {
            if let Some(sender) = sender {
                // Nobody waits any more when the client has gone; what was remembered stays so.
                let _ = sender.send(reply);
            }
        }
        if self.door.tail.receiver_count() > 0 {
            for record in &released.records {
                for line in tail::lines(record, self.core.queue.state()) {
                    let _ = self.door.tail.send(line);
                }
            }
        }
        for action in released.actions {
            self.perform(action);
        }
    }

    fn perform(&mut self, action: Action) {
        match action {
            Action::Attempt { delivery, number, endpoint, event } => {
                self.hand_over(AttemptOrder::One { delivery, number, endpoint, event });
            }
            Action::AttemptBatch { endpoint, batch, number, events } => {
                self.hand_over(AttemptOrder::Batch { endpoint, batch, number, events });
            }
            // A replay only adds to what there is.
            Action::Scan { .. } if self.door.health.room.level() >= Level::Refusing => self.waiting.scans.push(action),
            Action::Load { .. } | Action::LoadBatch { .. } | Action::Refill { .. } | Action::Scan { .. } => {
                match self.reads.try_send(action) {
                    Ok(()) => {}
                    Err(TrySendError::Full(_)) => (self.fatal)("the reader's door is full, which its size rules out"),
                    Err(TrySendError::Disconnected(_)) => (self.fatal)("the reader thread has ended"),
                }
            }
            Action::Publish => {}
            Action::DropSegment { first, last } => {
                if let Err(error) = self.core.store.drop_segment(first) {
                    tracing::error!(first, last, %error, "a segment could not be removed yet");
                    self.waiting.drops.push(first);
                }
            }
        }
    }

    fn hand_over(&self, order: AttemptOrder) {
        if let Err(error) = self.attempts.try_send(order) {
            // The channel is as large as the number of attempts in flight: it only fails at the very end.
            tracing::debug!(%error, "an attempt was not handed out");
        }
    }

    /// Takes an envelope in, or answers that there is no room for what it asks. Returns about how many bytes came
    /// with it.
    fn admit(&self, envelope: Envelope, inputs: &mut Vec<Input>, owed: &mut Vec<Owed>, so_far: usize) -> usize {
        let Envelope { mut input, reply, permit } = envelope;
        let room = &self.door.health.room;
        let bytes = cost(&input);
        let no_room = match input.as_ref() {
            Input::Accept(_) => room.refuses((so_far + bytes) as u64),
            Input::Command(command) => room.refusal().filter(|_| adds(command, room.level())),
            _ => None,
        };
        if let Some(why) = no_room {
            if let Some(reply) = reply {
                let _ = reply.send(Reply::Refused(Refusal::NoRoom(why)));
            }
            return 0;
        }
        if let Input::Finished { report, .. } | Input::BatchFinished { report, .. } = input.as_mut()
            && room.level() >= Level::Low
        {
            lean(report);
        }
        inputs.push(*input);
        owed.push((reply, permit));
        bytes
    }

    fn look(&self) {
        self.door.health.room.see(self.core.store.room());
    }

    fn is_halted(&self) -> bool {
        self.door.health.room.level() >= Level::Halted
    }

    /// Does what could not be done before.
    fn try_again(&mut self, now: Now) {
        if !self.waiting.scans.is_empty() && self.door.health.room.level() < Level::Refusing {
            std::mem::take(&mut self.waiting.scans).into_iter().for_each(|scan| self.perform(scan));
        }
        if !self.waiting.drops.is_empty() && now.mono_ms >= self.waiting.tried_at.saturating_add(DROP_AGAIN_MS) {
            self.waiting.tried_at = now.mono_ms;
            let store = &mut self.core.store;
            self.waiting.drops.retain(|first| {
                let done = store.drop_segment(*first);
                matches!(done, Err(error) if !matches!(error, LogError::NoSuchSegment { .. }))
            });
        }
    }

    /// Publishes sources and endpoints anew.
    fn publish(&self) {
        let state = self.core.queue.state();
        let by = |key: fn(&crate::model::Source) -> String| -> HashMap<_, _> {
            state.sources.values().map(|source| (key(source), source.clone())).collect()
        };
        let directory = Directory {
            sources_by_path: by(|source| source.token.clone().unwrap_or_else(|| source.name.clone())),
            sources_by_name: by(|source| source.name.clone()),
            endpoints: state.living().map(|lane| lane.endpoint.clone()).collect(),
            former_endpoints: state.former().map(|endpoint| (endpoint.id, endpoint.name.clone())).collect(),
            salt: state.salt,
        };
        self.door.directory.send_replace(Arc::new(directory));
    }
}

/// About how many bytes come with an input.
fn cost(input: &Input) -> usize {
    match input {
        Input::Accept(events) => events.iter().map(|event| event.body.len() + 512).sum(),
        _ => 512,
    }
}

/// What could not be done when it was due.
#[derive(Debug, Default)]
struct Waiting {
    scans: Vec<Action>,
    /// Segments, by their first records.
    drops: Vec<Seq>,
    /// When removing them was last tried, on the monotonic clock.
    tried_at: u64,
}

/// Between two tries to remove a segment.
const DROP_AGAIN_MS: u64 = 5_000;

/// Whether a command adds to what there is, so that it has to wait for room. What ends something never does.
fn adds(command: &Command, level: Level) -> bool {
    match command {
        Command::StartReplay { .. } | Command::Import { .. } => level >= Level::Refusing,
        Command::CreateSource(_)
        | Command::UpdateSource(_)
        | Command::CreateEndpoint(_)
        | Command::UpdateEndpoint(_)
        | Command::Retry { .. } => level >= Level::Halted,
        _ => false,
    }
}

/// Leaves out what was captured of request and response; what came of the attempt stays.
fn lean(report: &mut AttemptReport) {
    report.request.headers = Vec::new();
    if let Some(response) = &mut report.response {
        response.headers = Vec::new();
        response.body = bytes::Bytes::new();
    }
}

/// Ends the process when a commit hangs: until it returns nobody knows whether the disk will ever answer. Only time in
/// which this thread ran counts: a process that was stopped, or a machine that slept, has no slow disk.
struct Watchdog {
    committing_since: Arc<AtomicU64>,
    stopped: Arc<AtomicBool>,
    clock: Clock,
    fatal: Fatal,
}

impl Watchdog {
    fn run(&self) {
        let mut watched = Watched { woken: (self.clock)().mono_ms, ..Watched::default() };
        while !self.stopped.load(Ordering::Acquire) {
            std::thread::park_timeout(NAP);
            let since = self.committing_since.load(Ordering::Acquire);
            if watched.hangs(since, (self.clock)().mono_ms) {
                let seconds = limits::COMMIT_TIMEOUT_MS / 1000;
                (self.fatal)(&format!("a commit has taken longer than {seconds} s: the disk does not answer"));
            }
        }
    }
}

/// The commit that the watchdog looks at.
#[derive(Debug, Default)]
struct Watched {
    /// When it began; 0 when there is none.
    since: u64,
    /// How long it has been looked at.
    ms: u64,
    /// When it was looked at last.
    woken: u64,
}

impl Watched {
    /// Whether the commit that began at `since` takes too long.
    fn hangs(&mut self, since: u64, now_ms: u64) -> bool {
        let awake_ms = now_ms.saturating_sub(self.woken).min(AWAKE_MS);
        self.woken = now_ms;
        if since == 0 || since != self.since {
            (self.since, self.ms) = (since, 0);
        } else {
            self.ms += awake_ms;
        }
        self.ms >= limits::COMMIT_TIMEOUT_MS
    }
}

#[cfg(test)]
mod tests {
    use super::{Watched, limits};

    #[test]
    fn d08_a_commit_that_hangs_is_seen_after_10_s_and_another_one_is_not() {
        let mut watched = Watched::default();
        let hangs: Vec<u64> = (0..30_000).step_by(500).filter(|now| watched.hangs(1, *now)).collect();
        assert_eq!(hangs.first(), Some(&limits::COMMIT_TIMEOUT_MS));
        let mut watched = Watched::default();
        assert!((0..30_000).step_by(500).all(|now| !watched.hangs(1 + now / 9_500, now)), "each took 9.5 s");
        assert!((0..30_000).step_by(500).all(|now| !watched.hangs(0, now)), "there is none");
    }

    #[test]
    fn p08_the_time_in_which_the_process_was_stopped_is_no_slow_disk() {
        let mut watched = Watched::default();
        assert!(!watched.hangs(1, 500));
        assert!(!watched.hangs(1, 60_500), "it was stopped for a minute in the middle of a commit");
        assert!((61_000..69_500).step_by(500).all(|now| !watched.hangs(1, now)));
        assert!(watched.hangs(1, 69_500), "now it is the disk");
    }
}
