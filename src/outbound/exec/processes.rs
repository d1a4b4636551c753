//! The processes of this machine, as far as `/proc` shows them.

use std::fs::{self, File};
use std::io::Read;

use rustix::process::Pid;

/// Bytes that are read of an environment: the kernel gives a process no larger one by itself.
const ENVIRONMENT: u64 = 2 << 20;

/// What is known of a process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProcessFacts {
    pub pid: Pid,
    /// Anything: a process chooses it.
    pub name: String,
    pub parent: Option<Pid>,
    pub group: Option<Pid>,
    /// In ticks since the machine started. A number is given to another process later on, with
    /// another start.
    pub started: u64,
}

impl ProcessFacts {
    /// `None` when there is no such process, or none that can be seen.
    pub fn of(pid: Pid) -> Option<Self> {
        let stat = fs::read(format!("/proc/{}/stat", pid.as_raw_nonzero())).ok()?;
        parse(pid, &String::from_utf8_lossy(&stat))
    }
}

/// All that can be seen, in no order.
pub fn all() -> Vec<ProcessFacts> {
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    let pids = entries.flatten().filter_map(|entry| number(entry.file_name().to_str()?));
    pids.filter_map(ProcessFacts::of).collect()
}

/// The value of a variable in the environment that a process was started with, where that can be
/// seen.
pub fn variable(pid: Pid, name: &str) -> Option<String> {
    let file = File::open(format!("/proc/{}/environ", pid.as_raw_nonzero())).ok()?;
    let mut environment = Vec::new();
    file.take(ENVIRONMENT).read_to_end(&mut environment).ok()?;
    let mut values = environment
        .split(|byte| *byte == 0)
        .filter_map(|entry| entry.strip_prefix(name.as_bytes())?.strip_prefix(b"="));
    values.next().map(|value| String::from_utf8_lossy(value).into_owned())
}

pub fn number(text: &str) -> Option<Pid> {
    text.parse().ok().and_then(Pid::from_raw)
}

fn parse(pid: Pid, stat: &str) -> Option<ProcessFacts> {
    // The name in brackets may hold anything, also brackets.
    let (begin, rest) = stat.rsplit_once(") ")?;
    let (_, name) = begin.split_once('(')?;
    let mut fields = rest.split(' ').skip(1);
    let (parent, group) = (number(fields.next()?), number(fields.next()?));
    let started = fields.nth(16)?.parse().ok()?;
    Some(ProcessFacts { pid, name: name.to_owned(), parent, group, started })
}

#[cfg(test)]
mod tests {
    use rustix::process::{Pid, getpgrp, getpid, getppid};

    use super::{ProcessFacts, all, number, parse, variable};

    #[test]
    fn a_process_is_read_whatever_its_name() {
        let stat = "7 (a) b (c) ) S 3 4 5 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 8800 9 10";
        let pid = Pid::from_raw(7).unwrap();
        let facts = parse(pid, stat).unwrap();
        assert_eq!((facts.name.as_str(), facts.started), ("a) b (c) ", 8_800));
        assert_eq!((facts.parent, facts.group), (number("3"), number("4")));
        for broken in ["", "7 (a) S 3", "7 (a) S x y z", "no brackets"] {
            assert_eq!(parse(pid, broken), None, "{broken}");
        }
    }

    #[test]
    fn this_process_is_seen() {
        let own = ProcessFacts::of(getpid()).unwrap();
        assert_eq!((own.parent, own.group), (getppid(), Some(getpgrp())));
        assert!(own.started > 0 && all().contains(&own));
        assert_eq!(variable(getpid(), "PATH"), std::env::var("PATH").ok());
        assert_eq!(variable(getpid(), "PAT"), None);
    }
}
