//! The signal that must not end the daemon without a message.

use tokio::signal::unix::{SignalKind, signal};

/// A write beyond `ulimit -f` sends SIGXFSZ, which would end the process. Once it is caught, the
/// write fails like any other, and the error is reported. The handler stays until the process ends.
pub fn outlive_file_limits() {
    let kind = SignalKind::from_raw(rustix::process::Signal::XFSZ.as_raw());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build();
    let caught = runtime.and_then(|runtime| runtime.block_on(async { signal(kind) }));
    if let Err(error) = caught {
        tracing::warn!(
            %error,
            "SIGXFSZ cannot be caught: a file limit (ulimit -f) would end the daemon without a \
             message"
        );
    }
}
