//! A command under way, as the daemon sees it: by its supervisor.

use std::future::pending;
use std::io::{self, Read};
use std::os::fd::OwnedFd;
use std::os::unix::process::ExitStatusExt;
use std::pin::pin;
use std::process::{Child, ChildStdout, ExitStatus};
use std::time::Duration;

use bytes::Bytes;
use rustix::process::{Pid, PidfdFlags, Signal, kill_process_group, pidfd_open};
use tokio::io::unix::AsyncFd;
use tokio::io::{AsyncReadExt, AsyncWriteExt, Interest};
use tokio::net::unix::pipe;

use super::mark::CommandMark;
use super::result::OutputTail;
use super::supervise::{self, CommandExit};

/// How long a supervisor has to end all that its command started.
const END: Duration = Duration::from_secs(6);
/// Bytes that the kernel keeps in a pipe.
const PIPE: usize = 64 << 10;
/// Bytes of a supervisor's report.
const REPORT: usize = 1024;
/// How often the end of a command is looked for where the kernel does not report it.
const LOOK: Duration = Duration::from_millis(20);

/// A command under way. It ends with all that it started when this is dropped.
pub struct RunningCommand {
    supervisor: Option<Child>,
    /// Where the supervisor reports how the command ended. It ends the command when this is closed.
    report: Option<ChildStdout>,
    mark: CommandMark,
}

impl RunningCommand {
    pub fn new(mut supervisor: Child, mark: CommandMark) -> Self {
        Self { report: supervisor.stdout.take(), supervisor: Some(supervisor), mark }
    }

    /// Gives it its body, and takes what it writes until it ends.
    pub async fn attend(
        &mut self,
        reader: OwnedFd,
        body: Bytes,
        output: &mut OutputTail,
    ) -> io::Result<()> {
        let Some(child) = &mut self.supervisor else { return Ok(()) };
        let stdin = child.stdin.take();
        let stdin = stdin.map(|stdin| pipe::Sender::from_owned_fd(stdin.into())).transpose()?;
        let mut written = pipe::Receiver::from_owned_fd(reader)?;

        {
            let feed = async {
                if let Some(mut stdin) = stdin {
                    // One that does not want all of it has its reasons.
                    let _ = stdin.write_all(&body).await;
                }
            };
            let listen = async {
                let mut buffer = [0; 4096];
                while let Ok(read @ 1..) = written.read(&mut buffer).await {
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

        // The last of its output. The pipe is not read to its end: others may hold it open for
        // longer.
        let mut buffer = [0; 4096];
        let written = written.into_nonblocking_fd()?;
        for _ in 0..PIPE / buffer.len() {
            match rustix::io::read(&written, &mut buffer) {
                Ok(read @ 1..) => output.add(&buffer[..read]),
                _ => break,
            }
        }
        Ok(())
    }

    /// How the command ended, or why it did not begin. A signal that ended its supervisor was meant
    /// for the command, which shares its process group, or came from it.
    pub async fn end(&mut self) -> io::Result<Result<CommandExit, String>> {
        let Some(child) = self.supervisor.take() else {
            return Err(io::ErrorKind::NotFound.into());
        };
        let status = reap(child)?;
        let is_over = is_over(status, &self.mark).await;

        let mut text = [0; REPORT];
        let read = self
            .report
            .take()
            .map_or(Ok(0), |mut report| read_what_is_there(&mut report, &mut text))?;
        let report = supervise::read_report(&String::from_utf8_lossy(&text[..read]));
        let killed = CommandExit {
            signal: status.signal(),
            was_unsupervised: true,
            may_go_on: !is_over,
            ..CommandExit::default()
        };
        Ok(report.unwrap_or(Ok(killed)))
    }

    /// Ends the command and all that it started, and waits for that.
    pub async fn stop(&mut self) {
        drop(self.report.take());
        if let Some(child) = &self.supervisor {
            let _ = tokio::time::timeout(END, has_ended(child)).await;
        }
        if let Some(Ok(status)) = self.supervisor.take().map(reap) {
            is_over(status, &self.mark).await;
        }
    }
}

impl Drop for RunningCommand {
    fn drop(&mut self) {
        drop(self.report.take());
        let Some(child) = self.supervisor.take() else { return };

        // It needs a moment, and nobody waits for it here.
        let mark = self.mark.clone();
        let _ = std::thread::Builder::new().spawn(move || {
            supervise::await_end(&child, END);
            if reap(child).is_ok_and(|status| status.signal().is_some()) {
                mark.end();
            }
        });
    }
}

/// Takes note of the end of a supervisor, which has to end now. One that ended by itself has ended
/// all of its command before; of one that was killed its group ends here, and what had left that
/// is still to be looked for.
fn reap(mut supervisor: Child) -> io::Result<ExitStatus> {
    // The number of its group stays taken until it was waited for.
    let _ = kill_process_group(Pid::from_child(&supervisor), Signal::KILL);
    supervisor.wait()
}

/// Whether nothing is left of the command of a supervisor that has ended so.
async fn is_over(status: ExitStatus, mark: &CommandMark) -> bool {
    if status.signal().is_none() {
        return true;
    }
    let mark = mark.clone();
    tokio::task::spawn_blocking(move || mark.end()).await.unwrap_or(false)
}

/// Reads a pipe whose writer has ended.
fn read_what_is_there(pipe: &mut ChildStdout, buffer: &mut [u8]) -> io::Result<usize> {
    rustix::io::ioctl_fionbio(&*pipe, true)?;
    let mut filled = 0;
    while filled < buffer.len() {
        match pipe.read(&mut buffer[filled..]) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

/// Waits until the process has ended, without reaping it, so that the number of its group stays
/// taken.
#[expect(
    deprecated,
    reason = "its successor is unsafe; an OwnedFd stays open and the same, as it asks for"
)]
async fn has_ended(child: &Child) -> io::Result<()> {
    let pid = Pid::from_child(child);
    match pidfd_open(pid, PidfdFlags::empty()) {
        Ok(descriptor) => {
            let descriptor = AsyncFd::with_interest(descriptor, Interest::READABLE)?;
            descriptor.readable().await.map(drop)
        }
        // A kernel before 5.3.
        Err(_) => {
            while !supervise::has_ended(child) {
                tokio::time::sleep(LOOK).await;
            }
            Ok(())
        }
    }
}
