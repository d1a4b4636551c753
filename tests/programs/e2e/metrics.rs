//! Metrics: on the admin socket, by the ctl, and on a listener that serves nothing else.

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Command, Stdio};

use serde_json::Value;

use super::support::{Daemon, Home, Receiver, SOON, Step};
use super::{open_source, quick_endpoint};

/// A daemon that serves its metrics, and where.
fn serving(home: &mut Home) -> (Daemon, SocketAddr) {
    let config = home.write("hookbox.toml", "[metrics]\nlisten = \"127.0.0.1:0\"\n");
    home.args.extend(["--config".to_owned(), config]);
    let daemon = home.start();
    daemon.await_log("metrics are served");
    let log = daemon.log_text();
    let lines = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let line = lines.into_iter().find(|line| line["message"] == "metrics are served at /metrics");
    let address = line.and_then(|line| line["address"].as_str()?.parse().ok());
    (daemon, address.expect("its address is logged"))
}

fn asked(address: SocketAddr, request: &str) -> String {
    let mut stream = TcpStream::connect(address).expect("a connection");
    stream.set_read_timeout(Some(SOON)).expect("a timeout");
    stream.write_all(request.as_bytes()).expect("sent");
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).expect("an answer that ends");
    String::from_utf8(answer).expect("text")
}

/// The value of a series, such as `hookbox_events_total` or one with labels.
fn value(page: &str, series: &str) -> f64 {
    let found = page.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
    let found = found.unwrap_or_else(|| panic!("{series} in {page}"));
    found.parse().expect("a number")
}

#[test]
fn the_listener_serves_the_metrics_and_nothing_else() {
    let (mut home, receiver) = (Home::new(), Receiver::start());
    let (daemon, address) = serving(&mut home);
    open_source(&daemon, "in");
    receiver.always("/bad", Step::Status(500));
    quick_endpoint(&daemon, "app", &receiver.url("/app"), &[]);
    quick_endpoint(&daemon, "bad", &receiver.url("/bad"), &["--max-attempts", "1"]);
    for n in 0..3 {
        daemon.accept("/in/in", &[], format!("{n}").as_bytes());
    }
    daemon.await_count("delivered", 3);
    daemon.await_count("dead", 3);
    daemon.done(&["endpoint", "hold", "bad"]);
    daemon.accept("/in/in", &[], b"waits");
    daemon.await_count("held", 1);
    daemon.await_count("delivered", 4);

    let page = daemon.done(&["metrics"]).stdout;
    for (series, expected) in [
        ("hookbox_accepted_total{source=\"in\"}", 4.0),
        ("hookbox_attempts_total{endpoint=\"app\",outcome=\"delivered\"}", 4.0),
        ("hookbox_attempts_total{endpoint=\"bad\",outcome=\"failed\"}", 3.0),
        ("hookbox_dead_letters{endpoint=\"bad\"}", 3.0),
        ("hookbox_endpoint_pending{endpoint=\"bad\"}", 1.0),
        ("hookbox_endpoint_state{endpoint=\"bad\",state=\"held\"}", 1.0),
        ("hookbox_endpoint_state{endpoint=\"bad\",state=\"active\"}", 0.0),
        ("hookbox_accept_duration_seconds_count", 4.0),
        ("hookbox_accept_duration_seconds_bucket{le=\"+Inf\"}", 4.0),
        ("hookbox_delivery_latency_seconds_count", 4.0),
        ("hookbox_attempt_duration_seconds_count", 7.0),
        ("hookbox_damaged_segments", 0.0),
        ("hookbox_damaged_segments_acknowledged", 0.0),
    ] {
        assert!((value(&page, series) - expected).abs() < 0.1, "{series}: {page}");
    }
    assert!(value(&page, "hookbox_commit_duration_seconds_count") > 4.0);
    assert!(value(&page, "process_resident_memory_bytes") > 1e6);

    // The same names over the listener, and nothing else there.
    let answer = asked(address, "GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n");
    let (head, scraped) = answer.split_once("\r\n\r\n").expect("a head");
    assert!(head.starts_with("HTTP/1.1 200") && head.contains("text/plain; version=0.0.4"));
    assert_eq!(names(scraped), names(&page));
    for (request, status) in [
        ("GET / HTTP/1.1\r\nHost: x\r\n\r\n", "404"),
        ("GET /v1/status HTTP/1.1\r\nHost: x\r\n\r\n", "404"),
        ("GET /metrics/../v1/status HTTP/1.1\r\nHost: x\r\n\r\n", "404"),
        ("POST /metrics HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n", "405"),
        ("DELETE /v1/endpoints/app HTTP/1.1\r\nHost: x\r\n\r\n", "404"),
    ] {
        let answer = asked(address, request);
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{request}: {answer}");
    }
    assert_eq!(daemon.lines(&["endpoint", "list"]).len(), 2);

    // Whoever holds connections and says nothing keeps others out for a while, and not the daemon.
    let held: Vec<TcpStream> =
        (0..20).map(|_| TcpStream::connect(address).expect("a connection")).collect();
    daemon.accept("/in/in", &[], b"more");
    daemon.await_count("delivered", 5);
    drop(held);
}

#[test]
fn without_a_key_no_port_is_opened() {
    let home = Home::new();
    let daemon = home.start();
    assert!(!daemon.log_text().contains("metrics are served"));
    assert!(value(&daemon.done(&["metrics"]).stdout, "hookbox_accepting") > 0.5);
}

#[test]
#[ignore = "needs promtool; run: just with-tools"]
fn promtool_finds_nothing_wrong_with_the_page() {
    let (home, receiver) = (Home::new(), Receiver::start());
    let daemon = home.start();
    open_source(&daemon, "in");
    quick_endpoint(&daemon, "app", &receiver.url("/app"), &[]);
    daemon.accept("/in/in", &[], b"one");
    daemon.await_count("delivered", 1);
    well_formed(&daemon.done(&["metrics"]).stdout);
}

/// The alert rules, by the tests that stand beside them.
#[test]
#[ignore = "needs promtool; run: just with-tools"]
fn alert_rules_fire_when_they_should() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/packaging/monitoring");
    let mut tested = Command::new("promtool");
    tested.args(["test", "rules", "hookbox-alerts-test.yml"]).current_dir(folder);
    let output = tested.output().expect("promtool (apt install prometheus)");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

fn names(page: &str) -> BTreeSet<&str> {
    page.lines().filter_map(|line| line.strip_prefix("# TYPE ")).collect()
}

/// As Prometheus's own tool sees it.
fn well_formed(page: &str) {
    let checked = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let mut checked = checked.expect("promtool (apt install prometheus)");
    checked.stdin.take().expect("a pipe").write_all(page.as_bytes()).expect("written");
    let output = checked.wait_with_output().expect("it ends");
    let said = String::from_utf8_lossy(&output.stderr).into_owned()
        + &String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && said.trim().is_empty(), "{said}");
}
