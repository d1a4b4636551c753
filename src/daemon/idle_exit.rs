//! `[daemon] idle_exit`: a daemon that nobody needs ends, and whoever holds its listening sockets
//! starts it again with the next connection.
//!
//! It ends when for so long no connection was open and nothing was remembered, no delivery waits
//! (but for those of endpoints on hold), and retention has nothing due. Then it stops accepting and
//! looks again. What has come until then is served as ever; what comes later waits in the sockets.
//!
//! A file in the data folder says at boot whether something may wait: it is there from the start of
//! such a daemon until it ends because it is idle, so that a crash leaves it.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::model::Clock;
use crate::queue::IdleQuery;
use crate::scheduler::Handle;

/// Looks within the time of `idle_exit`, and the longest pause between two.
const LOOKS: u64 = 4;
const LOOK_MAX_MS: u64 = 60_000;
/// The accept loops stop at once, unless they wait for descriptors.
const GATE_WAIT: Duration = Duration::from_secs(2);
/// The file that is there unless the daemon has ended because it was idle.
const MARK: &str = "wake-at-boot";

/// Looks whether the daemon is needed.
pub struct IdleExit {
    handle: Handle,
    clock: Clock,
    after_ms: u64,
    /// How many loops accept connections.
    loops: usize,
    mark: BootMark,
}

/// The daemon is to end because it was not needed.
pub struct EndedIdle {
    /// The last record that was durable when nothing waited.
    durable: u64,
    mark: BootMark,
}

/// What changes with everything that happens: the last durable record, and the connections that
/// were accepted.
type Signs = (u64, u64);

impl IdleExit {
    pub fn new(handle: Handle, clock: Clock, after_ms: u64, loops: usize, data: &Path) -> Self {
        Self { handle, clock, after_ms, loops, mark: BootMark::set(data) }
    }

    /// Returns when the daemon is to end. No connection is accepted any more then.
    pub async fn wait(self) -> EndedIdle {
        let pause = Duration::from_millis((self.after_ms / LOOKS).clamp(1, LOOK_MAX_MS));
        let mut seen = self.signs();
        let mut since = (self.clock)().mono_ms;

        loop {
            tokio::time::sleep(pause).await;
            let (signs, now) = (self.signs(), (self.clock)().mono_ms);
            if signs != seen || !self.is_quiet() {
                (seen, since) = (signs, now);
            } else if now.saturating_sub(since) >= self.after_ms && self.ends(seen).await {
                return EndedIdle { durable: seen.0, mark: self.mark };
            }
        }
    }

    fn signs(&self) -> Signs {
        let health = self.handle.health();
        (health.durable.load(Ordering::Acquire), health.gate.counts().1)
    }

    fn is_quiet(&self) -> bool {
        let health = self.handle.health();
        health.gate.counts().0 == 0 && health.log_rests.load(Ordering::Acquire)
    }

    /// Whether nothing has happened since `seen`, and nothing waits.
    async fn is_idle(&self, seen: Signs) -> bool {
        let nothing_waits = self.handle.ask(IdleQuery).await.unwrap_or(false);
        nothing_waits && self.signs() == seen && self.is_quiet()
    }

    /// Stops accepting and looks again; goes on accepting when something came meanwhile.
    async fn ends(&self, seen: Signs) -> bool {
        if !self.is_idle(seen).await {
            return false;
        }

        let gate = &self.handle.health().gate;
        let closed = tokio::time::timeout(GATE_WAIT, gate.close(self.loops)).await;
        if closed.is_ok() && self.is_idle(seen).await {
            return true;
        }
        gate.open();
        false
    }
}

impl EndedIdle {
    /// The log is closed, and this was its last record.
    pub fn finish(self, durable: u64) {
        // A notice of the last moment is still to be delivered.
        if durable == self.durable {
            self.mark.remove();
        }
    }
}

/// The file that says at boot whether something may wait.
struct BootMark(PathBuf);

impl BootMark {
    /// Puts it there. A daemon that cannot is started at boot by nobody, and works otherwise.
    fn set(data: &Path) -> Self {
        let path = data.join(MARK);
        let made = fs::File::create(&path).and_then(|_| fs::File::open(data)?.sync_all());
        if let Err(error) = made {
            tracing::warn!(%error, path = %path.display(), "the mark for the boot was not made");
        }
        Self(path)
    }

    fn remove(self) {
        if let Err(error) = fs::remove_file(&self.0) {
            let path = self.0.display();
            tracing::warn!(%error, %path, "the mark for the boot stays: hookboxd is started then");
        }
    }
}
