//! What drives the real programs from outside: the daemon as a child process, the ctl, a scripted
//! receiver, and a small HTTP client. Shared by several test targets and the benchmarks through
//! `#[path]`.
//!
//! Rules: ports and folders are fresh (port 0, temporary folders); everything stays on loopback, or
//! in a network that a test makes for itself; nothing sleeps to let something happen: [`until`]
//! polls a condition and has a deadline. That something came late fails no test: what is judged is
//! an order of events, or the daemon's own times ([`Daemon::attempts`]), which are right also when
//! the test itself was put off.
#![allow(dead_code, unused_imports, reason = "each target uses a part of the harness")]
#![allow(clippy::disallowed_methods, reason = "tests have clocks of their own")]

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
pub mod sizes;
pub mod sums;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

pub use ctl::{Ctl, Done};
pub use daemon::{Daemon, Home};
pub use http::{Client, Response};
pub use receiver::{Receiver, Seen, Step};

/// How long a test waits for what should happen at once. Nothing is judged by it: it is ten times
/// what the slowest of these takes on a machine that others use, and leaves room for a process that
/// the system does not let run for a minute. Only a test that fails waits for so long.
pub const SOON: Duration = Duration::from_secs(200);

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

/// Keeps a port of loopback on which nobody listens, for as long as it lives.
#[derive(Debug)]
pub struct NobodysPort(tokio::net::TcpSocket);

impl NobodysPort {
    pub fn new() -> Self {
        let socket = tokio::net::TcpSocket::new_v4().expect("a socket");
        socket.bind(std::net::SocketAddr::from(([127, 0, 0, 1], 0))).expect("a free port");
        Self(socket)
    }

    pub fn url(&self) -> String {
        format!("http://{}/", self.0.local_addr().expect("it is bound"))
    }
}

/// A time that is shown, in milliseconds since 1970.
#[track_caller]
pub fn wall_ms(shown: &serde_json::Value) -> u64 {
    let text = shown.as_str().unwrap_or_else(|| panic!("no time: {shown}"));
    let time: jiff::Timestamp = text.parse().unwrap_or_else(|e| panic!("{text}: {e}"));
    u64::try_from(time.as_millisecond()).expect("after 1970")
}

/// The wall clock, in milliseconds since 1970.
pub fn wall_now_ms() -> u64 {
    let since =
        std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970");
    u64::try_from(since.as_millis()).expect("not so late")
}

/// Asserts that attempts begun at these times keep a rate: in no span of time are there many more
/// of them than it allows. `at_once` of them are left to chance: each has its turn at the right
/// time, and those whose threads the system puts off meanwhile begin together. Exactly it is judged
/// in `queue::endpoint::bucket`.
#[track_caller]
pub fn keeps_rate(times: &[u64], per_second: f64, at_once: f64) {
    for (at, from) in times.iter().enumerate() {
        for (more, to) in times[at..].iter().enumerate() {
            let most = at_once + (to - from) as f64 / 1000.0 * per_second + 1.0;
            assert!(
                (more + 1) as f64 <= most,
                "{} attempts within {} ms: {times:?}",
                more + 1,
                to - from
            );
        }
    }
}

/// Does independent pieces of work, so many at a time. When one panics, those that have not begun
/// are left.
pub fn side_by_side<T: Sync>(at_a_time: usize, work: &[T], each: impl Fn(usize, &T) + Sync) {
    struct LeaveTheRest<'n>(&'n AtomicUsize);
    impl Drop for LeaveTheRest<'_> {
        fn drop(&mut self) {
            if std::thread::panicking() {
                self.0.store(usize::MAX / 2, Ordering::Release);
            }
        }
    }

    let next = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..at_a_time {
            scope.spawn(|| {
                let _guard = LeaveTheRest(&next);
                loop {
                    let number = next.fetch_add(1, Ordering::AcqRel);
                    let Some(one) = work.get(number) else { return };
                    each(number, one);
                }
            });
        }
    });
}

/// The files below a folder that hold these bytes.
pub fn files_with(folder: &std::path::Path, wanted: &[u8]) -> Vec<std::path::PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).expect("a folder").flatten() {
        let path = entry.path();
        if path.is_dir() {
            found.extend(files_with(&path, wanted));
        } else if std::fs::read(&path)
            .is_ok_and(|bytes| bytes.windows(wanted.len()).any(|w| w == wanted))
        {
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
