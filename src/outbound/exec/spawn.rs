//! The thread that starts commands. It has given up gaining privileges, for itself and for whatever
//! it starts, which holds for a thread alone: the rest of the daemon stays as it is.

use std::io;
use std::process::Command;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, OnceLock};

use tokio::sync::oneshot;

use super::mark::{CommandMark, CommandMarks};
use super::running::RunningCommand;
use crate::model::limits;

struct SpawnJob {
    command: Command,
    mark: CommandMark,
    reply: oneshot::Sender<io::Result<RunningCommand>>,
}

/// Starts commands; its own thread begins with the first one.
pub struct Spawner {
    marks: Arc<CommandMarks>,
    jobs: OnceLock<Option<SyncSender<SpawnJob>>>,
}

impl Spawner {
    pub fn new(marks: Arc<CommandMarks>) -> Self {
        Self { marks, jobs: OnceLock::new() }
    }

    /// Starts a command, which is the leader of a process group of its own, and has this mark in
    /// its environment.
    pub async fn spawn(&self, command: Command, mark: CommandMark) -> io::Result<RunningCommand> {
        let jobs = self.jobs.get_or_init(|| start(self.marks.clone())).as_ref();
        let jobs =
            jobs.ok_or_else(|| io::Error::other("the system gives no thread to start it from"))?;
        let (reply, answer) = oneshot::channel();
        jobs.try_send(SpawnJob { command, mark, reply })
            .map_err(|_| io::Error::other("too many start at once"))?;
        answer.await.map_err(|_| io::Error::other("the thread that starts commands is gone"))?
    }
}

fn start(marks: Arc<CommandMarks>) -> Option<SyncSender<SpawnJob>> {
    let (sender, jobs) = sync_channel(limits::COMMANDS);
    let run = move || {
        // Nothing runs beside what is left of its last attempt.
        marks.end_those_of_before();
        run(&jobs);
    };
    std::thread::Builder::new().name("hookbox-exec".to_owned()).spawn(run).ok()?;
    Some(sender)
}

fn run(jobs: &Receiver<SpawnJob>) {
    let humble = rustix::thread::set_no_new_privs(true);
    // There are none to clear in a process without capabilities, or on a kernel that knows no
    // ambient ones.
    let _ = rustix::thread::clear_ambient_capability_set();
    while let Ok(SpawnJob { mut command, mark, reply }) = jobs.recv() {
        let started = match humble {
            Ok(()) => command.spawn().map(|child| RunningCommand::new(child, mark)),
            Err(error) => Err(io::Error::other(format!("no_new_privs cannot be set: {error}"))),
        };
        // Whoever asked may be gone: then the command ends here.
        let _ = reply.send(started);
    }
}
