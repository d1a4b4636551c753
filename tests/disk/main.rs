//! D-01, D-02, D-03, D-05, D-08: the disk fails under the running daemon, call by call.
//!
//! `strace` makes the n-th call of one kind (counted for each thread) fail once with EIO, ENOSPC or EDQUOT, or hang. n grows
//! until a run meets no failure any more. Each run begins with a log of several segments that are still to be
//! delivered, so that sealed segments are read as well, and posts on. What must hold, whatever failed:
//!
//! * nothing hangs: the daemon goes on serving, or ends by itself and says why in a line;
//! * after a failed fdatasync it ends, also when the next one would have worked (D-03), and nothing that was sent
//!   after the failure is acknowledged;
//! * a restart has every acknowledged event with its body, the log verifies, and every event comes to its endpoint.
//!
//! Results with HOOKBOX_DISK_FAULTS=1000, HOOKBOX_SEED=3345704905 (fast profile), which leaves out no n but, in about half
//! of the pairs, the first (it begins at 1 since): 1,456 runs over fdatasync, fsync, pwrite64, sync_file_range, ftruncate,
//! rename, openat, mkdir and unlink with EIO and ENOSPC, in 1,438 of which calls failed; 1,169 ended by themselves, 36 did
//! not start and said why, 251 served on. 180,076 events acknowledged meanwhile beside about 400 in each log: 0 lost, 0
//! not delivered, 0 acknowledged after a failed fdatasync. Every kind of call came to a clean run. In 26 runs the store
//! panicked over the error, which is told in one line as well. It took 42 minutes. A hanging fdatasync: 3 of 3 ended. A
//! slow disk and scarce descriptors (D-07, D-09): see `scarce`.
//!
//! Needs strace and root, and `HOOKBOX_DISK_FAULTS` set: 1 doubles n from run to run, 2 makes the steps half as wide,
//! and so on; above 600 none is left out. Without them it is skipped and says so. `HOOKBOX_SEED` shifts the steps.
#![allow(clippy::disallowed_methods, reason = "the outside world has clocks; the seams are the product's")]

mod scarce;
#[path = "../support/mod.rs"]
mod support;

use std::collections::{HashMap, HashSet};
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use support::ledger::{Acked, Load, Pace, look_up};
use support::rng::Rng;
use support::{Ctl, Daemon, Home, Receiver, until};

const CALLS: [&str; 9] =
    ["fdatasync", "fsync", "pwrite64", "sync_file_range", "ftruncate", "rename", "openat", "mkdir", "unlink"];
/// Calls of one kind in one thread that are tried at most.
const FARTHEST: u64 = 600;
const CONFIG: &str = "[log]\nsegment_size = \"1MiB\"\n";
/// From the failure to the process's end; a hanging commit is given up after 10 s.
const END: Duration = Duration::from_secs(13);

/// What all runs came to.
#[derive(Debug, Default)]
struct Total {
    runs: u64,
    /// Runs in which a call failed.
    failed: u64,
    /// Runs in which a call for the log itself failed before the daemon was asked to end.
    failed_serving: u64,
    ended: u64,
    not_started: u64,
    served_on: u64,
    acknowledged: usize,
    /// Runs in which something panicked: the store, over an error of the disk.
    panics: u64,
}

#[test]
fn d01_d02_d03_a_call_that_fails_once_loses_nothing() {
    let Some((density, seed)) = asked_for() else { return };
    for_each_call(density, seed, &["EIO", "ENOSPC"], &CALLS);
}

/// What a user's share of a file system says when it is used up.
#[test]
fn d05_a_disk_quota_that_is_used_up_loses_nothing() {
    let Some((density, seed)) = asked_for() else { return };
    for_each_call(density, seed, &["EDQUOT"], &["pwrite64", "ftruncate", "openat", "mkdir"]);
}

/// Lets one call of a kind fail, the next one in the next run, until a run meets none.
fn for_each_call(density: u64, seed: u64, errors: &[&str], calls: &[&str]) {
    let template = Template::new(seed);
    let mut rng = Rng::new(seed);
    for error in errors {
        for call in calls {
            let mut total = Total::default();
            let mut at = 1 + if density < FARTHEST { rng.below(2) } else { 0 };
            let mut clean = false;
            while at < FARTHEST && !clean {
                let fault = format!("error={error}:when={at}");
                clean = !run(&template, call, &fault, rng.next(), &mut total);
                at += (at / density).max(1);
            }
            println!("disk: {call} {error}: clean {clean}: {total:?}");
        }
    }
}

#[test]
fn d02_a_disk_that_fails_for_good_is_told_and_loses_nothing() {
    let Some((_, seed)) = asked_for() else { return };
    let template = Template::new(seed);
    let mut rng = Rng::new(seed);
    for call in ["fdatasync", "fsync", "pwrite64", "sync_file_range"] {
        let mut total = Total::default();
        for from in [1, 2 + rng.below(40)] {
            run(&template, call, &format!("error=EIO:when={from}+"), rng.next(), &mut total);
        }
        println!("disk: {call} EIO for good: {total:?}");
        // A run in which the call was never made again, or only after it was asked to end, has met no fault and serves
        // on; so does one in which it only failed for a note that is done without.
        let serve = total.runs - total.failed_serving;
        assert_eq!(total.served_on, serve, "{call}: a daemon that cannot write does not serve: {total:?}");
    }
}

#[test]
fn d08_a_commit_that_hangs_ends_the_process() {
    let Some((_, seed)) = asked_for() else { return };
    let template = Template::new(seed);
    let mut rng = Rng::new(seed);
    let mut total = Total::default();
    for at in [1, 2, 3 + rng.below(30)] {
        run(&template, "fdatasync", &format!("delay_exit=20000000:when={}", 8 + at), rng.next(), &mut total);
    }
    println!("disk: fdatasync hangs: {total:?}");
    assert_eq!(total.ended, total.runs, "a commit that takes longer than 10 s ends the process");
}

/// How dense the steps are, and the seed; `None`, with the reason printed, when there is nothing to do.
fn asked_for() -> Option<(u64, u64)> {
    let density: u64 = std::env::var("HOOKBOX_DISK_FAULTS").map_or(0, |n| n.parse().expect("a number"));
    if density == 0 {
        println!("disk: skipped: HOOKBOX_DISK_FAULTS is not set");
        return None;
    }
    let mut strace = Command::new("strace");
    strace.args(["-qq", "-e", "inject=getppid:error=EIO", "true"]);
    let works = strace.stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok_and(|s| s.success());
    if !works || !rustix::process::geteuid().is_root() {
        println!("disk: skipped: this needs root and an strace that can make calls fail");
        return None;
    }
    let seed = Rng::seed_from_env();
    println!("disk: density {density}, HOOKBOX_SEED={seed}");
    Some((density, seed))
}

/// A log of several segments whose events wait behind a held endpoint.
struct Template {
    home: Home,
    acked: Vec<Acked>,
}

impl Template {
    fn new(seed: u64) -> Self {
        let mut home = Home::new();
        let config = home.write("hookbox.toml", CONFIG);
        home.args.extend(["--config".to_owned(), config]);
        let daemon = home.start();
        daemon.json(&["source", "create", "in", "--verify", "none"]);
        let policy = ["--allow-private", "--retry-base", "50ms", "--retry-max", "200ms"];
        daemon.json(&[&["endpoint", "create", "out", "--url", "http://127.0.0.1:9/"][..], &policy].concat());
        daemon.json(&["endpoint", "hold", "out"]);
        let load = Load::start(daemon.addr, &pace(4, 6 << 20), seed);
        until("the load's end", Duration::from_secs(60), || load.is_over().then_some(()));
        let acked = load.end();
        assert_eq!(daemon.terminate().code(), Some(0));
        Self { home, acked }
    }
}

fn pace(posters: u64, bytes: u64) -> Pace {
    Pace { posters, pause_us: 0, bytes, largest: 60_000, sources: ["in", "in"], kept_percent: 100 }
}

/// One run with one fault; whether a call failed.
fn run(template: &Template, call: &str, fault: &str, seed: u64, total: &mut Total) -> bool {
    let at = format!("{call} {fault}, HOOKBOX_SEED of this run {seed}");
    let receiver = Receiver::start();
    receiver.forget_bodies();
    let mut home = Home::new();
    let config = home.write("hookbox.toml", CONFIG);
    home.args.extend(["--config".to_owned(), config]);
    copy(&template.home.data(), &home.data());
    if Rng::new(seed).below(2) == 0 {
        leave_open(&home.data().join("log"));
    }
    let trace = home.path().join("trace").to_string_lossy().into_owned();
    let (only, inject) = (format!("trace={call}"), format!("inject={call}:{fault}"));
    home.under =
        ["strace", "-D", "-f", "-qq", "-ttt", "-y", "-o", &trace, "-e", &only, "-e", &inject].map(String::from).into();
    total.runs += 1;
    let mut acked = template.acked.clone();
    let mut asked_to_end = f64::INFINITY;
    match home.spawn().ready(Duration::from_secs(40)) {
        Err(why) => {
            assert!(why.contains("ended with"), "{at}: it hangs at its start: {why}");
            assert!(
                why.contains("hookboxd: ") || why.contains("loading shared libraries"),
                "{at}: it says nothing: {why}"
            );
            total.not_started += 1;
            total.panics += u64::from(why.contains("panicked"));
        }
        Ok(daemon) => {
            let more;
            (more, asked_to_end) = drive(daemon, &receiver, seed, &at, total);
            if call == "fdatasync" {
                no_late_answers(Path::new(&trace), &more, &at);
            }
            total.acknowledged += more.len();
            acked.extend(more);
        }
    }
    let failed = failures(Path::new(&trace));
    let injected = !failed.is_empty() || fault.starts_with("delay");
    total.failed += u64::from(injected);
    total.failed_serving += u64::from(failed.iter().any(|failure| !failure.of_a_note && failure.at < asked_to_end));
    if asked_to_end.is_finite() && injected {
        println!("disk: {at}: it served on and was asked to end at {asked_to_end:.6}: {failed:?}");
    }
    home.under.clear();
    check_restart(&home, &receiver, &acked, &at);
    injected
}

/// Load on a daemon whose disk fails at some moment, and its end. Gives what was acknowledged, and when the daemon was
/// asked to end, by the wall clock: never, when it ended by itself.
fn drive(mut daemon: Daemon, receiver: &Receiver, seed: u64, at: &str, total: &mut Total) -> (Vec<Acked>, f64) {
    let load = Load::start(daemon.addr, &pace(1, 3 << 20), seed);
    if at.contains("delay_exit") {
        // strace holds on to the thread that hangs, as a dead disk would, so the process is a zombie for longer.
        let line = "a commit has taken longer than 10 s: the disk does not answer";
        until(&format!("{at}: {line}"), END, || daemon.log_text().contains(line).then_some(()));
    } else {
        let_go(&daemon.ctl(), receiver);
    }
    let patience = Duration::from_secs(60);
    until(&format!("{at}: the load's end"), patience, || load.is_over().then_some(()));
    let acked = load.end();
    // Whoever is not about to end answers.
    let status = until(&format!("{at}: its end, or an answer"), END, || {
        let addr = daemon.addr;
        let answers = || support::Client::connect(addr).and_then(|mut c| c.post("/in/in", &[], b"and now?"));
        match daemon.ended() {
            Some(status) => Some(Some(status)),
            None => answers().is_ok_and(|a| a.status == 202).then_some(None),
        }
    });
    let mut asked_to_end = f64::INFINITY;
    match status {
        Some(status) => {
            total.ended += 1;
            says_why(status, &daemon, at);
        }
        None => {
            total.served_on += 1;
            asked_to_end = wall_s();
            daemon.signal(rustix::process::Signal::TERM);
            let status = daemon.wait(Duration::from_secs(25));
            if status.code() != Some(0) {
                says_why(status, &daemon, at);
            }
        }
    }
    total.panics += u64::from(daemon.log_text().contains("panicked"));
    (acked, asked_to_end)
}

fn wall_s() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs_f64()
}

/// One line says it. It may still be in the pipe when the process is gone.
fn says_why(status: ExitStatus, daemon: &Daemon, at: &str) {
    let said = ["hookboxd ends here", "the disk does not answer", "hookboxd: ", "panicked at"];
    until(&format!("{at}: it ended with {status}: a line that says why"), Duration::from_secs(5), || {
        let text = daemon.log_text();
        said.iter().any(|line| text.contains(line)).then_some(())
    });
}

/// Sends the endpoint to this receiver. The daemon may be gone by now.
fn let_go(ctl: &Ctl, receiver: &Receiver) {
    ctl.try_json(&["endpoint", "update", "out", "--url", &receiver.url("/out")]);
    ctl.try_json(&["endpoint", "release", "out"]);
}

/// A restart has everything, and everything arrives.
fn check_restart(home: &Home, receiver: &Receiver, acked: &[Acked], at: &str) {
    let daemon = home.spawn().ready(Duration::from_secs(60)).unwrap_or_else(|why| panic!("{at}: no restart: {why}"));
    let census = look_up(&daemon.socket, acked).unwrap_or_else(|e| panic!("{at}: {e}"));
    assert!(census.lost.is_empty(), "{at}: lost {:#?}\n{}", census.lost, census.report);
    assert!(census.verified(), "{at}: {}", census.report);
    let_go(&daemon.ctl(), receiver);
    let all: HashSet<&str> = acked.iter().map(|a| a.id.as_str()).collect();
    let begun = Instant::now();
    loop {
        let seen = receiver.seen("/out");
        let came: HashSet<&str> = seen.iter().map(support::Seen::id).collect();
        let missing: Vec<&&str> = all.difference(&came).collect();
        if missing.is_empty() {
            break;
        }
        let (left, first) = (missing.len(), missing[0]);
        let status = || daemon.json(&["status"]);
        assert!(
            begun.elapsed() < Duration::from_secs(30),
            "{at}: {left} of {} never came to the endpoint, {first} for one, which is said to be {}\n{}",
            all.len(),
            daemon.json(&["event", "show", first])["deliveries"],
            status(),
        );
        std::thread::sleep(Duration::from_millis(20));
    }
    assert_eq!(daemon.terminate().code(), Some(0), "{at}");
}

/// A call that was made to fail.
#[derive(Debug)]
#[allow(dead_code, reason = "the call is shown")]
struct Failure {
    /// By the wall clock.
    at: f64,
    call: String,
    /// Made for a note that is done without: the calendar, or the sums of a segment's files.
    of_a_note: bool,
}

fn failures(trace: &Path) -> Vec<Failure> {
    let text = std::fs::read_to_string(trace).unwrap_or_default();
    let is_note = |call: &str| [".sums.tmp>", "/calendar.tmp>"].iter().any(|name| call.contains(name));
    // The sync of the folder belongs to what its thread has synced before.
    let mut noting: HashMap<&str, bool> = HashMap::new();
    let mut failures = Vec::new();
    for line in text.lines() {
        let Some((thread, rest)) = line.split_once(' ') else { continue };
        let Some((at, call)) = rest.trim_start().split_once(' ') else { continue };
        let is_folder = call.starts_with("fsync") && call.contains("/log>");
        let of_a_note = if is_folder { noting.get(thread).is_some_and(|noting| *noting) } else { is_note(call) };
        noting.insert(thread, of_a_note);
        if line.contains("(INJECTED)") {
            let at = at.parse().expect("a time in the trace");
            failures.push(Failure { at, call: call.to_owned(), of_a_note });
        }
    }
    failures
}

/// Nothing that was sent after the first failure was acknowledged.
fn no_late_answers(trace: &Path, acked: &[Acked], at: &str) {
    let Some(failed) = failures(trace).first().map(|failure| failure.at) else { return };
    let (wall, now) = (wall_s(), Instant::now());
    let late = |a: &&Acked| wall - now.duration_since(a.sent).as_secs_f64() > failed;
    let late: Vec<&Acked> = acked.iter().filter(late).collect();
    assert!(late.is_empty(), "{at}: acknowledged after fdatasync had failed: {late:?}");
}

/// As a process that died leaves it: its segments are opened by a child first, whose calls fail as well.
fn leave_open(log: &Path) {
    for entry in std::fs::read_dir(log).expect("the log").flatten() {
        if entry.path().is_dir() && entry.file_name().as_encoded_bytes().starts_with(b"seg-") {
            std::fs::write(entry.path().with_extension("open"), "").expect("a mark beside a segment");
        }
    }
}

fn copy(from: &Path, to: &Path) {
    let copied = Command::new("cp").arg("-r").arg(from).arg(to).status().expect("cp");
    assert!(copied.success(), "cp");
}
