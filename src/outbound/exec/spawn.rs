//! The thread that starts commands. It has given up gaining privileges, for itself and for whatever
//! it starts, which holds for a thread alone: the rest of the daemon stays as it is.

use std::io;
use std::process::{Child, Command};
use std::sync::OnceLock;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::sync::oneshot;

use crate::model::limits;

struct SpawnJob {
    command: Command,
    reply: oneshot::Sender<io::Result<Child>>,
}

/// Starts commands; its own thread begins with the first one.
#[derive(Default)]
pub struct Spawner(OnceLock<Option<SyncSender<SpawnJob>>>);

impl Spawner {
    /// Starts a command, which is the leader of a process group of its own.
    pub async fn spawn(&self, command: Command) -> io::Result<Child> {
        let jobs = self.0.get_or_init(start).as_ref();
        let jobs =
            jobs.ok_or_else(|| io::Error::other("the system gives no thread to start it from"))?;
        let (reply, answer) = oneshot::channel();
        jobs.try_send(SpawnJob { command, reply })
            .map_err(|_| io::Error::other("too many start at once"))?;
        answer.await.map_err(|_| io::Error::other("the thread that starts commands is gone"))?
    }
}

fn start() -> Option<SyncSender<SpawnJob>> {
    let (sender, jobs) = sync_channel(limits::COMMANDS);
    std::thread::Builder::new().name("hookbox-exec".to_owned()).spawn(move || run(&jobs)).ok()?;
    Some(sender)
}

fn run(jobs: &Receiver<SpawnJob>) {
    let humble = rustix::thread::set_no_new_privs(true);
    // There are none to clear in a process without capabilities, or on a kernel that knows no
    // ambient ones.
    let _ = rustix::thread::clear_ambient_capability_set();
    while let Ok(SpawnJob { mut command, reply }) = jobs.recv() {
        let started = match humble {
            Ok(()) => command.spawn(),
            Err(error) => Err(io::Error::other(format!("no_new_privs cannot be set: {error}"))),
        };
        // Whoever asked may be gone: then nothing may go on.
        if let Err(Ok(mut orphan)) = reply.send(started) {
            end(&mut orphan);
        }
    }
}

/// Ends a command and whatever it started, and takes note of its end.
fn end(child: &mut Child) {
    let _ = kill_process_group(Pid::from_child(child), Signal::KILL);
    let _ = child.wait();
}
