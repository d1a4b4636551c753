//! Checks a configuration before anything is started or changed.

use std::io::ErrorKind;
use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::FileTypeExt;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::Arc;

use rustix::fs::Access;

use super::exit::Exit;
use super::fresh_config::FreshConfig;
use super::groups;
use crate::admin;
use crate::config::layers::EffectiveConfig;
use crate::config::{Config, Listen, parse_listen};
use crate::model::{Now, size};
use crate::outbound::{Outbound, OutboundPolicy, OutboundSettings, SystemResolver};
use crate::service::{clock, stdio};

/// Checks the values of a configuration, and the files that it names.
pub fn check(effective: &EffectiveConfig) -> Result<FreshConfig, Exit> {
    let checked = check_values(&effective.config);
    checked.map_err(|what| Exit::new(Exit::CONFIG, effective.located(&what)))
}

/// The first thing that is wrong, after its key.
fn check_values(config: &Config) -> Result<FreshConfig, String> {
    config.check().map_err(|(key, what)| format!("{key}: {what}"))?;

    let settings = OutboundSettings {
        extra_ca: config.outbound.extra_ca.clone(),
        user_agent: "hookbox".to_owned(),
        resolver: Arc::new(SystemResolver::default()),
        lookup: None,
        policy: policy(config),
        random: Arc::new(|_| {}),
        note_share: Arc::new(|_, _| {}),
        command_marks: Default::default(),
    };
    Outbound::new(settings, Arc::new(Now::default)).map_err(|error| error.to_string())?;

    groups::socket_access(&config.admin)?;
    FreshConfig::read(config)
}

/// `--check`: the first thing that is wrong, or what would hold and what is odd about it.
pub fn report(effective: &EffectiveConfig, print: bool) -> Result<(), Exit> {
    let fresh = check(effective)?;

    // The service manager checks at each start, when the listeners may be its own sockets.
    let by_manager = std::env::var_os("INVOCATION_ID").is_some();
    let mut notes: Vec<String> = fresh.warnings(clock::system()().wall_ms);
    if !by_manager {
        let cannot = |what: String| Exit::new(Exit::CANNOT_CREATE, effective.located(&what));
        check_data(&effective.config.data).map_err(cannot)?;
        notes.extend(missing_socket_folder(&effective.config).map_err(cannot)?);
        notes.extend(taken_socket(&effective.config.socket()).map_err(cannot)?);
        notes.extend(unwritable_data(&effective.config.data));
        notes.extend(groups::foreign_group(&effective.config.admin));
        notes.extend(self::notes(&effective.config));
    }

    for note in notes {
        stdio::note(format_args!("hookboxd: note: {}", effective.located(&note)));
    }
    let printed = match print {
        true => stdio::print(effective.text()),
        false => stdio::print("the configuration is valid\n"),
    };
    printed.map_err(Exit::output)
}

/// The admin socket of a daemon that starts: its folder is there, and nothing of somebody else
/// stands in its place.
pub fn socket_can_be_made(config: &Config) -> Result<(), Exit> {
    let missing = missing_socket_folder(config).and_then(|note| note.map_or(Ok(()), Err));
    missing.map_err(|what| Exit::new(Exit::CANNOT_CREATE, what))?;
    admin::check_free(&config.socket())
        .map_err(|error| Exit::new(Exit::CANNOT_CREATE, error.to_string()))
}

/// The data folder of a daemon that starts: it is there, or can be made.
pub fn data_can_be_made(config: &Config) -> Result<(), Exit> {
    check_data(&config.data).map_err(|what| Exit::new(Exit::CANNOT_CREATE, what))
}

/// The data folder is made at the start, and all above it: files may not stand in its way.
fn check_data(data: &Path) -> Result<(), String> {
    let there = data.ancestors().find(|path| path.symlink_metadata().is_ok());
    let in_the_way = there.filter(|path| !path.as_os_str().is_empty() && !path.is_dir());
    let Some(path) = in_the_way else { return Ok(()) };

    let what = match path.read_link() {
        Ok(target) => format!("is a link to {}, which is not a folder", target.display()),
        Err(_) => "is not a folder".to_owned(),
    };
    Err(format!("data: {} {what}: choose another one for the data", path.display()))
}

/// A data folder that whoever checks could not write to: the daemon's own user may be another one.
fn unwritable_data(data: &Path) -> Option<String> {
    let there = data.ancestors().find(|path| path.exists());
    let there = there.filter(|path| !path.as_os_str().is_empty()).unwrap_or(Path::new("."));
    rustix::fs::access(there, Access::WRITE_OK | Access::EXEC_OK).err()?;
    Some(format!(
        "data: {} cannot be written to by the user who checks: the daemon's user needs that",
        there.display()
    ))
}

/// What stands in the place of the admin socket: an error where no socket can be made, and a note
/// where a daemon answers.
fn taken_socket(socket: &Path) -> Result<Option<String>, String> {
    let path = socket.display();
    match () {
        () if is_something_else(socket) => {
            Err(format!("admin_socket: {path} is there and is no socket: choose another path"))
        }
        () if UnixStream::connect(socket).is_ok() => {
            Ok(Some(format!("admin_socket: a daemon answers at {path}: only one can run there")))
        }
        () => Ok(None),
    }
}

/// Whether something stands there that no socket may take the place of.
fn is_something_else(socket: &Path) -> bool {
    socket.symlink_metadata().is_ok_and(|found| !found.file_type().is_socket())
}

/// The folder of the admin socket, which the daemon does not make unless it belongs to the data
/// folder: an error where it is missing, and a note below `/run`, where a service manager makes it
/// at the start.
fn missing_socket_folder(config: &Config) -> Result<Option<String>, String> {
    let socket = config.socket();
    let folder = match socket.parent() {
        None => return Ok(None),
        Some(folder) if folder.as_os_str().is_empty() => Path::new("."),
        Some(folder) => folder,
    };
    if folder.is_dir() || config.data.starts_with(folder) {
        return Ok(None);
    }

    let missing = format!("admin_socket: the folder {} is missing", folder.display());
    if folder.starts_with("/run") {
        return Ok(Some(format!(
            "{missing}: the service manager makes it at the start (RuntimeDirectory=), or make it \
             yourself"
        )));
    }
    Err(format!("{missing}: make it, or choose another path"))
}

/// What is not an error of the configuration and may become one of a daemon that is started here.
fn notes(config: &Config) -> Vec<String> {
    let listeners = config.listen.iter().filter_map(|address| match parse_listen(address) {
        Ok(Listen::Tcp { address, .. }) => cannot_bind("listen", address),
        Ok(Listen::Unix(path)) => cannot_make(&path),
        Err(_) => None,
    });
    let metrics = config.metrics.listen.and_then(|address| cannot_bind("metrics.listen", address));
    listeners.chain(metrics).chain(beyond_disk(config)).collect()
}

/// An address that cannot be listened on now, and why that may be.
fn cannot_bind(key: &str, address: SocketAddr) -> Option<String> {
    let error = TcpListener::bind(address).err()?;
    let cause = match error.kind() {
        ErrorKind::AddrInUse => ": does a daemon run already?",
        ErrorKind::AddrNotAvailable => ": this machine does not have the address now",
        ErrorKind::PermissionDenied => ": ports below 1024 need root, or hookboxd.socket",
        _ => "",
    };
    Some(format!("{key}: {address} cannot be listened on now: {error}{cause}"))
}

/// A Unix socket of `listen` in whose place something else stands, or whose folder is missing: the
/// daemon does not make it.
fn cannot_make(socket: &Path) -> Option<String> {
    if is_something_else(socket) {
        let path = socket.display();
        return Some(format!(
            "listen: unix:{path} cannot be made: what is there is no socket: choose another path"
        ));
    }
    let folder = socket.parent().filter(|folder| !folder.as_os_str().is_empty())?;
    let path = socket.display();
    let missing = || {
        format!(
            "listen: unix:{path} cannot be made now: the folder {} is missing",
            folder.display()
        )
    };
    (!folder.is_dir()).then(missing)
}

/// A quota or a reserve that the file system cannot hold, even if nothing else were in it.
pub fn beyond_disk(config: &Config) -> Option<String> {
    let there = config.data.ancestors().find(|folder| folder.exists());
    let there = there.filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let disk = rustix::fs::statvfs(there).ok()?;
    let bytes = disk.f_blocks.saturating_mul(disk.f_frsize);
    let beyond = |key: &str, value: u64| {
        format!(
            "{key}: {} is more than the whole file system of {}, which has {}",
            size::format_bytes(value),
            config.data.display(),
            size::format_bytes(bytes)
        )
    };

    let sizes = [("quota", config.log.quota), ("reserve", config.log.reserve)];
    let mut sizes = sizes.into_iter().filter_map(|(key, size)| Some((key, size?.0)));
    let (key, value) = sizes.find(|(_, value)| *value > bytes)?;
    let consequence = if key == "reserve" { ": no event would be accepted" } else { "" };
    Some(beyond(key, value) + consequence)
}

/// Which proxies and commands the configuration allows for outbound attempts.
pub fn policy(config: &Config) -> OutboundPolicy {
    OutboundPolicy {
        proxy: config.outbound.proxy.clone(),
        no_proxy: config.outbound.no_proxy.clone(),
        exec_allow: config.exec.allow.clone(),
    }
}

#[cfg(test)]
mod tests {
    use std::path::{Path, PathBuf};

    use super::{cannot_make, missing_socket_folder, taken_socket};
    use crate::config::Config;

    /// What is said of this socket, beside this data folder.
    fn said(socket: Option<PathBuf>, data: &Path) -> Result<Option<String>, ()> {
        let config = Config { admin_socket: socket, data: data.to_owned(), ..Config::default() };
        missing_socket_folder(&config).map_err(|what| {
            assert!(what.starts_with("admin_socket: the folder "), "{what}");
        })
    }

    #[test]
    fn what_stands_in_the_place_of_a_socket_is_found() {
        let home = tempfile::tempdir().expect("a folder");
        let (file, free) = (home.path().join("file"), home.path().join("free"));
        std::fs::write(&file, "").expect("written");
        assert!(taken_socket(&file).is_err() && taken_socket(home.path()).is_err());
        assert_eq!(taken_socket(&free), Ok(None));
        assert!(cannot_make(&file).is_some() && cannot_make(&free).is_none());

        let _daemon = std::os::unix::net::UnixListener::bind(&free).expect("a socket");
        let note = taken_socket(&free).expect("no error").expect("a note");
        assert!(note.contains("a daemon answers at"), "{note}");
        assert!(cannot_make(&free).is_none(), "it is replaced when nobody answers");
    }

    #[test]
    fn a_folder_that_nobody_makes_is_an_error_and_one_of_the_service_manager_a_note() {
        let home = tempfile::tempdir().expect("a folder");
        let data = home.path().join("var/data");
        let socket = |path: &str| Some(home.path().join(path));
        assert_eq!(said(socket("admin.sock"), &data), Ok(None), "it is there");
        assert_eq!(said(None, &data), Ok(None), "the daemon makes its data folder");
        assert_eq!(said(socket("var/admin.sock"), &data), Ok(None), "and what is above it");
        assert_eq!(said(Some("admin.sock".into()), &data), Ok(None), "where it is started");
        assert_eq!(said(socket("missing/admin.sock"), &data), Err(()));
        assert_eq!(said(socket("var/data/sub/admin.sock"), &data), Err(()), "not below it");

        let note = said(Some("/run/hookbox-of-a-test/admin.sock".into()), &data);
        assert!(note.expect("no error").expect("a note").contains("RuntimeDirectory="));
    }
}
