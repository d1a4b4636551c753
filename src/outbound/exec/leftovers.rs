//! Ends what commands have left running when nobody is left who knows it: the supervisor was
//! killed, or the daemon and all supervisors at once.
//!
//! Found are the processes that have the [mark](super::mark) in their environment, those that they
//! have started, and those in a process group with one of them. What has left its group, has an
//! environment of its own, and has no marked parent any more is not found.

use std::collections::HashSet;
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{
    Pid, PidfdFlags, Signal, getpid, kill_process, pidfd_open, pidfd_send_signal,
};

use super::processes::{self, ProcessFacts};
use super::supervise;

/// The variable in the environment of a command that marks its processes.
pub const VARIABLE: &str = "HOOKBOX_RUN";
/// How long what was killed may take to be gone.
const END: Duration = Duration::from_secs(5);
/// How long a supervisor that lives may take to end all by itself, which it can do better.
const BY_ITSELF: Duration = Duration::from_secs(3);
/// How long those that were killed are left alone before they are looked for again.
const GAP: Duration = Duration::from_millis(2);

/// Ends all processes whose mark is wanted, and what belongs to them. Returns whether none is left.
#[expect(
    clippy::disallowed_methods,
    reason = "a thread of its own, which decides nothing that is remembered"
)]
pub fn end(is_wanted: impl Fn(&str) -> bool) -> bool {
    let start = Instant::now();
    loop {
        let found = find(&is_wanted, &processes::all());
        if found.is_empty() {
            return true;
        }
        if start.elapsed() > END {
            return false;
        }

        let is_patient = start.elapsed() < BY_ITSELF;
        for process in found {
            if !is_patient || process.name != supervise::NAME {
                kill(&process);
            }
        }
        thread::sleep(GAP);
    }
}

/// The marked ones among these processes, with what belongs to them.
fn find(is_wanted: impl Fn(&str) -> bool, all: &[ProcessFacts]) -> Vec<ProcessFacts> {
    let is_marked = |process: &&ProcessFacts| {
        processes::variable(process.pid, VARIABLE).is_some_and(|mark| is_wanted(&mark))
    };
    let own = getpid();
    let mut found: HashSet<Pid> = all.iter().filter(is_marked).map(|process| process.pid).collect();

    loop {
        let is_found = |process: &&ProcessFacts| found.contains(&process.pid);
        let groups: HashSet<Pid> =
            all.iter().filter(is_found).filter_map(|process| process.group).collect();
        let belongs = |process: &&ProcessFacts| {
            process.parent.is_some_and(|parent| found.contains(&parent))
                || process.group.is_some_and(|group| groups.contains(&group))
        };
        let more: Vec<Pid> = all
            .iter()
            .filter(|process| !is_found(process))
            .filter(belongs)
            .map(|process| process.pid)
            .collect();
        if more.is_empty() {
            break;
        }
        found.extend(more);
    }
    found.remove(&own);
    all.iter().filter(|process| found.contains(&process.pid)).cloned().collect()
}

/// Kills a process, and no other one that has its number by now.
fn kill(process: &ProcessFacts) {
    let handle = pidfd_open(process.pid, PidfdFlags::empty());
    if ProcessFacts::of(process.pid).is_none_or(|now| now.started != process.started) {
        return;
    }
    let _ = match handle {
        Ok(handle) => pidfd_send_signal(handle, Signal::KILL),
        // A kernel before 5.3.
        Err(_) => kill_process(process.pid, Signal::KILL),
    };
}
