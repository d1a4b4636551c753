//! The reader: a thread that reads the log for the scheduler, so that the one thread which commits
//! never waits for a sealed segment. It loads events, refills prefetches, and scans for replays;
//! between these it does retention and closes segments that nobody reads.

use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::Duration;

use super::handle::Handle;
use super::patient::PatientReader;
use super::reads;
use super::retention::{Retention, RetentionKeeper};
use crate::log::Reader;
use crate::model::Clock;
use crate::queue::ReadOrder;

/// How often the reader measures the disk and looks for segments whose time is over, and how often
/// it closes segments, however busy it is; a shorter retention makes it look more often, down to
/// the last number.
const LOOK_MS: u64 = 1_000;
const HOUSEKEEPING_MS: u64 = 5_000;
const LOOK_MIN_MS: u64 = 200;
/// Between two slices of what keeps the log small: the store gives back what it took for one before
/// the next.
const BETWEEN: Duration = Duration::from_millis(20);
/// Reads until the scheduler lets go of its side.
pub(super) fn run(
    reader: &Reader,
    orders: &Receiver<Box<ReadOrder>>,
    handle: &Handle,
    clock: &Clock,
    retention: &Retention,
) {
    let mut keeper = RetentionKeeper::new(reader, handle, clock, retention);
    let look_ms = retention.delivered_ms.clamp(LOOK_MIN_MS, LOOK_MS);
    let mut looked_at = clock().mono_ms;
    let mut kept_at = looked_at;

    loop {
        // Orders come first; what keeps the log small is done between them.
        let pause = if keeper.is_busy() { BETWEEN } else { Duration::from_millis(look_ms) };
        match orders.recv_timeout(pause) {
            Ok(order) => handle.report(reads::read(*order, &PatientReader(reader))),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return keeper.save(clock()),
        }
        keeper.step();

        if clock().mono_ms.saturating_sub(looked_at) >= look_ms {
            handle.health().disk.see(reader.measure_disk_space(), clock().mono_ms);
            keeper.look();
            looked_at = clock().mono_ms;
        }

        if clock().mono_ms.saturating_sub(kept_at) >= HOUSEKEEPING_MS {
            reader.close_idle();
            kept_at = clock().mono_ms;
        }
    }
}
