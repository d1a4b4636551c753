//! `exec:` endpoints: a command takes the delivery.
//!
//! Limits: off unless `[exec] allow` names the command ([`Allow`]); `limits::COMMANDS` at a time over all endpoints; the
//! endpoint's timeout over all of it, after which its whole process group is killed; no new privileges; its memory,
//! files, processes and time on the processor are bounded; of what it says the last `limits::OUTPUT_READ` bytes are
//! looked at and `limits::OUTPUT_KEPT` kept.
//!
//! The bounds are set by a shell that then becomes the command: set from outside after the start, they would miss what a
//! command starts in its first moments.
//!
//! What it gets: the body on stdin, facts in `HOOKBOX_*`, `PATH` and `LANG`, the folder `/`, and nothing else of the
//! daemon's. What it may answer: exit 0 done, 75 (`EX_TEMPFAIL`) try again, 100 a dead letter now, anything else try
//! again. What it leaves behind in its process group ends with it.
//!
//! A command that is not allowed is tried again by policy, not given up: the list can change.

pub(super) mod account;
mod allow;
mod spawn;

use std::future::pending;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use bytes::Bytes;
use hyper::header::CONTENT_TYPE;
use rustix::process::{Pid, PidfdFlags, Signal, kill_process_group, pidfd_open};
use tokio::io::unix::AsyncFd;
use tokio::io::{AsyncReadExt, AsyncWriteExt, Interest};
use tokio::net::unix::pipe;
use tokio::sync::Semaphore;

use super::message::Message;
use crate::model::time::format_duration_ms;
use crate::model::{CommandEnd, Endpoint, Header, Outcome, limits};

pub use allow::Allow;

use account::Account;

/// How a command asks for another try (`EX_TEMPFAIL` of sysexits), and for none.
const TRY_AGAIN: i32 = 75;
const GIVE_UP: i32 = 100;
const SIGNATURE: &str = "HOOKBOX_SIGNATURE";
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// What the kernel keeps in a pipe.
const PIPE: usize = 64 << 10;
/// How often the end of a command is looked for where the kernel does not tell it.
const LOOK: Duration = Duration::from_millis(20);

/// The command of an endpoint.
#[derive(Debug)]
pub(super) struct Program {
    path: PathBuf,
    args: Vec<String>,
    account: Option<Account>,
}

/// What all commands share.
pub(super) struct Exec {
    spawner: spawn::Spawner,
    running: Semaphore,
}

/// What a run came to.
pub(super) struct Ended {
    pub(super) outcome: Outcome,
    pub(super) command: Option<CommandEnd>,
    pub(super) error: Option<String>,
}

impl Default for Exec {
    fn default() -> Self {
        Self { spawner: spawn::Spawner::default(), running: Semaphore::new(limits::COMMANDS) }
    }
}

impl Program {
    /// Reads what an `exec:` endpoint says of its command.
    ///
    /// # Errors
    /// What is wrong with it, and the mend.
    pub(super) fn new(endpoint: &Endpoint) -> Result<Self, String> {
        let path = endpoint.url.strip_prefix("exec:").unwrap_or_default();
        if !path.starts_with('/') || path.len() > limits::COMMAND_ARG || path.contains('\0') {
            return Err("an exec URL names the whole path of a command: write exec:/usr/local/bin/alert".to_owned());
        }
        let account = endpoint.exec.user.as_deref().map(account::find).transpose()?;
        Ok(Self { path: path.into(), args: endpoint.exec.args.clone(), account })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// The command with its arguments, for people.
    pub(super) fn shown(&self) -> String {
        let words = self.args.iter().map(|arg| format!(" {arg:?}"));
        format!("{}{}", self.path.display(), words.collect::<String>())
    }
}

/// The facts that a command finds in its environment.
pub(super) fn environment(endpoint: &Endpoint, message: &Message, attempt: &Facts) -> Vec<Header> {
    let kind = message.headers.iter().find(|(name, _)| name == CONTENT_TYPE).map(|(_, value)| value.as_bytes());
    let facts: [(&str, &[u8]); 9] = [
        ("HOOKBOX_ENDPOINT", endpoint.name.as_bytes()),
        ("HOOKBOX_ID", message.id.as_bytes()),
        ("HOOKBOX_TYPE", message.kind.as_bytes()),
        ("HOOKBOX_SOURCE", message.source.as_bytes()),
        ("HOOKBOX_CONTENT_TYPE", kind.unwrap_or_default()),
        ("HOOKBOX_DELIVERY", attempt.delivery.as_bytes()),
        ("HOOKBOX_ATTEMPT", attempt.number.as_bytes()),
        ("HOOKBOX_TIMESTAMP", attempt.seconds.as_bytes()),
        (SIGNATURE, attempt.signature.as_bytes()),
    ];
    // What comes from outside may hold what no environment can.
    let fit = |value: &[u8]| value.iter().copied().filter(|b| *b != 0).collect::<Vec<u8>>();
    facts.into_iter().map(|(name, value)| Header::new(name, fit(value))).collect()
}

/// The facts as the log keeps them: without the signature.
pub(super) fn shown(mut environment: Vec<Header>) -> Vec<Header> {
    environment.retain(|fact| !fact.value.is_empty() && fact.name != SIGNATURE);
    environment
}

/// What is said of this attempt alone; texts, empty when there is nothing to say.
#[derive(Debug, Default)]
pub(super) struct Facts {
    pub(super) delivery: String,
    pub(super) number: String,
    pub(super) seconds: String,
    pub(super) signature: String,
}

impl Exec {
    /// Runs a command once.
    pub(super) async fn run(
        &self,
        program: &Program,
        allow: &Allow,
        environment: &[Header],
        body: Bytes,
        timeout_ms: u64,
    ) -> Ended {
        let real = match allow.admit(&program.path) {
            Ok(real) => real,
            Err(why) => return Ended::not_started(why),
        };
        let Ok(_place) = self.running.acquire().await else {
            return Ended::not_started("hookboxd stops".to_owned());
        };
        let (reader, command) = match prepare(program, &real, environment, timeout_ms) {
            Ok(prepared) => prepared,
            Err(error) => return Ended::not_started(format!("no pipe for the command's output: {error}")),
        };
        let child = match self.spawner.spawn(command).await {
            Ok(child) => child,
            Err(error) => return Ended::not_started(format!("{} cannot be started: {error}", program.path.display())),
        };
        let mut running = Running(Some(child));
        let mut output = Tail::default();
        let waited = Duration::from_millis(timeout_ms);
        let ended = tokio::time::timeout(waited, running.attend(reader, body, &mut output)).await;
        let status = match ended {
            Ok(Ok(())) => running.end(),
            Ok(Err(error)) => return Ended::broken(format!("the command cannot be attended to: {error}"), output),
            Err(_) => {
                let after = format_duration_ms(timeout_ms);
                return Ended::broken(format!("the command did not end within {after}: it was killed"), output);
            }
        };
        Ended::of(status, output)
    }
}

/// Everything that is set before the start.
fn prepare(program: &Program, real: &Path, environment: &[Header], timeout_ms: u64) -> io::Result<(OwnedFd, Command)> {
    use std::os::unix::ffi::OsStrExt;
    let (reader, writer) = io::pipe()?;
    let mut command = Command::new("/bin/sh");
    command
        .arg("-c")
        .arg(bounds(timeout_ms))
        .arg(real)
        .args(&program.args)
        .env_clear()
        .env("PATH", PATH)
        .env("LANG", "C.UTF-8");
    for fact in environment {
        command.env(&fact.name, std::ffi::OsStr::from_bytes(&fact.value));
    }
    command.current_dir("/").process_group(0);
    command.stdin(Stdio::piped()).stdout(writer.try_clone()?).stderr(writer);
    if let Some(account) = &program.account {
        command.env("USER", &account.name).env("LOGNAME", &account.name).env("HOME", &account.home);
        if rustix::process::geteuid().as_raw() != account.uid {
            // The groups of the daemon go with its user.
            command.gid(account.gid).uid(account.uid);
        }
    }
    Ok((reader.into(), command))
}

/// What the shell does before it becomes the command. A bound that is lower already cannot be raised, and need not;
/// shells differ in the letter for processes.
fn bounds(timeout_ms: u64) -> String {
    let (files, processes) = (limits::COMMAND_FILES, limits::COMMAND_PROCESSES);
    let (blocks, kib) = (limits::COMMAND_FILE_BYTES / 512, limits::COMMAND_MEMORY / 1024);
    let cpu_s = timeout_ms.div_ceil(1000) + 1;
    format!(
        "{{ ulimit -c 0; ulimit -n {files}; ulimit -f {blocks}; ulimit -d {kib}; ulimit -t {cpu_s}; \
         ulimit -u {processes} || ulimit -p {processes}; }} 2>/dev/null; exec \"$0\" \"$@\""
    )
}

/// A command under way; ends with all that it started when it is dropped.
struct Running(Option<Child>);

impl Running {
    /// Gives it its body and takes what it says until it ends.
    async fn attend(&mut self, reader: OwnedFd, body: Bytes, output: &mut Tail) -> io::Result<()> {
        let Some(child) = &mut self.0 else { return Ok(()) };
        let stdin = child.stdin.take().map(|stdin| pipe::Sender::from_owned_fd(stdin.into())).transpose()?;
        let mut said = pipe::Receiver::from_owned_fd(reader)?;
        {
            let feed = async {
                if let Some(mut stdin) = stdin {
                    // One that does not want all of it has its reasons.
                    let _ = stdin.write_all(&body).await;
                }
            };
            let listen = async {
                let mut buffer = [0; 4096];
                while let Ok(read @ 1..) = said.read(&mut buffer).await {
                    output.add(&buffer[..read]);
                }
            };
            let serve = pin!(async {
                tokio::join!(feed, listen);
                pending::<()>().await
            });
            tokio::select! {
                ended = has_ended(child) => ended?,
                () = serve => {}
            }
        }
        // What it said last; others may hold the pipe open for longer.
        let mut buffer = [0; 4096];
        let said = said.into_nonblocking_fd()?;
        for _ in 0..PIPE / buffer.len() {
            match rustix::io::read(&said, &mut buffer) {
                Ok(read @ 1..) => output.add(&buffer[..read]),
                _ => break,
            }
        }
        Ok(())
    }

    /// Ends what it left behind, and says how it ended.
    fn end(&mut self) -> io::Result<ExitStatus> {
        let Some(mut child) = self.0.take() else { return Err(io::ErrorKind::NotFound.into()) };
        kill(&child);
        child.wait()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let Some(mut child) = self.0.take() else { return };
        kill(&child);
        // It ends at once, unless the kernel holds it: nothing else waits for that.
        if !matches!(child.try_wait(), Ok(Some(_))) {
            let _ = std::thread::Builder::new().spawn(move || child.wait());
        }
    }
}

/// Ends the process group. Its number is taken for as long as its leader was not waited for.
fn kill(child: &Child) {
    let _ = kill_process_group(Pid::from_child(child), Signal::KILL);
}

/// Waits for the end without taking note of it, so that the number of its group stays taken.
#[expect(
    deprecated,
    reason = "its successor is unsafe; an OwnedFd stays open and the same, which is all that it asks for"
)]
async fn has_ended(child: &mut Child) -> io::Result<()> {
    let pid = Pid::from_child(child);
    match pidfd_open(pid, PidfdFlags::empty()) {
        Ok(descriptor) => AsyncFd::with_interest(descriptor, Interest::READABLE)?.readable().await.map(drop),
        // A kernel before 5.3.
        Err(_) => {
            while child.try_wait()?.is_none() {
                tokio::time::sleep(LOOK).await;
            }
            Ok(())
        }
    }
}

/// The last bytes of what is said.
#[derive(Debug, Default)]
struct Tail(Vec<u8>);

impl Tail {
    fn add(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
        if self.0.len() > 2 * limits::OUTPUT_READ {
            self.0.drain(..self.0.len() - limits::OUTPUT_READ);
        }
    }

    /// What is kept of it.
    fn kept(self) -> Bytes {
        let from = self.0.len().saturating_sub(limits::OUTPUT_KEPT);
        Bytes::copy_from_slice(&self.0[from..])
    }

    /// The last line, for an error.
    fn last_line(&self) -> Option<String> {
        let from = self.0.len().saturating_sub(limits::OUTPUT_READ);
        let text = String::from_utf8_lossy(&self.0[from..]);
        let line = text.lines().rev().find(|line| !line.trim().is_empty())?;
        Some(line.trim().chars().filter(|c| !c.is_control()).take(200).collect())
    }
}

impl Ended {
    fn not_started(why: String) -> Self {
        Self { outcome: Outcome::Retryable { after_ms: None }, command: None, error: Some(why) }
    }

    fn broken(why: String, output: Tail) -> Self {
        let command = CommandEnd { exit: None, signal: None, output: output.kept() };
        Self { outcome: Outcome::Retryable { after_ms: None }, command: Some(command), error: Some(why) }
    }

    fn of(status: io::Result<ExitStatus>, output: Tail) -> Self {
        let status = match status {
            Ok(status) => status,
            Err(error) => return Self::broken(format!("how the command ended is not known: {error}"), output),
        };
        let (outcome, why) = match (status.code(), status.signal()) {
            (Some(0), _) => (Outcome::Delivered, None),
            (Some(TRY_AGAIN), _) => {
                (Outcome::Retryable { after_ms: None }, Some("exit 75: to be tried again".to_owned()))
            }
            (Some(GIVE_UP), _) => (Outcome::Refused, Some("exit 100: not to be tried again".to_owned())),
            (Some(code), _) => (Outcome::Retryable { after_ms: None }, Some(format!("exit {code}"))),
            (None, signal) => {
                let signal = signal.map_or_else(|| "?".to_owned(), |signal| signal.to_string());
                (Outcome::Retryable { after_ms: None }, Some(format!("ended by signal {signal}")))
            }
        };
        let error = why.map(|why| match output.last_line() {
            Some(line) => format!("{why}: {line}"),
            None => why,
        });
        let command = CommandEnd { exit: status.code(), signal: status.signal(), output: output.kept() };
        Self { outcome, command: Some(command), error }
    }
}
