//! A process beside each command. It makes sure that nothing of the command outlives it, or the
//! daemon.
//!
//! It is this program, started anew with [`MARK`] as its first argument: it sets the command's
//! bounds for itself, starts the command, and waits. Every process that the command starts belongs
//! to it in the end, also those that have left the command's process group and session (`setsid`,
//! daemons): it is their subreaper. When the command has ended, or the daemon has, it kills all of
//! them, reports how the command ended, and ends itself.
//!
//! stdin is the command's; stderr is the command's output; stdout is a pipe to the daemon, for the
//! report. Nobody reads that pipe any more when the daemon has died, or has given the command up.

use std::ffi::{CString, OsString};
use std::fs::{self, File};
use std::io::{self, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::{Child, Command, ExitCode, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{
    Pid, PidfdFlags, Resource, Rlimit, Signal, WaitId, WaitIdOptions, WaitOptions, WaitStatus,
    getpid, getrlimit, kill_process, pidfd_open, set_child_subreaper, setrlimit, wait, waitid,
};

use super::allow::Admitted;
use super::processes::{self, number};
use crate::model::limits;

/// The argument that makes a supervisor of this program; behind it the command's time on the
/// processor in seconds, the device and inode of its file, its path and its arguments.
pub const MARK: &str = "--supervise-command";
/// Its name in lists of processes.
pub const NAME: &str = "hookbox-command";
/// How long what was killed may take to be gone; what the kernel holds for longer is left to the
/// system.
const END: Duration = Duration::from_secs(5);
/// How often the end of a command is looked for where the kernel does not report it.
const LOOK: Timespec = Timespec { tv_sec: 0, tv_nsec: 20_000_000 };
/// The beginning of its report: how the command ended, or why it was not started.
pub const ENDED: &str = "hookbox-command-ended";
pub const NOT_STARTED: &str = "hookbox-command-not-started";

/// How a command ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CommandExit {
    pub exit: Option<i32>,
    pub signal: Option<i32>,
    /// Its supervisor was killed. What it had started was ended all the same.
    pub was_unsupervised: bool,
    /// And it cannot be said that nothing of that goes on.
    pub may_go_on: bool,
}

/// The arguments behind the program's own that make it supervise this command.
pub fn arguments(admitted: &Admitted, args: &[String], cpu_s: u64) -> Vec<OsString> {
    let mut all: Vec<OsString> = vec![MARK.into()];
    all.extend([cpu_s, admitted.device, admitted.inode].map(|number| number.to_string().into()));
    all.push(admitted.path.as_os_str().to_owned());
    all.extend(args.iter().map(OsString::from));
    all
}

/// Supervises a command when this program was started for that; `None` when it was not.
pub fn supervise() -> Option<ExitCode> {
    let mut args = std::env::args_os().skip_while(|arg| arg != MARK).skip(1);
    let mut number = || args.next()?.to_str()?.parse::<u64>().ok();
    let (cpu_s, device, inode) = (number()?, number()?, number()?);
    let path = args.next()?;

    let report = match run(Path::new(&path), args, cpu_s, (device, inode)) {
        Ok(CommandExit { exit: Some(code), .. }) => format!("{ENDED} exit {code}\n"),
        Ok(CommandExit { signal, .. }) => {
            format!("{ENDED} signal {}\n", signal.unwrap_or_default())
        }
        Err(error) => format!("{NOT_STARTED} {error}\n"),
    };

    // The daemon may be gone.
    let _ = io::stdout().write_all(report.as_bytes());
    Some(ExitCode::SUCCESS)
}

fn run(
    path: &Path,
    args: impl Iterator<Item = OsString>,
    cpu_s: u64,
    file: (u64, u64),
) -> io::Result<CommandExit> {
    if let Ok(name) = CString::new(NAME) {
        let _ = rustix::thread::set_name(&name);
    }
    set_child_subreaper(Some(getpid()))?;
    bound(cpu_s);

    let meta = fs::metadata(path)?;
    if (meta.dev(), meta.ino()) != file {
        return Err(io::Error::other("it was replaced after it had been checked"));
    }

    let output = io::stderr().as_fd().try_clone_to_owned()?;
    let mut command = Command::new(path);
    let child = command.args(args).stdout(Stdio::from(output)).spawn()?;

    // From here on only the command reads what it is given.
    if let Ok(nothing) = File::open("/dev/null") {
        let _ = rustix::stdio::dup2_stdin(nothing);
    }

    let end = attend(Pid::from_child(&child));
    end_all();
    Ok(end.unwrap_or_default())
}

/// Sets what the command and all that it starts may have. A bound that is lower already stays.
fn bound(cpu_s: u64) {
    for (resource, most) in [
        (Resource::Core, 0),
        (Resource::Nofile, limits::COMMAND_FILES),
        (Resource::Fsize, limits::COMMAND_FILE_BYTES),
        (Resource::Data, limits::COMMAND_MEMORY),
        (Resource::Cpu, cpu_s),
        (Resource::Nproc, limits::COMMAND_PROCESSES),
    ] {
        let least = |now: Option<u64>| Some(now.map_or(most, |now| now.min(most)));
        let now = getrlimit(resource);
        let _ = setrlimit(
            resource,
            Rlimit { current: least(now.current), maximum: least(now.maximum) },
        );
    }
}

/// Waits until the command has ended, and returns how; or until the daemon is gone.
fn attend(command: Pid) -> io::Result<CommandExit> {
    let ended: Option<OwnedFd> = pidfd_open(command, PidfdFlags::empty()).ok();
    let daemon = io::stdout();
    loop {
        // Everything that has ended is reaped: also what the command left behind.
        while let Some((pid, status)) = wait(WaitOptions::NOHANG)? {
            if pid == command && !status.stopped() {
                return Ok(end_of(status));
            }
        }

        // A pipe that nobody reads is in error.
        let mut wanted = vec![PollFd::new(&daemon, PollFlags::empty())];
        if let Some(ended) = &ended {
            wanted.push(PollFd::new(ended, PollFlags::IN));
        }

        match poll(&mut wanted, ended.is_none().then_some(&LOOK)) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        if wanted[0].revents().intersects(PollFlags::ERR | PollFlags::HUP | PollFlags::NVAL) {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
    }
}

fn end_of(status: WaitStatus) -> CommandExit {
    CommandExit {
        exit: status.exit_status(),
        signal: status.terminating_signal(),
        ..CommandExit::default()
    }
}

/// Kills all that the command started. What is killed leaves its own children to this process,
/// which takes them next.
#[expect(
    clippy::disallowed_methods,
    reason = "a process of its own, which decides nothing that is remembered"
)]
fn end_all() {
    let until = Instant::now() + END;
    while Instant::now() < until {
        for pid in children() {
            let _ = kill_process(pid, Signal::KILL);
        }
        match wait(WaitOptions::NOHANG) {
            // There are none left.
            Err(_) => return,
            Ok(Some(_)) => {}
            Ok(None) => thread::sleep(Duration::from_millis(1)),
        }
    }
}

/// The processes that this one would have to wait for.
fn children() -> Vec<Pid> {
    let listed: Option<Vec<Pid>> = fs::read_dir("/proc/self/task").ok().map(|tasks| {
        let files = tasks.flatten().map(|task| task.path().join("children"));
        let texts = files.filter_map(|file| fs::read_to_string(file).ok());
        texts
            .flat_map(|text| text.split_whitespace().filter_map(number).collect::<Vec<_>>())
            .collect()
    });
    match listed {
        Some(listed) if !listed.is_empty() => listed,
        // A kernel that keeps no such list.
        _ => found(),
    }
}

/// The same, by asking every process for its parent.
fn found() -> Vec<Pid> {
    let all = processes::all().into_iter();
    all.filter(|process| process.parent == Some(getpid())).map(|process| process.pid).collect()
}

/// Waits for the end of a supervisor, for so long at most, and leaves it a zombie, so that the
/// number of its group stays taken.
#[expect(
    clippy::disallowed_methods,
    reason = "a thread of its own, which decides nothing that is remembered"
)]
pub fn await_end(supervisor: &Child, time: Duration) {
    let until = Instant::now() + time;
    while !has_ended(supervisor) && Instant::now() < until {
        thread::sleep(Duration::from_millis(20));
    }
}

/// Whether a child has ended. It stays a zombie.
pub fn has_ended(child: &Child) -> bool {
    let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
    // One that is no child has been waited for.
    !matches!(waitid(WaitId::Pid(Pid::from_child(child)), options), Ok(None))
}

/// Reads a supervisor's report.
pub fn read_report(text: &str) -> Option<Result<CommandExit, String>> {
    // A test's own program writes other lines, too.
    text.lines().find_map(|line| {
        if let Some(why) = line.strip_prefix(NOT_STARTED) {
            return Some(Err(why.trim().to_owned()));
        }
        let (how, number) = line.strip_prefix(ENDED)?.trim().split_once(' ')?;
        let number = Some(number.parse().ok()?);
        match how {
            "exit" => Some(Ok(CommandExit { exit: number, ..CommandExit::default() })),
            _ => Some(Ok(CommandExit { signal: number, ..CommandExit::default() })),
        }
    })
}

#[cfg(test)]
pub mod tests {
    use super::{CommandExit, read_report, supervise};

    /// In tests this program is that of the tests, which is asked for this one alone.
    pub const TEST: &str = "outbound::exec::supervise::tests::this_test_is_the_supervisor";

    #[test]
    fn this_test_is_the_supervisor() {
        if let Some(_code) = supervise() {
            std::process::exit(0);
        }
    }

    #[test]
    fn its_report_is_understood() {
        assert_eq!(
            read_report("\nrunning 1 test\nhookbox-command-ended exit 3\n"),
            Some(Ok(CommandExit { exit: Some(3), ..CommandExit::default() }))
        );
        assert_eq!(
            read_report("hookbox-command-ended signal 9\n"),
            Some(Ok(CommandExit { signal: Some(9), ..CommandExit::default() }))
        );
        assert_eq!(
            read_report("hookbox-command-not-started no such file\n"),
            Some(Err("no such file".into()))
        );
        assert_eq!(read_report(""), None);
    }
}
