//! The reader: a thread that reads the log for the scheduler, so that the one thread which commits
//! never waits for a sealed segment. It loads events, refills prefetches, and scans for replays;
//! between these it does retention and closes segments that nobody reads.
//!
//! It looks once a second while anything happens, and sleeps when nothing does: until it is called
//! after a commit, until the next segment has had its time, and a minute at most, because nothing
//! tells of a disk that other programs fill.

use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, RecvTimeoutError, TryRecvError};
use std::time::Duration;

use super::doze::Doze;
use super::handle::Handle;
use super::patient::PatientReader;
use super::pending_reads::{NextRead, PendingReads};
use super::reads;
use super::retention::{Retention, RetentionKeeper};
use super::watchdog::{self, Fatal};
use crate::log::Reader;
use crate::model::Clock;
use crate::queue::ReadOrder;

/// How often the reader measures the disk and looks for segments whose time is over, and how often
/// it closes segments, however busy it is; a shorter retention makes it look more often, down to
/// the last number.
const LOOK_MS: u64 = 1_000;
const HOUSEKEEPING_MS: u64 = 5_000;
const LOOK_MIN_MS: u64 = 200;
/// How long nothing has happened before the reader sleeps, so that it has closed what was read;
/// and how long it sleeps at most.
const CALM_MS: u64 = 3 * HOUSEKEEPING_MS;
const SLEEP_MS: u64 = 60_000;
/// Between two slices of what keeps the log small: the store gives back what it took for one before
/// the next.
const BETWEEN: Duration = Duration::from_millis(20);

/// What the reader is asked for.
#[derive(Debug)]
pub(super) enum ReaderWork {
    Order(Box<ReadOrder>),
    /// The log has grown while the reader slept.
    Look,
}

/// Reads until the scheduler lets go of its side.
pub(super) fn run(
    reader: &Reader,
    orders: &Receiver<ReaderWork>,
    handle: &Handle,
    clock: &Clock,
    retention: &Retention,
    doze: &Doze,
    fatal: &Fatal,
) {
    let mut keeper = RetentionKeeper::new(reader, handle, clock, retention);
    let look_ms = retention.delivered_ms.clamp(LOOK_MIN_MS, LOOK_MS);
    let mut looked_at = clock().mono_ms;
    let mut kept_at = looked_at;
    let mut calm = Calm::since(looked_at);
    let (mut pending, mut missing) = (PendingReads::default(), MissingLog::default());

    loop {
        // Orders come first; what keeps the log small is done between them.
        let asleep = calm.begin_sleep(handle, doze, clock().mono_ms);
        let pause = match (keeper.is_busy(), asleep) {
            (true, _) => BETWEEN,
            (false, false) => Duration::from_millis(look_ms),
            (false, true) => Duration::from_millis(keeper.next_due_ms().clamp(look_ms, SLEEP_MS)),
        };
        let Ok(was_called) = wait_for_orders(orders, &mut pending, pause) else {
            end_if_gone(reader, fatal);
            return keeper.save(clock());
        };
        doze.end();
        if was_called {
            calm.disturb(clock().mono_ms);
        }

        match pending.pop() {
            Some(NextRead::One(order)) => {
                handle.report(reads::read(order, &PatientReader(reader)));
            }
            Some(NextRead::Streams(streams)) => {
                let found = reads::read_streams(streams, &PatientReader(reader));
                found.into_iter().for_each(|input| handle.report(input));
            }
            None => {}
        }
        keeper.step();

        if clock().mono_ms.saturating_sub(looked_at) >= look_ms {
            handle.health().disk.see(reader.measure_disk_space(), clock().mono_ms);
            missing.look(reader, fatal);
            keeper.look();
            looked_at = clock().mono_ms;
            calm.look(handle, keeper.has_more(), looked_at);
            handle.health().log_rests.store(keeper.may_rest(), Ordering::Release);
        }

        if clock().mono_ms.saturating_sub(kept_at) >= HOUSEKEEPING_MS {
            reader.close_idle();
            kept_at = clock().mono_ms;
        }
    }
}

/// Whether the log was missing when it was last looked for.
#[derive(Default)]
struct MissingLog(bool);

impl MissingLog {
    /// Ends the daemon when it is missing for the second time in a row.
    fn look(&mut self, reader: &Reader, fatal: &Fatal) {
        let was_missing = std::mem::replace(&mut self.0, reader.is_gone());
        if was_missing {
            end_if_gone(reader, fatal);
        }
    }
}

/// What is written to a log that was removed is acknowledged and never read again.
fn end_if_gone(reader: &Reader, fatal: &Fatal) {
    if reader.is_gone() {
        watchdog::end(
            fatal,
            "the log was removed while hookboxd ran, so nothing can be stored: put it back from a \
             backup, or start with an empty one",
        );
    }
}

/// The scheduler has let go of its side.
struct LetGo;

/// Takes in what there is to do, waiting for it so long when nothing is pending. Returns whether
/// there is something.
fn wait_for_orders(
    orders: &Receiver<ReaderWork>,
    pending: &mut PendingReads,
    pause: Duration,
) -> Result<bool, LetGo> {
    let mut was_called = !pending.is_empty();
    if !was_called {
        match orders.recv_timeout(pause) {
            Ok(ReaderWork::Order(order)) => pending.push(*order),
            Ok(ReaderWork::Look) => {}
            Err(RecvTimeoutError::Timeout) => return Ok(false),
            Err(RecvTimeoutError::Disconnected) => return Err(LetGo),
        }
        was_called = true;
    }

    loop {
        match orders.try_recv() {
            Ok(ReaderWork::Order(order)) => pending.push(*order),
            Ok(ReaderWork::Look) => {}
            Err(TryRecvError::Empty) => return Ok(was_called),
            Err(TryRecvError::Disconnected) => return Err(LetGo),
        }
    }
}

/// Since when nothing has happened.
struct Calm {
    since: u64,
    /// The last record that was durable then.
    durable: u64,
}

impl Calm {
    fn since(now_ms: u64) -> Self {
        Self { since: now_ms, durable: 0 }
    }

    fn disturb(&mut self, now_ms: u64) {
        self.since = now_ms;
    }

    fn look(&mut self, handle: &Handle, has_more: bool, now_ms: u64) {
        let durable = handle.health().durable.load(Ordering::Acquire);
        let has_grown = std::mem::replace(&mut self.durable, durable) != durable;
        if has_grown || has_more || !handle.health().disk.is_settled() {
            self.disturb(now_ms);
        }
    }

    /// Whether the reader sleeps now; it is called then when the log grows.
    fn begin_sleep(&self, handle: &Handle, doze: &Doze, now_ms: u64) -> bool {
        if now_ms.saturating_sub(self.since) < CALM_MS {
            return false;
        }
        doze.begin();
        handle.health().durable.load(Ordering::Acquire) == self.durable
    }
}
