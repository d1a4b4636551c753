//! What drives the real programs from outside: the daemon as a child process, the ctl, a scripted receiver, and
//! a small HTTP client. Shared by several test targets and the benchmarks through `#[path]`.
//!
//! Rules: ports and folders are fresh (port 0, temporary folders); everything stays on loopback, or in a
//! network that a test makes for itself; nothing sleeps to let something happen: [`until`] polls a condition and has a
//! deadline.
#![allow(dead_code, unused_imports, reason = "each target uses a part of the harness")]
#![allow(clippy::disallowed_methods, reason = "the outside world has clocks; the seams are the product's")]

pub mod admin;
pub mod ctl;
pub mod daemon;
pub mod http;
pub mod ledger;
pub mod network;
pub mod payloads;
pub mod receiver;
pub mod rng;
pub mod signature;

use std::time::{Duration, Instant};

pub use ctl::{Ctl, Done};
pub use daemon::{Daemon, Home};
pub use http::{Client, Response};
pub use receiver::{Receiver, Seen, Step};

/// How long a test waits for what should happen at once. Generous: the machine may be busy.
pub const SOON: Duration = Duration::from_secs(20);

/// Polls until `condition` gives something.
///
/// # Panics
/// When nothing came within `within`; says what was waited for.
pub fn until<T>(what: &str, within: Duration, mut condition: impl FnMut() -> Option<T>) -> T {
    let started = Instant::now();
    let mut pause = Duration::from_millis(2);
    loop {
        if let Some(found) = condition() {
            return found;
        }
        assert!(started.elapsed() < within, "waited {within:?} in vain: {what}");
        std::thread::sleep(pause);
        pause = (pause * 2).min(Duration::from_millis(50));
    }
}

/// The files below a folder that hold these bytes.
pub fn files_with(folder: &std::path::Path, wanted: &[u8]) -> Vec<std::path::PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).expect("a folder").flatten() {
        let path = entry.path();
        if path.is_dir() {
            found.extend(files_with(&path, wanted));
        } else if std::fs::read(&path).is_ok_and(|bytes| bytes.windows(wanted.len()).any(|w| w == wanted)) {
            found.push(path);
        }
    }
    found
}

/// The SHA-256 of some bytes.
pub fn sha256(bytes: &[u8]) -> [u8; 32] {
    let digest = ring::digest::digest(&ring::digest::SHA256, bytes);
    digest.as_ref().try_into().expect("SHA-256 has 32 bytes")
}

/// Lower-case hexadecimal.
pub fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::new(), |mut out, b| {
        let _ = write!(out, "{b:02x}");
        out
    })
}
