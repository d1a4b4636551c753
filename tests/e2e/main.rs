//! The real programs, driven from outside: `hookboxd` as a child process in a fresh folder, `hookboxctl` as a
//! script would run it, and a receiver that behaves by script. One module a question.
#![allow(clippy::disallowed_methods, reason = "the outside world has clocks; the seams are the product's")]

#[path = "../support/mod.rs"]
mod support;

mod access;
mod admin;
mod bad_input;
mod clock;
mod delivery;
mod demo;
mod dlq;
mod explain;
mod hold;
mod hostile;
mod http2;
mod ingest;
mod keys;
mod log;
mod notices;
mod offline;
mod pacing;
mod process;
mod providers;
mod pull;
mod replay;
mod retry;
mod secrets;
mod segments;
mod signatures;
mod ways;

use support::Daemon;

/// Makes a source that asks for no proof.
#[track_caller]
fn open_source(daemon: &Daemon, name: &str) {
    daemon.json(&["source", "create", name, "--verify", "none"]);
}

/// Makes an endpoint on loopback with short, exact retries (50 ms, doubled up to 400 ms).
#[track_caller]
fn quick_endpoint(daemon: &Daemon, name: &str, url: &str, more: &[&str]) -> serde_json::Value {
    let mut args = vec!["endpoint", "create", name, "--url", url, "--allow-private"];
    if !more.contains(&"--retry-base") {
        args.extend(["--retry-base", "50ms", "--retry-max", "400ms"]);
    }
    args.extend(["--jitter", "0"]);
    args.extend(more);
    daemon.json(&args)
}

/// A field of an object as text.
#[track_caller]
fn text<'a>(value: &'a serde_json::Value, field: &str) -> &'a str {
    value[field].as_str().unwrap_or_else(|| panic!("no text '{field}' in {value}"))
}

/// Waits until the endpoint's only delivery is in a state, and gives it.
#[track_caller]
fn delivery_in(daemon: &Daemon, endpoint: &str, state: &str) -> serde_json::Value {
    support::until(&format!("a {state} delivery of {endpoint}"), support::SOON, || {
        daemon.lines(&["delivery", "list", "--endpoint", endpoint]).into_iter().find(|d| d["state"] == state)
    })
}
