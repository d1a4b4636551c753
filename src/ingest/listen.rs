//! Listeners: the sockets that connections are accepted on.
//!
//! `ADDR:PORT` is a TCP socket, with `tls://` before it one that speaks TLS, with `proxy://` one
//! whose connections begin with a PROXY header (`tls+proxy://` for both), `unix:/path` a Unix
//! socket (mode 0660). A socket file left behind by a daemon that is gone is replaced; anything
//! else at that path is left alone and refused. The file is removed again when the listener ends,
//! if it is still ours.

use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use crate::config::{Listen, parse_listen};

use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};

/// A socket that is listened on.
#[derive(Debug)]
pub enum Listener {
    Tcp(TcpListener, Preamble),
    /// The file is `None` for a socket of the service manager, which removes it.
    Unix(UnixListener, Option<SocketFile>),
}

/// What connections begin with, before HTTP.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Preamble {
    pub tls: bool,
    /// A PROXY header comes first.
    pub proxy: bool,
}

/// A connection that was accepted.
#[derive(Debug)]
pub enum Incoming {
    Tcp(TcpStream, SocketAddr, Preamble),
    Unix(UnixStream),
}

/// Why a listener cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    #[error("cannot listen: {why}")]
    Address { why: String },
    #[error(
        "cannot listen on '{address}': {error}; choose another address with --listen, or free \
         this one"
    )]
    Bind { address: String, error: io::Error },
    #[error("cannot listen on 'unix:{}': there is a file that is not a socket; remove it or \
             choose another path", path.display())]
    NotASocket { path: PathBuf },
    #[error("cannot listen on 'unix:{}': another process answers there; stop it or choose another \
             path", path.display())]
    InUse { path: PathBuf },
    #[error("cannot listen on 'unix:{}': the folder {} is missing: make it, or choose another path",
            path.display(), folder.display())]
    NoFolder { path: PathBuf, folder: PathBuf },
    #[error("cannot listen on the socket that was passed in: {0}")]
    Passed(io::Error),
}

impl Listener {
    /// Binds `ADDR:PORT` or `unix:/path`.
    ///
    /// # Errors
    /// Why it cannot listen there, and what to do. Needs a tokio runtime around it.
    pub fn bind(address: &str) -> Result<Self, ListenError> {
        let (parsed, preamble) =
            match parse_listen(address).map_err(|why| ListenError::Address { why })? {
                Listen::Unix(path) => return bind_unix(&path),
                Listen::Tcp { address, tls, proxy } => (address, Preamble { tls, proxy }),
            };

        let bind = || {
            let listener = std::net::TcpListener::bind(parsed)?;
            listener.set_nonblocking(true)?;
            TcpListener::from_std(listener)
        };

        bind()
            .map(|tcp| Self::Tcp(tcp, preamble))
            .map_err(|error| ListenError::Bind { address: address.to_owned(), error })
    }

    /// Takes a TCP socket that was bound by somebody else (socket activation).
    ///
    /// # Errors
    /// When it cannot be used.
    pub fn passed_tcp(
        listener: std::net::TcpListener,
        preamble: Preamble,
    ) -> Result<Self, ListenError> {
        listener.set_nonblocking(true).map_err(ListenError::Passed)?;
        TcpListener::from_std(listener)
            .map(|tcp| Self::Tcp(tcp, preamble))
            .map_err(ListenError::Passed)
    }

    /// Takes a Unix socket that was bound by somebody else.
    ///
    /// # Errors
    /// When it cannot be used.
    pub fn passed_unix(listener: std::os::unix::net::UnixListener) -> Result<Self, ListenError> {
        listener.set_nonblocking(true).map_err(ListenError::Passed)?;
        UnixListener::from_std(listener)
            .map(|unix| Self::Unix(unix, None))
            .map_err(ListenError::Passed)
    }

    /// Its address, as people write it: the port is the real one when 0 was configured.
    #[must_use]
    pub fn address(&self) -> String {
        match self {
            Self::Tcp(tcp, preamble) => match tcp.local_addr() {
                Ok(address) if preamble.tls => format!("https://{address}"),
                Ok(address) => address.to_string(),
                Err(_) => "?".to_owned(),
            },
            Self::Unix(unix, _) => match unix.local_addr() {
                Ok(address) => {
                    format!("unix:{}", address.as_pathname().unwrap_or(Path::new("?")).display())
                }
                Err(_) => "unix:?".to_owned(),
            },
        }
    }

    /// The URL at which it is reached from this machine.
    #[must_use]
    pub fn url(&self) -> String {
        match self {
            Self::Tcp(_, preamble) if !preamble.tls => format!("http://{}", self.address()),
            Self::Tcp(..) | Self::Unix(..) => self.address(),
        }
    }

    /// Whether it speaks TLS.
    #[must_use]
    pub fn is_tls(&self) -> bool {
        matches!(self, Self::Tcp(_, preamble) if preamble.tls)
    }

    /// Whether those who post have to go through a proxy, which says who they are.
    #[must_use]
    pub fn is_proxied(&self) -> bool {
        matches!(self, Self::Tcp(_, preamble) if preamble.proxy)
    }

    /// The next connection.
    pub(super) async fn accept(&self) -> io::Result<Incoming> {
        match self {
            Self::Tcp(tcp, preamble) => tcp
                .accept()
                .await
                .map(|(stream, address)| Incoming::Tcp(stream, address, *preamble)),
            Self::Unix(unix, _) => unix.accept().await.map(|(stream, _)| Incoming::Unix(stream)),
        }
    }
}

fn bind_unix(path: &Path) -> Result<Listener, ListenError> {
    let failed = |error| ListenError::Bind { address: format!("unix:{}", path.display()), error };
    remove_stale(path)?;
    let listener =
        UnixListener::bind(path).map_err(|error| match (error.kind(), path.parent()) {
            (io::ErrorKind::NotFound, Some(folder)) => {
                ListenError::NoFolder { path: path.to_owned(), folder: folder.to_owned() }
            }
            _ => failed(error),
        })?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o660)).map_err(failed)?;

    let file = SocketFile::of(path).map_err(failed)?;
    Ok(Listener::Unix(listener, Some(file)))
}

/// Removes a socket at `path` that nobody listens on any more.
fn remove_stale(path: &Path) -> Result<(), ListenError> {
    let failed = |error| ListenError::Bind { address: format!("unix:{}", path.display()), error };
    let found = match std::fs::symlink_metadata(path) {
        Ok(found) => found,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(failed(error)),
    };

    if !found.file_type().is_socket() {
        return Err(ListenError::NotASocket { path: path.to_owned() });
    }

    // A socket that refuses connections has no listener any more.
    match std::os::unix::net::UnixStream::connect(path) {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
            std::fs::remove_file(path).map_err(failed)
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Err(failed(error)),
        Ok(_) | Err(_) => Err(ListenError::InUse { path: path.to_owned() }),
    }
}

/// The file of a Unix socket, removed on drop unless it was replaced by another one.
#[derive(Debug)]
pub struct SocketFile {
    path: PathBuf,
    identity: (u64, u64),
}

impl SocketFile {
    fn of(path: &Path) -> io::Result<Self> {
        let found = std::fs::symlink_metadata(path)?;
        Ok(Self { path: path.to_owned(), identity: (found.dev(), found.ino()) })
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        let ours = std::fs::symlink_metadata(&self.path)
            .is_ok_and(|f| (f.dev(), f.ino()) == self.identity);
        if ours {
            // It may be gone already.
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{ListenError, Listener};

    #[tokio::test]
    async fn addresses_that_are_none_are_refused_with_an_example() {
        for address in ["", "8420", "localhost", "127.0.0.1", "127.0.0.1:99999", "unix:", "tcp://x"]
        {
            let error = Listener::bind(address).expect_err(address).to_string();
            assert!(error.contains("cannot listen"), "{error}");
        }
    }

    #[tokio::test]
    async fn a_port_in_use_is_named() {
        let first = Listener::bind("127.0.0.1:0").expect("a free port");
        let error = Listener::bind(&first.address()).expect_err("in use").to_string();
        assert!(error.contains(&first.address()) && error.contains("--listen"), "{error}");
    }

    #[tokio::test]
    async fn a_folder_that_is_missing_is_named() {
        let folder = tempfile::tempdir().expect("a folder");
        let missing = folder.path().join("none");
        let address = format!("unix:{}", missing.join("in.sock").display());
        let error = Listener::bind(&address).expect_err("no folder").to_string();
        let words = format!("the folder {} is missing", missing.display());
        assert!(error.contains(&words) && error.contains(&address), "{error}");
    }

    #[tokio::test]
    async fn a_socket_file_is_replaced_only_when_it_is_stale_and_goes_with_its_listener() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("in.sock");
        let address = format!("unix:{}", path.display());
        drop(std::os::unix::net::UnixListener::bind(&path).expect("a stale socket"));
        let listener = Listener::bind(&address).expect("stale, so replaced");
        assert_eq!(listener.address(), address);
        assert!(matches!(Listener::bind(&address), Err(ListenError::InUse { .. })));
        drop(listener);
        assert!(!path.exists());
        std::fs::write(&path, "precious").expect("a file");
        assert!(matches!(Listener::bind(&address), Err(ListenError::NotASocket { .. })));
        assert!(path.exists());
    }
}
