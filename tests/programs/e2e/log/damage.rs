//! What is damaged or missing in a log is reported, and the rest of it can be salvaged.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::{fill, on, same_body, small_segments};
use crate::e2e::{open_source, text};
use crate::support::rng::Rng;
use crate::support::{Daemon, Home};

/// The folder that was put aside, or the segment in its place.
fn db(data: &Path, number: usize) -> PathBuf {
    let entries = fs::read_dir(data.join("log")).expect("lists").flatten().map(|e| e.path());
    let mut found: Vec<_> = entries.filter(|p| p.join("db").is_file()).collect();
    found.sort();
    found[number].join("db")
}

/// Takes so much out of a segment's file that the store cannot open it any more.
fn punch_holes(file: &Path) {
    let mut bytes = fs::read(file).expect("reads");
    bytes.chunks_mut(128 << 10).for_each(|chunk| {
        let hole = chunk.len().min(12 << 10);
        chunk[..hole].fill(0);
    });
    fs::write(file, bytes).expect("writes");
}

/// How many of these events the daemon does not show.
fn lost(daemon: &Daemon, sent: &[(String, Vec<u8>)]) -> usize {
    sent.iter().filter(|(id, _)| daemon.ctl().run(&["event", "show", id]).code != Some(0)).count()
}

#[test]
fn what_is_readable_in_a_damaged_segment_is_brought_out_and_back_in() {
    let home = small_segments();
    let daemon = home.start();
    open_source(&daemon, "in");
    let mut rng = Rng::new(12);
    let sent = fill(&daemon, &mut rng);
    assert_eq!(daemon.terminate().code(), Some(0));
    punch_holes(&db(&home.data(), 1));

    let daemon = home.start();
    let missing = lost(&daemon, &sent);
    assert!(missing > 5, "{missing}");
    damage_is_reported(&daemon, sent.len() - missing);

    let file = home.path().join("salvaged.ndjson");
    let path = file.to_str().expect("a path");
    let done = daemon.ctl().run(&["log", "salvage", "--output", path]).expect(1);
    assert!(done.stderr.contains("are missing"), "{}", done.stderr);
    let lines: Vec<Value> = fs::read_to_string(&file)
        .expect("reads")
        .lines()
        .map(|l| serde_json::from_str(l).expect("JSON"))
        .collect();

    let of = |what: &str| lines.iter().filter(|line| line["what"] == what).count();
    assert!(
        of("event") > 0 && of("missing") > 0,
        "{} events, {} ranges",
        of("event"),
        of("missing")
    );

    let back = daemon.json(&["log", "import", path]);
    let imported = back["imported"].as_u64().expect("a number");
    assert!(imported > 0, "{back}");
    assert_eq!(lost(&daemon, &sent) as u64, missing as u64 - imported);
    let again = daemon.json(&["log", "import", path]);
    assert_eq!((&again["imported"], &again["skipped"]), (&json!(0), &back["imported"]));

    let found = lines.iter().find(|line| line["what"] == "event").expect("one");
    let event = sent.iter().find(|(id, _)| found["id"] == id.as_str()).expect("it was sent");
    assert!(same_body(&daemon, event));
    assert_eq!(daemon.terminate().code(), Some(0));

    // With the daemon stopped it is the same.
    let offline = home
        .ctl()
        .run(&["log", "salvage", "--data", home.data().to_str().expect("a path")])
        .expect(1);
    assert_eq!(offline.stdout, fs::read_to_string(&file).expect("reads"));
}

/// Changes a few bytes of a file, in one place.
fn flip(file: &Path, rng: &mut Rng) {
    let mut bytes = fs::read(file).expect("reads");
    let at = 512 + rng.index(bytes.len() - 1024);
    bytes[at..at + 64].iter_mut().for_each(|byte| *byte ^= 0x55);
    fs::write(file, bytes).expect("writes");
}

/// How many events a salvage finds in the segment that begins with the same record.
fn salvaged(home: &Home, data: &Path, name: &str) -> usize {
    let entries = fs::read_dir(data.join("log")).expect("lists").flatten().map(|e| e.path());
    let mut found = entries.filter(|path| path.is_dir() && path.to_string_lossy().contains(name));
    let path = found.next().expect("the segment, or what was put aside");
    let done = home.ctl().run(&["log", "salvage", path.to_str().expect("a path")]);
    done.stdout.lines().filter(|line| line.contains("\"what\":\"event\"")).count()
}

/// A start on a damaged copy does not make it worse: what a salvage found before, it finds after.
#[test]
fn a_start_on_a_damaged_backup_loses_nothing_that_could_be_read() {
    let home = small_segments();
    let daemon = home.start();
    open_source(&daemon, "in");
    let mut rng = Rng::new(14);
    fill(&daemon, &mut rng);

    for case in 0..6 {
        let copy = home.path().join(format!("copy-{case}"));
        daemon.done(&["log", "backup", copy.to_str().expect("a path")]);
        only_its_owner_reads(&copy);
        let file = db(&copy, 1);
        let folder = file.parent().and_then(Path::file_name).expect("a segment");
        let name = folder.to_string_lossy().replace("seg-", "");
        flip(&file, &mut rng);
        let before = salvaged(&home, &copy, &name);

        let other = on(&copy);
        let started = other.start();
        started.ctl().run(&["log", "verify"]);
        assert_eq!(started.terminate().code(), Some(0));
        let after = salvaged(&home, &other.data(), &name);
        assert!(after >= before && before > 0, "case {case}: {before} events, then {after}");
    }
}

fn only_its_owner_reads(path: &Path) {
    let found = fs::metadata(path).expect("it is there");
    let expected = if found.is_dir() { 0o700 } else { 0o600 };
    assert_eq!(found.permissions().mode() & 0o777, expected, "{}", path.display());
    if found.is_dir() {
        let entries = fs::read_dir(path).expect("lists").flatten();
        entries.for_each(|entry| only_its_owner_reads(&entry.path()));
    }
}

/// The damage stands in lists, in the status and in the process log, and `left` events are listed.
fn damage_is_reported(daemon: &Daemon, left: usize) {
    let listed = daemon.ctl().try_json(&["event", "list", "--limit", "1000"]).expect(1);
    assert_eq!(listed.stdout.lines().count(), left, "the rest is listed: {}", listed.stderr);
    assert!(listed.stderr.contains("damaged"), "{}", listed.stderr);

    let status = daemon.json(&["status"]);
    let damage = &status["log"]["damage"][0];
    assert!(text(damage, "what").contains("bad-seg-"), "{status}");
    assert!(daemon.done(&["status"]).stdout.contains("DAMAGED"), "people read it as well");
    assert!(daemon.log_text().contains("damaged"), "and the process log");
}

/// Segments that are gone, the oldest too, are reported by every export, at every start, and do not
/// keep the rest from being salvaged.
#[test]
fn what_no_segment_holds_is_reported_every_time() {
    let home = small_segments();
    let daemon = home.start();
    open_source(&daemon, "in");
    let sent = fill(&daemon, &mut Rng::new(13));
    assert_eq!(daemon.terminate().code(), Some(0));
    let (oldest, gone) = (db(&home.data(), 0), db(&home.data(), 1));
    for db in [&oldest, &gone] {
        fs::remove_file(db).expect("removes");
    }

    let daemon = every_export_reports_two_ranges(&home, sent.len());
    let stat = daemon.json(&["log", "stat"]);
    let after =
        stat["segments"].as_array().and_then(|all| all.last()).expect("one")["first"].to_string();
    let done = daemon.ctl().run(&["log", "export", "--from", &after]).expect(0);
    assert!(!done.stdout.is_empty(), "what was not asked for may be missing: {}", done.stderr);
    let copy = home.path().join("copy");
    let done = daemon.ctl().run(&["log", "backup", copy.to_str().expect("a path")]).expect(1);
    assert!(done.stdout.contains("inconsistencies of the log"), "{} {}", done.stdout, done.stderr);
    assert_eq!(daemon.terminate().code(), Some(0));

    salvages_the_rest(&home);
    no_trace_is_left(&home, &gone);

    let data = home.data().to_string_lossy().into_owned();
    let done = home.ctl().run(&["log", "export", "--data", &data]).expect(1);
    assert!(done.stderr.contains("no segment holds them"), "{}", done.stderr);
    let daemon = home.start();
    let damage = daemon.json(&["status"])["log"]["damage"].clone();
    assert!(damage.to_string().contains("no segment holds them"), "{damage}");
    assert!(daemon.log_text().contains("records of the log are missing"), "and the process log");
}

/// Three exports, each after a start of its own, report the two ranges and give the same events;
/// the daemon that runs at the end.
fn every_export_reports_two_ranges(home: &Home, sent: usize) -> Daemon {
    let mut daemon = home.start();
    let mut lines = None;

    for _ in 0..3 {
        let done = daemon.ctl().run(&["log", "export"]).expect(1);
        assert_eq!(done.stderr.matches("hookboxctl: not exported: ").count(), 2, "{}", done.stderr);
        let all = done.stdout.lines().count();
        assert!(all > 20 && all < sent && *lines.get_or_insert(all) == all, "{all} of {sent}");
        assert!(daemon.done(&["status"]).stdout.contains("DAMAGED"), "people read it");
        assert_eq!(daemon.terminate().code(), Some(0));
        daemon = home.start();
    }
    daemon
}

/// One folder that was put aside, which cannot be read, and one segment that can.
fn salvages_the_rest(home: &Home) {
    let folder = home.data().join("log");
    let aside = fs::read_dir(&folder).expect("lists").flatten().map(|entry| entry.path());
    let aside: Vec<PathBuf> =
        aside.filter(|path| path.to_string_lossy().contains("bad-seg-")).collect();
    let good = db(&home.data(), 0);
    let paths =
        [aside[0].to_str().expect("a path"), good.parent().and_then(Path::to_str).expect("a path")];

    let done = home.ctl().run(&[&["log", "salvage"], &paths[..]].concat()).expect(1);
    assert!(done.stderr.contains("cannot read"), "{}", done.stderr);
    for word in ["\"what\":\"missing\"", "\"what\":\"event\""] {
        assert!(done.stdout.contains(word), "{word}: {}", done.stderr);
    }
}

/// Removes all that a segment has left, so that nothing but the numbers shows that it is missing.
fn no_trace_is_left(home: &Home, segment: &Path) {
    let number: String =
        segment.to_string_lossy().rsplit('/').nth(1).expect("a folder").replace("seg-", "");
    let entries = fs::read_dir(home.data().join("log")).expect("lists").flatten();

    for entry in entries.filter(|e| e.file_name().to_string_lossy().contains(&number)) {
        assert!(
            std::process::Command::new("rm")
                .arg("-r")
                .arg(entry.path())
                .status()
                .expect("rm")
                .success()
        );
    }
}

/// What a lost watermark would have shown cannot be known any more, and that is reported until
/// retention has passed there.
#[test]
fn a_missing_watermark_is_reported_again_and_again() {
    let home = Home::new();
    let daemon = home.start();
    open_source(&daemon, "in");
    daemon.accept("/in/in", &[], b"one");
    let last = daemon.json(&["status"])["log"]["last"].clone();
    assert_eq!(daemon.terminate().code(), Some(0));
    fs::remove_file(home.data().join("log/watermark")).expect("removes");
    let data = home.data().to_string_lossy().into_owned();

    for _ in 0..2 {
        let done = home.ctl().run(&["log", "verify", "--data", &data]).expect(1);
        assert_eq!(
            done.stdout.matches("whether more records had followed is unknown").count(),
            1,
            "{}",
            done.stdout
        );

        let daemon = home.start();
        let damage = daemon.json(&["status"])["log"]["damage"].clone();
        assert_eq!(
            (&damage[0]["last"], damage.as_array().map(Vec::len)),
            (&last, Some(1)),
            "{damage}"
        );

        daemon.accept("/in/in", &[], b"more");
        let done = daemon.ctl().run(&["log", "verify"]).expect(1);
        assert_eq!(
            done.stdout.matches("whether more records had followed is unknown").count(),
            1,
            "{}",
            done.stdout
        );
        assert_eq!(daemon.terminate().code(), Some(0));
    }
}

/// What was lost when the log was opened is missing when it is read: that is one report of a range,
/// from the folder and from the daemon, by `verify` and by `status`.
#[test]
fn a_lost_range_is_reported_once() {
    let home = Home::new();
    let daemon = home.start();
    open_source(&daemon, "in");
    let mut rng = Rng::new(3);
    for _ in 0..30 {
        let body: Vec<u8> = (0..2500).flat_map(|_| rng.next().to_le_bytes()).collect();
        daemon.accept("/in/in", &[], &body);
    }
    assert_eq!(daemon.terminate().code(), Some(0));
    let file = db(&home.data(), 0);
    let mut bytes = fs::read(&file).expect("reads");
    let middle = bytes.len() / 2;
    bytes[middle..middle + 4096].fill(0);
    fs::write(&file, bytes).expect("writes");

    let once = |problems: &Value| {
        let problems = problems.as_array().expect("a list");
        let ranges: Vec<_> =
            problems.iter().map(|p| (p["first"].clone(), p["last"].clone())).collect();
        let is_once = |range| ranges.iter().filter(|other| *other == range).count() == 1;
        assert!(!ranges.is_empty() && ranges.iter().all(is_once), "{problems:#?}");
    };
    let reported = |done: crate::support::Done| -> Value {
        let last = done.stdout.lines().last().unwrap_or_default().to_owned();
        serde_json::from_str::<Value>(&last).expect("JSON")["problems"].clone()
    };
    let data = home.data().to_string_lossy().into_owned();
    once(&reported(home.ctl().try_json(&["log", "verify", "--data", &data]).expect(1)));
    for _ in 0..2 {
        let daemon = home.start();
        once(&reported(daemon.ctl().try_json(&["log", "verify"]).expect(1)));
        once(&daemon.json(&["status"])["log"]["damage"]);
        assert_eq!(daemon.terminate().code(), Some(0));
    }
}
