//! Making the socket: its group and mode from the first moment, a stale one of our own cleared
//! away, all else refused.

use std::fs;
use std::io::{self, ErrorKind};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, MetadataExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};

use tokio::net::UnixListener;

use crate::admin::callers::peer::own_uid;
use crate::model::limits;

/// Why there is no admin socket.
#[derive(Debug, thiserror::Error)]
pub enum AdminError {
    #[error(
        "{path}: a daemon already answers on this socket: stop it, or choose another with \
         --admin-socket"
    )]
    InUse { path: PathBuf },
    #[error(
        "{path} is {what}, not a socket: move it away, or choose another place with --admin-socket"
    )]
    NotASocket { path: PathBuf, what: &'static str },
    #[error(
        "{path} is a socket of user {uid}, not of this daemon's: remove it, or choose another \
         with --admin-socket"
    )]
    Foreign { path: PathBuf, uid: u32 },
    #[error("cannot make the admin socket {path}: {error}: {fix}")]
    Io { path: PathBuf, error: io::Error, fix: &'static str },
}

/// Who may open the socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SocketAccess {
    /// The daemon's own group when `None`.
    pub group: Option<u32>,
    pub mode: u32,
}

impl Default for SocketAccess {
    fn default() -> Self {
        Self { group: None, mode: 0o660 }
    }
}

/// Makes the socket at `path` and listens on it. A socket there that nobody answers on is replaced.
///
/// The socket is made in a folder that only we can enter and is moved into place once its mode
/// is right, so that there is no moment in which others could connect, and no other thread sees a
/// changed umask.
///
/// # Errors
/// When something else stands there, another daemon listens, or the folder does not let us.
///
/// # Panics
/// Outside of a tokio runtime.
pub fn bind(path: &Path, access: SocketAccess) -> Result<UnixListener, AdminError> {
    check_free(path)?;
    let failed =
        |error: io::Error| AdminError::Io { path: path.to_owned(), fix: fix(&error), error };

    let staging = make_staging(path).map_err(failed)?;
    let made = bind_in(&staging, path, access);
    let _ = fs::remove_file(staging.join("s"));
    let _ = fs::remove_dir(&staging);
    made.map_err(failed)
}

fn bind_in(staging: &Path, path: &Path, access: SocketAccess) -> io::Result<UnixListener> {
    let staged = staging.join("s");
    // The way there may be longer than an address may be, although the final path is not.
    let folder = fs::File::open(staging)?;
    let address = match staged.as_os_str().len() > limits::UNIX_PATH {
        true => PathBuf::from(format!("/proc/self/fd/{}/s", folder.as_raw_fd())),
        false => staged.clone(),
    };
    let listener = std::os::unix::net::UnixListener::bind(address)?;
    if let Some(group) = access.group {
        chown(&staged, None, Some(group))?;
    }
    fs::set_permissions(&staged, fs::Permissions::from_mode(access.mode))?;
    listener.set_nonblocking(true)?;
    fs::rename(&staged, path)?;
    UnixListener::from_std(listener)
}

/// A folder of mode 0700 beside the socket. One that a killed daemon left is used again.
fn make_staging(path: &Path) -> io::Result<PathBuf> {
    let parent = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let staging = parent.join(format!(".a{}", std::process::id()));

    match fs::DirBuilder::new().mode(0o700).create(&staging) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            let found = fs::symlink_metadata(&staging)?;
            let ours =
                found.is_dir() && found.uid() == own_uid() && found.mode().trailing_zeros() >= 6;
            if !ours {
                return Err(error);
            }
            let _ = fs::remove_file(staging.join("s"));
            Ok(staging)
        }
        other => other.map(|()| staging),
    }
}

/// Clears away a stale socket of our own.
///
/// # Errors
/// When anything else stands at `path`.
pub fn check_free(path: &Path) -> Result<(), AdminError> {
    let failed =
        |error: io::Error| AdminError::Io { path: path.to_owned(), fix: fix(&error), error };
    let found = match fs::symlink_metadata(path) {
        Ok(found) => found,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(failed(error)),
    };

    let kind = found.file_type();
    if !kind.is_socket() {
        let what = match () {
            () if kind.is_symlink() => "a symbolic link",
            () if kind.is_dir() => "a folder",
            () => "a file",
        };
        return Err(AdminError::NotASocket { path: path.to_owned(), what });
    }
    if found.uid() != own_uid() {
        return Err(AdminError::Foreign { path: path.to_owned(), uid: found.uid() });
    }

    match std::os::unix::net::UnixStream::connect(path) {
        Err(error) if error.kind() == ErrorKind::ConnectionRefused => {
            fs::remove_file(path).map_err(failed)
        }
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        // Somebody answers, or its queue is full: it lives either way.
        Ok(_) => Err(AdminError::InUse { path: path.to_owned() }),
        Err(error) if error.kind() == ErrorKind::WouldBlock => {
            Err(AdminError::InUse { path: path.to_owned() })
        }
        Err(error) => Err(failed(error)),
    }
}

/// What the operator can do about it.
fn fix(error: &io::Error) -> &'static str {
    match error.kind() {
        ErrorKind::NotFound => "make its folder first",
        ErrorKind::PermissionDenied => {
            "give this user the right to write to its folder, and make it a member of [admin] group"
        }
        ErrorKind::InvalidInput => "choose a shorter path with --admin-socket",
        _ => "check its folder, or choose another place with --admin-socket",
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
    use std::path::Path;

    use super::{AdminError, SocketAccess, bind as bind_for};

    fn bind(path: &Path) -> Result<tokio::net::UnixListener, AdminError> {
        bind_for(path, SocketAccess::default())
    }

    fn mode(path: &Path) -> u32 {
        std::fs::symlink_metadata(path).expect("there").permissions().mode() & 0o777
    }

    #[tokio::test]
    async fn the_socket_is_for_owner_and_group_and_nothing_is_left_beside_it() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("admin.sock");
        let _listener = bind(&path).expect("bound");
        assert_eq!(mode(&path), 0o660);
        assert_eq!(std::fs::read_dir(folder.path()).expect("read").count(), 1);
        tokio::net::UnixStream::connect(&path).await.expect("answers under its final name");
    }

    #[tokio::test]
    async fn the_group_and_the_mode_are_those_that_are_asked_for() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("admin.sock");
        // Anybody may give what is theirs to a group of theirs.
        let group = rustix::process::getegid().as_raw();
        let access = SocketAccess { group: Some(group), mode: 0o600 };
        let _listener = bind_for(&path, access).expect("bound");
        assert_eq!(mode(&path), 0o600);

        if rustix::process::geteuid().is_root() {
            let other = folder.path().join("other.sock");
            let access = SocketAccess { group: Some(4321), mode: 0o660 };
            let _listener = bind_for(&other, access).expect("root may");
            assert_eq!(std::fs::symlink_metadata(&other).expect("there").gid(), 4321);
        }
    }

    #[tokio::test]
    async fn a_stale_socket_is_replaced_and_a_live_one_refused() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("admin.sock");
        drop(bind(&path).expect("first"));
        assert!(path.exists(), "a killed daemon leaves its socket");
        let live = bind(&path).expect("the stale one is replaced");
        assert!(matches!(bind(&path), Err(AdminError::InUse { .. })));
        drop(live);
    }

    #[tokio::test]
    async fn files_and_links_are_left_alone() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("file");
        std::fs::write(&file, "precious").expect("written");
        let link = folder.path().join("link");
        symlink(&file, &link).expect("linked");

        for path in [&file, &link, &folder.path().to_owned()] {
            let refusal = bind(path).expect_err("not a socket");
            assert!(matches!(refusal, AdminError::NotASocket { .. }), "{refusal}");
        }

        assert_eq!(std::fs::read_to_string(&file).expect("still there"), "precious");
        let refusal =
            bind(&folder.path().join("no/such/a.sock")).expect_err("no folder").to_string();
        assert!(refusal.contains("make its folder"), "{refusal}");
    }
}
