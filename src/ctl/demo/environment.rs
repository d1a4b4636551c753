//! The environment: a folder, a daemon in it, the operator's commands, and stdout.

use std::io::{self, Write};
use std::net::SocketAddr;
use std::os::unix::fs::DirBuilderExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command as Program, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use clap::Parser;
use rustix::process::{Pid, Signal, kill_process};
use serde::de::DeserializeOwned;
use tokio::runtime::Runtime;

use crate::api::views::StatusView;
use crate::ctl::answer::Answer;
use crate::ctl::args::Cli;
use crate::ctl::client::AdminClient;
use crate::ctl::commands::perform;
use crate::ctl::error::CtlError;
use crate::ctl::output::{Output, failed};
use crate::service::stdio;

/// The whole story may take this long; then it is broken off.
pub(super) const ALL_MS: u64 = 60_000;
/// What should happen soon may take this long.
pub(super) const SOON: Duration = Duration::from_secs(15);
/// The pause between two looks at something that is waited for.
const PAUSE: Duration = Duration::from_millis(20);
/// Lines of the daemon's own log that are shown after a failure.
const LAST_LINES: usize = 8;
/// The daemon's socket in the folder, and the longest path of a Unix socket, in bytes.
const SOCKET: &str = "data/admin.sock";
const SOCKET_PATH: usize = 107;
/// Variables that would change the daemon of this story.
const NOT_INHERITED: &[&str] = &[
    "HOOKBOX_CONFIG",
    "HOOKBOX_DATA",
    "HOOKBOX_LISTEN",
    "HOOKBOX_SOCKET",
    "NOTIFY_SOCKET",
    "LISTEN_FDS",
];

pub(super) struct DemoEnvironment {
    pub(super) folder: PathBuf,
    pub(super) runtime: Runtime,
    keep: bool,
    client: AdminClient,
    /// Shared with the watchdog, which kills it when the story takes too long.
    daemon: Arc<Mutex<Option<Child>>>,
    interrupted: Arc<Mutex<Option<String>>>,
}

impl DemoEnvironment {
    /// A fresh folder, nothing in it yet.
    pub(super) fn new(keep: bool) -> Result<Self, CtlError> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .map_err(|error| CtlError::Io { what: "cannot start".into(), error })?;
        let folder = make_folder(&std::env::temp_dir())?;
        let client = AdminClient::new(Some(&folder.join(SOCKET)))?;
        let daemon = Arc::default();
        let interrupted = Arc::default();
        runtime.spawn(watchdog(Arc::clone(&daemon), Arc::clone(&interrupted)));
        Ok(Self { folder, runtime, keep, client, daemon, interrupted })
    }

    /// Prints a line, or several.
    pub(super) fn print(&mut self, text: &str) -> Result<(), CtlError> {
        let mut out = io::stdout().lock();
        writeln!(out, "{text}").and_then(|()| out.flush()).map_err(failed)
    }

    /// Starts the daemon and waits until it accepts; gives where it listens.
    pub(super) fn start_daemon(&mut self) -> Result<SocketAddr, CtlError> {
        let cannot = |what: &str| {
            let what = what.to_owned();
            move |error| CtlError::Io { what, error }
        };
        let own = std::env::current_exe().map_err(cannot("cannot find this program"))?;
        let log = std::fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(self.folder.join("hookboxd.log"));
        let log = log.map_err(cannot("cannot write into the demonstration's folder"))?;

        let mut program = Program::new(own);
        for name in NOT_INHERITED {
            program.env_remove(name);
        }
        program
            .arg0("hookboxd")
            .args(["--data", "data", "--listen", "127.0.0.1:0"])
            .current_dir(&self.folder);
        program.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        let child = program.spawn().map_err(cannot("cannot start hookboxd"))?;
        *lock(&self.daemon) = Some(child);

        self.until("hookboxd accepts connections", |demo| {
            let ended =
                lock(&demo.daemon).as_mut().and_then(|child| child.try_wait().ok().flatten());
            if let Some(status) = ended {
                return Err(CtlError::Refused(format!(
                    "hookboxd ended with {status} before it was ready"
                )));
            }

            let Ok(status) = demo.ask::<StatusView>("/v1/status") else { return Ok(None) };
            let listen = status.listen.first().and_then(|listen| listen.parse().ok());
            Ok(listen.filter(|_| status.accepting))
        })
    }

    /// `kill -9`; returns when it is gone.
    pub(super) fn kill_daemon(&mut self) -> Result<(), CtlError> {
        let mut daemon = lock(&self.daemon).take();
        let child = daemon
            .as_mut()
            .ok_or_else(|| CtlError::Refused("hookboxd is not running any more".into()))?;
        let killed = child.kill().and_then(|()| child.wait());
        killed
            .map(|_| ())
            .map_err(|error| CtlError::Io { what: "cannot kill hookboxd".into(), error })
    }

    /// SIGTERM; how it ended.
    pub(super) fn stop_daemon(&mut self) -> Result<ExitStatus, CtlError> {
        if let Some(child) = lock(&self.daemon).as_ref() {
            // When it has ended already, the wait below finds that.
            let _ = kill_process(Pid::from_child(child), Signal::TERM);
        }
        self.until("the end of hookboxd", |demo| {
            let mut daemon = lock(&demo.daemon);
            let child = daemon
                .as_mut()
                .ok_or_else(|| CtlError::Refused("hookboxd is not running any more".into()))?;
            child
                .try_wait()
                .map_err(|error| CtlError::Io { what: "cannot wait for hookboxd".into(), error })
        })
    }

    /// Runs a command as if it had been typed: prints it and its output, and gives the answers
    /// behind it.
    pub(super) fn ctl<V: DeserializeOwned>(&mut self, words: &[&str]) -> Result<Vec<V>, CtlError> {
        let shown: Vec<String> = words.iter().map(|word| quoted(word)).collect();
        self.print(&format!("   $ hookboxctl {}", shown.join(" ")))?;
        let cli = Cli::try_parse_from(std::iter::once(&"hookboxctl").chain(words))
            .map_err(|error| CtlError::Usage(error.to_string()))?;

        let mut kept = Output::kept();
        let done = perform(&self.client, &mut kept, &cli.command);
        let (text, answers) = kept.into_kept();
        for line in text.lines() {
            self.print(&format!("     {}", line.trim_end()))?;
        }
        done?;
        answers.iter().map(Answer::view).collect()
    }

    /// Asks the daemon without printing anything.
    pub(super) fn ask<V: DeserializeOwned>(&self, path: &str) -> Result<V, CtlError> {
        self.client.get(path)?.view()
    }

    /// The rows of a list, without printing anything.
    pub(super) fn rows<V: DeserializeOwned>(&self, path: &str) -> Result<Vec<V>, CtlError> {
        let mut rows = Vec::new();
        self.client.list(path, &mut |row| {
            rows.push(row.view()?);
            Ok(())
        })?;
        Ok(rows)
    }

    /// Looks until there is something, for [`SOON`] at most.
    pub(super) fn until<T>(
        &mut self,
        what: &str,
        mut look: impl FnMut(&mut Self) -> Result<Option<T>, CtlError>,
    ) -> Result<T, CtlError> {
        let looks = SOON.as_millis() / PAUSE.as_millis();
        for _ in 0..looks {
            if let Some(found) = look(self)? {
                return Ok(found);
            }
            if let Some(why) = self.interrupted() {
                return Err(CtlError::Refused(why));
            }
            self.runtime.block_on(async { tokio::time::sleep(PAUSE).await });
        }
        Err(CtlError::Refused(format!("not within {} s: {what}", SOON.as_secs())))
    }

    /// Why the story was interrupted, when it was.
    pub(super) fn interrupted(&self) -> Option<String> {
        lock(&self.interrupted).clone()
    }

    /// The last lines of the daemon's own log.
    pub(super) fn daemon_log(&self) -> Vec<String> {
        let text = std::fs::read_to_string(self.folder.join("hookboxd.log")).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(LAST_LINES)..].iter().map(ToString::to_string).collect()
    }
}

impl Drop for DemoEnvironment {
    fn drop(&mut self) {
        if let Some(mut child) = lock(&self.daemon).take() {
            let _ = child.kill();
            let _ = child.wait();
        }
        if self.keep {
            let folder = self.folder.display();
            stdio::note(format_args!(
                "kept: start it again with `hookboxd --data {folder}/data`; remove {folder} when \
                 done"
            ));
        } else if let Err(error) = std::fs::remove_dir_all(&self.folder) {
            stdio::note(format_args!(
                "hookboxctl: {} could not be removed: {error}: remove it by hand",
                self.folder.display()
            ));
        }
    }
}

/// Ends the story at ^C, or when it takes too long: without the daemon, every step fails.
async fn watchdog(daemon: Arc<Mutex<Option<Child>>>, interrupted: Arc<Mutex<Option<String>>>) {
    let why = tokio::select! {
        _ = tokio::signal::ctrl_c() => "interrupted".to_owned(),
        () = terminated() => "terminated".to_owned(),
        () = tokio::time::sleep(Duration::from_millis(ALL_MS)) => {
            format!("it took longer than {} s", ALL_MS / 1000)
        }
    };
    *lock(&interrupted) = Some(why);
    if let Some(child) = lock(&daemon).as_mut() {
        let _ = child.kill();
    }
}

async fn terminated() {
    match tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()) {
        Ok(mut term) => drop(term.recv().await),
        Err(_) => std::future::pending().await,
    }
}

/// A folder that was not there before, for this user alone.
fn make_folder(below: &Path) -> Result<PathBuf, CtlError> {
    let mut tried = Ok(());
    for number in 0..16 {
        let folder = below.join(format!("hookbox-demo-{}-{number}", std::process::id()));
        if folder.join(SOCKET).as_os_str().len() > SOCKET_PATH {
            let below = below.display();
            return Err(CtlError::Usage(format!(
                "{below} is too long for a Unix socket's path: set TMPDIR to /tmp"
            )));
        }
        tried = std::fs::DirBuilder::new().mode(0o700).create(&folder);
        if tried.is_ok() {
            return Ok(folder);
        }
    }
    let what = format!("cannot make a folder in {} (set TMPDIR to another one)", below.display());
    Err(CtlError::Io {
        what,
        error: tried.err().unwrap_or_else(|| io::ErrorKind::AlreadyExists.into()),
    })
}

/// A word as one would type it.
fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=@,+".contains(c);
    if word.chars().all(plain) { word.to_owned() } else { format!("'{word}'") }
}

pub(super) fn lock<T>(shared: &Mutex<T>) -> MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}
