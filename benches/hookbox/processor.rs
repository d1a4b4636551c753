//! Processor time of processes and of their threads, as the system counts it in `/proc`. Its shares
//! stay nearly the same on a machine that others use, unlike rates.

use std::collections::BTreeMap;
use std::time::Duration;

/// What a process has used by itself, all its threads together, ended ones included.
pub fn of_process(pid: u32) -> Duration {
    numbers(&format!("/proc/{pid}/stat")).map_or(Duration::ZERO, |(_, own, _)| own)
}

/// What processes have used with all that they started, ended ones included.
pub fn of_trees(pids: &[u32]) -> Duration {
    pids.iter().map(|&pid| of_tree(pid)).sum()
}

fn of_tree(pid: u32) -> Duration {
    let ended = |(_, own, waited): (String, Duration, Duration)| own + waited;
    let own = numbers(&format!("/proc/{pid}/stat")).map_or(Duration::ZERO, ended);
    own + children(pid).into_iter().map(of_tree).sum::<Duration>()
}

fn children(pid: u32) -> Vec<u32> {
    let tasks = std::fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    let lists = tasks.filter_map(|task| std::fs::read_to_string(task.path().join("children")).ok());
    lists
        .flat_map(|list| list.split_whitespace().flat_map(str::parse).collect::<Vec<_>>())
        .collect()
}

/// The threads of a process by their numbers: their names, of which the system keeps 15 letters,
/// and what each has used.
pub fn of_threads(pid: u32) -> BTreeMap<String, (String, Duration)> {
    let tasks = std::fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    tasks
        .filter_map(|task| {
            let (name, own, _) = numbers(&task.path().join("stat").to_string_lossy())?;
            Some((task.file_name().to_string_lossy().into_owned(), (name, own)))
        })
        .collect()
}

/// The name, what it has used, and what its children have used that have ended, of a file `stat`.
fn numbers(file: &str) -> Option<(String, Duration, Duration)> {
    let text = std::fs::read_to_string(file).ok()?;
    // The name may have any letters, parentheses as well.
    let (before, after) = text.rsplit_once(')')?;
    let name = before.split_once('(')?.1.to_owned();
    // The first of these is the third of proc_pid_stat(5): there utime is the 14th.
    let ticks: Vec<u64> =
        after.split_whitespace().skip(11).take(4).map(str::parse).collect::<Result<_, _>>().ok()?;
    let &[user, system, children_user, children_system] = &ticks[..] else { return None };
    Some((name, time(user + system), time(children_user + children_system)))
}

fn time(ticks: u64) -> Duration {
    let a_second = rustix::param::clock_ticks_per_second();
    Duration::from_micros(ticks * 1_000_000 / a_second)
}

/// Microseconds for each of so many events.
pub fn each(used: Duration, events: u64) -> f64 {
    used.as_secs_f64() * 1e6 / super::report::number(events.max(1))
}
