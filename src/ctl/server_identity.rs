//! Whether the server of a socket is trusted: what is sent to it may be a secret.
//!
//! The kernel says who listens (SO_PEERCRED). Trusted are root, the caller's own user, and, for a
//! socket in a folder directly below `/run`, the user whom that folder belongs to: only root makes
//! folders there, and the service manager gives `/run/hookbox` to the user that the daemon runs as,
//! so that it need not run as root and root and its group reach it nevertheless. Everybody else is
//! refused by name, before a byte is sent.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use tokio::net::UnixStream;

use super::error::CtlError;

/// The folder in which only root creates folders.
const RUN: &str = "/run";

/// Asks who listens at the other end of `stream`.
///
/// # Errors
/// When it is nobody to be trusted, or the kernel does not say who it is.
pub(crate) fn check(socket: &Path, stream: &UnixStream) -> Result<(), CtlError> {
    let unknown = |error| {
        CtlError::Refused(format!(
            "cannot find out which user serves {}: {error}",
            socket.display()
        ))
    };
    let server = stream.peer_cred().map_err(unknown)?.uid();
    let caller = rustix::process::geteuid().as_raw();
    if is_trusted(server, caller, owner_of_folder(socket, Path::new(RUN))) {
        return Ok(());
    }
    let (name, path) = (name_of(server), socket.display());
    Err(CtlError::Refused(format!(
        "{path} is served by user {name}, who is neither root nor you: nothing was sent there. \
         Name the socket of your own daemon with --socket; if you mean the daemon of {name}, run \
         this as that user: sudo -u {name} hookboxctl …"
    )))
}

fn is_trusted(server: u32, caller: u32, owner: Option<u32>) -> bool {
    server == 0 || server == caller || owner == Some(server)
}

/// Whom the socket's folder belongs to, when it stands directly in `run` and that is root's alone.
fn owner_of_folder(socket: &Path, run: &Path) -> Option<u32> {
    let real = fs::canonicalize(socket).ok()?;
    let folder = real.parent()?;
    let above = fs::canonicalize(run).ok()?;
    if folder.parent() != Some(above.as_path()) {
        return None;
    }
    let above = fs::symlink_metadata(above).ok()?;
    let is_roots = above.is_dir() && above.uid() == 0 && above.mode() & 0o022 == 0;
    let folder = fs::symlink_metadata(folder).ok()?;
    (is_roots && folder.is_dir()).then(|| folder.uid())
}

/// The user's name with its number, or the number alone.
fn name_of(uid: u32) -> String {
    let users = fs::read_to_string("/etc/passwd").unwrap_or_default();
    let name = users.lines().find_map(|line| {
        let mut fields = line.split(':');
        let (name, number) = (fields.next()?, fields.nth(1)?);
        (number.parse() == Ok(uid)).then(|| name.to_owned())
    });
    name.unwrap_or_else(|| format!("#{uid}"))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::{is_trusted, name_of, owner_of_folder};

    #[test]
    fn root_and_oneself_are_trusted_and_whom_root_gave_the_place() {
        for (server, caller, owner, trusted) in [
            (0, 1000, None, true),
            (1000, 1000, None, true),
            (0, 0, None, true),
            (1000, 0, None, false),
            (990, 0, Some(990), true),
            (990, 1000, Some(990), true),
            (1001, 1000, Some(990), false),
            (1000, 0, Some(0), false),
        ] {
            assert_eq!(is_trusted(server, caller, owner), trusted, "{server} {caller} {owner:?}");
        }
        assert_eq!((name_of(0).as_str(), name_of(4_000_000_000).as_str()), ("root", "#4000000000"));
    }

    #[test]
    fn a_place_counts_only_directly_below_what_is_roots_alone() {
        let folder = tempfile::tempdir().expect("a folder");
        let run = folder.path().join("run");
        std::fs::create_dir_all(run.join("hookbox/deeper")).expect("folders");
        for socket in ["hookbox/admin.sock", "hookbox/deeper/admin.sock", "admin.sock"] {
            std::fs::write(run.join(socket), "").expect("a file in its place");
        }
        let link = folder.path().join("link.sock");

        std::os::unix::fs::symlink(run.join("hookbox/admin.sock"), &link).expect("a link");
        let own = rustix::process::geteuid().as_raw();
        let set = |mode| {
            std::fs::set_permissions(&run, std::fs::Permissions::from_mode(mode)).expect("its own")
        };
        set(0o755);
        let expected = (own == 0).then_some(0);
        assert_eq!(owner_of_folder(&run.join("hookbox/admin.sock"), &run), expected);
        assert_eq!(owner_of_folder(&link, &run), expected, "what a link leads to counts");
        assert_eq!(owner_of_folder(&run.join("hookbox/deeper/admin.sock"), &run), None);
        assert_eq!(owner_of_folder(&run.join("admin.sock"), &run), None);
        assert_eq!(owner_of_folder(&run.join("hookbox/none.sock"), &run), None);
        for mode in [0o775, 0o757, 0o1777] {
            set(mode);
            assert_eq!(owner_of_folder(&run.join("hookbox/admin.sock"), &run), None, "{mode:o}");
        }
    }
}
