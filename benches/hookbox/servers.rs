//! What takes events: hookboxd, the bare handler, and the peers, which are the same handler in
//! front of other stores (`benches/peers`, whose program the variable `HOOKBOX_PEERS` names). Each
//! begins with an empty folder of its own below the folder for temporary files.

mod nats;
mod postgres;

use std::io::{BufRead as _, BufReader, Read as _};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use super::bare::Bare;
use super::support::{Daemon, Home};
use nats::NatsServer;
use postgres::PostgresServer;

/// One of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Bare,
    Hookboxd,
    Sqlite,
    PostgresGroups,
    Postgres,
    Nats,
}

impl Kind {
    pub const ALL: [Self; 6] = [
        Self::Bare,
        Self::Hookboxd,
        Self::Sqlite,
        Self::PostgresGroups,
        Self::Postgres,
        Self::Nats,
    ];

    /// In the names of figures.
    pub fn name(self) -> &'static str {
        match self {
            Self::Bare => "bare",
            Self::Hookboxd => "hookboxd",
            Self::Sqlite => "sqlite",
            Self::PostgresGroups => "postgres_groups",
            Self::Postgres => "postgres",
            Self::Nats => "nats",
        }
    }

    /// In plots.
    pub fn title(self) -> &'static str {
        match self {
            Self::Bare => "bare handler, stores nothing",
            Self::Hookboxd => "hookboxd",
            Self::Sqlite => "SQLite, several in a commit",
            Self::PostgresGroups => "PostgreSQL, several in a commit",
            Self::Postgres => "PostgreSQL, one in a commit",
            Self::Nats => "NATS JetStream, each synced",
        }
    }
}

/// A running one. All of its processes are ours, and end with it.
pub struct Server {
    pub addr: SocketAddr,
    /// The processes that we started for it.
    pub pids: Vec<u32>,
    _parts: Parts,
}

/// What has to live as long, in the order in which it ends.
enum Parts {
    Bare { _bare: Bare },
    Hookboxd { _daemon: Daemon, _home: Home },
    Peer { _program: Peer, _store: PeerStore },
}

enum PeerStore {
    Folder { _folder: tempfile::TempDir },
    Postgres { _server: PostgresServer },
    Nats { _server: NatsServer },
}

impl Server {
    /// Starts one, or says why it cannot be had.
    pub fn start(kind: Kind) -> Result<Self, String> {
        match kind {
            Kind::Bare => Ok(Self::bare()),
            Kind::Hookboxd => Ok(Self::hookboxd()),

            Kind::Sqlite => {
                program()?;
                let folder = folder();
                let file = folder.path().join("outbox.db").to_string_lossy().into_owned();
                Self::peer("sqlite", &file, PeerStore::Folder { _folder: folder }, None)
            }
            Kind::Postgres | Kind::PostgresGroups => {
                program()?;
                let server = PostgresServer::start()?;
                let (url, pid) = (server.url(), server.pid());
                let store = if kind == Kind::Postgres { "postgres" } else { "postgres-groups" };
                Self::peer(store, &url, PeerStore::Postgres { _server: server }, Some(pid))
            }
            Kind::Nats => {
                program()?;
                let server = NatsServer::start()?;
                let (url, pid) = (server.url.clone(), server.pid());
                Self::peer("nats", &url, PeerStore::Nats { _server: server }, Some(pid))
            }
        }
    }

    fn bare() -> Self {
        let bare = Bare::start();
        Self { addr: bare.addr, pids: vec![bare.pid()], _parts: Parts::Bare { _bare: bare } }
    }

    fn hookboxd() -> Self {
        let home = Home::new();
        let daemon = home.start();
        daemon.json(&["source", "create", "bench", "--verify", "none"]);
        let (addr, pids) = (daemon.addr, vec![daemon.pid()]);
        Self { addr, pids, _parts: Parts::Hookboxd { _daemon: daemon, _home: home } }
    }

    fn peer(kind: &str, url: &str, store: PeerStore, pid: Option<u32>) -> Result<Self, String> {
        let peer = Peer::start(kind, url)?;
        let pids = [peer.child.id()].into_iter().chain(pid).collect();
        Ok(Self { addr: peer.addr, pids, _parts: Parts::Peer { _program: peer, _store: store } })
    }
}

/// A folder for one store.
fn folder() -> tempfile::TempDir {
    tempfile::Builder::new().prefix("hookbox-peer-").tempdir().expect("a temporary folder")
}

/// The program of the peers, or why there is none.
fn program() -> Result<PathBuf, String> {
    let named = std::env::var_os("HOOKBOX_PEERS").map(PathBuf::from);
    let Some(program) = named else {
        return Err("HOOKBOX_PEERS does not name the program (just peers builds it)".to_owned());
    };
    if !program.is_file() {
        return Err(format!("HOOKBOX_PEERS: {} is no file", program.display()));
    }
    Ok(program)
}

/// The handler in front of another store.
struct Peer {
    child: Child,
    addr: SocketAddr,
}

impl Peer {
    fn start(kind: &str, url: &str) -> Result<Self, String> {
        let mut child = Command::new(program()?)
            .args([kind, url])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|why| format!("it does not start: {why}"))?;
        let mut line = String::new();
        let mut lines = BufReader::new(child.stdout.take().expect("a pipe"));
        let read = lines.read_line(&mut line);
        if let (Ok(_), Ok(addr)) = (read, line.trim().parse()) {
            return Ok(Self { child, addr });
        }

        let _ = child.kill();
        let mut words = String::new();
        let _ = child.stderr.take().expect("a pipe").read_to_string(&mut words);
        let _ = child.wait();
        Err(format!("hookbox-peers {kind}: {}", words.trim()))
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
