//! PostgreSQL with the settings that it comes with, on a Unix socket, in a folder of its own.

use std::fs::File;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rustix::process::Signal;

use super::super::support::daemon::signal;
use super::super::support::{SOON, until};

/// It does not run as root: then it is started as this user.
const USER: &str = "postgres";
/// Where Debian has its programs, by versions, and where others have them.
const PLACES: [&str; 2] = ["/usr/lib/postgresql", "/usr/bin"];

pub struct PostgresServer {
    child: Child,
    folder: tempfile::TempDir,
}

impl PostgresServer {
    pub fn start() -> Result<Self, String> {
        let programs = programs().ok_or(
            "PostgreSQL is not here (Debian: apt install postgresql); HOOKBOX_POSTGRES may name \
             the folder of initdb",
        )?;
        let user = user()?;
        let folder = super::folder();
        if let Some((uid, gid)) = user {
            std::os::unix::fs::chown(folder.path(), Some(uid), Some(gid))
                .map_err(|why| format!("its folder cannot be given to {USER}: {why}"))?;
        }

        let data = folder.path().join("data");
        let mut initdb = command(&programs.join("initdb"), user, folder.path());
        initdb.arg("-D").arg(&data).args(["-U", "hookbox", "--auth", "trust"]);
        initdb.args(["--encoding", "UTF8", "--locale", "C"]);
        let made = initdb.output().map_err(|why| format!("initdb: {why}"))?;
        if !made.status.success() {
            return Err(format!("initdb: {}", String::from_utf8_lossy(&made.stderr).trim()));
        }

        let log = File::create(folder.path().join("server.log")).expect("our own folder");
        let mut server = command(&programs.join("postgres"), user, folder.path());
        server.arg("-D").arg(&data).arg("-k").arg(folder.path()).args(["-c", "listen_addresses="]);
        server.stdout(log.try_clone().expect("a descriptor")).stderr(log);
        let child = server.spawn().map_err(|why| format!("postgres: {why}"))?;
        let mut started = Self { child, folder };
        started.await_ready(&programs)?;
        Ok(started)
    }

    fn await_ready(&mut self, programs: &Path) -> Result<(), String> {
        until("PostgreSQL to take connections", SOON, || {
            if let Ok(Some(status)) = self.child.try_wait() {
                let log = std::fs::read_to_string(self.folder.path().join("server.log"));
                return Some(Err(format!(
                    "postgres ended with {status}: {}",
                    log.unwrap_or_default()
                )));
            }
            let mut asked = Command::new(programs.join("pg_isready"));
            asked.arg("-q").arg("-h").arg(self.folder.path()).args(["-U", "hookbox"]);
            asked.status().is_ok_and(|status| status.success()).then_some(Ok(()))
        })
    }

    pub fn url(&self) -> String {
        format!("host={} user=hookbox dbname=postgres", self.folder.path().display())
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for PostgresServer {
    fn drop(&mut self) {
        // Its fast stop: the processes of its connections end with it.
        signal(self.child.id(), Signal::INT);
        for _ in 0..1200 {
            if !matches!(self.child.try_wait(), Ok(None)) {
                return;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A program of it, as the user that it may run as.
fn command(program: &Path, user: Option<(u32, u32)>, folder: &Path) -> Command {
    let mut command = Command::new(program);
    command.current_dir(folder).stdin(Stdio::null());
    if let Some((uid, gid)) = user {
        command.uid(uid).gid(gid);
    }
    command
}

/// The folder with the newest `initdb`.
fn programs() -> Option<PathBuf> {
    if let Some(named) = std::env::var_os("HOOKBOX_POSTGRES") {
        return Some(PathBuf::from(named));
    }
    let mut found: Vec<(u32, PathBuf)> = Vec::new();
    for place in PLACES.map(Path::new) {
        found.push((0, place.to_owned()));
        for entry in std::fs::read_dir(place).into_iter().flatten().flatten() {
            let version = entry.file_name().to_string_lossy().parse().unwrap_or(0);
            found.push((version, entry.path().join("bin")));
        }
    }
    found.sort();
    found.into_iter().map(|(_, folder)| folder).rfind(|folder| folder.join("initdb").is_file())
}

/// Whom it runs as: nobody else, unless we are root.
fn user() -> Result<Option<(u32, u32)>, String> {
    if !rustix::process::geteuid().is_root() {
        return Ok(None);
    }
    let users = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    let found = users.lines().find_map(|line| {
        let mut fields = line.split(':');
        let ids = (fields.next()? == USER).then(|| (fields.nth(1), fields.next()))?;
        Some((ids.0?.parse().ok()?, ids.1?.parse().ok()?))
    });
    found.map(Some).ok_or(format!("PostgreSQL does not run as root, and there is no user {USER}"))
}
