//! The thread around the step: it waits for requests and for what is due, and hands out what is
//! released.

mod admission;
#[cfg(test)]
mod tests;

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{SyncSender, TrySendError, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::sync::mpsc;

use super::core::{Core, Released};
use super::directory::Directory;
use super::disk_thresholds::DiskLevel;
use super::doze::Doze;
use super::envelope::Envelope;
use super::gathering::Gathering;
use super::handle::{Channels, Handle};
use super::reader::ReaderWork;
use super::retention::Retention;
use super::watchdog::{CommitClock, Fatal, Watchdog};
use super::{doze, reader, tail, watchdog};
use crate::log::{ClosedLog, Log, LogError, Reader, WriteProgress, failpoint};
use crate::model::{Clock, Now, Seq, limits};
use crate::queue::{Action, AttemptOrder, Maintenance, Queue, ReadOrder};
use crate::record::Record;

/// Between two looks at a wall clock that cannot be believed: nothing tells that it was set.
const CLOCK_LOOK_MS: u64 = 500;

/// Between two looks at the disk space that others may have taken meanwhile.
const FREE_SPACE_MS: u64 = 1_000;

/// Between two tries to remove a segment.
const DROP_AGAIN_MS: u64 = 5_000;

/// What the thread is made of.
pub struct SchedulerParts {
    pub log: Log,
    pub reader: Reader,
    pub queue: Queue,
    pub channels: Channels,
    pub handle: Handle,
    pub clock: Clock,
    pub attempts: mpsc::Sender<AttemptOrder>,
    pub retention: Retention,
    pub fatal: Fatal,
}

struct Thread {
    core: Core<Log>,
    channels: Channels,
    clock: Clock,
    attempts: mpsc::Sender<AttemptOrder>,
    reads: SyncSender<ReaderWork>,
    reader_doze: Doze,
    fatal: Fatal,
    postponed: Postponed,
    gathering: Gathering,
    commit: CommitClock,
    /// Events that were kept and go nowhere, because they have passed too many daemons.
    looping: u64,
    /// When the disk was last measured, on the monotonic clock.
    measured_at: u64,
}

/// What could not be done when it was due.
#[derive(Debug, Default)]
struct Postponed {
    /// Slices of replays that wait until the disk has space.
    scans: Vec<ReadOrder>,
    /// Segments that could not be removed yet, by their first records.
    drops: Vec<Seq>,
    /// When removing them was last tried, on the monotonic clock.
    tried_at: u64,
}

/// Starts the scheduler thread, its reader, and the watchdog over its commits. The reader ends
/// before the scheduler thread.
///
/// # Errors
/// When the system gives no threads.
pub fn start(parts: SchedulerParts) -> io::Result<JoinHandle<Result<(), LogError>>> {
    start_watched(parts, CommitClock::default())
}

fn start_watched(
    parts: SchedulerParts,
    commit: CommitClock,
) -> io::Result<JoinHandle<Result<(), LogError>>> {
    let SchedulerParts { log, queue, channels, clock, attempts, fatal, .. } = parts;
    let name = |name: &str| std::thread::Builder::new().name(name.to_owned());

    // One more than there are orders: a call to look.
    let (reads, orders) = sync_channel(limits::READS + 1);
    let reader_doze = Doze::default();
    let doze = reader_doze.clone();
    let (log_reader, handle, retention) = (parts.reader, parts.handle, parts.retention);
    let (reader_clock, reader_fatal) = (clock.clone(), fatal.clone());
    let reader = name("hookbox-reader").spawn(move || {
        let (orders, clock, fatal) = (&orders, &reader_clock, &reader_fatal);
        reader::run(&log_reader, orders, &handle, clock, &retention, &doze, fatal);
    })?;

    let stopped = Arc::new(AtomicBool::new(false));
    let watchdog = Watchdog {
        commit: commit.clone(),
        stopped: stopped.clone(),
        clock: clock.clone(),
        fatal: fatal.clone(),
    };
    name("hookbox-watchdog").spawn(move || watchdog.run())?;

    let mut thread = Thread {
        core: Core { queue, store: log },
        channels,
        clock,
        attempts,
        reads,
        reader_doze,
        fatal,
        postponed: Postponed::default(),
        gathering: Gathering::default(),
        commit,
        looping: 0,
        measured_at: 0,
    };
    thread.measure_disk();
    // Before any listener is open: a source of the log is there from the first request on.
    thread.publish();

    name("hookbox-scheduler").spawn(move || {
        let writes = WriteProgress::of_this_thread();
        thread.commit.watch(writes.clone());
        let _ = thread.channels.health.writes.set(writes);

        thread.run();
        thread.commit.begin((thread.clock)().mono_ms);
        let Thread { core, channels, reads, commit, .. } = thread;
        let closed = core.store.close_segments();
        commit.end();
        stopped.store(true, Ordering::Release);
        commit.wake_watchdog();

        // The reader has nothing to wait for any more, and saves the retention clock.
        drop((channels, reads));
        doze::wait_for(&reader);
        // Everything is durable by now: reading it through may take as long as it likes.
        closed.map(ClosedLog::record_checksums)
    })
}

impl Thread {
    /// Steps until it is asked to stop and its channel is empty.
    fn run(&mut self) {
        loop {
            let stopping = self.channels.health.stopping.load(Ordering::Acquire);
            let requests = self.gather(stopping);

            match requests {
                None if stopping => return,
                requests => self.step(requests.unwrap_or_default()),
            }
        }
    }

    /// Waits for requests or for what is due. `None` when there was no request.
    fn gather(&mut self, stopping: bool) -> Option<Vec<Envelope>> {
        let body = self.gathering.front().and_then(Envelope::body);
        self.core.store.keep_ahead_of(body);
        if self.gathering.is_turn_of_large() && self.write_ahead() {
            return Some(Vec::new());
        }
        if let Some(large) = self.gathering.large_in_turn() {
            return Some(self.admit_alone(large));
        }

        let may_wait = !stopping && !self.gathering.has_large();
        let wait = if may_wait { self.time_until_due() } else { Some(Duration::ZERO) };
        let first = match wait {
            Some(wait) => self.channels.requests.recv_timeout(wait).ok(),
            None => self.channels.requests.recv().ok(),
        };
        // Nobody else wants anything.
        let Some(first) = first else {
            if self.write_ahead() {
                return Some(Vec::new());
            }
            return self.gathering.next_large().map(|large| self.admit_alone(large));
        };
        self.look_at_free_space();

        let mut gathering = std::mem::take(&mut self.gathering);
        let admit = |request, so_far| self.admit(request, so_far);
        let mut requests = gathering.gather(first, &self.channels.requests, admit);
        requests.extend(self.channels.take_wanted().map(Envelope::report));
        self.gathering = gathering;
        Some(requests)
    }

    /// How long the thread may sleep; `None` until there is a request. Whoever asks it to stop, or
    /// sees that the disk has space again, makes one.
    fn time_until_due(&self) -> Option<Duration> {
        let now = (self.clock)();
        let queue = &self.core.queue;
        let due = self.may_start_attempts().then(|| queue.next_wake(now)).flatten();
        let clock = queue.waits_for_clock().then_some(now.mono_ms + CLOCK_LOOK_MS);
        let postponed = &self.postponed;
        let drops = (!postponed.drops.is_empty()).then_some(postponed.tried_at + DROP_AGAIN_MS);
        let writes = self.core.store.is_writing_checkpoint();
        let checkpoint = writes.then_some(now.mono_ms + limits::CHECKPOINT_PAUSE_MS);

        let due = [due, clock, drops, checkpoint].into_iter().flatten().min()?;
        Some(Duration::from_millis(due.saturating_sub(now.mono_ms)))
    }

    /// Measures the free space again when the last look is old: the thread may have slept, and
    /// others write to the same disk.
    fn look_at_free_space(&mut self) {
        let now_ms = (self.clock)().mono_ms;
        if now_ms.saturating_sub(self.measured_at) >= FREE_SPACE_MS {
            self.core.store.measure_free_space();
            self.measure_disk();
            self.measured_at = now_ms;
        }
    }

    /// Decides, remembers, releases.
    fn step(&mut self, requests: Vec<Envelope>) {
        let now = (self.clock)();
        let decided = self.core.decide(now, requests, self.may_start_attempts());

        // From here on it is the disk that takes its time, and only that is watched.
        let began = (self.clock)().mono_ms;
        if decided.has_records() {
            self.commit.begin(began);
        }
        let released = match self.core.remember(decided) {
            Ok(released) => released,
            Err(failed) => self.die(&failed.error),
        };
        let durable = self.core.queue.state().next_seq - 1;
        self.channels.health.durable.store(durable, Ordering::Release);
        failpoint::reached("step.committed");
        self.commit.end();
        self.measure(began, &released);
        if !released.records.is_empty() && self.reader_doze.must_wake() {
            // It has a slot in the channel unless it has been called already.
            let _ = self.reads.try_send(ReaderWork::Look);
        }

        let has_grown = !released.records.is_empty();
        self.hand_out(released);
        if has_grown {
            self.roll_when_due(now);
        } else {
            self.go_on_with_checkpoint();
        }
        self.measure_disk();
        self.try_again(now);
        failpoint::reached("step.released");
    }

    /// Writes on at a checkpoint that commits would write, because there are none.
    fn go_on_with_checkpoint(&mut self) {
        if self.core.store.is_writing_checkpoint() {
            self.write(Log::go_on_with_checkpoint);
        }
    }

    /// Begins a new segment when it is time. What the step released has left by now: its records
    /// are durable, and on a slow disk a new segment takes its time.
    fn roll_when_due(&mut self, now: Now) {
        let Some(checkpoint) = self.core.checkpoint_when_due(now.wall_ms) else { return };
        self.write(|log| log.roll(checkpoint, now.wall_ms));
    }

    /// Writes to the log under the watchdog.
    fn write(&mut self, work: impl FnOnce(&mut Log) -> Result<(), LogError>) {
        self.commit.begin((self.clock)().mono_ms);
        if let Err(error) = work(&mut self.core.store) {
            self.die(&error);
        }
        self.commit.end();
    }

    /// Ends the process: after a commit that failed nobody knows what the disk holds.
    fn die(&self, error: &LogError) -> ! {
        self.channels.health.accepting.store(false, Ordering::Release);
        let what = format!(
            "the log could not be written: {error}. What was not answered may or may not be \
             stored; hookboxd ends here and reads the log again when it is started"
        );
        watchdog::end(&self.fatal, &what)
    }

    /// Sends the answers and performs the actions of a step that is durable.
    fn hand_out(&mut self, mut released: Released) {
        // Whoever gets the answer about a new source finds it.
        let publish = |action: &Action| matches!(action, Action::Maintain(Maintenance::Publish));
        if released.actions.iter().any(publish) {
            self.publish();
        }
        self.log_looping(&released.records);

        released.send_answers();

        if self.channels.tail.receiver_count() > 0 {
            for record in &released.records {
                for line in tail::lines(record, self.core.queue.state()) {
                    let _ = self.channels.tail.send(line);
                }
            }
        }

        for action in released.actions {
            self.perform(action);
        }
    }

    /// Logs that events which go round in circles are kept and go nowhere: the first, the second,
    /// the fourth, the eighth, because their senders decide how many there are.
    fn log_looping(&mut self, records: &[Record]) {
        for record in records {
            let Record::EventAccepted { event, fan_out, .. } = record else { continue };
            if !fan_out.is_empty() || !event.is_looping() {
                continue;
            }

            self.looping += 1;
            if self.looping.is_power_of_two() {
                let (source, event, hops) = (&event.source_name, event.id, event.hops());
                let since_start = self.looping;
                tracing::warn!(
                    source, %event, hops, since_start,
                    "an event has passed too many hookbox daemons (hookbox-hops): it is stored \
                     but not delivered"
                );
            }
        }
    }

    fn perform(&mut self, action: Action) {
        match action {
            Action::Attempt(order) => self.attempt(order),
            Action::Read(order) => self.read(order),
            Action::Report(change) => {
                // Nobody listens while the daemon starts or ends.
                let _ = self.channels.changes.send(Arc::new(change));
            }
            // It was done before the answers left.
            Action::Maintain(Maintenance::Publish) => {}
            Action::Maintain(Maintenance::DropSegment { first, last }) => {
                self.drop_segment(first, last);
            }
        }
    }

    fn attempt(&self, order: AttemptOrder) {
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

    fn read(&mut self, order: ReadOrder) {
        if order.is_for_replay() && self.channels.health.disk.level() >= DiskLevel::Refusing {
            self.postponed.scans.push(order);
            return;
        }

        match self.reads.try_send(ReaderWork::Order(Box::new(order))) {
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

    fn drop_segment(&mut self, first: Seq, last: Seq) {
        // Under the watchdog as well: a segment that is dropped is written down on the disk.
        self.commit.begin((self.clock)().mono_ms);
        let dropped = self.core.store.drop_segment(first);
        self.commit.end();

        match dropped {
            Ok(()) => return,
            Err(error @ LogError::BeingOpened { .. }) => {
                tracing::info!(first, last, %error, "it is removed a little later");
            }
            Err(error) => {
                tracing::error!(first, last, %error, "a segment could not be removed yet");
            }
        }
        self.postponed.drops.push(first);
    }

    /// Does what could not be done before.
    fn try_again(&mut self, now: Now) {
        let has_space = self.channels.health.disk.level() < DiskLevel::Refusing;
        if has_space && !self.postponed.scans.is_empty() {
            let scans = std::mem::take(&mut self.postponed.scans);
            scans.into_iter().for_each(|scan| self.read(scan));
        }

        let is_time = now.mono_ms >= self.postponed.tried_at.saturating_add(DROP_AGAIN_MS);
        if is_time && !self.postponed.drops.is_empty() {
            self.postponed.tried_at = now.mono_ms;
            self.commit.begin((self.clock)().mono_ms);
            let store = &mut self.core.store;
            self.postponed.drops.retain(|first| {
                let dropped = store.drop_segment(*first);
                matches!(dropped, Err(error) if !matches!(error, LogError::NoSuchSegment { .. }))
            });
            self.commit.end();
        }
    }

    fn publish(&self) {
        let directory = Directory::of(self.core.queue.state(), self.core.queue.matcher());
        self.channels.directory.send_replace(Arc::new(directory));
    }

    /// Counts what the step came to; its commit began then.
    fn measure(&mut self, began: u64, released: &Released) {
        let delivered_after = self.core.queue.take_delivered_after();
        if !released.records.is_empty() {
            let took_ms = (self.clock)().mono_ms.saturating_sub(began);
            self.channels.meters.count(&released.records, took_ms, &delivered_after);
        }
    }

    fn measure_disk(&self) {
        self.channels.health.disk.see(self.core.store.disk_space(), (self.clock)().mono_ms);
    }

    /// Not while the daemon drains, nor while the outcome of an attempt would find no space.
    fn may_start_attempts(&self) -> bool {
        let draining = self.channels.health.draining.load(Ordering::Acquire);
        !draining && self.channels.health.disk.level() < DiskLevel::Halted
    }
}
