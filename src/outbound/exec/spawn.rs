//! The thread that starts commands. It has given up gaining privileges, for itself and for whatever it starts, which
//! holds for a thread alone: the rest of the daemon stays as it is.

use std::io;
use std::process::{Child, Command};
use std::sync::OnceLock;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use rustix::process::{Pid, Resource, Rlimit, Signal, kill_process_group, prlimit};
use tokio::sync::oneshot;

use crate::model::limits;

/// What a command may use, set right after its start and before it is given its body.
const RESOURCES: [(Resource, u64); 5] = [
    (Resource::Core, 0),
    (Resource::Nofile, limits::COMMAND_FILES),
    (Resource::Nproc, limits::COMMAND_PROCESSES),
    (Resource::Fsize, limits::COMMAND_FILE_BYTES),
    (Resource::Data, limits::COMMAND_MEMORY),
];

struct Job {
    command: Command,
    cpu_s: u64,
    reply: oneshot::Sender<io::Result<Child>>,
}

/// Starts commands; its own thread begins with the first one.
#[derive(Default)]
pub(super) struct Spawner(OnceLock<Option<SyncSender<Job>>>);

impl Spawner {
    /// Starts a command, which is the leader of a process group of its own.
    pub(super) async fn spawn(&self, command: Command, cpu_s: u64) -> io::Result<Child> {
        let jobs = self.0.get_or_init(start).as_ref();
        let jobs = jobs.ok_or_else(|| io::Error::other("the system gives no thread to start it from"))?;
        let (reply, answer) = oneshot::channel();
        jobs.try_send(Job { command, cpu_s, reply }).map_err(|_| io::Error::other("too many start at once"))?;
        answer.await.map_err(|_| io::Error::other("the thread that starts commands is gone"))?
    }
}

fn start() -> Option<SyncSender<Job>> {
    let (sender, jobs) = sync_channel(limits::COMMANDS);
    std::thread::Builder::new().name("hookbox-exec".to_owned()).spawn(move || run(&jobs)).ok()?;
    Some(sender)
}

fn run(jobs: &Receiver<Job>) {
    let humble = rustix::thread::set_no_new_privs(true);
    // There are none to clear in a process without capabilities, or on a kernel that knows no ambient ones.
    let _ = rustix::thread::clear_ambient_capability_set();
    while let Ok(Job { mut command, cpu_s, reply }) = jobs.recv() {
        let started = match humble {
            Ok(()) => begin(&mut command, cpu_s),
            Err(error) => Err(io::Error::other(format!("no_new_privs cannot be set: {error}"))),
        };
        // Whoever asked may be gone: then nothing may go on.
        if let Err(Ok(mut orphan)) = reply.send(started) {
            end(&mut orphan);
        }
    }
}

fn begin(command: &mut Command, cpu_s: u64) -> io::Result<Child> {
    let mut child = command.spawn()?;
    let pid = Some(Pid::from_child(&child));
    for (resource, most) in RESOURCES.into_iter().chain([(Resource::Cpu, cpu_s)]) {
        let limit = Rlimit { current: Some(most), maximum: Some(most) };
        // One that is lower already cannot be raised, and need not.
        let set = prlimit(pid, resource, limit);
        if set.is_err_and(|error| error != rustix::io::Errno::PERM && error != rustix::io::Errno::SRCH) {
            end(&mut child);
            return Err(io::Error::other("its limits cannot be set"));
        }
    }
    Ok(child)
}

/// Ends a command and whatever it started, and takes note of its end.
fn end(child: &mut Child) {
    let _ = kill_process_group(Pid::from_child(child), Signal::KILL);
    let _ = child.wait();
}
