//! A log above its quota gets its space back by itself, though dead letters have to be relocated
//! forward for it.

use std::fs;
use std::path::{Path, PathBuf};

use super::support::{Daemon, Home, Receiver, Step, until, wall_now_ms};
use super::{Answer, LONG, Sender, event_field, logged, nothing_lost, nothing_lost_of_what_waits};

const CONFIG: &str = "[log]\nquota = \"16MiB\"\nsegment_size = \"1MiB\"\n";
/// Where the log is filled.
const SPACIOUS: &str = "[log]\nquota = \"256MiB\"\nsegment_size = \"1MiB\"\n";
const DEAD: usize = 5;

/// A closed log of a few segments: dead letters in the first, everything else delivered, all of it
/// over its time.
fn closed_log(home: &mut Home, seed: u64) -> Sender {
    // With so much space retention has no reason to relocate anything, however long this takes.
    let path = home.write("hookbox.toml", SPACIOUS);
    home.args.extend(["--config".to_owned(), path]);
    let receiver = Receiver::start();
    receiver.forget_bodies();
    receiver.script("/out", std::iter::repeat_n(Step::Status(500), DEAD));

    let daemon = home.start();
    daemon.json(&["source", "create", "in", "--verify", "none"]);
    let url = receiver.url("/out");
    daemon.json(&[
        "endpoint",
        "create",
        "out",
        "--url",
        &url,
        "--allow-private",
        "--max-attempts",
        "1",
    ]);

    let mut sender = Sender::new(seed);
    let mut client = daemon.client();
    let mut post = |count| {
        for _ in 0..count {
            assert!(
                matches!(sender.post(&mut client, 60_000), Answer::Taken),
                "{}",
                daemon.log_text()
            );
        }
    };

    post(DEAD);
    daemon.await_count("dead", DEAD as u64);
    let mut delivered = 0;
    while daemon.json(&["status"])["log"]["segments"].as_u64() < Some(4) {
        post(5);
        delivered += 5;
        daemon.await_count("delivered", delivered);
    }

    assert_eq!(daemon.terminate().code(), Some(0));
    home.write("hookbox.toml", &format!("{CONFIG}[retention]\ndelivered = \"2s\"\n"));
    sender
}

/// The folders of the segments, the oldest first.
fn segments(home: &Home) -> Vec<PathBuf> {
    let entries =
        fs::read_dir(home.data().join("log")).expect("the log").flatten().map(|entry| entry.path());
    let mut found: Vec<PathBuf> = entries.filter(|path| path.is_dir()).collect();
    found.sort();
    found
}

/// Dead letters are as old as their segment, which counts from when retention first saw it sealed.
/// A daemon sees to that which has nothing else to do.
fn see_sealed(home: &mut Home) {
    home.write("hookbox.toml", SPACIOUS);
    let clock = home.data().join("log/calendar");
    fs::remove_file(&clock).expect("the last daemon has left it");
    let daemon = home.start();
    until("the segments to be seen", LONG, || clock.exists().then_some(()));
    assert_eq!(daemon.terminate().code(), Some(0));
}

/// Puts the log above its quota.
fn stuff(segment: &Path, name: &str) {
    fs::write(segment.join(name), vec![7; 16 << 20]).expect("written");
}

fn dead(daemon: &Daemon) -> u64 {
    daemon.json(&["status"])["deliveries"]["dead"].as_u64().expect("a number")
}

#[test]
fn a_log_above_its_quota_relocates_dead_letters_and_accepts_again() {
    let mut home = Home::new();
    let sender = closed_log(&mut home, 81);
    // Not in the first one: that one has to go on account of what it gives back itself.
    stuff(&segments(&home)[1], "filler");

    let daemon = home.start();
    // What it says at first: it may have its space back before anybody can ask.
    daemon.await_log(&event_field("refusing"));
    let full = daemon
        .log_text()
        .lines()
        .find(|line| line.contains(&event_field("refusing")))
        .expect("a line")
        .to_owned();
    for part in ["\"level\":\"halted\"", "\"left\":0,", "hookboxctl dlq discard"] {
        assert!(full.contains(part), "{part}: {full}");
    }

    until("it accepts again", LONG, || (logged(&daemon, "accepting") > 0).then_some(()));
    assert_eq!(dead(&daemon), DEAD as u64, "they are kept");
    let listed = daemon.lines(&["dlq", "list"]);
    assert_eq!(listed.len(), DEAD, "{listed:?}");
    nothing_lost(&daemon, &sender.acked[..DEAD], "above the quota");

    assert_eq!(daemon.post("/in/in", &[], b"{}").status, 202);
    nothing_lost_of_what_waits(&daemon, "above the quota");
    assert_eq!(daemon.terminate().code(), Some(0));
}

#[test]
fn dead_letters_whose_time_is_over_go_from_a_log_above_its_quota() {
    let mut home = Home::new();
    closed_log(&mut home, 82);
    see_sealed(&mut home);
    home.write(
        "hookbox.toml",
        &format!("{CONFIG}[retention]\ndelivered = \"4s\"\ndead = \"1s\"\n"),
    );
    stuff(&segments(&home)[1], "filler");
    // Their segment is looked at once, at the start: then their time has to be over, however fast
    // all this went.
    let closed = wall_now_ms();
    until("a second to pass", LONG, || (wall_now_ms() > closed + 1_500).then_some(()));
    let daemon = home.start();
    until("it accepts again", LONG, || (logged(&daemon, "accepting") > 0).then_some(()));
    until("the dead letters to go", LONG, || (dead(&daemon) == 0).then_some(()));
    nothing_lost_of_what_waits(&daemon, "above the quota");
    assert_eq!(daemon.terminate().code(), Some(0));
}

/// A segment that was opened again after it was closed is not what was noted of it; when the
/// process is killed then, its data is copied before it is opened the next time. Nothing is wrong
/// with it, so the copy takes no space.
#[test]
fn a_copy_of_a_segment_with_which_nothing_is_wrong_goes_at_once() {
    let mut home = Home::new();
    let sender = closed_log(&mut home, 83);
    // Above its quota the log would give up delivered events, and they are all looked for below.
    home.write("hookbox.toml", SPACIOUS);
    for segment in segments(&home) {
        fs::write(segment.with_extension("sums"), "of another file").expect("written");
        fs::write(segment.with_extension("open"), "").expect("written");
    }

    // One that an earlier process left behind.
    stuff(&segments(&home)[0], "db.as-found");
    let daemon = home.start();
    nothing_lost(&daemon, &sender.acked, "after a kill");

    // Retention opens segments as well, and each one is copied for a moment.
    until("the copies to go", LONG, || {
        let mut folders = segments(&home).into_iter();
        (!folders.any(|path| path.join("db.as-found").exists())).then_some(())
    });
    until("their space to be free", LONG, || {
        let bytes = daemon.asked("/v1/status")["log"]["bytes"].as_u64()?;
        (bytes < 16 << 20).then_some(())
    });
    assert_eq!(daemon.terminate().code(), Some(0));
}
