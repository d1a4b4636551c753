//! Damage that the operator has acknowledged asks for nobody any more, and is still shown.

use std::path::PathBuf;

use serde_json::Value;

use super::support::{Ctl, Daemon, Home};
use super::{open_source, text};

/// A log of at least five segments, and nothing that waits.
fn log_of_segments(home: &mut Home) -> Vec<PathBuf> {
    let path = home.write("hookbox.toml", "[log]\nsegment_size = \"1MiB\"\n");
    home.args.extend(["--config".to_owned(), path]);
    let daemon = home.start();
    open_source(&daemon, "in");
    let mut rng = super::support::rng::Rng::new(1);
    for _ in 0..150 {
        let body: Vec<u8> =
            std::iter::repeat_with(|| rng.next().to_le_bytes()).flatten().take(40_000).collect();
        daemon.accept("/in/in", &[], &body);
    }
    assert_eq!(daemon.terminate().code(), Some(0));

    let entries = std::fs::read_dir(home.data().join("log")).expect("the log's folder").flatten();
    let mut found: Vec<PathBuf> =
        entries.map(|entry| entry.path()).filter(|path| path.join("db").is_file()).collect();
    found.sort();
    assert!(found.len() >= 5, "{found:?}");
    found
}

fn check(daemon: &Daemon) -> (Option<i32>, String) {
    let done = daemon.ctl().run(&["status", "--check"]);
    (done.code, done.stdout)
}

fn damage(daemon: &Daemon) -> Vec<Value> {
    daemon.json(&["status"])["log"]["damage"].as_array().expect("a list").clone()
}

fn metric(daemon: &Daemon, name: &str) -> String {
    let page = daemon.ctl().run(&["metrics"]).stdout;
    let line = page.lines().find_map(|line| line.strip_prefix(&format!("{name} ")));
    line.unwrap_or_else(|| panic!("no {name} in {page}")).to_owned()
}

#[test]
fn acknowledged_damage_is_shown_and_asks_for_nobody() {
    let mut home = Home::new();
    let segments = log_of_segments(&mut home);
    std::fs::remove_dir_all(&segments[0]).expect("the segment goes");

    let daemon = home.start();
    let (code, said) = check(&daemon);
    assert!(code == Some(1) && said.contains("1 damaged range"), "{said}");
    let before = damage(&daemon);
    assert!(before.len() == 1 && before[0]["acknowledged_at"].is_null(), "{before:?}");

    // What is not there cannot be acknowledged.
    let done = daemon.ctl().try_json(&["log", "acknowledge", "999999"]);
    assert!(done.code == Some(1) && done.stderr.contains("no damage of segment 999999"));
    assert_eq!(check(&daemon).0, Some(1));

    let segment = before[0]["segment"].to_string();
    let done = daemon.json(&["log", "acknowledge", &segment]);
    assert_eq!(
        (&done["acknowledged"], done["damage"].as_array().map(Vec::len)),
        (&1.into(), Some(1))
    );
    assert_eq!(daemon.json(&["log", "acknowledge"])["acknowledged"], 0, "once is enough");
    assert_still_known(&daemon);

    // After a restart as well, and after one that was not asked for.
    assert_eq!(daemon.terminate().code(), Some(0));
    let daemon = home.start();
    assert_still_known(&daemon);
    daemon.kill();
    let daemon = home.start();
    assert_still_known(&daemon);
    let shown = damage(&daemon).remove(0);
    let ctl = daemon.ctl();
    assert_eq!(daemon.terminate().code(), Some(0));
    let data = home.data().to_string_lossy().into_owned();
    assert_is_acknowledged(&ctl, &["log", "verify", "--data", &data], &shown);

    // Damage of another segment is new.
    std::fs::remove_dir_all(&segments[2]).expect("the segment goes");
    let daemon = home.start();
    let (code, said) = check(&daemon);
    assert!(code == Some(1) && said.contains("1 damaged range"), "{said}");
    let known = damage(&daemon).iter().filter(|d| d["acknowledged_at"].is_string()).count();
    assert_eq!((damage(&daemon).len(), known), (2, 1), "{:?}", damage(&daemon));
    let screen = daemon.ctl().run(&["status"]).stdout;
    assert!(screen.contains("\ndamaged ") && screen.contains("\nDAMAGED "), "{screen}");
    assert_eq!(metric(&daemon, "hookbox_damaged_segments"), "2");
    assert_eq!(metric(&daemon, "hookbox_damaged_segments_acknowledged"), "1");
    assert_eq!(daemon.json(&["log", "acknowledge"])["acknowledged"], 1);
    assert_eq!(check(&daemon).0, Some(0));
}

/// All is well but for one range that is known, which `status` and `log verify` show.
fn assert_still_known(daemon: &Daemon) {
    let (code, said) = check(daemon);
    assert!(code == Some(0), "{said}");
    let shown = damage(daemon);
    assert!(shown.len() == 1 && shown[0]["acknowledged_at"].is_string(), "{shown:?}");

    assert_is_acknowledged(&daemon.ctl(), &["log", "verify"], &shown[0]);
}

/// The report of a verification has this damage with the time of its acknowledgement.
fn assert_is_acknowledged(ctl: &Ctl, command: &[&str], shown: &Value) {
    let verified = ctl.try_json(command);
    assert_eq!(verified.code, Some(1), "it is still damaged");
    let report: Value = serde_json::from_str(&verified.stdout).expect("a report");
    let problems = report["problems"].as_array().expect("a list");
    let same = problems.iter().find(|problem| problem["first"] == shown["first"]);
    let when = same.map(|problem| text(problem, "acknowledged_at"));
    assert_eq!(when, Some(text(shown, "acknowledged_at")), "{report}");
}
