//! Commands whose helper or daemon is killed: nothing of them goes on.

use rustix::process::Signal;

use super::support::daemon::signal;
use super::support::{Daemon, Home, SOON, until};
use super::{delivery_in, open_source, text};

/// Processes of a command: its helper, itself, children and a grandchild in its group, and one that
/// has left group and session.
struct Processes(Vec<u32>);

impl Processes {
    fn helper(&self) -> u32 {
        self.0[0]
    }

    fn are_alive(&self) -> bool {
        self.0[1..].iter().all(|pid| lives(*pid))
    }

    fn await_end(&self) {
        for pid in &self.0 {
            until("the command and all that it started to be gone", SOON, || {
                (!lives(*pid)).then_some(())
            });
        }
    }
}

/// Whether a process runs; a zombie is what a parent has not looked at.
fn lives(pid: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    !stat.is_empty() && !stat.contains(") Z ")
}

/// Whether all threads of a process are stopped.
fn stands_still(pid: u32) -> bool {
    let threads = std::fs::read_dir(format!("/proc/{pid}/task")).expect("it lives").flatten();
    let stats = threads.map(|thread| std::fs::read_to_string(thread.path().join("stat")));
    stats.flatten().all(|stat| stat.contains(") T "))
}

/// A daemon whose endpoint runs a command that lasts. When it runs again it notes in `beside` what
/// of the first time goes on, and ends.
fn with_lasting_command(home: &mut Home) -> (Daemon, Processes) {
    let config = home.write("hookbox.toml", "[exec]\nallow = [\"/bin/sh\"]\n");
    home.args.extend(["--config".to_owned(), config]);
    let script = format!(
        "cd {}; \
         if [ -e pids ]; then for pid in $(cat pids); do \
         case $(cat /proc/$pid/stat 2>/dev/null) in ''|*') Z '*) ;; *) echo $pid >> beside;; \
         esac; done; exit 0; fi; \
         echo $PPID > pids; echo $$ >> pids; sleep 600 & echo $! >> pids; \
         sh -c 'sleep 600 & echo $! >> pids; exec sleep 600' & echo $! >> pids; \
         setsid sleep 600 & echo $! >> pids; \
         until [ $(wc -l < pids) -eq 6 ]; do sleep 0.05; done; echo end >> pids; sleep 600",
        home.path().display()
    );

    let daemon = home.start();
    open_source(&daemon, "in");
    let args = ["--arg", "-c", "--arg", &script, "--timeout", "5m", "--retry-base", "50ms"];
    daemon
        .json(&[&["endpoint", "create", "long", "--url", "exec:/bin/sh"][..], &args[..]].concat());
    daemon.accept("/in/in", &[], b"x");

    let file = home.path().join("pids");
    let pids = until("the command to run", SOON, || {
        std::fs::read_to_string(&file).ok().filter(|text| text.ends_with("end\n"))
    });
    let pids = pids.lines().filter_map(|line| line.parse().ok()).collect();
    let processes = Processes(pids);
    assert!(processes.0.len() == 6 && processes.are_alive(), "{:?}", processes.0);
    (daemon, processes)
}

/// Also what left its group and session, and hears of no signal.
#[test]
fn a_command_dies_with_its_daemon() {
    let mut home = Home::new();
    let (daemon, processes) = with_lasting_command(&mut home);
    daemon.kill();
    processes.await_end();
}

#[test]
fn a_command_dies_with_its_helper() {
    let mut home = Home::new();
    let (daemon, processes) = with_lasting_command(&mut home);
    signal(processes.helper(), Signal::KILL);

    // It was ended before the attempt was over: the next one runs beside nothing.
    daemon.await_count("delivered", 1);
    assert!(!home.path().join("beside").exists());
    processes.await_end();
    let delivery = delivery_in(&daemon, "long", "delivered");
    let shown = daemon.json(&["delivery", "show", text(&delivery, "id")]);
    let error = text(&shown["history"][0], "error");
    assert_eq!(error, "ended by signal 9 with its helper");
}

/// Kills the daemon and the helper so that neither can do anything about the other's end.
fn kill_both(daemon: Daemon, processes: &Processes) {
    daemon.signal(Signal::STOP);
    // One of its threads sees the signal, and has to tell the others.
    until("the daemon to stand still", SOON, || stands_still(daemon.pid()).then_some(()));
    signal(processes.helper(), Signal::KILL);
    until("the helper to be gone", SOON, || (!lives(processes.helper())).then_some(()));
    daemon.kill();
    assert!(processes.are_alive(), "nobody has ended them");
}

/// Nobody is left who could end it then but the next daemon.
#[test]
fn a_command_whose_helper_and_daemon_are_killed_dies_at_the_next_start() {
    let mut home = Home::new();
    let (daemon, processes) = with_lasting_command(&mut home);
    kill_both(daemon, &processes);

    let daemon = home.start();
    daemon.await_count("delivered", 1);
    assert!(!home.path().join("beside").exists());
    processes.await_end();
}

/// Also when no command runs any more.
#[test]
fn what_a_command_left_behind_is_ended_by_a_daemon_that_runs_none() {
    let mut home = Home::new();
    let (daemon, processes) = with_lasting_command(&mut home);
    kill_both(daemon, &processes);

    home.write("hookbox.toml", "");
    let _daemon = home.start();
    processes.await_end();
}
