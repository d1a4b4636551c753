//! The daemon's own history: what `stats` shows, over restarts, and a file that may be lost.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use serde_json::Value;

use super::support::{Daemon, Home, Receiver, SOON, Step, until};
use super::{open_source, quick_endpoint, text};

/// Some events come in: all are delivered to `app`, and none to `bad`.
fn busy(daemon: &Daemon, receiver: &Receiver) {
    open_source(daemon, "in");
    receiver.always("/bad", Step::Status(500));
    quick_endpoint(daemon, "app", &receiver.url("/app"), &[]);
    quick_endpoint(daemon, "bad", &receiver.url("/bad"), &["--max-attempts", "2"]);
    for n in 0..5 {
        daemon.accept("/in/in", &[], format!("{n}").as_bytes());
    }
    assert_eq!(daemon.post("/in/nobody", &[], b"x").status, 404);
    daemon.await_count("delivered", 5);
    daemon.await_count("dead", 5);
}

fn numbers(row: &Value, names: &[&str]) -> Vec<Option<u64>> {
    names.iter().map(|name| row[name].as_u64()).collect()
}

const COUNTS: [&str; 5] = ["accepted", "refused", "delivered", "failed", "dead"];

#[test]
fn what_happened_is_shown_at_once_and_after_a_restart() {
    let (home, receiver) = (Home::new(), Receiver::start());
    let daemon = home.start();
    busy(&daemon, &receiver);

    let stats = daemon.json(&["stats"]);
    let expected = [5, 1, 5, 10, 5].map(Some);
    assert_eq!(numbers(&stats["total"], &COUNTS), expected, "{stats}");
    let rows = stats["rows"].as_array().expect("rows");
    assert!((144..=145).contains(&rows.len()) && stats["step_ms"] == 600_000, "{stats}");
    let last = rows.last().expect("a row");
    assert!(last["disk_bytes"].as_u64().is_some_and(|bytes| bytes > 0), "{last}");
    assert!(stats["total"]["latency_p99_ms"].is_u64() && stats["total"]["commit_p50_ms"].is_u64());
    assert!(rows[0]["accepted"].is_null(), "it did not run a day ago: {}", rows[0]);

    // Of each endpoint, and of one that is not there.
    let of = |daemon: &Daemon, name: &str| {
        let stats = daemon.json(&["stats", "--endpoint", name, "--since", "1h"]);
        assert_eq!(text(&stats, "endpoint"), name);
        numbers(&stats["total"], &COUNTS)
    };
    assert_eq!(of(&daemon, "app"), [Some(5), None, Some(5), Some(0), Some(0)]);
    assert_eq!(of(&daemon, "bad"), [Some(5), None, Some(0), Some(10), Some(5)]);
    let refused = daemon.ctl().run(&["stats", "--endpoint", "apq"]).expect(1).stderr;
    assert!(refused.contains("did you mean 'app'"), "{refused}");
    let refused = daemon.ctl().run(&["stats", "--step", "1s", "--since", "7d"]).expect(64).stderr;
    assert!(refused.contains("step"), "{refused}");

    // A restart: the file has it, and nobody else reads it.
    assert!(daemon.terminate().success());
    let file = home.data().join("history");
    let about = fs::metadata(&file).expect("it was written at the end");
    assert_eq!(about.permissions().mode() & 0o777, 0o600);
    assert!(about.len() < 4096, "a minute of a few events: {} bytes", about.len());
    let daemon = home.start();
    daemon.accept("/in/in", &[], b"more");
    daemon.await_count("delivered", 6);
    until("the count of both runs", SOON, || {
        let total = daemon.json(&["stats"])["total"].clone();
        (numbers(&total, &COUNTS[..3]) == [6, 1, 6].map(Some)).then_some(())
    });
    assert_eq!(of(&daemon, "app")[2], Some(6));

    // An endpoint that is made anew has nothing of the one before it.
    daemon.done(&["endpoint", "delete", "app", "--yes"]);
    quick_endpoint(&daemon, "app", &receiver.url("/app"), &[]);
    assert_eq!(of(&daemon, "app")[2], None);
}

#[test]
fn people_see_numbers_small_plots_and_a_drawing() {
    let (home, receiver) = (Home::new(), Receiver::start());
    let daemon = home.start();
    busy(&daemon, &receiver);

    let screen = daemon.done(&["stats", "--since", "1h", "--ascii"]).stdout;
    assert!(screen.is_ascii(), "{screen}");
    let line = |name: &str| {
        let found = screen.lines().find(|line| line.starts_with(name));
        found.unwrap_or_else(|| panic!("{name} in {screen}")).to_owned()
    };
    assert!(line("accepted").contains('@') && line("accepted").ends_with(" 5"), "{screen}");
    assert!(line("failed").ends_with(" 10"), "{screen}");

    let rows = daemon.done(&["stats", "--since", "10m", "--step", "1m", "--rows"]).stdout;
    assert!((11..=12).contains(&rows.lines().count()), "{rows}");
    assert!(rows.starts_with("BEGIN") && rows.contains("DELIVERED"), "{rows}");

    let drawing = home.path().join("plot.svg");
    let file = drawing.to_str().expect("a path");
    daemon.done(&["stats", "--svg", file]);
    assert!(fs::read_to_string(&drawing).expect("a drawing").starts_with("<svg"));
    fs::write(&drawing, "an older one").expect("written");
    daemon.done(&["stats", "--svg", file]);
    assert!(fs::read_to_string(&drawing).expect("a drawing").starts_with("<svg"));
    let device = daemon.ctl().run(&["stats", "--svg", "/dev/null"]).expect(1).stderr;
    assert!(device.contains("is no regular file: choose another name"), "{device}");
}

#[test]
fn a_history_that_cannot_be_read_is_put_aside_and_ends_nothing() {
    let (home, receiver) = (Home::new(), Receiver::start());
    let daemon = home.start();
    busy(&daemon, &receiver);
    assert!(daemon.terminate().success());

    let (file, aside) = (home.data().join("history"), home.data().join("history.unreadable"));
    let mut bytes = fs::read(&file).expect("a history");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 0x40;
    fs::write(&file, &bytes).expect("written");
    let daemon = home.start();
    daemon.await_log("the history cannot be read, and starts empty: its checksum is wrong");
    assert_eq!(fs::read(&aside).expect("it is kept"), bytes);
    daemon.accept("/in/in", &[], b"x");
    daemon.await_count("delivered", 6);
    assert_eq!(daemon.json(&["stats"])["total"]["accepted"], 1);

    // A kill costs what was not written, and nothing else.
    daemon.kill();
    let daemon = home.start();
    assert!(daemon.json(&["stats"])["total"]["accepted"].as_u64().unwrap_or(0) <= 1);
    assert_eq!(daemon.json(&["status"])["events"], 6);
}
