//! Bins: sources for a while that take anything, at an address that nobody guesses.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use crate::e2e::text;
use crate::support::{Home, SOON, until};

#[test]
fn a_bin_takes_anything_for_a_while() {
    let home = Home::new();
    let daemon = home.start();
    let made = daemon.json(&["bin", "create", "--ttl", "1h"]);
    let (name, path) = (text(&made, "name").to_owned(), text(&made, "path").to_owned());
    assert!(path.starts_with("/in/") && path.len() > 30 && !path.contains(&name), "{path}");
    let mut tail = daemon.ctl().spawn(&["--json", "tail", "-f", "--source", &name]);
    let lines =
        std::io::BufRead::lines(std::io::BufReader::new(tail.stdout.take().expect("a pipe")));
    let (sender, followed) = std::sync::mpsc::channel();
    std::thread::spawn(move || lines.map_while(Result::ok).try_for_each(|line| sender.send(line)));
    // It follows from some moment on, which nobody knows: something is sent until it sees it.
    let seen = until("tail to see something", SOON, || {
        daemon.post(&path, &[], b"warm up");
        followed.try_recv().ok()
    });
    assert!(seen.contains(&name), "{seen}");
    let mut client = daemon.client();
    for method in ["GET", "PUT", "PATCH", "DELETE", "POST", "PURGE"] {
        let answer = client
            .request(method, &format!("{path}?q=a&empty"), &[("X-Thing", method)], b"any body")
            .expect("an answer");
        assert_eq!(answer.status, 200, "{method}: {}", String::from_utf8_lossy(&answer.body));
        assert!(String::from_utf8_lossy(&answer.body).contains("Success!"));
    }
    let events = daemon.lines(&["event", "list", "--source", &name, "--limit", "6"]);
    let shown: Vec<Value> =
        events.iter().map(|event| daemon.json(&["event", "show", text(event, "id")])).collect();
    let put = shown
        .iter()
        .find(|event| text(event, "request_line").starts_with("PUT "))
        .expect("the PUT");
    assert_eq!(text(put, "request_line"), format!("PUT /in/{name}?q=a&empty"));
    assert_eq!(put["headers"]["x-thing"], "PUT");
    assert!(text(put, "remote").starts_with("127.0.0.1:"));
    assert_eq!(STANDARD.decode(text(put, "body_base64")).expect("base64"), b"any body");
    let _ = tail.kill();
    let _ = tail.wait();
    assert_eq!(
        daemon.post(&format!("/in/{name}"), &[], b"").status,
        404,
        "only the unguessable path"
    );

    let short = daemon.json(&["bin", "create", "short", "--ttl", "1s"]);
    let path = text(&short, "path").to_owned();
    until("the bin's end", SOON, || (daemon.post(&path, &[], b"").status == 404).then_some(()));
    until("the bin to be deleted", SOON, || {
        daemon.lines(&["bin", "list"]).iter().all(|bin| bin["name"] != "short").then_some(())
    });
}

#[test]
fn a_bin_has_a_small_budget_of_its_own() {
    let home = Home::new();
    let daemon = home.start();
    let made = daemon.json(&["bin", "create"]);
    let path = text(&made, "path").to_owned();
    daemon.json(&["source", "create", "open"]);

    let large = vec![b'x'; 1 << 20];
    let mut client = daemon.client();
    let taken = (0..20)
        .take_while(|_| client.post(&path, &[], &large).expect("an answer").status == 200)
        .count();
    assert_eq!(taken, 15, "16 MiB with what each event takes beside its body");

    let full = daemon.post(&path, &[], &large);
    assert_eq!((full.status, full.header("retry-after")), (429, Some("3600")));
    assert_eq!(daemon.post(&path, &[], b"small").status, 200);
    daemon.accept("/in/open", &[], &large);

    daemon.kill();
    let daemon = home.start();
    assert_eq!(daemon.post(&path, &[], &large).status, 429, "the budget is remembered");

    let other = daemon.json(&["bin", "create"]);
    let other = text(&other, "path").to_owned();
    assert_eq!(daemon.post(&other, &[], &large).status, 200, "each bin has its own");
    let mut client = daemon.client();
    let taken = (0..1100)
        .take_while(|_| client.post(&other, &[], b"").expect("an answer").status == 200)
        .count();
    assert_eq!(taken, 999);
}
