//! P-11: too little memory. The daemon runs in a control group with 64 MiB under a load far beyond
//! what it has memory for.
//!
//! It either refuses (503) what it has no room for, or the system kills it; then a restart has
//! everything that was acknowledged. Both are counted and printed.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::support::ledger::{Acked, Load, Pace, look_up};
use super::support::{Daemon, Home, Receiver, SOON, Step, until};

const LIMIT: u64 = 64 << 20;
/// Connections that post at a time in each round, bodies of up to a mebibyte: the last is ten times
/// what fits.
const POSTERS: [u64; 4] = [8, 16, 32, 160];

/// A control group of our own. Removed when dropped; nothing is in it then.
struct Group(PathBuf);

impl Group {
    /// Makes one with a limit on its memory; why not, when that cannot be done.
    fn new() -> Result<Self, String> {
        let root = Path::new("/sys/fs/cgroup");
        let name = format!("hookbox-test-{}", std::process::id());
        let (parent, limit) = if root.join("cgroup.controllers").exists() {
            (root.to_owned(), "memory.max")
        } else {
            (root.join("memory"), "memory.limit_in_bytes")
        };
        let group = parent.join(name);
        std::fs::create_dir(&group).map_err(|e| format!("no control group can be made: {e}"))?;
        let group = Self(group);
        std::fs::write(group.0.join(limit), LIMIT.to_string())
            .map_err(|e| format!("it takes no {limit}: {e}"))?;
        Ok(group)
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // The kernel may need a moment to see that the last process is gone.
        for _ in 0..100 {
            if std::fs::remove_dir(&self.0).is_ok() {
                return;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

#[test]
#[ignore = "needs root and control groups"]
fn p11_with_too_little_memory_nothing_acknowledged_is_lost() {
    let group = Group::new().unwrap_or_else(|why| panic!("this test cannot run here: {why}"));
    let receiver = Receiver::start();
    receiver.forget_bodies();
    receiver.always("/hook", Step::Slow(Duration::from_millis(200)));
    let mut home = Home::new();
    let enter = format!("echo $$ > {}/cgroup.procs; exec \"$@\"", group.0.display());
    home.under = ["sh", "-c", &enter, "sh"].map(String::from).into();

    let (mut acked, mut kills, mut refused, mut peak): (Vec<Acked>, usize, u64, u64) =
        (Vec::new(), 0, 0, 0);
    for (round, posters) in POSTERS.into_iter().enumerate() {
        let mut daemon = home.start();
        if round == 0 {
            daemon.json(&["source", "create", "in", "--verify", "none"]);
            daemon.json(&[
                "endpoint",
                "create",
                "hook",
                "--url",
                &receiver.url("/hook"),
                "--allow-private",
            ]);
        }

        let load = Load::start(daemon.addr, &pace(posters), round as u64);
        until("the load's end, or the daemon's", SOON * 2, || {
            peak = peak.max(resident(&daemon));
            (load.is_over() || daemon.ended().is_some()).then_some(())
        });
        refused += load.refused();
        acked.extend(load.end());

        match daemon.ended() {
            Some(status) => {
                assert_eq!(
                    std::os::unix::process::ExitStatusExt::signal(&status),
                    Some(9),
                    "{}",
                    daemon.log_text()
                );
                kills += 1;
            }
            None => daemon.kill(),
        }
    }

    // The restart is one with room.
    home.under.clear();
    let daemon = home.start();
    let census = look_up(&daemon.socket, &acked).expect("it answers");
    println!(
        "memory: {} MiB: {} acknowledged, {refused} refused, {kills} of {} killed by the system, \
         peak {peak} KiB, {} lost",
        LIMIT >> 20,
        acked.len(),
        POSTERS.len(),
        census.lost.len()
    );

    assert!(census.lost.is_empty() && census.verified(), "{:#?} {}", census.lost, census.report);
    assert!(!acked.is_empty(), "the test has no load");
    assert_eq!(daemon.terminate().code(), Some(0));
}

fn pace(posters: u64) -> Pace {
    Pace {
        posters,
        pause_us: 0,
        bytes: 48 << 20,
        largest: 1_000_000,
        sources: ["in", "in"],
        kept_percent: 0,
    }
}

/// KiB; 0 when it is gone.
fn resident(daemon: &Daemon) -> u64 {
    let text =
        std::fs::read_to_string(format!("/proc/{}/status", daemon.pid())).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or(0)
}
