//! The signals that must not end the daemon without a message.

use tokio::signal::unix::{SignalKind, signal};

/// A write beyond `ulimit -f` sends SIGXFSZ, which would end the process. Once it is caught, the
/// write fails like any other, and the error is reported. SIGHUP asks for a configuration that is
/// read just now. The handlers stay until the process ends.
pub fn outlive_early_signals() {
    let file_limit = SignalKind::from_raw(rustix::process::Signal::XFSZ.as_raw());
    for (name, kind) in [("SIGXFSZ", file_limit), ("SIGHUP", SignalKind::hangup())] {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build();
        let caught = runtime.and_then(|runtime| runtime.block_on(async { signal(kind) }));
        if let Err(error) = caught {
            tracing::warn!(%error, "{name} cannot be caught: it would end the daemon at once");
        }
    }
}
