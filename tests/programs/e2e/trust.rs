//! Who trusts whom on one machine: whose socket the ctl speaks to, what other users may take, and
//! what of a process or a folder others can read or make it write. Another user is played by
//! `nobody`; what needs that needs root.

use std::io::{Read as _, Write as _};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::json;

use super::support::admin::Admin;
use super::support::ctl::{built, finish, program};
use super::support::sizes::{not_root, require};
use super::support::{Daemon, Done, Home, Receiver, SOON};
use super::{open_source, quick_endpoint};

const NOBODY: u32 = 65_534;

/// What runs a program as another user, in root's group or in none of ours.
pub fn as_nobody(gid: u32) -> Vec<String> {
    let ids = [format!("--reuid={NOBODY}"), format!("--regid={gid}"), "--clear-groups".to_owned()];
    std::iter::once("setpriv".to_owned()).chain(ids).collect()
}

/// Runs the ctl as another user in root's group, on a socket.
pub fn ctl_as_nobody(home: &Home, socket: &Path, args: &[&str]) -> Done {
    let place = home.path().join("bin/hookboxctl");
    if !place.exists() {
        home.program(&built("hookboxctl"), "bin/hookboxctl");
    }
    let (ctl, mut command) = (place, program("setpriv"));
    command.args(&as_nobody(0)[1..]).arg(ctl).arg("--socket").arg(socket).args(args);
    finish(command, None)
}

/// A home that others can enter, whose daemon answers on a socket that they can reach by its group.
pub fn open_home() -> (Home, PathBuf) {
    let mut home = Home::new();
    mode(home.path(), 0o755);
    let socket = home.path().join("admin.sock");
    home.args.extend(["--admin-socket".to_owned(), socket.display().to_string()]);
    (home, socket)
}

fn mode(path: &Path, mode: u32) {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).expect("its own");
}

fn start_at(home: &Home, socket: &Path) -> Daemon {
    let mut daemon = home.start();
    daemon.socket = socket.to_path_buf();
    daemon
}

#[test]
#[ignore = "needs root"]
fn the_ctl_tells_nothing_to_another_users_socket() {
    require(not_root());
    let mut home = Home::new();
    mode(home.path(), 0o1777);
    home.under = as_nobody(NOBODY);
    let daemon = home.start();

    let secret = home.write("secret", "whsec_Q0FOQVJZQ0FOQVJZQ0FOQVJZQ0FOQVJZ");
    let create = ["source", "create", "github", "--verify", "github", "--secret-file", &secret];
    let refused = daemon.ctl().run(&create).expect(1);
    assert!(
        refused.stderr.contains("nothing was sent") && refused.stderr.contains("nobody"),
        "{}",
        refused.stderr
    );

    let (_, sources) =
        Admin::connect(&daemon.socket).expect("raw").get("/v1/status").expect("an answer");
    assert_eq!(sources["sources"], 0, "nothing came to it");

    // Its own user may speak to it.
    let ctl = home.program(&built("hookboxctl"), "bin/hookboxctl");
    let mut command = program("setpriv");
    command
        .args(&as_nobody(NOBODY)[1..])
        .arg(ctl)
        .arg("--socket")
        .arg(&daemon.socket)
        .arg("status");
    finish(command, None).expect(0);
}

/// Below `/run` root says whose a place is.
#[test]
#[ignore = "needs root, and a /run that only root can change"]
fn the_ctl_trusts_the_user_whom_root_gave_a_place_below_run() {
    require(not_root());
    let run = std::fs::metadata("/run");
    let is_roots = run.is_ok_and(|run| run.uid() == 0 && run.mode() & 0o022 == 0);
    require((!is_roots).then(|| "others can change /run".to_owned()));

    struct Place(PathBuf);
    impl Drop for Place {
        fn drop(&mut self) {
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }

    let place = Place(PathBuf::from(format!("/run/hookbox-test-{}", std::process::id())));
    std::fs::create_dir(&place.0).expect("a folder in /run");
    std::os::unix::fs::chown(&place.0, Some(NOBODY), None).expect("given away");

    let mut home = Home::new();
    mode(home.path(), 0o1777);
    home.under = as_nobody(NOBODY);
    let socket = place.0.join("admin.sock");
    home.args.extend(["--admin-socket".to_owned(), socket.display().to_string()]);
    let daemon = start_at(&home, &socket);
    daemon.ctl().run(&["status"]).expect(0);

    std::os::unix::fs::chown(&place.0, Some(0), None).expect("taken back");
    let refused = daemon.ctl().run(&["status"]).expect(1);
    assert!(refused.stderr.contains("nothing was sent"), "{}", refused.stderr);
}

#[test]
fn no_core_is_written_and_nobody_looks_into_the_daemon() {
    let mut home = Home::new();
    // Not as root, of whom everything belongs to root anyway.
    if not_root().is_none() {
        mode(home.path(), 0o1777);
        home.under = as_nobody(NOBODY);
    }
    let daemon = home.start();
    let limits =
        std::fs::read_to_string(format!("/proc/{}/limits", daemon.pid())).expect("it lives");
    let core = limits.lines().find(|line| line.starts_with("Max core file size")).expect("a limit");
    assert_eq!(core.split_whitespace().collect::<Vec<_>>()[4..6], ["0", "0"], "{core}");
    // What a process that may not be dumped has there belongs to root, whoever runs it.
    let memory = std::fs::metadata(format!("/proc/{}/environ", daemon.pid())).expect("it lives");
    assert_eq!(memory.uid(), 0);
}

/// Everything in a folder: names, kinds, contents.
fn picture(folder: &Path) -> Vec<(PathBuf, Option<Vec<u8>>, std::time::SystemTime)> {
    let mut all = Vec::new();
    for entry in std::fs::read_dir(folder).expect("a folder").flatten() {
        let path = entry.path();
        let found = std::fs::symlink_metadata(&path).expect("there");
        let bytes = found.is_file().then(|| std::fs::read(&path).expect("readable"));
        all.push((path.clone(), bytes, found.modified().expect("a time")));
        if found.is_dir() {
            all.extend(picture(&path));
        }
    }
    all.sort();
    all
}

fn offline_log() -> Home {
    let home = Home::new();
    let daemon = home.start();
    open_source(&daemon, "in");
    for n in 0..20 {
        daemon.accept("/in/in", &[], format!("{n}").as_bytes());
    }
    assert_eq!(daemon.terminate().code(), Some(0));
    home
}

#[test]
fn reading_a_folder_without_its_daemon_changes_nothing_in_it() {
    let home = offline_log();
    let data = home.data().display().to_string();
    let before = picture(&home.data());
    for command in [&["log", "verify"][..], &["log", "head"], &["log", "export"]] {
        let mut args = command.to_vec();
        args.extend(["--data", &data]);
        let output = home.ctl().run(&args).expect(0);
        assert!(
            picture(&home.data()) == before,
            "{command:?} changed something: {}",
            output.stderr
        );
    }
    let report = home.ctl().json(&["log", "verify", "--data", &data]);
    assert!(report["records"].as_u64() > Some(20), "{report}");
}

#[test]
#[ignore = "needs root"]
fn who_may_only_read_a_folder_can_verify_it() {
    require(not_root());
    let home = offline_log();
    let data = home.data().display().to_string();
    mode(home.path(), 0o755);
    let opened = Command::new("chmod").args(["-R", "a+rX"]).arg(home.data()).status();
    assert!(opened.expect("chmod").success());
    ctl_as_nobody(&home, Path::new("/nowhere"), &["log", "verify", "--data", &data]).expect(0);
}

#[test]
fn no_link_in_a_folder_leads_to_a_write_elsewhere() {
    for name in [
        "lock",
        "watermark",
        "format",
        "seg-00000000000000000001/db",
        "seg-00000000000000000001/conf",
    ] {
        let home = offline_log();
        let victim = home.path().join("victim");
        std::fs::write(&victim, "precious").expect("written");
        let place = home.data().join("log").join(name);
        let _ = std::fs::remove_file(&place);
        symlink(&victim, &place).expect("a link");

        let data = home.data().display().to_string();
        let output = home.ctl().run(&["log", "verify", "--data", &data]);
        assert_eq!(std::fs::read_to_string(&victim).expect("there"), "precious", "{name}");
        assert!(output.code != Some(0), "{name}: {} {}", output.stdout, output.stderr);
    }

    // A daemon follows no link to its lock either.
    let home = offline_log();
    let victim = home.path().join("victim");
    std::fs::write(&victim, "precious").expect("written");
    std::fs::remove_file(home.data().join("log/lock")).expect("there");
    symlink(&victim, home.data().join("log/lock")).expect("a link");
    assert!(home.spawn().ready(SOON).is_err());
    assert_eq!(std::fs::read_to_string(&victim).expect("there"), "precious");
}

#[test]
fn no_backup_is_made_where_others_can_exchange_it() {
    let home = offline_log();
    let data = home.data().display().to_string();
    let shared = home.path().join("shared");
    std::fs::create_dir(&shared).expect("a folder");
    let backup = |to: &Path| {
        home.ctl().run(&["log", "backup", "--data", &data, to.to_str().expect("a path")])
    };

    for open in [0o777, 0o775] {
        mode(&shared, open);
        for to in [shared.clone(), shared.join("new/below")] {
            let refused = backup(&to).expect(1);
            assert!(
                refused.stderr.contains("nothing was written")
                    && refused.stderr.contains("can be changed by others"),
                "{}",
                refused.stderr
            );
        }
    }
    assert_eq!(std::fs::read_dir(&shared).expect("readable").count(), 0, "nothing was made");

    // In a sticky folder, such as /tmp, what is made is ours.
    mode(&shared, 0o1777);
    backup(&shared).expect(1);
    backup(&shared.join("own")).expect(0);

    if not_root().is_none() {
        let theirs = home.path().join("theirs");
        std::fs::create_dir(&theirs).expect("a folder");
        std::os::unix::fs::chown(&theirs, Some(NOBODY), None).expect("given away");
        let refused = backup(&theirs.join("new")).expect(1);
        assert!(refused.stderr.contains("belongs to user 65534"), "{}", refused.stderr);
        assert_eq!(std::fs::read_dir(&theirs).expect("readable").count(), 0);
    }
}

/// All of a large request is taken by the socket, and the answer can be read.
fn answer_to_large(socket: &Path, head: &str, length: usize) -> String {
    let mut stream = UnixStream::connect(socket).expect("connected");
    stream.set_read_timeout(Some(SOON)).expect("a time");
    stream.set_write_timeout(Some(SOON)).expect("a time");
    let request = format!(
        "{head} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).expect("the head is taken");
    let part = vec![b' '; 64 << 10];
    for _ in 0..length / part.len() {
        stream.write_all(&part).expect("the body is taken");
    }
    stream.write_all(&part[..length % part.len()]).expect("the body is taken");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer to its end");
    answer
}

#[test]
fn a_body_that_is_too_large_is_answered_in_words() {
    let (home, socket) = open_home();
    let daemon = start_at(&home, &socket);
    let answer = answer_to_large(&socket, "POST /v1/sources", 5 << 20);
    assert!(answer.starts_with("HTTP/1.1 413") && answer.contains("1048576"), "{answer}");

    for (head, status) in
        [("POST /v1/nothing", 404), ("PUT /v1/sources", 405), ("POST /v1/sources?x=1&%", 400)]
    {
        let answer = answer_to_large(&socket, head, 5 << 20);
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{head}: {answer}");
    }

    let output = daemon.ctl().run(&[
        "source",
        "create",
        "a",
        "--verify",
        "jwt",
        "--set",
        &large_key_set(&home),
    ]);
    assert!(output.code != Some(0) && output.stderr.contains("1048576"), "{}", output.stderr);
}

fn large_key_set(home: &Home) -> String {
    format!("jwks=@{}", home.write("large.json", &json!("x".repeat(2 << 20)).to_string()))
}

#[test]
#[ignore = "needs root"]
fn a_body_of_a_stranger_is_answered_in_words_however_large_it_is() {
    require(not_root());
    let (home, socket) = open_home();
    let _daemon = start_at(&home, &socket);
    let create = ["source", "create", "a", "--verify", "jwt", "--set", &large_key_set(&home)];
    let output = ctl_as_nobody(&home, &socket, &create);
    assert!(output.stderr.contains("root and the daemon's own user"), "{}", output.stderr);
}

/// Part of the next one, run as another user by it.
#[test]
#[ignore = "run by the test of what a member of the group can take"]
fn takes_connections() {
    let socket = std::env::var_os("HOOKBOX_TEST_SOCKET").expect("the socket to connect to");
    let mut held = Vec::new();
    for _ in 0..70 {
        let mut stream = UnixStream::connect(&socket).expect("connected");
        let _ = stream.write_all(b"GET /v1/tail?follow=true HTTP/1.1\r\nhost: x\r\n\r\n");
        let mut first = [0; 12];
        let _ = stream.read_exact(&mut first);
        held.push((stream, first));
    }
    let taken = held.iter().filter(|(_, first)| first.ends_with(b"200")).count();
    println!("taken={taken}");
    let _ = std::io::stdin().read_to_end(&mut Vec::new());
}

#[test]
#[ignore = "needs root"]
fn a_member_of_the_group_does_not_lock_root_out() {
    require(not_root());
    let (home, socket) = open_home();
    let daemon = start_at(&home, &socket);
    let tests = std::env::current_exe().expect("this program");
    let tests = home.program(&tests.to_string_lossy(), "bin/tests");

    let mut command = Command::new("setpriv");
    command.args(&as_nobody(0)[1..]).arg(tests).args([
        "--ignored",
        "--exact",
        "--nocapture",
        "e2e::trust::takes_connections",
    ]);
    command
        .env("HOOKBOX_TEST_SOCKET", &socket)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit());

    let mut child = command.spawn().expect("it starts");
    let mut output = std::io::BufReader::new(child.stdout.take().expect("a pipe"));
    let mut line = String::new();
    while !line.contains("taken=") {
        line.clear();
        assert!(
            std::io::BufRead::read_line(&mut output, &mut line).expect("readable") > 0,
            "it ended early"
        );
    }

    let taken: usize =
        line.trim().rsplit('=').next().and_then(|n| n.parse().ok()).expect("a number");
    assert!((1..64).contains(&taken), "{taken}");
    for _ in 0..8 {
        daemon.ctl().run(&["status"]).expect(0);
    }

    drop(child.stdin.take());
    let _ = child.wait();
}

/// Lists that nobody reads hold no thread that a delivery needs, and no answer that somebody else
/// waits for.
#[test]
fn unread_lists_do_not_delay_a_delivery() {
    let home = Home::new();
    let daemon = home.start();
    let receiver = Receiver::start();
    daemon.json(&["source", "create", "in", "--verify", "none", "--type-header", "x-type"]);
    let mut client = daemon.client();

    // So long that a list of them is more than a socket and all that stands before it take.
    let kind = "x".repeat(250);
    for _ in 0..1_000 {
        assert_eq!(
            client.post("/in/in", &[("x-type", &kind)], b"x").expect("an answer").status,
            202
        );
    }

    let url = receiver.url("/").replace("127.0.0.1", "localhost");
    quick_endpoint(&daemon, "app", &url, &[]);

    let delivered_before_a_list_is_cut = |round: usize| {
        let mut unread = Vec::new();
        for _ in 0..40 {
            let mut stream = UnixStream::connect(&daemon.socket).expect("connected");
            let list =
                b"GET /v1/events?limit=1000 HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
            stream.write_all(list).expect("asked");
            unread.push(stream);
        }

        daemon.accept("/in/in", &[], b"y");
        receiver.wait("/", round, SOON);
        daemon.json(&["status"]);

        // None of them was cut off for its slowness yet: it was not that which let the delivery
        // through.
        let mut first = String::new();
        let whole = unread[0].read_to_string(&mut first).is_ok();
        whole && first.matches("\"received_at\"").count() == 1_000
    };

    // They are cut after half a minute, for which the system may put this test off, but not each
    // time.
    assert!(
        (1..=3).any(delivered_before_a_list_is_cut),
        "the delivery came only when a list had been cut"
    );
}
