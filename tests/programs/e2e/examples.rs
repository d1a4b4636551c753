//! The receivers of `examples/` do what their page says: a genuine event is handled once, a forged
//! one never, and of a batch only what failed comes again. `just examples` runs them, for they need
//! an interpreter or a built example.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};

use super::support::{Daemon, Home, SOON, http::Client, signature, until};
use super::{open_source, quick_endpoint, text};

/// A running example and the lines that it prints.
struct Example {
    child: Child,
    port: u16,
    lines: Arc<Mutex<Vec<String>>>,
}

impl Example {
    #[track_caller]
    fn start(home: &Home, command: &[&str], port: u16, secret: &str) -> Self {
        let mut child = Command::new(command[0])
            .args(&command[1..])
            .arg(port.to_string())
            .env("HOOK_SECRET", secret)
            .current_dir(home.path())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{command:?} does not run: {error}"));

        let mut reader = BufReader::new(child.stdout.take().expect("a pipe"));
        let mut first = String::new();
        reader.read_line(&mut first).expect("its first line");
        let port =
            first.trim().strip_prefix("listening on port ").and_then(|port| port.parse().ok());
        let port = port.unwrap_or_else(|| panic!("{command:?} says {first:?}"));

        let lines = Arc::new(Mutex::new(Vec::new()));
        let sink = Arc::clone(&lines);
        std::thread::spawn(move || {
            reader.lines().map_while(Result::ok).for_each(|l| sink.lock().unwrap().push(l))
        });
        Self { child, port, lines }
    }

    /// How many lines begin so.
    fn count(&self, beginning: &str) -> usize {
        self.lines.lock().unwrap().iter().filter(|line| line.starts_with(beginning)).count()
    }

    #[track_caller]
    fn await_count(&self, beginning: &str, count: usize) {
        until(&format!("{count} lines '{beginning}'"), SOON, || {
            (self.count(beginning) >= count).then_some(())
        });
    }
}

impl Drop for Example {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn send(daemon: &Daemon, data: &str) -> String {
    let made = daemon.json(&["event", "send", "--source", "in", "--type", "push", "--data", data]);
    text(&made, "id").to_owned()
}

/// Without a secret anybody could sign: a receiver does not begin then.
#[track_caller]
fn begins_only_with_a_secret(command: &[&str]) {
    let home = Home::new();
    for secret in [None, Some(""), Some("whsec_"), Some("whsec_c2hvcnQ=")] {
        let mut starting = Command::new(command[0]);
        starting
            .args(&command[1..])
            .arg("0")
            .env_remove("HOOK_SECRET")
            .envs(secret.map(|secret| ("HOOK_SECRET", secret)));
        let mut child = starting
            .current_dir(home.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{command:?} does not run: {error}"));

        // One that listens has printed a line; one that has ended closes its output.
        let mut first = String::new();
        let stdout = child.stdout.as_mut().expect("a pipe");
        BufReader::new(stdout).read_line(&mut first).expect("its first line, or its end");
        if !first.is_empty() {
            let _ = child.kill();
        }
        let done = child.wait_with_output().expect("it has ended");
        let stderr = String::from_utf8_lossy(&done.stderr).into_owned();
        assert_eq!(first, "", "{command:?} listens with {secret:?}");
        assert!(!done.status.success(), "{command:?} with {secret:?}: {stderr}");
        assert!(
            stderr.contains("set HOOK_SECRET to the endpoint's whsec_… secret"),
            "{command:?} with {secret:?}: {stderr}"
        );
    }
}

/// The whole life of a receiver, the same for each language.
#[track_caller]
fn a_receiver(command: &[&str]) {
    begins_only_with_a_secret(command);
    let home = Home::new();
    let daemon = home.start();
    open_source(&daemon, "in");
    let secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    let example = Example::start(&home, command, 0, secret);
    let url = format!("http://127.0.0.1:{}/hook", example.port);
    let file = home.write("secret", secret);
    quick_endpoint(&daemon, "app", &url, &["--secret-file", &file]);

    // A genuine event is handled; the same one in a replay is not handled again.
    let first = send(&daemon, r#"{"ref":"refs/heads/main"}"#);
    example.await_count(&format!("handled {first} push refs/heads/main"), 1);
    daemon.json(&["replay", "--event", &first, "--to", "app"]);
    example.await_count(&format!("again {first}"), 1);
    daemon.await_count("delivered", 2);

    // One that nobody signed is refused.
    let mut client = Client::connect(([127, 0, 0, 1], example.port).into()).expect("it listens");
    let now = std::time::UNIX_EPOCH.elapsed().expect("after 1970").as_secs().to_string();
    let headers =
        [("webhook-id", "evt_1"), ("webhook-timestamp", &now), ("webhook-signature", "v1,AAAA")];
    assert_eq!(client.post("/hook", &headers, b"{}").expect("an answer").status, 401);
    // Nor is one that was signed with an empty key.
    let forged = signature::standard("whsec_", "evt_1", &now, b"{}");
    let headers =
        [("webhook-id", "evt_1"), ("webhook-timestamp", &now), ("webhook-signature", &*forged)];
    let mut forger = Client::connect(([127, 0, 0, 1], example.port).into()).expect("it listens");
    assert_eq!(forger.post("/hook", &headers, b"{}").expect("an answer").status, 401);
    let mut bare = Client::connect(([127, 0, 0, 1], example.port).into()).expect("it listens");
    assert_eq!(bare.post("/hook", &[], b"{}").expect("an answer").status, 401);

    // It knows what it has handled after a restart.
    let port = example.port;
    drop(example);
    let example = Example::start(&home, command, port, secret);
    daemon.json(&["replay", "--event", &first, "--to", "app"]);
    example.await_count(&format!("again {first}"), 1);
    assert_eq!(example.count("handled"), 0);

    // Of a batch of three only the one that failed comes again, until it is a dead letter.
    let batches = ["--batch-max-events", "3", "--batch-max-wait", "500ms", "--max-attempts", "3"];
    daemon.json(&[&["endpoint", "update", "app"][..], &batches].concat());
    let sent =
        [r#"{"ref":"a"}"#, r#"{"no":"ref"}"#, r#"{"ref":"c"}"#].map(|data| send(&daemon, data));
    daemon.await_count("dead", 1);
    for (id, handled, attempts) in [(&sent[0], 1, 1), (&sent[1], 0, 3), (&sent[2], 1, 1)] {
        let lines =
            (example.count(&format!("handled {id}")), example.count(&format!("again {id}")));
        assert_eq!(lines, (handled, 0), "{:?}", example.lines);
        let delivery = daemon.lines(&["delivery", "list", "--event", id]).remove(0);
        assert_eq!(delivery["attempts"], attempts, "{delivery}");
    }
    daemon.await_count("delivered", 5);
}

fn path(name: &str) -> String {
    format!("{}/{name}", env!("CARGO_MANIFEST_DIR"))
}

#[test]
#[ignore = "needs python3: just examples"]
fn the_receiver_in_python() {
    a_receiver(&["python3", &path("examples/receiver.py")]);
}

#[test]
#[ignore = "needs node: just examples"]
fn the_receiver_in_javascript() {
    a_receiver(&["node", &path("examples/receiver.mjs")]);
}

#[test]
#[ignore = "needs `cargo build --examples`: just examples"]
fn the_receiver_in_rust() {
    // Beside the tests' own folder.
    let deps = std::env::current_exe().expect("a path");
    let built =
        deps.parent().and_then(Path::parent).expect("target/debug").join("examples/receiver");
    a_receiver(&[&built.to_string_lossy()]);
}

#[test]
fn each_is_short_enough_to_be_read() {
    for name in ["receiver.py", "receiver.mjs", "receiver.rs"] {
        let text =
            std::fs::read_to_string(path(&format!("examples/{name}"))).expect("a readable file");
        let lines = text.lines().count();
        assert!(
            lines < 60,
            "examples/{name} has {lines} lines: an example is read whole, so it stays under 60"
        );
    }
}
