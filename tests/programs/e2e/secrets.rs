//! Secrets: shown once, then nowhere; and who may read the files.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use super::support::{Home, Receiver, SOON};
use super::{open_source, quick_endpoint, text};

const CANARY: &str = "whsec_Q0FOQVJZQ0FOQVJZQ0FOQVJZQ0FOQVJZ";

#[test]
fn a_secret_is_in_no_list_no_log_and_no_error() {
    let home = Home::new();
    let daemon = home.start();
    let receiver = Receiver::start();
    let file = home.write("canary", CANARY);
    let mut output = String::new();
    let mut run = |args: &[&str]| {
        for json in [true, false] {
            let done = if json { daemon.ctl().try_json(args) } else { daemon.ctl().run(args) };
            output.push_str(&done.stdout);
            output.push_str(&done.stderr);
        }
    };

    run(&["source", "create", "sw", "--verify", "standard-webhooks", "--secret-file", &file]);
    run(&[
        "endpoint",
        "create",
        "app",
        "--url",
        &receiver.url("/"),
        "--allow-private",
        "--secret-file",
        &file,
    ]);
    run(&["source", "update", "sw", "--secret-file", &file, "--max-body", "zero"]);
    for list in [
        ["source", "list"],
        ["endpoint", "list"],
        ["event", "list"],
        ["delivery", "list"],
        ["log", "stat"],
    ] {
        run(&list);
    }

    open_source(&daemon, "in");
    daemon.accept("/in/in", &[], b"x");
    let refused =
        daemon.post("/in/sw", &[("webhook-id", "a"), ("webhook-signature", "v1,AAAA")], b"x");
    assert_eq!(refused.status, 401);
    receiver.wait("/", 1, SOON);
    daemon.await_count("delivered", 1);

    let delivery = daemon.json(&["delivery", "list"]);
    run(&["delivery", "show", text(&delivery, "id")]);
    run(&["source", "show", "sw"]);
    run(&["endpoint", "show", "app"]);

    let log = daemon.log_text();
    let cmdline = std::fs::read(format!("/proc/{}/cmdline", daemon.pid())).expect("it lives");
    let (encoded, decoded) = (CANARY.trim_start_matches("whsec_"), "CANARYCANARY");

    // `create` with a given secret may show it once in its own answer; so only what came after
    // counts.
    let later = output.split_once("\n").map_or("", |(_, rest)| rest);
    for (where_, text) in [("a list or an error", later), ("the log", &log)] {
        assert!(
            !text.contains(encoded) && !text.contains(decoded),
            "the secret stands in {where_}"
        );
    }
    assert!(!String::from_utf8_lossy(&cmdline).contains(encoded));
    assert!(!String::from_utf8_lossy(&refused.body).contains(encoded));
}

#[test]
fn a_generated_secret_is_shown_once() {
    let home = Home::new();
    let daemon = home.start();
    let made = daemon.json(&["source", "create", "gh", "--verify", "github", "--generate-secret"]);
    let secret = text(&made, "secret").to_owned();
    assert!(secret.len() >= 32, "too short to be a secret");
    for args in [&["source", "show", "gh"][..], &["source", "list"]] {
        let shown = daemon.json(args);
        assert!(!shown.to_string().contains(&secret));
        assert!(shown.get("secret").is_none_or(serde_json::Value::is_null));
    }
    let receiver = Receiver::start();
    let made = quick_endpoint(&daemon, "app", &receiver.url("/"), &["--generate-secret"]);
    let secret = text(&made, "secret").to_owned();
    assert!(!daemon.json(&["endpoint", "show", "app"]).to_string().contains(&secret));
}

#[test]
fn files_are_for_the_owner_alone() {
    let home = Home::new();
    let daemon = home.start();
    open_source(&daemon, "in");
    daemon.accept("/in/in", &[], b"x");

    assert_eq!(mode(&home.data()), 0o700);
    assert_eq!(mode(&home.data().join("admin.sock")), 0o660);

    let mut open = vec![home.data()];
    while let Some(folder) = open.pop() {
        for entry in std::fs::read_dir(folder).expect("a folder").flatten() {
            let path = entry.path();
            // What the daemon writes for a moment may be gone by now.
            let Ok(found) = std::fs::symlink_metadata(&path) else { continue };
            if found.is_dir() {
                assert_eq!(found.permissions().mode() & 0o077, 0, "{}", path.display());
                open.push(path);
            } else if found.is_file() {
                assert_eq!(found.permissions().mode() & 0o177, 0, "{}", path.display());
            }
        }
    }
}

fn mode(path: &Path) -> u32 {
    std::fs::symlink_metadata(path)
        .unwrap_or_else(|e| panic!("{}: {e}", path.display()))
        .permissions()
        .mode()
        & 0o777
}
