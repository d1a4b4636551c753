//! What sources and screens refer to, and is missing or struck out: the senders are asked to try
//! again, the operator learns it at once, and nothing real is replaced by what a screen shows.

use rustix::process::Signal;
use serde_json::json;

use super::support::admin::Admin;
use super::support::{Daemon, Home, Receiver, SOON, until};
use super::{open_source, text};

/// What `status --check` says, and its exit code.
fn verdict(daemon: &Daemon) -> (Option<i32>, String) {
    let done = daemon.ctl().run(&["status", "--check"]);
    (done.code, done.stdout)
}

#[test]
fn a_missing_allow_list_keeps_the_old_ones_and_is_reported_at_a_start() {
    let mut home = Home::new();
    let lists = home.path().join("lists");
    std::fs::create_dir(&lists).expect("a folder");
    home.write("lists/local.txt", "127.0.0.0/8\n");
    let config = home.write("hookbox.toml", &format!("[allow_lists]\ndir = {lists:?}\n"));
    home.args.extend(["--config".to_owned(), config]);

    let mut daemon = home.start();
    daemon.json(&["source", "create", "in", "--verify", "none", "--allow", "@local"]);
    assert_eq!(daemon.post("/in/in", &[], b"{}").status, 202);

    std::fs::rename(lists.join("local.txt"), lists.join("other.txt")).expect("renamed");
    daemon.signal(Signal::HUP);
    daemon.await_log("there is no allow-list @local any more, which the source 'in' asks for");
    assert_eq!(daemon.post("/in/in", &[], b"{}").status, 202, "the old lists stay");
    assert_eq!(verdict(&daemon).0, Some(0));

    daemon.signal(Signal::TERM);
    daemon.wait();
    let daemon = home.start();
    daemon.await_log("every request of this source is refused");
    assert_eq!(daemon.post("/in/in", &[], b"{}").status, 503, "its sender is to try again");
    let (code, said) = verdict(&daemon);
    assert_eq!(code, Some(1), "{said}");
    assert!(
        said.contains("source in refuses every request: there is no allow-list @local"),
        "{said}"
    );

    let screen = daemon.done(&["status"]).expect(0).stdout;
    assert!(
        screen.contains("REFUSING") && screen.contains("hookboxctl source show in"),
        "{screen}"
    );
}

#[test]
fn a_secret_that_is_missing_at_a_start_is_reported_before_anybody_posts() {
    let home = Home::new();
    let secret = home.write("secret", "hunter2hunter2hunter2hunter2hunter2");
    let mut daemon = home.start();
    let reference = format!("file:{secret}");
    daemon.json(&["source", "create", "in", "--verify", "github", "--secret", &reference]);
    daemon.signal(Signal::TERM);
    daemon.wait();

    std::fs::remove_file(&secret).expect("removed");
    let mut daemon = home.start();
    daemon.await_log("every request of this source is refused");
    let (code, said) = verdict(&daemon);
    assert!(code == Some(1) && said.contains("source in refuses every request"), "{said}");
    assert_eq!(reports(&daemon, &secret), 1, "once at the start: {}", daemon.log_text());
    for shown in [daemon.json(&["source", "show", "in"]), daemon.json(&["source", "list"])] {
        assert!(text(&shown, "unusable").contains(&secret), "before a request came: {shown}");
    }
    let top = daemon.done(&["top", "--once"]).stdout;
    assert!(top.contains("! source in refuses every request: the secret cannot"), "{top}");
    assert_eq!(daemon.post("/in/in", &[], b"{}").status, 503);
    daemon.signal(Signal::HUP);
    daemon.await_log("the configuration was reloaded");
    until("the reload reports it, too", SOON, || (reports(&daemon, &secret) == 2).then_some(()));

    std::fs::write(&secret, "hunter2hunter2hunter2hunter2hunter2").expect("written");
    daemon.signal(Signal::HUP);
    until("the secret is there", SOON, || (verdict(&daemon).0 == Some(0)).then_some(()));
    assert!(daemon.json(&["source", "show", "in"])["unusable"].is_null());
    daemon.signal(Signal::TERM);
    daemon.wait();
    assert_eq!(reports(&daemon, &secret), 2, "once for each time: {}", daemon.log_text());
}

/// Errors in the log that speak of this; refused requests are warnings.
fn reports(daemon: &Daemon, of: &str) -> usize {
    let log = daemon.log_text();
    log.lines().filter(|line| line.contains("ERROR") && line.contains(of)).count()
}

#[test]
fn what_a_screen_strikes_out_does_not_replace_a_secret() {
    let (home, receiver) = (Home::new(), Receiver::start());
    let daemon = home.start();
    open_source(&daemon, "in");
    let url = receiver.url("/hook?api_key=real-key&a=b");
    let create = ["endpoint", "create", "app", "--allow-private", "--url", &url];
    daemon.json(&[&create[..], &["--header", "X-Api-Key: real"]].concat());

    let shown = daemon.json(&["endpoint", "show", "app"]);
    assert!(!shown.to_string().contains("real"), "{shown}");
    let header = shown["header"][0].as_str().expect("a header").to_owned();
    let url = text(&shown, "url").to_owned();
    daemon
        .json(&["endpoint", "update", "app", "--header", &header, "--url", &url, "--rate", "9/s"]);

    daemon.accept("/in/in", &[], b"{}");
    let request = receiver.wait("/hook?api_key=real-key&a=b", 1, SOON).remove(0);
    assert_eq!(request.header("x-api-key"), Some("real"));

    let other = ["endpoint", "create", "b", "--url", "http://127.0.0.1:9/", "--allow-private"];
    let refused = daemon.ctl().run(&[&other[..], &["--header", &header]].concat());
    assert_eq!(refused.code, Some(64), "{}", refused.stderr);
    assert!(refused.stderr.contains("has a removed secret"), "{}", refused.stderr);

    let set = json!({"set": {"verify_token": "(hidden)", "handshake": "meta"}});
    let create = ["source", "create", "meta", "--verify", "none", "--set", "handshake=meta"];
    daemon.json(&[&create[..], &["--set", "verify_token=my-token"]].concat());
    let mut admin = Admin::connect(&home.data().join("admin.sock")).expect("connected");
    let (status, body) = admin.patch("/v1/sources/meta", &set).expect("answered");
    assert_eq!(status, 200, "{body}");
    let ask = |token: &str| {
        let path = format!("/in/meta?hub.mode=subscribe&hub.verify_token={token}&hub.challenge=7");
        daemon.client().get(&path).expect("answered").status
    };
    assert_eq!((ask("my-token"), ask("(hidden)")), (200, 401));
}
