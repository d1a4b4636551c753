//! What a program says to the service manager (sd_notify(3)). Not running under one is no error.

use std::time::Duration;

pub use sd_notify::NotifyState;

/// Between two signs of life where the manager has no watchdog, and the longest otherwise.
const SIGN: Duration = Duration::from_secs(60);

/// Whether there is a manager.
#[must_use]
pub fn is_there() -> bool {
    std::env::var_os("NOTIFY_SOCKET").is_some()
}

pub fn notify(states: &[NotifyState<'_>]) {
    // Not running under a service manager is not an error.
    let _ = sd_notify::notify(false, states);
}

/// The program serves.
pub fn ready() {
    notify(&[NotifyState::Ready]);
}

/// The program ends.
pub fn stopping(what: &str) {
    notify(&[NotifyState::Stopping, NotifyState::Status(what)]);
}

/// Between two signs of life: half of what the manager waits for, as sd_watchdog_enabled(3)
/// recommends; more of them would only wake an idle machine.
#[must_use]
pub fn pause() -> Duration {
    let number = |name| std::env::var(name).ok()?.parse::<u64>().ok();
    let is_ours = number("WATCHDOG_PID").is_none_or(|pid| pid == u64::from(std::process::id()));
    let micros = number("WATCHDOG_USEC").filter(|micros| is_ours && *micros > 0);
    micros.map_or(SIGN, |micros| (Duration::from_micros(micros) / 2).min(SIGN))
}
