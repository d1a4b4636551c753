//! Keeps the history: looks when something has happened, writes the file now and then, answers.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::watch;

use super::answer;
use super::book::{History, Observation, RINGS};
use super::history_file::HistoryFile;
use crate::admin::HistoryAsk;
use crate::api::views::HistoryView;
use crate::ingest::RefusalCounters;
use crate::model::{Clock, Now, WallMs, limits};
use crate::queue::BacklogQuery;
use crate::scheduler::{DiskLevel, Handle};

/// See the module.
pub struct HistoryKeeper {
    handle: Handle,
    refusals: Arc<RefusalCounters>,
    clock: Clock,
    file: HistoryFile,
    state: Mutex<KeeperState>,
    /// One look at a time, so that what stood later is counted later.
    looking: tokio::sync::Mutex<()>,
}

struct KeeperState {
    history: History,
    /// Refused requests that have been counted.
    refused: u64,
    /// Something happened since the file was written.
    is_unwritten: bool,
    /// When the file was written, on the monotonic clock.
    written_at: u64,
    /// The last try failed, and that was logged.
    fails: bool,
}

impl HistoryKeeper {
    /// Begins with what the file in the folder of the data holds.
    pub fn open(
        data: &Path,
        handle: Handle,
        refusals: Arc<RefusalCounters>,
        clock: Clock,
    ) -> Arc<Self> {
        let file = HistoryFile::in_folder(data);
        let history = file.read();
        let written_at = clock().mono_ms;
        let state =
            KeeperState { history, refused: 0, is_unwritten: false, written_at, fails: false };
        let (state, looking) = (Mutex::new(state), tokio::sync::Mutex::new(()));
        Arc::new(Self { handle, refusals, clock, file, state, looking })
    }

    /// Looks at the end of each slot in which something happened, and writes the file a while
    /// later, until the daemon stops.
    pub async fn run(self: Arc<Self>, mut stop: watch::Receiver<bool>) {
        // How things stand at the start.
        self.look((self.clock)().wall_ms).await;

        loop {
            let happened = async {
                tokio::select! {
                    () = self.handle.meters().happened() => {}
                    () = self.refusals.next() => {}
                }
            };

            let writes = tokio::select! {
                _ = stop.wait_for(|stop| *stop) => return,
                () = happened => false,
                () = self.write_is_due() => true,
            };
            if writes {
                self.clone().write_elsewhere().await;
                continue;
            }

            let began = (self.clock)();
            tokio::select! {
                _ = stop.wait_for(|stop| *stop) => return,
                () = tokio::time::sleep(until_slot_ends(began)) => {}
            }
            self.look(began.wall_ms).await;
        }
    }

    /// The last look and the last time that the file is written.
    pub async fn finish(&self) {
        self.look((self.clock)().wall_ms).await;
        self.write(true);
    }

    /// Answers what was asked, up to this moment.
    ///
    /// # Errors
    /// Says what has to be asked in another way.
    pub async fn answer(&self, ask: &HistoryAsk) -> Result<HistoryView, String> {
        let now = (self.clock)().wall_ms;
        self.look(now).await;
        answer::answer(&self.state().history, ask, now)
    }

    /// Takes what happened since the last look, and counts it in the slots of `at`.
    async fn look(&self, at: WallMs) {
        let _turn = self.looking.lock().await;
        let tally = self.handle.meters().take_tally();
        let endpoints = self.state().history.wanted(&tally);
        let backlog = self.handle.ask(BacklogQuery { endpoints }).await.ok();

        let refused = self.refusals.total();
        let disk_kib = self.handle.health().disk.space().used >> 10;
        let mut state = self.state();
        let more = refused.saturating_sub(std::mem::replace(&mut state.refused, refused));
        let seen = Observation { tally, refused: more, backlog, disk_kib };
        state.is_unwritten |= seen.refused > 0 || seen.tally != Default::default();
        state.history.observe((self.clock)(), at, &seen);
    }

    fn state(&self) -> std::sync::MutexGuard<'_, KeeperState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Resolves when the file is to be written; never while nothing has happened.
    async fn write_is_due(&self) {
        let (is_unwritten, written_at) = {
            let state = self.state();
            (state.is_unwritten, state.written_at)
        };
        if !is_unwritten {
            return std::future::pending().await;
        }
        let due = written_at.saturating_add(limits::HISTORY_WRITE_MS);
        let left = due.saturating_sub((self.clock)().mono_ms);
        tokio::time::sleep(Duration::from_millis(left)).await;
    }

    /// On a thread that may wait for the disk.
    async fn write_elsewhere(self: Arc<Self>) {
        let _ = tokio::task::spawn_blocking(move || self.write(false)).await;
    }

    /// Writes the file, unless the disk is so full that events are refused: what is left is for
    /// the log.
    fn write(&self, is_last: bool) {
        let contents = {
            let mut state = self.state();
            (state.is_unwritten, state.written_at) = (false, (self.clock)().mono_ms);
            state.history.write()
        };
        if !is_last && self.handle.health().disk.level() >= DiskLevel::Refusing {
            return;
        }

        let written = self.file.replace(&contents);
        let mut state = self.state();
        if let Err(error) = &written
            && !state.fails
        {
            tracing::warn!("the history cannot be written, and is kept in memory only: {error}");
        }
        state.fails = written.is_err();
    }
}

/// How long the finest slot goes on.
fn until_slot_ends(now: Now) -> Duration {
    let slot_ms = RINGS[0].slot_ms;
    Duration::from_millis(slot_ms - now.wall_ms % slot_ms)
}
