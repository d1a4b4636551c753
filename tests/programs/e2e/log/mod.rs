//! The log as a whole: its head kept elsewhere, a copy of it on another machine, what a later
//! version wrote; events that are exported and imported, and what is damaged.

mod damage;
mod exports;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use super::support::rng::Rng;
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
    let output = daemon.done(&["log", "verify", "--expect", &kept]).stdout;
    assert!(output.contains(&format!("in the chain, at record {}", head["record"])), "{output}");
    assert_eq!(
        daemon.json(&["log", "verify", "--expect", text(&head, "hash")])["expected_at"],
        head["record"]
    );

    let other = format!("{}:{}", head["record"], "0".repeat(64));
    let refused = daemon.ctl().run(&["log", "verify", "--expect", &other]).expect(1);
    assert!(refused.stdout.contains("not on the chain"), "{}", refused.stdout);
    let garbage = daemon.ctl().run(&["log", "verify", "--expect", "abc"]).expect(64);
    assert!(garbage.stderr.contains("64 hex digits"), "{}", garbage.stderr);

    assert_eq!(daemon.terminate().code(), Some(0));
    let data = home.data();
    let folder = data.to_str().expect("a path");
    home.ctl().run(&["log", "verify", "--data", folder, "--expect", &kept]).expect(0);
    for garbage in ["abc", "12:abc", ":", "x:00"] {
        let args = ["log", "verify", "--data", folder, "--expect", garbage];
        let refused = home.ctl().run(&args).expect(64).stderr;
        assert!(refused.contains("as `hookboxctl log head` prints it"), "{garbage}: {refused}");
    }
    assert_eq!(
        home.ctl().json(&["log", "head", "--data", folder])["record"],
        head["record"].as_u64().expect("n") + 1
    );
}

/// Makes a backup while events come in; what the ctl answers.
fn backup_under_load(daemon: &Daemon, to: &Path) -> Value {
    let is_over = AtomicBool::new(false);

    std::thread::scope(|scope| {
        let load = scope.spawn(|| {
            let mut client = daemon.client();
            while !is_over.load(Ordering::Acquire) {
                assert_eq!(
                    client.post("/in/in", &[], b"meanwhile").expect("an answer").status,
                    202
                );
            }
        });
        let made = daemon.json(&["log", "backup", to.to_str().expect("a path")]);
        is_over.store(true, Ordering::Release);
        load.join().expect("the load");
        made
    })
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

    let to = home.path().join("backup");
    let made = backup_under_load(&daemon, &to);
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
