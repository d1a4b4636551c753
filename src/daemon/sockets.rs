//! What the daemon listens on. The addresses are bound before anything is written to the data
//! folder, so that a daemon which cannot listen leaves nothing behind. Connections are accepted
//! once the log is open; until then they wait in the system's queue.

use std::path::{Path, PathBuf};

use tokio::net::{TcpListener, UnixListener};
use tokio::runtime::Runtime;

use super::exit::Exit;
use super::socket_activation::{self, PassedSockets};
use super::{check, groups};
use crate::admin;
use crate::config::Config;
use crate::ingest::Listener;
use crate::log::LogError;
use crate::service::scrape;

/// The sockets of a daemon that starts.
pub struct Sockets {
    /// For webhooks.
    pub listeners: Vec<Listener>,
    pub metrics: Option<TcpListener>,
    /// The socket of the admin API, when it was passed: else it is made beside the log.
    admin: Option<UnixListener>,
    /// After how long a daemon ends that nobody needs.
    pub idle_ms: Option<u64>,
}

impl Sockets {
    /// Binds the addresses, and looks whether the admin socket can be made.
    pub fn bind(config: &Config, runtime: &Runtime) -> Result<Self, Exit> {
        let _inside = runtime.enter();
        let bound = Self::bind_all(config);
        bound.map_err(|exit| in_use(&config.data).map_or(exit, Exit::from))
    }

    fn bind_all(config: &Config) -> Result<Self, Exit> {
        check::data_can_be_made(config)?;
        let PassedSockets { listeners: passed, admin } = socket_activation::take(config)?;
        let idle_ms = idle_exit(config, &passed);
        let listeners = listeners(config, passed)?;
        let metrics = metrics(config)?;
        if admin.is_none() {
            check::socket_can_be_made(config)?;
        }
        Ok(Self { listeners, metrics, admin, idle_ms })
    }

    /// The socket of the admin API and where it is: the one that was passed, or else one for the
    /// configured group. The data folder is there, and ours alone.
    pub fn admin(&mut self, config: &Config) -> Result<(UnixListener, PathBuf), Exit> {
        let socket = config.socket();
        if let Some(passed) = self.admin.take() {
            let address = passed.local_addr().ok();
            let path = address.and_then(|address| address.as_pathname().map(Path::to_owned));
            return Ok((passed, path.unwrap_or(socket)));
        }
        let access =
            groups::socket_access(&config.admin).map_err(|what| Exit::new(Exit::CONFIG, what))?;
        let bound = admin::bind(&socket, access)
            .map_err(|error| Exit::new(Exit::CANNOT_CREATE, error.to_string()))?;
        Ok((bound, socket))
    }
}

/// After how long the daemon ends when nobody needs it: only when somebody else holds its sockets,
/// and starts it again.
fn idle_exit(config: &Config, passed: &[Listener]) -> Option<u64> {
    let after_ms = config.daemon.idle_exit?.0;
    if passed.is_empty() {
        tracing::warn!(
            "idle_exit is not used: no sockets were passed, so nobody would start hookboxd again \
             (systemctl enable --now hookboxd.socket)"
        );
        return None;
    }
    Some(after_ms)
}

/// The sockets that the service manager passed, or else those of the configuration.
fn listeners(config: &Config, passed: Vec<Listener>) -> Result<Vec<Listener>, Exit> {
    if !passed.is_empty() {
        let addresses: Vec<String> = passed.iter().map(Listener::address).collect();
        if config.listen != addresses && config.listen != Config::default().listen {
            tracing::warn!(
                listen = config.listen.join(","),
                "listen is not used: the service manager passed sockets; their unit says where to \
                 listen (systemctl edit hookboxd.socket)"
            );
        }
        return Ok(passed);
    }
    let bound: Result<_, _> = config.listen.iter().map(|address| Listener::bind(address)).collect();
    bound.map_err(|error| Exit::cannot_listen(&error))
}

fn metrics(config: &Config) -> Result<Option<TcpListener>, Exit> {
    let Some(address) = config.metrics.listen else { return Ok(None) };
    let cannot = |error: std::io::Error| {
        let what = format!("[metrics] listen: cannot listen on {address}: {error}");
        Exit::new(Exit::CANNOT_CREATE, what)
    };
    scrape::bind(address).map(|(listener, _)| Some(listener)).map_err(cannot)
}

/// Whether another daemon has the log of this folder: who starts a second one on the same data is
/// to hear that, and not that its port is taken.
fn in_use(data: &Path) -> Option<LogError> {
    let dir = data.join("log");
    let file = std::fs::File::open(dir.join("lock")).ok()?;
    match file.try_lock_shared() {
        Err(std::fs::TryLockError::WouldBlock) => {}
        Ok(()) | Err(std::fs::TryLockError::Error(_)) => return None,
    }
    let holder = std::io::read_to_string(file).unwrap_or_default();
    let holder = match holder.trim().parse::<u32>() {
        Ok(pid) => format!("process {pid}"),
        Err(_) => "another process".to_owned(),
    };
    Some(LogError::InUse { dir, holder })
}

#[cfg(test)]
mod tests {
    use super::{Exit, in_use};

    #[test]
    fn the_data_of_another_daemon_is_known_by_the_lock_of_its_log() {
        let data = tempfile::tempdir().expect("a folder");
        assert!(in_use(data.path()).is_none(), "there is no log");

        let log = data.path().join("log");
        std::fs::create_dir(&log).expect("a folder");
        std::fs::write(log.join("lock"), "4711\n").expect("written");
        assert!(in_use(data.path()).is_none(), "its daemon is gone");

        let held = std::fs::File::open(log.join("lock")).expect("opens");
        held.lock().expect("locks");
        let exit = Exit::from(in_use(data.path()).expect("in use"));
        assert_eq!(exit.code, Exit::IN_USE);
        assert!(exit.what.contains("process 4711"), "{}", exit.what);
    }
}
