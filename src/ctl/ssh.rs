//! `--socket ssh://host/run/hookbox/admin.sock`: the admin socket of another machine, by the
//! system's ssh.
//!
//! ssh forwards a socket in a folder of our own to the other machine's, and runs `cat` there. So
//! nothing has to be installed on that machine; what `cat` echoes says that the way is open; and
//! when this program ends, however it ends, `cat` reads the end of its input, and ssh ends as well.
//! Who may do what is decided over there, as for anybody who has that account.

use std::ffi::OsString;
use std::fs::{DirBuilder, File};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, Command, Stdio};
use std::sync::{Mutex, PoisonError, mpsc};
use std::thread;
use std::time::Duration;

use data_encoding::HEXLOWER;

use super::error::CtlError;
use crate::model::safe_text::escaped;

const SCHEME: &str = "ssh://";
/// The socket when the URL names none.
const REMOTE_SOCKET: &str = "/run/hookbox/admin.sock";
/// What `cat` echoes when the way is open.
const OPEN: &str = "hookbox: open";
/// Lines that a login may print before that.
const LINES_BEFORE: usize = 1000;
/// Bytes of what ssh says that are shown as one line.
const ERROR_LINE: u64 = 4 << 10;
/// How often ssh asks whether the other machine is there; it gives up after the third time.
const ALIVE: &str = "ServerAliveInterval=15";
/// How long a connection may take that is made anew.
const TIMEOUT: &str = "ConnectTimeout=10";
/// How long the last of it is waited for.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// Where another machine's socket is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct SshTarget {
    /// `[user@]host`.
    destination: String,
    port: Option<u16>,
    socket: String,
}

impl SshTarget {
    /// The target of `ssh://[user@]host[:port][/path]`; `None` for the path of a socket here.
    ///
    /// # Errors
    /// When the URL cannot be one.
    pub(super) fn parse(socket: &Path) -> Result<Option<Self>, CtlError> {
        let Some(rest) = socket.to_str().and_then(|text| text.strip_prefix(SCHEME)) else {
            return Ok(None);
        };
        let wrong = |why: &str| {
            let shown = socket.display();
            CtlError::Usage(format!(
                "'{shown}' {why}: write it as ssh://user@host/run/hookbox/admin.sock"
            ))
        };

        let (place, path) = match rest.find('/') {
            Some(at) => rest.split_at(at),
            None => (rest, ""),
        };
        let (user, host) = match place.rsplit_once('@') {
            Some((user, host)) => (Some(user), host),
            None => (None, place),
        };
        let (host, port) = split_port(host).ok_or_else(|| wrong("has no valid port"))?;

        // What begins with a hyphen would be an option of ssh.
        let plain = |text: &str| {
            !text.is_empty()
                && !text.starts_with('-')
                && text.bytes().all(|b| b.is_ascii_graphic() && !b"'\"\\$`;&|<>()".contains(&b))
        };
        if !plain(host) || !user.is_none_or(plain) {
            return Err(wrong("names no host"));
        }
        let socket = if path.len() > 1 { path } else { REMOTE_SOCKET };
        // ssh expands `%h`, `${HOME}` and the like in it.
        let strange = |c: char| c.is_control() || matches!(c, ':' | ' ' | '%' | '$' | '\\');
        if socket.contains(strange) {
            return Err(wrong("has a path that ssh cannot forward"));
        }
        let destination = user.map_or_else(|| host.to_owned(), |user| format!("{user}@{host}"));
        Ok(Some(Self { destination, port, socket: socket.to_owned() }))
    }

    /// Opens the way. Waits for as long as ssh asks for a password, or for the host's key.
    pub(super) fn open(&self) -> Result<SshTunnel, CtlError> {
        let folder = OwnFolder::new()?;
        let local = folder.0.join("admin.sock");
        let ssh = Mutex::new(self.connect(&local, false)?);
        Ok(SshTunnel { target: self.clone(), ssh, local, _folder: folder })
    }

    /// Runs ssh until the way is open; `again`, when nobody is to be asked anything.
    fn connect(&self, local: &Path, again: bool) -> Result<SshChild, CtlError> {
        let child = self.command(local, again).spawn().map_err(|error| {
            CtlError::Unreachable(format!("cannot run ssh: {error}: is it installed?"))
        })?;
        let mut ssh = SshChild(child);

        let (stdin, stdout) = (ssh.0.stdin.take(), ssh.0.stdout.take());
        let (ended, has_ended) = mpsc::sync_channel(1);
        let stderr = ssh.0.stderr.take();
        thread::spawn(move || {
            stderr.into_iter().for_each(show_errors);
            let _ = ended.send(());
        });
        let is_open = stdin.zip(stdout).is_some_and(|(mut stdin, stdout)| {
            let asked = writeln!(stdin, "{OPEN}").and_then(|()| stdin.flush()).is_ok();
            // It stays open for as long as the tunnel does.
            ssh.0.stdin = Some(stdin);
            let mut lines = BufReader::new(stdout.take(1 << 20)).lines().take(LINES_BEFORE);
            asked && lines.any(|line| line.is_ok_and(|line| line == OPEN))
        });
        if is_open {
            return Ok(ssh);
        }

        // ssh has ended, or is of no use. What it said comes first.
        drop(ssh);
        let _ = has_ended.recv_timeout(LAST_WORDS);
        let (to, socket) = (&self.destination, &self.socket);
        Err(CtlError::Unreachable(format!(
            "cannot reach {socket} on {to}: see ssh's message above; try `ssh {to} ls -l {socket}`"
        )))
    }

    /// When the way is open and nobody answers at its end.
    pub(super) fn nobody_answers(&self) -> CtlError {
        let (to, socket) = (&self.destination, &self.socket);
        CtlError::Unreachable(format!(
            "no daemon answers at {socket} on {to}, or that account may not use it, or has used up \
             its connections: ssh may say more above; try `ssh {to} ls -l {socket}`"
        ))
    }

    fn command(&self, local: &Path, again: bool) -> Command {
        let mut forward = OsString::from(local);
        forward.push(":");
        forward.push(&self.socket);

        // An interrupt at the terminal is for this program, which still has to tidy up over there.
        let mut command = Command::new("sh");
        command.args(["-c", "trap '' INT; exec ssh \"$@\"", "ssh", "-T"]);
        command.args(["-o", "ExitOnForwardFailure=yes", "-o", "ClearAllForwardings=no"]);
        // A connection that is shared would forward for as long as its master lives.
        command.args(["-o", "ControlMaster=no", "-o", "ControlPath=none"]);
        // A network that only goes silent ends it, too.
        command.args(["-o", ALIVE]);
        if again {
            command.args(["-o", "BatchMode=yes", "-o", TIMEOUT]);
        }
        if let Some(port) = self.port {
            command.args(["-p", &port.to_string()]);
        }
        command.arg("-L").arg(forward).args(["--", &self.destination, "cat"]);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }
}

/// Shows what ssh says, in which the other machine has a say, without what would act on a terminal.
/// (For a password ssh asks at the terminal itself.)
fn show_errors(stderr: ChildStderr) {
    let mut stderr = BufReader::new(stderr);
    let mut line = Vec::new();
    while (&mut stderr).take(ERROR_LINE).read_until(b'\n', &mut line).is_ok_and(|read| read > 0) {
        let text = String::from_utf8_lossy(&line);
        let _ = writeln!(io::stderr(), "{}", escaped(text.trim_end_matches(['\r', '\n'])));
        line.clear();
    }
}

/// A host, and the port behind it: `host`, `host:22`, `[::1]:22`.
fn split_port(host: &str) -> Option<(&str, Option<u16>)> {
    if let Some(rest) = host.strip_prefix('[') {
        let (host, port) = rest.split_once(']')?;
        return match port.strip_prefix(':') {
            Some(port) => Some((host, Some(port.parse().ok()?))),
            None => port.is_empty().then_some((host, None)),
        };
    }
    match host.split_once(':') {
        Some((host, port)) => Some((host, Some(port.parse().ok()?))),
        None => Some((host, None)),
    }
}

/// A way to another machine's socket. It ends with this value.
#[derive(Debug)]
pub(super) struct SshTunnel {
    target: SshTarget,
    ssh: Mutex<SshChild>,
    local: PathBuf,
    _folder: OwnFolder,
}

impl SshTunnel {
    /// The socket here that leads there.
    pub(super) fn socket(&self) -> &Path {
        &self.local
    }

    /// Opens the way anew when ssh has ended. Takes as long as ssh needs, and asks for nothing.
    ///
    /// # Errors
    /// When the other machine cannot be reached.
    pub(super) fn keep_open(&self) -> Result<(), CtlError> {
        let mut ssh = self.ssh.lock().unwrap_or_else(PoisonError::into_inner);
        if matches!(ssh.0.try_wait(), Ok(None)) {
            return Ok(());
        }
        // ssh leaves its socket behind, and makes none where one is.
        let _ = std::fs::remove_file(&self.local);
        *ssh = self.target.connect(&self.local, true)?;
        Ok(())
    }
}

/// A running ssh, which ends with this value.
#[derive(Debug)]
struct SshChild(Child);

impl Drop for SshChild {
    fn drop(&mut self) {
        drop(self.0.stdin.take());
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A folder that nobody else can look into, removed at the end.
#[derive(Debug)]
struct OwnFolder(PathBuf);

impl OwnFolder {
    fn new() -> Result<Self, CtlError> {
        let failed = |error| CtlError::Io { what: "cannot make a folder".into(), error };
        let runtime = std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from);
        let base = runtime.filter(|dir| dir.is_absolute() && dir.is_dir());
        let name = format!("hookboxctl-{}", HEXLOWER.encode(&random::<6>()?));
        let folder = base.unwrap_or_else(std::env::temp_dir).join(name);
        DirBuilder::new().mode(0o700).create(&folder).map_err(failed)?;
        Ok(Self(folder))
    }
}

impl Drop for OwnFolder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Random bytes of the system.
pub(super) fn random<const N: usize>() -> Result<[u8; N], CtlError> {
    let mut bytes = [0; N];
    let read = File::open("/dev/urandom").and_then(|mut file| file.read_exact(&mut bytes));
    read.map_err(|error| CtlError::Io { what: "cannot read /dev/urandom".into(), error })?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::SshTarget;

    fn parse(text: &str) -> Option<(String, Option<u16>, String)> {
        let target = SshTarget::parse(Path::new(text)).expect("well-formed")?;
        Some((target.destination, target.port, target.socket))
    }

    #[test]
    fn a_url_names_user_host_port_and_socket() {
        let made = |to: &str, port, socket: &str| Some((to.to_owned(), port, socket.to_owned()));
        assert_eq!(parse("/run/hookbox/admin.sock"), None);
        assert_eq!(parse("ssh://box"), made("box", None, "/run/hookbox/admin.sock"));
        assert_eq!(parse("ssh://me@box:22/a/b.sock"), made("me@box", Some(22), "/a/b.sock"));
        assert_eq!(parse("ssh://[::1]:2222/s"), made("::1", Some(2222), "/s"));
        assert_eq!(parse("ssh://me@[fe80::1]/s"), made("me@fe80::1", None, "/s"));
    }

    #[test]
    fn what_ssh_would_take_for_something_else_is_refused() {
        for wrong in [
            "ssh://",
            "ssh:///run/s",
            "ssh://-oProxyCommand=x/s",
            "ssh://-l@box/s",
            "ssh://box:0x/s",
            "ssh://box:70000/s",
            "ssh://box/a:b",
            "ssh://box/%h",
            "ssh://box/${HOME}/s",
            "ssh://box/a\u{1b}[2J",
            "ssh://box/a\tb",
            "ssh://bo x/s",
            "ssh://box;ls/s",
            "ssh://$(ls)/s",
        ] {
            assert!(SshTarget::parse(Path::new(wrong)).is_err(), "{wrong}");
        }
    }
}
