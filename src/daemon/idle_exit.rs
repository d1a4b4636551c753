//! `[daemon] idle_exit`: a daemon that nobody needs ends, and whoever holds its listening sockets
//! starts it again with the next connection.
//!
//! It ends when for so long no connection was open and nothing was remembered, no delivery waits
//! (but for those of endpoints on hold), and retention has nothing due. Then it stops accepting and
//! looks again. What has come until then is served as ever; what comes later waits in the sockets.
//! What is remembered even later, such as a notice of its own, is seen when the log is closed: then
//! the daemon connects to its own socket, which somebody else holds, so that it is started again.
//!
//! A file in the data folder says at boot whether something may wait: it is there from the start of
//! such a daemon until it ends because it is idle, so that a crash leaves it.

use std::fs;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::time::Duration;

use rustix::io::Errno;
use rustix::net::{self, AddressFamily, SocketAddrUnix, SocketFlags, SocketType};

use crate::config::{Listen, parse_listen};
use crate::model::Clock;
use crate::queue::IdleQuery;
use crate::scheduler::Handle;

/// Looks within the time of `idle_exit`, and the longest pause between two.
const LOOKS: u64 = 4;
const LOOK_MAX_MS: u64 = 60_000;
/// The accept loops stop at once, unless they wait for descriptors.
const GATE_WAIT: Duration = Duration::from_secs(2);
/// How long a connection to an own socket may take.
const WAKE_WAIT: Duration = Duration::from_secs(1);
/// The file that is there unless the daemon has ended because it was idle.
const MARK: &str = "wake-at-boot";

/// Looks whether the daemon is needed.
pub struct IdleExit {
    handle: Handle,
    clock: Clock,
    after_ms: u64,
    /// Where it listens, as [`Listener::address`](crate::ingest::Listener::address) has it.
    addresses: Vec<String>,
    mark: BootMark,
}

/// The daemon is to end because it was not needed.
pub struct EndedIdle {
    /// The last record that was durable when nothing waited.
    durable: u64,
    addresses: Vec<String>,
    mark: BootMark,
}

/// What changes with everything that happens: the last durable record, and the connections that
/// were accepted.
type Signs = (u64, u64);

impl IdleExit {
    pub fn new(
        handle: Handle,
        clock: Clock,
        after_ms: u64,
        addresses: Vec<String>,
        data: &Path,
    ) -> Self {
        Self { handle, clock, after_ms, addresses, mark: BootMark::set(data) }
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
                return EndedIdle { durable: seen.0, addresses: self.addresses, mark: self.mark };
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

        // A loop for each listener, and that of the admin socket.
        let loops = self.addresses.len() + 1;
        let gate = &self.handle.health().gate;
        let closed = tokio::time::timeout(GATE_WAIT, gate.close(loops)).await;
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
        if durable == self.durable {
            return self.mark.remove();
        }
        // A notice of the last moment is still to be delivered.
        match self.addresses.iter().find(|address| wake(address).is_ok()) {
            Some(address) => {
                tracing::info!(address, "something came at the last moment: starting again");
            }
            None => tracing::warn!(
                "something came at the last moment, and no socket could be reached: it waits for \
                 the next start"
            ),
        }
    }
}

/// Connects to a socket that this process does not listen on any more: whoever holds it starts the
/// next daemon, which finds nobody there and looks at what waits.
fn wake(address: &str) -> io::Result<()> {
    // A scheme stands before the address of a listener that speaks TLS.
    let address = address.split_once("://").map_or(address, |(_, address)| address);
    let mut address = match parse_listen(address).map_err(io::Error::other)? {
        Listen::Unix(path) => return wake_unix(&path),
        Listen::Tcp { address, .. } => address,
    };
    match address {
        SocketAddr::V4(v4) if v4.ip().is_unspecified() => {
            address.set_ip(Ipv4Addr::LOCALHOST.into())
        }
        SocketAddr::V6(v6) if v6.ip().is_unspecified() => {
            address.set_ip(Ipv6Addr::LOCALHOST.into())
        }
        _ => {}
    }
    TcpStream::connect_timeout(&address, WAKE_WAIT).map(drop)
}

/// The same of a Unix socket. A connection to one whose backlog is full would wait without limit;
/// whoever holds that one has enough to see.
fn wake_unix(path: &Path) -> io::Result<()> {
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    let socket = net::socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
    match net::connect(&socket, &SocketAddrUnix::new(path)?) {
        Ok(()) | Err(Errno::AGAIN) => Ok(()),
        Err(error) => Err(error.into()),
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

#[cfg(test)]
mod tests {
    use std::io::ErrorKind;
    use std::net::TcpListener;
    use std::os::unix::net::UnixListener;

    use super::{BootMark, EndedIdle, MARK};

    #[test]
    fn a_record_of_the_last_moment_starts_the_next_daemon() {
        let data = tempfile::tempdir().expect("a folder");
        let tcp = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let path = data.path().join("in.sock");
        let unix = UnixListener::bind(&path).expect("a free path");
        tcp.set_nonblocking(true).expect("set");
        unix.set_nonblocking(true).expect("set");
        let port = tcp.local_addr().expect("an address").port();

        let ended = |address: String| EndedIdle {
            durable: 7,
            addresses: vec!["no address".to_owned(), address],
            mark: BootMark::set(data.path()),
        };
        ended(format!("https://0.0.0.0:{port}")).finish(8);
        assert!(tcp.accept().is_ok(), "whoever holds the socket sees a connection");
        ended(format!("unix:{}", path.display())).finish(8);
        assert!(unix.accept().is_ok());
        assert!(data.path().join(MARK).exists(), "and so does the boot");

        // Nothing came.
        ended(format!("127.0.0.1:{port}")).finish(7);
        let nobody = tcp.accept().expect_err("nobody connected");
        assert_eq!(nobody.kind(), ErrorKind::WouldBlock);
        assert!(!data.path().join(MARK).exists());
    }
}
