//! The thread around the step: it waits for requests and for what is due, and hands out what is
//! released.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::sync::mpsc;

use super::core::{Core, Decided, FailedCommit, Released};
use super::directory::Directory;
use super::disk_thresholds::DiskLevel;
use super::envelope::Envelope;
use super::gathering::{Gathering, event_bytes};
use super::handle::{Channels, Handle};
use super::pipeline::Pipeline;
use super::reader;
use super::releaser::{Releaser, Step, is_handed_on};
use super::retention::Retention;
use super::tail::TailLine;
use super::watchdog::{CommitClock, Fatal, Watchdog};
use crate::log::{Log, LogError, Reader, failpoint};
use crate::model::share::{Share, ShareHolder};
use crate::model::{Clock, Now, Seq, Source, limits};
use crate::queue::{Action, AttemptOrder, Growth, Maintenance, Queue, ReadOrder, Refusal};

/// The longest time the thread sleeps, so that it sees within it that it is asked to stop.
const SLEEP_MAX: Duration = Duration::from_millis(500);

/// Between two tries to remove a segment.
const DROP_AGAIN_MS: u64 = 5_000;

/// How often it is looked whether the reader has ended, and the pause in between: five seconds.
const READER_LOOKS: u32 = 1_000;
const READER_LOOK: Duration = Duration::from_millis(5);

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
    releaser: Arc<Releaser>,
    pipeline: Pipeline,
    postponed: Postponed,
    gathering: Gathering,
    /// A request that came after those of the last step.
    next: Option<Envelope>,
    commit: CommitClock,
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
    let SchedulerParts { log, queue, channels, clock, attempts, fatal, .. } = parts;
    let name = |name: &str| std::thread::Builder::new().name(name.to_owned());

    let (reads, orders) = sync_channel(limits::READS);
    let (log_reader, handle, retention) = (parts.reader, parts.handle, parts.retention);
    let reader_clock = clock.clone();
    let reader = name("hookbox-reader")
        .spawn(move || reader::run(&log_reader, &orders, &handle, &reader_clock, &retention))?;

    let (commit, pipelined) = (CommitClock::default(), CommitClock::default());
    let stopped = Arc::new(AtomicBool::new(false));
    let watchdog = Watchdog {
        commits: [commit.clone(), pipelined.clone()],
        stopped: stopped.clone(),
        clock: clock.clone(),
        fatal: fatal.clone(),
    };
    name("hookbox-watchdog").spawn(move || watchdog.run())?;

    let (health, tail) = (channels.health.clone(), channels.tail.clone());
    let (clock_too, looping) = (clock.clone(), AtomicU64::new(0));
    let releaser = Releaser { health, tail, attempts, reads, clock: clock_too, fatal, looping };
    let releaser = Arc::new(releaser);
    let pipeline = Pipeline::start(releaser.clone(), pipelined)?;

    let mut thread = Thread {
        core: Core { queue, store: log },
        channels,
        clock,
        releaser,
        pipeline,
        postponed: Postponed::default(),
        gathering: Gathering::default(),
        next: None,
        commit,
    };
    let durable = thread.core.queue.state().next_seq - 1;
    thread.channels.health.durable.store(durable, Ordering::Release);
    thread.measure_disk();
    // Before any listener is open: a source of the log is there from the first request on.
    thread.publish();

    name("hookbox-scheduler").spawn(move || {
        thread.run();
        thread.pipeline.end();
        thread.commit.begin((thread.clock)().mono_ms);
        let Thread { core, channels, releaser, .. } = thread;
        let closed = core.store.close();
        stopped.store(true, Ordering::Release);

        // The reader has nothing to wait for any more, and saves the retention clock.
        drop((channels, releaser));
        wait_for(&reader);
        closed
    })
}

/// Waits until the reader has ended; not for ever, because the disk may not answer it.
fn wait_for(reader: &JoinHandle<()>) {
    for _ in 0..READER_LOOKS {
        if reader.is_finished() {
            return;
        }
        std::thread::park_timeout(READER_LOOK);
    }
    tracing::warn!("the log's reader has not ended: stopping without it");
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
        if let Some(large) = self.gathering.large_in_turn() {
            return Some(self.admit_alone(large));
        }

        let may_wait = !stopping && !self.gathering.has_large();
        let wait = if may_wait { self.time_until_due() } else { Duration::ZERO };
        let next = self.next.take().map_or_else(|| self.channels.requests.recv_timeout(wait), Ok);
        let first = match next {
            Ok(first) => first,
            // Nobody else wants anything.
            Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {
                return self.gathering.next_large().map(|large| self.admit_alone(large));
            }
        };

        let mut gathering = std::mem::take(&mut self.gathering);
        let admit = |request, so_far| self.admit(request, so_far);
        let mut requests = gathering.gather(first, &self.channels.requests, admit);
        requests.extend(self.channels.take_wanted().map(Envelope::report));
        self.gathering = gathering;
        Some(requests)
    }

    fn time_until_due(&self) -> Duration {
        if !self.may_start_attempts() {
            return SLEEP_MAX;
        }
        let now = (self.clock)();
        let due = self.core.queue.next_wake(now);
        due.map_or(SLEEP_MAX, |due| {
            Duration::from_millis(due.saturating_sub(now.mono_ms)).min(SLEEP_MAX)
        })
    }

    fn admit_alone(&self, request: Envelope) -> Vec<Envelope> {
        self.admit(request, 0).into_iter().map(|(request, _)| request).collect()
    }

    /// Takes a request in, and about how many bytes came with it. `None` when it is refused,
    /// because the disk is too full for what it adds.
    fn admit(&self, mut request: Envelope, so_far: usize) -> Option<(Envelope, usize)> {
        if let Some(why) = self.lacks_space(request.growth(), so_far) {
            request.refuse(Refusal::NoDiskSpace(why));
            return None;
        }

        let bytes = event_bytes(&request);
        if self.channels.health.disk.level() >= DiskLevel::Low {
            request.trim();
        }
        Some((request, bytes))
    }

    /// Why the disk has no space for what a request adds. What ends something always has it.
    fn lacks_space(&self, growth: Growth<'_>, so_far: usize) -> Option<String> {
        let disk = &self.channels.health.disk;
        match growth {
            Growth::None => None,
            Growth::Settings => disk.refusal().filter(|_| disk.level() >= DiskLevel::Halted),
            Growth::Backlog => disk.refusal(),
            Growth::Events { source, bytes } => {
                disk.refuses((so_far + bytes) as u64).or_else(|| self.is_over_share(source?))
            }
        }
    }

    /// Why a source has to leave what is left of the disk to the others.
    fn is_over_share(&self, source: &Source) -> Option<String> {
        let disk = &self.channels.health.disk;
        if !disk.is_contested() {
            return None;
        }
        let why = self.core.queue.state().is_over_share(source)?;

        disk.report_share(&source.name, &why, (self.clock)().mono_ms);
        self.channels.shares.note(Share::LogSpace, ShareHolder::Source(source.id));
        Some(why)
    }

    /// Decides, remembers, releases. While more requests wait, the step is made durable beside the
    /// next one; and whatever needs this thread's state or its log, after all steps before it.
    fn step(&mut self, requests: Vec<Envelope>) {
        let now = (self.clock)();
        let decided = self.core.decide(now, requests, self.may_start_attempts());
        let lines = self.releaser.lines(decided.records(), self.core.queue.state());

        if self.may_overlap(&decided, now) {
            let step = self.write(decided, lines);
            self.pipeline.push(step);
        } else {
            self.pipeline.drain();
            let step = self.write(decided, lines);
            self.finish(now, step);
        }

        self.measure_disk();
        self.try_again(now);
    }

    /// Whether the step may be made durable while the next one is decided on.
    fn may_overlap(&mut self, decided: &Decided, now: Now) -> bool {
        !decided.records().is_empty()
            && decided.actions().iter().all(is_handed_on)
            && !self.core.store.wants_roll(now.wall_ms)
            && self.has_next()
    }

    /// Whether a request waits for the next step.
    fn has_next(&mut self) -> bool {
        if self.next.is_none() {
            self.next = self.channels.requests.try_recv().ok();
        }
        self.next.is_some()
    }

    /// Writes what was decided. That as well takes as long as the disk does, at times.
    fn write(&mut self, decided: Decided, lines: Vec<Arc<TailLine>>) -> Step {
        self.commit.begin((self.clock)().mono_ms);
        let written = self.core.write(decided).unwrap_or_else(|failed| self.releaser.die(&failed));
        self.commit.end();
        Step::new(written, lines)
    }

    /// Makes the step durable, and releases it. Nothing else is on its way.
    fn finish(&mut self, now: Now, step: Step) {
        let (released, lines) = self.releaser.make_durable(step, &self.commit);

        self.commit.begin((self.clock)().mono_ms);
        let rolled = self.core.roll_if_due(now, released);
        let released = rolled.unwrap_or_else(|failed: FailedCommit<_>| self.releaser.die(&failed));
        self.commit.end();

        self.hand_out(released, lines);
        failpoint::reached("step.released");
    }

    /// Sends the answers and performs the actions of a step that is durable.
    fn hand_out(&mut self, mut released: Released, lines: Vec<Arc<TailLine>>) {
        // Whoever gets the answer about a new source finds it.
        let publish = |action: &Action| matches!(action, Action::Maintain(Maintenance::Publish));
        if released.actions.iter().any(publish) {
            self.publish();
        }
        self.releaser.announce(&mut released, lines);

        for action in released.actions {
            self.perform(action);
        }
    }

    fn perform(&mut self, action: Action) {
        match action {
            Action::Attempt(order) => self.releaser.attempt(order),
            Action::Read(order) => self.read(order),
            // It was done before the answers left.
            Action::Maintain(Maintenance::Publish) => {}
            Action::Maintain(Maintenance::DropSegment { first, last }) => {
                self.drop_segment(first, last);
            }
        }
    }

    fn read(&mut self, order: ReadOrder) {
        // A replay only adds to what there is.
        let is_replay = matches!(order, ReadOrder::Replay { .. });
        if is_replay && self.channels.health.disk.level() >= DiskLevel::Refusing {
            self.postponed.scans.push(order);
            return;
        }
        self.releaser.read(order);
    }

    fn drop_segment(&mut self, first: Seq, last: Seq) {
        // Under the watchdog as well: a segment that is dropped is written down on the disk.
        self.commit.begin((self.clock)().mono_ms);
        let dropped = self.core.store.drop_segment(first);
        self.commit.end();

        if let Err(error) = dropped {
            tracing::error!(first, last, %error, "a segment could not be removed yet");
            self.postponed.drops.push(first);
        }
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

    fn measure_disk(&self) {
        self.channels.health.disk.see(self.core.store.disk_space(), (self.clock)().mono_ms);
    }

    /// Not while the daemon drains, nor while the outcome of an attempt would find no space.
    fn may_start_attempts(&self) -> bool {
        let draining = self.channels.health.draining.load(Ordering::Acquire);
        !draining && self.channels.health.disk.level() < DiskLevel::Halted
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::{Retention, SchedulerParts, start};
    use crate::log::{Log, Options, Recovered};
    use crate::model::Now;
    use crate::queue::{Queue, State};

    #[test]
    fn the_retention_clock_is_saved_when_the_thread_has_ended() {
        let dir = tempfile::tempdir().expect("a folder");
        let options = Options { dir: dir.path().join("log"), ..Options::default() };
        let note = options.dir.join("calendar");
        let Recovered { log, reader, .. } = Log::open(options, 1).expect("opens");
        let now = Now { mono_ms: 1, wall_ms: 1 };
        let (handle, channels) = crate::scheduler::channel();

        let parts = SchedulerParts {
            log,
            reader,
            queue: Queue::new(State::new(), 1, now),
            channels,
            handle: handle.clone(),
            clock: Arc::new(move || now),
            attempts: tokio::sync::mpsc::channel(1).0,
            retention: Retention::default(),
            fatal: Arc::new(|what: &str| panic!("{what}")),
        };
        let thread = start(parts).expect("threads");
        handle.stop();
        thread.join().expect("no panic").expect("closes");
        assert!(note.exists());
    }
}
