//! Parts of the log are lost: what waited in them ends as dead letters, and the counts of `status`
//! are those of the lists.

use std::path::{Path, PathBuf};

use hookbox::model::EventId;
use serde_json::Value;

use super::support::rng::Rng;
use super::support::sums::Sums;
use super::support::{Daemon, Home, Receiver, SOON, until};
use super::{open_source, quick_endpoint, text};

/// A log of several segments in which deliveries wait in all ways.
struct World {
    home: Home,
    receiver: Receiver,
    before: Sums,
}

impl World {
    fn new() -> Self {
        let mut home = Home::new();
        let path = home.write("hookbox.toml", "[log]\nsegment_size = \"1MiB\"\n");
        home.args.extend(["--config".to_owned(), path]);
        let daemon = home.start();
        let receiver = Receiver::start();
        open_source(&daemon, "in");
        quick_endpoint(&daemon, "good", &receiver.url("/good"), &[]);
        quick_endpoint(&daemon, "held", &receiver.url("/held"), &[]);
        daemon.done(&["endpoint", "hold", "held"]);
        let nowhere = "http://127.0.0.1:9/";
        quick_endpoint(&daemon, "later", nowhere, &["--retry-base", "1h", "--retry-max", "1h"]);
        quick_endpoint(&daemon, "dying", nowhere, &["--max-attempts", "1"]);

        let world = Self { home, receiver, before: Sums::default() };
        world.post(&daemon, 1, 60);
        daemon.json(&["replay", "--source", "in", "--to", "held"]);
        until("the replay to be over", SOON, || {
            (daemon.asked("/v1/status")["replays"] == 0).then_some(())
        });

        world.post(&daemon, 2, 30);
        daemon.await_count("delivered", 90);
        daemon.await_count("held", 150);

        let before =
            Sums::agreeing(&daemon.socket, SOON).expect("they agree before anything is lost");
        assert!(before.list["pending"] > 60 && before.dead_letters > 0, "{before:?}");
        assert_eq!(daemon.terminate().code(), Some(0));
        Self { before, ..world }
    }

    fn post(&self, daemon: &Daemon, seed: u64, count: usize) {
        let mut rng = Rng::new(seed);
        let mut client = daemon.client();
        for _ in 0..count {
            let body: Vec<u8> = std::iter::repeat_with(|| rng.next().to_le_bytes())
                .flatten()
                .take(40_000)
                .collect();
            assert_eq!(client.post("/in/in", &[], &body).expect("an answer").status, 202);
        }
    }

    /// The folders of the segments, the oldest first.
    fn segments(&self) -> Vec<PathBuf> {
        let entries =
            std::fs::read_dir(self.home.data().join("log")).expect("the log's folder").flatten();
        let mut found: Vec<PathBuf> =
            entries.map(|e| e.path()).filter(|p| p.join("db").is_file()).collect();
        found.sort();
        assert!(found.len() >= 3, "{found:?}");
        found
    }

    /// Starts a daemon on what is left, and compares what it counts with what it lists; what status
    /// says of damage.
    fn settles(&self) -> (Daemon, Sums, Value) {
        let daemon = self.home.start();
        let sums = Sums::agreeing(&daemon.socket, SOON)
            .unwrap_or_else(|why| panic!("they do not agree: {why}"));
        let status = daemon.json(&["status"]);
        (daemon, sums, status)
    }
}

fn all(sums: &Sums) -> u64 {
    sums.list.values().sum()
}

fn gone(segment: &Path, with_seal: bool) {
    std::fs::remove_dir_all(segment).expect("the segment goes");
    if with_seal {
        for side in ["seal", "sums"] {
            let _ = std::fs::remove_file(segment.with_extension(side));
        }
    }
}

#[test]
fn the_oldest_segment_is_lost_with_its_seal() {
    let world = World::new();
    let segments = world.segments();
    gone(&segments[0], true);
    let (daemon, sums, status) = world.settles();

    // Nothing is forgotten: what waited waits, or is a dead letter.
    assert_eq!(all(&sums), all(&world.before), "{sums:?} {:?}", world.before);
    assert!(sums.lost > 0 && status["deliveries"]["lost"].as_u64() > Some(0), "{sums:?} {status}");

    let damage = status["log"]["damage"].as_array().expect("a list");
    assert!(
        damage.iter().any(|d| d["first"] == 1 && text(d, "what").contains("missing")),
        "{status}"
    );

    let row = daemon
        .lines(&["dlq", "list", "--limit", "100000"])
        .into_iter()
        .find(|row| row["reason"] == "lost");
    let row = row.expect("a lost delivery");
    assert_eq!(text(&daemon.json(&["delivery", "show", text(&row, "id")]), "reason"), "lost");

    // What is left is delivered.
    let seen = world.receiver.seen("/held").len();
    daemon.done(&["endpoint", "release", "held"]);
    daemon.await_count("held", 0);
    until("what was held", SOON, || (world.receiver.seen("/held").len() > seen).then_some(()));
    let sums = Sums::agreeing(&daemon.socket, SOON)
        .unwrap_or_else(|why| panic!("they do not agree: {why}"));

    let exported = daemon.ctl().run(&["log", "export"]);
    assert!(
        exported.code != Some(0) && exported.stderr.contains("no segment holds them"),
        "{exported:?}"
    );

    // The next start has nothing left to settle, and still reports what is missing.
    assert_eq!(daemon.terminate().code(), Some(0));
    let (daemon, again, status) = world.settles();
    assert_eq!((again.lost, &again.list["dead"]), (sums.lost, &sums.list["dead"]));
    assert_eq!(status["log"]["damage"][0]["first"], 1, "{status}");

    daemon.done(&["dlq", "discard", "--all"]);
    let sums = Sums::agreeing(&daemon.socket, SOON)
        .unwrap_or_else(|why| panic!("they do not agree: {why}"));
    assert_eq!(sums.lost, 0, "{sums:?}");
}

#[test]
fn a_middle_segment_is_lost_with_or_without_its_seal() {
    for with_seal in [false, true] {
        let world = World::new();
        gone(&world.segments()[1], with_seal);
        let (_daemon, sums, status) = world.settles();
        assert_eq!(all(&sums), all(&world.before), "{with_seal}: {sums:?} {:?}", world.before);
        assert!(
            sums.lost > 0 && !status["log"]["damage"].as_array().expect("a list").is_empty(),
            "{sums:?} {status}"
        );
    }
}

#[test]
fn a_lost_segment_does_not_hold_retention_back() {
    let world = World::new();
    let segments = world.segments();
    gone(&segments[1], false);
    world
        .home
        .write("hookbox.toml", "[log]\nsegment_size = \"1MiB\"\n[retention]\ndelivered = \"1s\"\n");
    let (daemon, sums, _) = world.settles();
    assert!(sums.lost > 0, "{sums:?}");
    let number = |path: &Path| {
        let name = path.file_name().expect("a name").to_string_lossy().into_owned();
        name.trim_start_matches("seg-").parse::<u64>().expect("a number")
    };
    until("what lies behind the lost segment to be the oldest", SOON, || {
        (daemon.asked("/v1/log")["first"].as_u64() >= Some(number(&segments[2]))).then_some(())
    });
    let after = Sums::agreeing(&daemon.socket, SOON)
        .unwrap_or_else(|why| panic!("they do not agree: {why}"));
    assert_eq!((all(&after), after.lost), (all(&world.before), sums.lost), "{after:?}");
}

#[test]
fn damage_in_a_sealed_segment_shows_while_the_daemon_runs() {
    let world = World::new();
    let db = world.segments()[1].join("db");
    let mut bytes = std::fs::read(&db).expect("reads");
    for at in (0..bytes.len()).step_by(4096) {
        bytes[at] ^= 0xff;
    }
    std::fs::write(&db, bytes).expect("writes");
    let (_daemon, sums, status) = world.settles();
    assert_eq!(all(&sums), all(&world.before), "{sums:?} {:?}", world.before);
    assert!(
        sums.lost > 0 && !status["log"]["damage"].as_array().expect("a list").is_empty(),
        "{sums:?} {status}"
    );
}

/// With all segments the salt is lost, from which the ids of events are made.
#[test]
fn a_log_of_which_all_was_lost_gets_ids_that_nobody_can_guess() {
    let home = Home::new();
    let daemon = home.start();
    open_source(&daemon, "in");
    daemon.accept("/in/in", &[], b"x");
    daemon.kill();
    let entries = std::fs::read_dir(home.data().join("log")).expect("lists").flatten();
    for segment in entries.map(|entry| entry.path().join("db")).filter(|db| db.exists()) {
        std::fs::remove_file(segment).expect("removes");
    }

    let daemon = home.start();
    open_source(&daemon, "in");
    let id: EventId = daemon.accept("/in/in", &[], b"x").parse().expect("an id");
    assert_ne!(id, EventId::in_log(0, id.seq), "without a salt");
    daemon.kill();

    // It is remembered as that of any log.
    let daemon = home.start();
    let next: EventId = daemon.accept("/in/in", &[], b"x").parse().expect("an id");
    assert_ne!(next, EventId::in_log(0, next.seq), "without a salt");
}
