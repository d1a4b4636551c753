//! D-04, D-05, D-06, D-10: full disks, file limits, file systems that become read-only, and no
//! inodes left; L-01, L-04, L-06: what time does.
//!
//! The real programs on a tmpfs and on an ext4 image of 48 MiB each, and under a quota. What must
//! hold in all of them:
//!
//! * what was answered 202 is there, with its body, and comes to its endpoint: before, while and
//!   after it is full;
//! * what is full refuses (503, `Retry-After`, the reason in `status`, `/readyz` and the log, once)
//!   and does not die;
//! * draining goes on while events are refused, also after `kill -9` and a start on the full disk;
//! * when there is space again it accepts again by itself.
//!
//! The quota and the file limit need nothing. The others need root and loop devices.

mod file_limits;
mod halted;
mod soak;
mod space;

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use super::power::disk::{self, Mounted};
use crate::support;
use crate::support::ledger::{Acked, look_up};
use crate::support::rng::Rng;
use crate::support::sizes::require;
use crate::support::{Client, Daemon, Home, Receiver, SOON, sha256, until};

/// For what takes several seconds on a quiet machine; see [`SOON`].
const LONG: Duration = Duration::from_secs(400);

/// A file system of its own for the data.
struct Place {
    home: Home,
    mounted: Option<Mounted>,
    tmpfs: bool,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.mounted = None;
        if self.tmpfs {
            let _ = Command::new("umount").arg("-l").arg(self.home.data()).status();
        }
    }
}

#[derive(Clone, Copy, Debug)]
enum Kind {
    Tmpfs,
    Ext4(&'static [&'static str]),
}

impl Place {
    fn new(kind: Kind, mib: u32, config: &str) -> Self {
        require(disk::missing(disk::Kind::Ext4));
        let mut home = Home::new();
        let config = home.write("hookbox.toml", config);
        home.args.extend(["--config".to_owned(), config]);
        let mut place = Self { home, mounted: None, tmpfs: false };
        let data = place.home.data();

        match kind {
            Kind::Tmpfs => {
                std::fs::create_dir(&data).expect("a folder");
                let size = format!("size={mib}m");
                let mount = Command::new("mount")
                    .args(["-t", "tmpfs", "-o", &size, "tmpfs"])
                    .arg(&data)
                    .status();
                assert!(mount.is_ok_and(|status| status.success()), "mount");
                place.tmpfs = true;
            }
            Kind::Ext4(options) => {
                let image = place.home.path().join("image");
                std::fs::File::create(&image)
                    .and_then(|f| f.set_len(u64::from(mib) << 20))
                    .expect("an image");
                place.mounted = Some(Mounted::ext4(&image, &data, Some(options)).expect("mounted"));
            }
        }
        place
    }
}

/// A sender that writes down what was acknowledged.
struct Sender {
    rng: Rng,
    acked: Vec<Acked>,
}

/// What one post came to.
#[derive(Debug)]
enum Answer {
    Taken,
    Refused(support::Response),
    Gone,
}

impl Sender {
    fn new(seed: u64) -> Self {
        Self { rng: Rng::new(seed), acked: Vec::new() }
    }

    /// Posts a body that does not compress.
    fn post(&mut self, client: &mut Client, size: usize) -> Answer {
        let body: Vec<u8> =
            std::iter::repeat_with(|| self.rng.next().to_le_bytes()).flatten().take(size).collect();
        let sent = Instant::now();
        match client.post("/in/in", &[], &body) {
            Ok(answer) if answer.status == 202 => {
                let id = answer.json()["id"].as_str().expect("an id").to_owned();
                self.acked.push(Acked { id, hash: sha256(&body), kept: false, sent });
                Answer::Taken
            }
            Ok(answer) => Answer::Refused(answer),
            Err(_) => Answer::Gone,
        }
    }

    /// Posts until it is refused; the refusal.
    fn fill(&mut self, daemon: &Daemon, size: usize) -> support::Response {
        let mut client = daemon.client();
        let begun = Instant::now();
        loop {
            match self.post(&mut client, size) {
                Answer::Taken => {
                    assert!(begun.elapsed() < LONG, "it takes more than it has space for")
                }
                Answer::Refused(answer) => return answer,
                Answer::Gone => panic!("the daemon has ended:\n{}", daemon.log_text()),
            }
        }
    }

    /// Waits until an event is accepted again.
    fn until_accepted(&mut self, daemon: &Daemon) {
        until("it accepts again", LONG, || {
            let mut client = Client::connect(daemon.addr).ok()?;
            matches!(self.post(&mut client, 1000), Answer::Taken).then_some(())
        });
    }
}

fn set_up(daemon: &Daemon, receiver: &Receiver) {
    daemon.json(&["source", "create", "in", "--verify", "none"]);
    let policy = ["--allow-private", "--retry-base", "50ms", "--retry-max", "200ms"];
    daemon.json(
        &[&["endpoint", "create", "out", "--url", &receiver.url("/out")][..], &policy].concat(),
    );
}

/// How many lines of the log are about this event of the disk space.
fn logged(daemon: &Daemon, event: &str) -> usize {
    let wanted = event_field(event);
    daemon.log_text().lines().filter(|line| line.contains(&wanted)).count()
}

fn event_field(event: &str) -> String {
    format!("\"event\":\"{event}\"")
}

/// Everything that was acknowledged came to the endpoint, whole.
fn all_came(receiver: &Receiver, acked: &[Acked], at: &str) {
    let begun = Instant::now();
    loop {
        let seen = receiver.seen("/out");
        let came: HashSet<(&str, [u8; 32])> = seen.iter().map(|s| (s.id(), s.sha256)).collect();
        let missing = acked.iter().filter(|a| !came.contains(&(a.id.as_str(), a.hash))).count();
        if missing == 0 {
            return;
        }
        assert!(begun.elapsed() < LONG, "{at}: {missing} of {} never came", acked.len());
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn nothing_lost(daemon: &Daemon, acked: &[Acked], at: &str) {
    let census = look_up(&daemon.socket, acked).unwrap_or_else(|e| panic!("{at}: {e}"));
    assert!(census.lost.is_empty(), "{at}: lost {:#?}", census.lost);
    assert!(census.verified(), "{at}: {}", census.report);
}

/// What a message says to type works: on an endpoint that there is, and without doing it.
fn commands_can_be_typed(daemon: &Daemon, message: &str, at: &str) {
    let quoted = message.split('`').skip(1).step_by(2);
    let commands: Vec<String> = quoted.map(|command| command.replace("NAME", "out")).collect();
    assert_eq!(commands.len(), 2, "{at}: {message}");
    for command in commands {
        let words: Vec<&str> = command.split(' ').skip(1).chain(["--dry-run"]).collect();
        daemon.ctl().run(&words).expect(0);
    }
}

/// Events wait behind a held endpoint until there is no space left; then everything is looked at.
fn fills_up_drains_and_resumes(home: &Home, seed: u64, at: &str) {
    let receiver = Receiver::start();
    receiver.forget_bodies();
    let daemon = home.start();
    set_up(&daemon, &receiver);
    daemon.json(&["endpoint", "hold", "out"]);

    let mut sender = Sender::new(seed);
    let refusal = sender.fill(&daemon, 20_000);
    assert_eq!(refusal.status, 503, "{at}");
    assert!(refusal.header("retry-after").is_some(), "{at}: {refusal:?}");
    assert!(String::from_utf8_lossy(&refusal.body).contains("no disk space"), "{at}: {refusal:?}");

    let full = daemon.json(&["status"]);
    assert_eq!(
        (&full["accepting"], &full["log"]["level"]),
        (&false.into(), &"refusing".into()),
        "{at}: {full}"
    );
    let why = full["reason"].as_str().unwrap_or_default();
    assert!(why.contains("left"), "{at}: {full}");
    commands_can_be_typed(&daemon, why, at);
    assert_eq!(daemon.client().get("/readyz").expect("an answer").status, 503, "{at}");
    let sent = daemon.ctl().run(&["event", "send", "--source", "in", "--data", "{}"]);
    assert!(sent.code == Some(1) && sent.stderr.contains("no disk space"), "{at}: {sent:?}");

    // Insisting changes nothing, and is reported once.
    let mut client = daemon.client();
    for _ in 0..200 {
        assert!(matches!(sender.post(&mut client, 20_000), Answer::Refused(_)), "{at}");
    }
    daemon.await_log(&event_field("refusing"));
    assert_eq!(logged(&daemon, "refusing"), 1, "{at}: {}", daemon.log_text());
    nothing_lost(&daemon, &sender.acked, at);

    let mark = home.data().join("refusing");
    until("the next start knows it", SOON, || mark.exists().then_some(()));
    daemon.kill();
    let daemon = home.start();
    assert_eq!(daemon.json(&["status"])["log"]["level"], "refusing", "{at}: after a kill");
    daemon.await_log(&event_field("refusing"));
    assert!(
        matches!(sender.post(&mut daemon.client(), 20_000), Answer::Refused(_)),
        "{at}: after a kill"
    );

    let waiting = sender.acked.len();
    daemon.json(&["endpoint", "release", "out"]);
    all_came(&receiver, &sender.acked, at);
    sender.until_accepted(&daemon);
    daemon.await_log(&event_field("accepting"));
    until("a start would accept, too", SOON, || (!mark.exists()).then_some(()));
    assert_eq!(logged(&daemon, "accepting"), 1, "{at}: {}", daemon.log_text());
    all_came(&receiver, &sender.acked, at);
    nothing_lost_of_what_waits(&daemon, at);

    let status = daemon.json(&["status"]);
    println!("disk space: {at}: {waiting} events until it was full, {full}; then {status}");
    assert_eq!(daemon.terminate().code(), Some(0), "{at}");
}

fn nothing_lost_of_what_waits(daemon: &Daemon, at: &str) {
    let verified = daemon.json(&["log", "verify"]);
    assert_eq!(verified["ok"], true, "{at}: {verified}");
}

#[test]
fn d04_a_quota_that_is_used_up_refuses_drains_and_resumes() {
    let mut home = Home::new();
    let config = home.write("hookbox.toml", "[log]\nquota = \"16MiB\"\nreserve = \"4MiB\"\n");
    home.args.extend(["--config".to_owned(), config]);
    fills_up_drains_and_resumes(&home, 41, "a quota of 16 MiB");
}

#[test]
#[ignore = "needs root and loop devices"]
fn d04_a_full_tmpfs_refuses_drains_and_resumes() {
    let place = Place::new(Kind::Tmpfs, 48, "");
    fills_up_drains_and_resumes(&place.home, 42, "a tmpfs of 48 MiB");
}

#[test]
#[ignore = "needs root and loop devices"]
fn d04_a_full_ext4_refuses_drains_and_resumes() {
    let place = Place::new(Kind::Ext4(&[]), 48, "");
    fills_up_drains_and_resumes(&place.home, 43, "an ext4 of 48 MiB");
}

/// Others fill the file system to the last byte while events wait.
fn others_fill_it(place: &Place, seed: u64, at: &str) {
    let home = &place.home;
    let receiver = Receiver::start();
    receiver.forget_bodies();
    let daemon = home.start();
    set_up(&daemon, &receiver);
    daemon.json(&["endpoint", "hold", "out"]);

    let mut sender = Sender::new(seed);
    let mut client = daemon.client();
    for _ in 0..400 {
        assert!(matches!(sender.post(&mut client, 5_000), Answer::Taken), "{at}");
    }

    let ballast = home.data().join("log/ballast-open");
    until("the ballast", SOON, || ballast.exists().then_some(()));
    let others = home.data().join("others");
    fill_up(&others);
    until("it refuses", SOON, || {
        fill_up(&others);
        (daemon.asked("/v1/status")["accepting"] == false).then_some(())
    });

    // What it gives up of its ballast they take as well.
    for _ in 0..5 {
        fill_up(&others);
        assert!(matches!(sender.post(&mut client, 5_000), Answer::Refused(_)), "{at}");
        std::thread::sleep(Duration::from_millis(300));
    }

    let full = daemon.json(&["status"]);
    nothing_lost(&daemon, &sender.acked, at);
    daemon.kill();
    assert!(ballast.exists(), "{at}: what opening needs was held back");
    let daemon = home.start();
    assert!(!ballast.exists(), "{at}: it was given up for opening");
    nothing_lost(&daemon, &sender.acked, at);

    daemon.json(&["endpoint", "release", "out"]);
    all_came(&receiver, &sender.acked, at);
    let drained = daemon.json(&["status"]);
    assert_eq!(drained["accepting"], false, "{at}: {drained}");
    println!("disk space: {at}: full {full}; drained {drained}");

    std::fs::remove_file(&others).expect("removed");
    sender.until_accepted(&daemon);
    all_came(&receiver, &sender.acked, at);
    until("the ballast is back", SOON, || ballast.exists().then_some(()));
    nothing_lost(&daemon, &sender.acked, at);
    assert_eq!(daemon.terminate().code(), Some(0), "{at}");
}

/// Appends to a file until nothing more goes in.
fn fill_up(path: &Path) {
    use std::io::Write as _;
    let mut file = std::fs::OpenOptions::new().append(true).create(true).open(path).expect("opens");
    for size in [1 << 20, 64 << 10, 4096, 512] {
        while file.write_all(&vec![7; size]).is_ok() {}
    }
    let _ = file.sync_all();
}

#[test]
#[ignore = "needs root and loop devices"]
fn d04_a_tmpfs_that_others_fill_is_opened_and_drained() {
    let place = Place::new(Kind::Tmpfs, 48, "");
    others_fill_it(&place, 44, "a tmpfs that others fill");
}

#[test]
#[ignore = "needs root and loop devices"]
fn d04_an_ext4_that_others_fill_is_opened_and_drained() {
    // Nothing is set aside for root, so that full is full.
    let place = Place::new(Kind::Ext4(&["-m", "0"]), 48, "");
    others_fill_it(&place, 45, "an ext4 that others fill");
}

#[test]
#[ignore = "needs root and loop devices"]
fn d06_a_file_system_that_becomes_read_only_ends_it_and_loses_nothing() {
    let mut place = Place::new(Kind::Ext4(&[]), 48, "");
    let receiver = Receiver::start();
    receiver.forget_bodies();
    let mut daemon = place.home.start();
    set_up(&daemon, &receiver);

    let mut sender = Sender::new(61);
    let mut client = daemon.client();
    for _ in 0..200 {
        assert!(matches!(sender.post(&mut client, 5_000), Answer::Taken));
    }

    let data = place.home.data();
    // What the kernel does by itself when it finds the file system damaged.
    let aborted =
        Command::new("mount").args(["-o", "remount,abort"]).arg(&data).output().expect("mount");
    println!(
        "disk space: remount: {} {}",
        aborted.status,
        String::from_utf8_lossy(&aborted.stderr)
    );

    let before = sender.acked.len();
    let begun = Instant::now();
    while begun.elapsed() < SOON {
        if matches!(sender.post(&mut client, 5_000), Answer::Gone) {
            break;
        }
    }

    let status = daemon.wait();
    let output = daemon.log_text();
    assert!(output.contains("the log could not be written"), "{status}: {output}");
    assert_eq!(sender.acked.len(), before, "acknowledged on a file system that takes nothing");
    let refused = place.home.spawn().ready(SOON).expect_err("it cannot be written to");
    assert!(refused.contains("hookboxd: ") && refused.contains("ead-only"), "{refused}");

    let image: PathBuf = place.home.path().join("image");
    place.mounted = None;
    place.mounted = Some(Mounted::ext4(&image, &data, None).expect("mounted again"));
    let daemon = place.home.start();
    nothing_lost(&daemon, &sender.acked, "read-only");
    all_came(&receiver, &sender.acked, "read-only");
    assert_eq!(daemon.terminate().code(), Some(0));
}

#[test]
#[ignore = "needs root and loop devices"]
fn d10_without_inodes_the_active_segment_grows_on() {
    let config = "[log]\nsegment_size = \"1MiB\"\n";
    let place = Place::new(Kind::Ext4(&["-N", "64"]), 96, config);
    let receiver = Receiver::start();
    receiver.forget_bodies();
    let daemon = place.home.start();
    set_up(&daemon, &receiver);
    daemon.json(&["endpoint", "hold", "out"]);

    let mut sender = Sender::new(101);
    let mut client = daemon.client();
    let mut posted = 0;
    while logged(&daemon, "disk_low") == 0 {
        assert!(matches!(sender.post(&mut client, 20_000), Answer::Taken), "{}", daemon.log_text());
        posted += 1;
        assert!(posted < 2500, "inodes do not run out: {}", daemon.json(&["status"]));
    }

    // Segments whose checksums are recorded meanwhile leave files for one or two more.
    let segments = || daemon.json(&["status"])["log"]["segments"].as_u64().expect("a number");
    let grows_on = (0..20).any(|_| {
        let before = segments();
        for _ in 0..100 {
            let answer = sender.post(&mut client, 20_000);
            assert!(matches!(answer, Answer::Taken), "{}", daemon.log_text());
        }
        segments() == before
    });
    let (segments, status) = (segments(), daemon.json(&["status"]));
    assert!(grows_on, "{status}");
    println!("disk space: {segments} segments on 64 inodes: {status}");

    nothing_lost(&daemon, &sender.acked, "no inodes");
    daemon.kill();
    let daemon = place.home.start();
    nothing_lost(&daemon, &sender.acked, "no inodes, after a kill");
    daemon.json(&["endpoint", "release", "out"]);
    all_came(&receiver, &sender.acked, "no inodes");

    // What was delivered makes space for files.
    until("old segments go", LONG, || {
        let mut client = Client::connect(daemon.addr).ok()?;
        let _ = sender.post(&mut client, 20_000);
        let first = daemon.asked("/v1/log")["first"].as_u64();
        first.is_some_and(|first| first > 1).then_some(())
    });

    all_came(&receiver, &sender.acked, "no inodes");
    nothing_lost_of_what_waits(&daemon, "no inodes");
    assert_eq!(daemon.terminate().code(), Some(0));
}
