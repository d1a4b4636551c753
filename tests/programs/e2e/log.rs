//! The log as a whole: its head kept elsewhere, a copy of it on another machine, its events taken
//! out and in, what is damaged in it brought out, and what a later version wrote.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::support::rng::Rng;
use super::support::sizes::{are_not_optimized, require};
use super::support::{Daemon, Home, Receiver, SOON, Step, until};
use super::{open_source, quick_endpoint, text};

fn small_segments() -> Home {
    let mut home = Home::new();
    let path = home.write("hookbox.toml", "[log]\nsegment_size = \"1MiB\"\n");
    home.args.extend(["--config".to_owned(), path]);
    home
}

/// Posts until the log has some segments.
fn fill(daemon: &Daemon, rng: &mut Rng) -> Vec<(String, Vec<u8>)> {
    let mut client = daemon.client();
    let mut sent = Vec::new();
    for n in 0..70 {
        let body: Vec<u8> =
            std::iter::repeat_with(|| rng.next().to_le_bytes()).flatten().take(50_000).collect();
        let answer = client
            .post("/in/in", &[("Idempotency-Key", &format!("k{n}"))], &body)
            .expect("an answer");
        sent.push((text(&answer.json(), "id").to_owned(), body));
    }
    sent
}

/// A daemon on a folder that was put there.
fn on(data: &Path) -> Home {
    let home = Home::new();
    let copied =
        std::process::Command::new("cp").arg("-r").arg(data).arg(home.data()).status().expect("cp");
    assert!(copied.success());
    home
}

fn same_body(daemon: &Daemon, (id, body): &(String, Vec<u8>)) -> bool {
    let shown = daemon.json(&["event", "show", id]);
    STANDARD.decode(text(&shown, "body_base64")).is_ok_and(|found| found == *body)
}

#[test]
fn a_head_kept_elsewhere_is_looked_for() {
    let home = Home::new();
    let daemon = home.start();
    open_source(&daemon, "in");
    daemon.accept("/in/in", &[], b"one");

    let kept = daemon.done(&["log", "head"]).stdout;
    let head = daemon.json(&["log", "head"]);
    assert_eq!(kept.trim(), format!("{}:{}", head["record"], text(&head, "hash")));

    daemon.accept("/in/in", &[], b"two");
    let said = daemon.done(&["log", "verify", "--expect", &kept]).stdout;
    assert!(said.contains(&format!("in the chain, at record {}", head["record"])), "{said}");
    assert_eq!(
        daemon.json(&["log", "verify", "--expect", text(&head, "hash")])["expected_at"],
        head["record"]
    );

    let other = format!("{}:{}", head["record"], "0".repeat(64));
    let refused = daemon.ctl().run(&["log", "verify", "--expect", &other]).expect(1);
    assert!(refused.stdout.contains("not on the chain"), "{}", refused.stdout);
    let garbage = daemon.ctl().run(&["log", "verify", "--expect", "abc"]).expect(1);
    assert!(garbage.stderr.contains("64 hex digits"), "{}", garbage.stderr);

    assert_eq!(daemon.terminate().code(), Some(0));
    let data = home.data();
    let folder = data.to_str().expect("a path");
    home.ctl().run(&["log", "verify", "--data", folder, "--expect", &kept]).expect(0);
    assert_eq!(
        home.ctl().json(&["log", "head", "--data", folder])["record"],
        head["record"].as_u64().expect("n") + 1
    );
}

#[test]
fn a_backup_made_under_load_goes_on_elsewhere() {
    let home = small_segments();
    let daemon = home.start();
    let receiver = Receiver::start();
    receiver.always("/late", Step::Status(503));
    open_source(&daemon, "in");
    quick_endpoint(&daemon, "app", &receiver.url("/app"), &[]);
    quick_endpoint(
        &daemon,
        "late",
        &receiver.url("/late"),
        &["--types", "late", "--retry-base", "1h"],
    );
    let mut rng = Rng::new(11);
    let sent = fill(&daemon, &mut rng);
    let late =
        daemon.json(&["event", "send", "--source", "in", "--type", "late", "--data", "not yet"]);
    daemon.await_count("delivered", 71);
    let stop = std::sync::atomic::AtomicBool::new(false);
    let to = home.path().join("backup");
    let made = std::thread::scope(|scope| {
        let load = scope.spawn(|| {
            let mut client = daemon.client();
            while !stop.load(std::sync::atomic::Ordering::Acquire) {
                assert_eq!(
                    client.post("/in/in", &[], b"meanwhile").expect("an answer").status,
                    202
                );
            }
        });
        let made = daemon.json(&["log", "backup", to.to_str().expect("a path")]);
        stop.store(true, std::sync::atomic::Ordering::Release);
        load.join().expect("the load");
        made
    });
    assert_eq!(made["ok"], true, "{made}");
    assert!(made["segments"].as_u64() >= Some(3), "{made}");
    assert_eq!(fs::metadata(&to).expect("made").permissions().mode() & 0o777, 0o700);
    let again = daemon.ctl().run(&["log", "backup", to.to_str().expect("a path")]).expect(1);
    assert!(again.stderr.contains("choose another folder"), "{}", again.stderr);
    let head = format!("{}:{}", made["record"], text(&made, "hash"));
    daemon.done(&["log", "verify", "--expect", &head]);
    assert_eq!(daemon.terminate().code(), Some(0));
    let before = receiver.seen("/app").len();

    // Another machine: the folder is the data folder.
    receiver.always("/late", Step::Status(200));
    let other = on(&to);
    let daemon = other.start();
    daemon.done(&["log", "verify", "--expect", &head]);
    assert!(sent.iter().step_by(9).all(|event| same_body(&daemon, event)));
    let waiting = daemon.json(&["delivery", "list", "--endpoint", "late"]);
    daemon.done(&["delivery", "retry", text(&waiting, "id")]);
    until("the late one", SOON, || {
        receiver.seen("/late").iter().find(|seen| seen.answered == 200).cloned()
    });
    let ids: Vec<String> = receiver.seen("/late").iter().map(|seen| seen.id().to_owned()).collect();
    assert!(
        ids.len() >= 2 && ids.iter().all(|id| *id == text(&late, "id")),
        "the same id: {ids:?}"
    );
    // What had been delivered when the backup was made is not delivered again; what came in its
    // last moment may be.
    let again = receiver.seen("/app").split_off(before);
    assert!(
        again.iter().all(|seen| sent.iter().all(|(id, _)| id != seen.id())),
        "{} again",
        again.len()
    );
}

#[test]
fn exported_events_come_in_elsewhere_without_being_delivered_again() {
    let home = Home::new();
    let daemon = home.start();
    let receiver = Receiver::start();
    receiver.always("/late", Step::Status(503));
    open_source(&daemon, "in");
    quick_endpoint(&daemon, "app", &receiver.url("/app"), &[]);
    quick_endpoint(&daemon, "late", &receiver.url("/late"), &["--retry-base", "1h"]);
    let headers = [("Content-Type", "x/odd"), ("X-One", "1"), ("Idempotency-Key", "key")];
    let id = daemon.accept("/in/in", &headers, b"\x00\xffbytes");
    daemon.json(&["event", "send", "--source", "in", "--type", "b", "--data", "{\"n\":1}"]);
    daemon.await_count("delivered", 2);
    let file = home.path().join("events.ndjson");
    let path = file.to_str().expect("a path");
    daemon.done(&["log", "export", "--output", path]);
    assert_eq!(fs::metadata(&file).expect("made").permissions().mode() & 0o777, 0o600);
    let only = daemon.done(&["log", "export", "--type", "b"]).stdout;
    assert_eq!(only.lines().count(), 1);
    let clouds = daemon.done(&["log", "export", "--format", "cloudevents"]).stdout;
    let cloud: Value = serde_json::from_str(clouds.lines().next().expect("a line")).expect("JSON");
    assert_eq!(
        (&cloud["specversion"], &cloud["id"], &cloud["source"]),
        (&json!("1.0"), &json!(id), &json!("/in/in"))
    );
    assert_eq!((&cloud["hookboxdue"], &cloud["hookboxended"]), (&json!("late"), &json!("app")));

    let other = Home::new();
    let fresh = other.start();
    open_source(&fresh, "in");
    let refused = fresh.ctl().run(&["log", "import", path]).expect(1);
    assert!(refused.stderr.contains("endpoint 'late', which is not here"), "{}", refused.stderr);
    quick_endpoint(&fresh, "app", &receiver.url("/app"), &[]);
    quick_endpoint(&fresh, "late", &receiver.url("/late"), &[]);
    receiver.always("/late", Step::Status(200));
    let done = fresh.json(&["log", "import", path]);
    assert_eq!((&done["imported"], &done["skipped"]), (&json!(2), &json!(0)));
    let again = fresh.json(&["log", "import", path]);
    assert_eq!((&again["imported"], &again["skipped"]), (&json!(0), &json!(2)));
    let from_clouds =
        fresh.ctl().run_with_input(&["--json", "log", "import", "-"], clouds.as_bytes()).expect(0);
    assert!(from_clouds.stdout.contains("\"skipped\":2"), "{}", from_clouds.stdout);
    fresh.await_count("delivered", 2);
    let seen = until("both at the late one", SOON, || {
        let good: Vec<_> =
            receiver.seen("/late").into_iter().filter(|seen| seen.answered == 200).collect();
        (good.len() == 2).then_some(good)
    });
    let first =
        seen.iter().find(|seen| seen.id() == id).expect("under the id it was accepted with");
    assert_eq!(
        (first.body.as_slice(), first.header("content-type")),
        (&b"\x00\xffbytes"[..], Some("x/odd"))
    );
    assert_eq!(receiver.seen("/app").len(), 2, "nothing twice");
    let shown = fresh.json(&["event", "show", &id]);
    assert_eq!((text(&shown, "first_id"), &shown["headers"]["x-one"]), (id.as_str(), &json!("1")));
    assert_eq!(fresh.post("/in/in", &[("Idempotency-Key", "key")], b"").json()["duplicate"], true);
    // It survives a restart, and an export of the copy is that of the first one.
    assert_eq!(fresh.terminate().code(), Some(0));
    let fresh = other.start();
    assert_eq!(text(&fresh.json(&["event", "show", &id]), "first_id"), id);
    let ids = |text: &str| -> Vec<Value> {
        let parse = |line: &str| serde_json::from_str::<Value>(line).expect("JSON")["id"].clone();
        text.lines().map(parse).collect()
    };
    let exported = fresh.done(&["log", "export"]).stdout;
    assert_eq!(ids(&exported), ids(&fs::read_to_string(&file).expect("reads")));
    assert!(fresh.json(&["log", "verify"])["ok"] == true);
    daemon.kill();
}

/// A dead letter is not delivered by an import, nor forgotten: it is a dead letter again, with its
/// last words.
#[test]
fn dead_letters_are_exported_and_come_in_as_such() {
    let (home, receiver) = (Home::new(), Receiver::start());
    let daemon = home.start();
    receiver.always("/app", Step::Status(503));
    open_source(&daemon, "in");
    quick_endpoint(&daemon, "app", &receiver.url("/app"), &["--max-attempts", "1"]);
    let sent: Vec<String> =
        (0..3).map(|n| daemon.accept("/in/in", &[], format!("{n}").as_bytes())).collect();
    daemon.await_count("dead", 3);
    let of = |daemon: &Daemon, event: &str| {
        daemon.lines(&["dlq", "list", "--event", event]).pop().expect("it is dead")
    };
    daemon.json(&["dlq", "discard", text(&of(&daemon, &sent[2]), "id")]);
    let first = of(&daemon, &sent[0]);
    let file = home.path().join("events.ndjson");
    let path = file.to_str().expect("a path");
    daemon.done(&["log", "export", "--output", path]);
    let clouds = daemon.done(&["log", "export", "--format", "cloudevents"]).stdout;
    let cloud: Value = serde_json::from_str(clouds.lines().next().expect("a line")).expect("JSON");
    assert_eq!((&cloud["hookboxdead"], &cloud["hookboxended"]), (&json!("app"), &json!("")));
    daemon.kill();
    receiver.always("/app", Step::Status(200));
    let before = receiver.count("/app");

    let other = Home::new();
    let fresh = other.start();
    open_source(&fresh, "in");
    let refused = fresh.ctl().run(&["log", "import", path]).expect(1);
    assert!(
        refused.stderr.contains("is a dead letter of endpoint 'app', which is not here"),
        "{}",
        refused.stderr
    );
    quick_endpoint(&fresh, "app", &receiver.url("/app"), &[]);
    let mut twice: Value = serde_json::from_str(
        fs::read_to_string(&file).expect("reads").lines().next().expect("a line"),
    )
    .expect("JSON");
    twice["deliveries"]
        .as_array_mut()
        .expect("a list")
        .push(json!({"endpoint": "app", "state": "pending"}));
    let refused =
        fresh.ctl().run_with_input(&["log", "import", "-"], twice.to_string().as_bytes()).expect(1);
    assert!(refused.stderr.contains("names an endpoint twice"), "{}", refused.stderr);
    assert_eq!(fresh.json(&["log", "import", path])["imported"], 3);
    let zombie = twice.to_string().replace("\"pending\"", "\"zombie\"");
    let refused = fresh.ctl().run_with_input(&["log", "import", "-"], zombie.as_bytes()).expect(1);
    assert!(refused.stderr.contains("'zombie' is no state of a delivery"), "{}", refused.stderr);
    let listed = clouds.replace("\"hookboxdead\":\"app\"", "\"hookboxdead\":[\"app\"]");
    let refused = fresh.ctl().run_with_input(&["log", "import", "-"], listed.as_bytes()).expect(1);
    assert!(
        refused.stderr.contains("line 1: hookboxdead has to be a string"),
        "{}",
        refused.stderr
    );
    // What waits behind them is delivered, after a restart, and they are not.
    fresh.json(&["endpoint", "hold", "app"]);
    let behind = fresh.accept("/in/in", &[], b"behind");
    assert_eq!(fresh.terminate().code(), Some(0));
    let fresh = other.start();
    fresh.json(&["endpoint", "release", "app"]);
    assert_eq!(receiver.wait("/app", before + 1, SOON).pop().expect("it came").id(), behind);
    assert_eq!(fresh.lines(&["dlq", "list"]).len(), 2);
    let shown = of(&fresh, &sent[0]);
    for field in ["attempts", "died_at", "reason"] {
        assert_eq!(shown[field], first[field], "{field}");
    }
    fresh.json(&["dlq", "retry", text(&shown, "id")]);
    receiver.wait("/app", before + 2, SOON);
    assert_eq!(
        receiver.seen("/app").pop().expect("it came").id(),
        sent[0],
        "under the id that it had"
    );
    until("one to be left", SOON, || (fresh.lines(&["dlq", "list"]).len() == 1).then_some(()));
    // What is there already needs no endpoint.
    fresh.json(&["endpoint", "delete", "app"]);
    assert_eq!(fresh.json(&["log", "import", path])["skipped"], 3);

    // A CloudEvent has no place for the last words.
    let third = Home::new();
    let fresh = third.start();
    open_source(&fresh, "in");
    quick_endpoint(&fresh, "app", &receiver.url("/app"), &[]);
    fresh.ctl().run_with_input(&["log", "import", "-"], clouds.as_bytes()).expect(0);
    fresh.await_count("dead", 2);
    assert!(text(&of(&fresh, &sent[0]), "reason").contains("where it was imported from"));
    let behind = fresh.accept("/in/in", &[], b"behind");
    assert_eq!(receiver.wait("/app", before + 3, SOON).pop().expect("it came").id(), behind);
}

/// Of the programs without optimization; a busy machine takes longer for the commit of a larger one
/// than the watchdog allows.
#[test]
fn a_large_body_comes_in_from_an_export() {
    comes_in_from_an_export(6 << 20);
}

#[test]
#[ignore = "needs optimized programs (just damage)"]
fn the_largest_of_all_comes_in_from_an_export() {
    require(are_not_optimized());
    comes_in_from_an_export(32 << 20);
}

fn comes_in_from_an_export(size: usize) {
    let (home, receiver) = (Home::new(), Receiver::start());
    let daemon = home.start();
    daemon.json(&["source", "create", "in", "--verify", "none", "--max-body", &size.to_string()]);
    let mut body = vec![0; size];
    body.chunks_mut(8).zip(0u64..).for_each(|(chunk, n)| chunk.copy_from_slice(&n.to_le_bytes()));
    daemon.accept("/in/in", &[], b"one that fills the slice before it");
    let id = daemon.accept("/in/in", &[], &body);

    let file = home.path().join("events.ndjson");
    let path = file.to_str().expect("a path");
    daemon.done(&["log", "export", "--output", path]);

    let other = Home::new();
    let fresh = other.start();
    assert_eq!(fresh.json(&["log", "import", path])["imported"], 2);
    quick_endpoint(&fresh, "app", &receiver.url("/app"), &[]);
    fresh.json(&["replay", "--event", &id, "--to", "app"]);
    let came = receiver.wait("/app", 1, SOON).pop().expect("it came");
    assert_eq!((came.id(), came.body == body), (id.as_str(), true));

    let larger = json!({"what": "event", "id": "evt_large", "source": "in", "body_base64": "A".repeat(53 << 20)});
    let refused = fresh
        .ctl()
        .run_with_input(&["log", "import", "-"], larger.to_string().as_bytes())
        .expect(1);
    assert!(
        refused.stderr.contains("line 1 has 53 MiB, and a daemon takes 44 MiB"),
        "{}",
        refused.stderr
    );
}

/// The folder that was put aside, or the segment in its place.
fn db(data: &Path, number: usize) -> PathBuf {
    let entries = fs::read_dir(data.join("log")).expect("lists").flatten().map(|e| e.path());
    let mut found: Vec<_> = entries.filter(|p| p.join("db").is_file()).collect();
    found.sort();
    found[number].join("db")
}

#[test]
fn what_is_readable_in_a_damaged_segment_is_brought_out_and_back_in() {
    let home = small_segments();
    let daemon = home.start();
    open_source(&daemon, "in");
    let mut rng = Rng::new(12);
    let sent = fill(&daemon, &mut rng);
    assert_eq!(daemon.terminate().code(), Some(0));

    // The second segment loses much of its file: the store cannot open it any more.
    let broken = db(&home.data(), 1);
    let mut bytes = fs::read(&broken).expect("reads");
    bytes.chunks_mut(128 << 10).for_each(|chunk| {
        let hole = chunk.len().min(12 << 10);
        chunk[..hole].fill(0);
    });
    fs::write(&broken, bytes).expect("writes");

    let daemon = home.start();
    let lost = |daemon: &Daemon| {
        sent.iter()
            .filter(|(id, _)| daemon.ctl().run(&["event", "show", id]).code != Some(0))
            .count()
    };
    let missing = lost(&daemon);
    assert!(missing > 5, "{missing}");

    let listed = daemon.ctl().try_json(&["event", "list", "--limit", "1000"]).expect(1);
    assert_eq!(
        listed.stdout.lines().count(),
        sent.len() - missing,
        "the rest is listed: {}",
        listed.stderr
    );
    assert!(listed.stderr.contains("damaged"), "{}", listed.stderr);

    let status = daemon.json(&["status"]);
    let damage = &status["log"]["damage"][0];
    assert!(text(damage, "what").contains("bad-seg-"), "{status}");
    assert!(daemon.done(&["status"]).stdout.contains("DAMAGED"), "people are told as well");
    assert!(daemon.log_text().contains("damaged"), "and the process log");

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
    assert!(back["imported"].as_u64() > Some(0), "{back}");
    assert_eq!(lost(&daemon) as u64, missing as u64 - back["imported"].as_u64().expect("a number"));
    let again = daemon.json(&["log", "import", path]);
    assert_eq!((&again["imported"], &again["skipped"]), (&json!(0), &back["imported"]));

    let found = lines.iter().find(|line| line["what"] == "event").expect("one");
    let (id, body) = sent.iter().find(|(id, _)| found["id"] == id.as_str()).expect("it was sent");
    assert!(same_body(&daemon, &(id.clone(), body.clone())));
    assert_eq!(daemon.terminate().code(), Some(0));

    // With the daemon stopped it is the same.
    let offline = home
        .ctl()
        .run(&["log", "salvage", "--data", home.data().to_str().expect("a path")])
        .expect(1);
    assert_eq!(offline.stdout, fs::read_to_string(&file).expect("reads"));
}

/// Segments that are gone, the oldest too, are told by every export, at every start, and do not
/// keep the rest from being salvaged.
#[test]
fn what_no_segment_holds_is_told_every_time() {
    let home = small_segments();
    let daemon = home.start();
    open_source(&daemon, "in");
    let sent = fill(&daemon, &mut Rng::new(13));
    assert_eq!(daemon.terminate().code(), Some(0));
    let (oldest, gone) = (db(&home.data(), 0), db(&home.data(), 1));
    for db in [&oldest, &gone] {
        fs::remove_file(db).expect("removes");
    }
    let mut daemon = home.start();
    let mut lines = None;
    for _ in 0..3 {
        let done = daemon.ctl().run(&["log", "export"]).expect(1);
        assert_eq!(done.stderr.matches("hookboxctl: not exported: ").count(), 2, "{}", done.stderr);
        let all = done.stdout.lines().count();
        assert!(
            all > 20 && all < sent.len() && *lines.get_or_insert(all) == all,
            "{all} of {}",
            sent.len()
        );
        assert!(daemon.done(&["status"]).stdout.contains("DAMAGED"), "people are told");
        assert_eq!(daemon.terminate().code(), Some(0));
        daemon = home.start();
    }
    let stat = daemon.json(&["log", "stat"]);
    let after =
        stat["segments"].as_array().and_then(|all| all.last()).expect("one")["first"].to_string();
    let done = daemon.ctl().run(&["log", "export", "--from", &after]).expect(0);
    assert!(!done.stdout.is_empty(), "what was not asked for may be missing: {}", done.stderr);
    let copy = home.path().join("copy");
    let done = daemon.ctl().run(&["log", "backup", copy.to_str().expect("a path")]).expect(1);
    assert!(done.stdout.contains("inconsistencies of the log"), "{} {}", done.stdout, done.stderr);
    assert_eq!(daemon.terminate().code(), Some(0));

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

    // Without a trace of it but the numbers.
    let number: String =
        gone.to_string_lossy().rsplit('/').nth(1).expect("a folder").replace("seg-", "");
    for entry in fs::read_dir(&folder)
        .expect("lists")
        .flatten()
        .filter(|e| e.file_name().to_string_lossy().contains(&number))
    {
        assert!(
            std::process::Command::new("rm")
                .arg("-r")
                .arg(entry.path())
                .status()
                .expect("rm")
                .success()
        );
    }
    let data = home.data().to_string_lossy().into_owned();
    let done = home.ctl().run(&["log", "export", "--data", &data]).expect(1);
    assert!(done.stderr.contains("no segment holds them"), "{}", done.stderr);
    let daemon = home.start();
    let damage = daemon.json(&["status"])["log"]["damage"].clone();
    assert!(damage.to_string().contains("no segment holds them"), "{damage}");
    assert!(daemon.log_text().contains("records of the log are missing"), "and the process log");
}

/// What a lost watermark would have told cannot be known any more, and that is told until retention
/// has passed there.
#[test]
fn a_missing_watermark_is_told_again_and_again() {
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

/// The lines are those of the file, and what came in before the one that is refused is told.
#[test]
fn an_import_that_breaks_off_says_where_and_after_what() {
    let home = Home::new();
    let daemon = home.start();
    open_source(&daemon, "in");
    let event = |n: usize| {
        json!({"what": "event", "id": format!("evt_00000000000g3kq1v8b2m4{n:03}0"), "source": "in", "type": "t", "headers": [],
            "received_at": "2026-11-01T10:00:00Z", "body_base64": "", "deliveries": []})
        .to_string()
    };
    let import = |lines: &[String]| {
        daemon
            .ctl()
            .run_with_input(&["log", "import", "-"], lines.join("\n").as_bytes())
            .expect(1)
            .stderr
    };
    // Two lines that are no events, one of them empty, lie before them.
    let mut lines: Vec<String> =
        vec![json!({"what": "record", "kind": "x"}).to_string(), String::new()];
    lines.extend((0..300).map(event));
    lines.push("{bad".to_owned());
    let said = import(&lines);
    assert!(said.contains("after 256 events, which were imported: line 303 is not JSON"), "{said}");
    lines[302] = event(300).replace("\"headers\":[]", "\"headers\":5");
    let said = import(&lines);
    assert!(said.contains("nothing was imported: line 303:"), "{said}");
    lines[302] = event(300).replace("\"type\":\"t\"", "\"type\":9");
    lines.insert(2, event(301));
    let said = import(&lines);
    assert!(said.contains("after 1 event, which was imported: line 304:"), "{said}");

    let cloud = json!({"specversion": "1.0", "id": "c", "source": "/in/in", "type": "t", "time": "2026-11-01T10:00:00Z",
        "data_base64": "aGk="});
    for (attribute, value) in [
        ("specversion", json!("0.3")),
        ("source", json!(7)),
        ("type", Value::Null),
        ("data_base64", json!(5)),
    ] {
        let mut odd = cloud.clone();
        odd[attribute] = value;
        let said = import(&[odd.to_string()]);
        assert!(
            said.contains(&format!("nothing was imported: line 1: {attribute} has to be")),
            "{said}"
        );
    }
    let mut both = cloud;
    both["data"] = json!("hi");
    assert!(import(&[both.to_string()]).contains("exclude each other"));
}

#[test]
fn a_log_of_a_later_version_is_refused_and_left_alone() {
    let home = Home::new();
    let daemon = home.start();
    open_source(&daemon, "in");
    assert_eq!(daemon.terminate().code(), Some(0));

    let json = "{\"format\":7,\"hookbox\":\"0.9.0\"}";
    let crc = crc32fast::hash(json.as_bytes());
    fs::write(home.data().join("log/format"), format!("{json}\n{crc:08x}\n")).expect("writes");
    let data = home.data();

    let done = home
        .run_daemon(&["--data", data.to_str().expect("a path"), "--listen", "127.0.0.1:0"])
        .expect(78);
    for word in ["written by hookbox 0.9.0", "format 7", "use hookbox 0.9.0, or a later one"] {
        assert!(done.stderr.contains(word), "{}", done.stderr);
    }

    let aside = fs::read_dir(data.join("log")).expect("lists").flatten();
    assert!(
        aside.into_iter().all(|e| !e.file_name().to_string_lossy().starts_with("bad-")),
        "nothing is put aside"
    );

    let done =
        home.ctl().run(&["log", "verify", "--data", data.to_str().expect("a path")]).expect(1);
    assert!(done.stderr.contains("written by hookbox 0.9.0"), "{}", done.stderr);
}
