//! The real programs, driven from outside: `hookboxd` as a child process in a fresh folder,
//! `hookboxctl` as a script would run it, and a receiver that behaves by script. One module a
//! question.

mod access;
mod acknowledged;
mod admin;
mod apply;
mod bad_input;
mod broken_ends;
mod canary;
mod clock;
mod commands;
mod delivery;
mod demo;
mod dlq;
mod examples;
mod explain;
mod filters;
mod first_steps;
mod history;
mod hold;
mod hostile;
mod http2;
mod idle;
mod ingest;
mod keys;
mod listen;
mod log;
mod log_format;
mod looking;
mod losses;
mod metrics;
mod missing;
mod monitoring;
mod notices;
mod offline;
mod pacing;
mod process;
mod proofs;
mod providers;
mod pull;
mod recipes;
mod remote;
mod replay;
mod restraint;
mod retry;
mod rotation;
mod secrets;
mod segments;
mod senders;
mod service_manager;
mod shares;
mod signatures;
mod system;
#[cfg(feature = "top")]
mod top;
mod transports;
mod trust;
#[cfg(feature = "web")]
mod web;

use crate::support;
use crate::support::Daemon;

/// Makes a source that asks for no proof. Half of the tests begin with it, so it is not made by a
/// program.
#[track_caller]
fn open_source(daemon: &Daemon, name: &str) {
    let body = serde_json::json!({ "name": name, "verify": "none" });
    let (status, made) = daemon.admin().post("/v1/sources", &body).expect("an answer");
    assert_eq!(status, 201, "{made}");
}

/// Makes an endpoint on loopback with short, exact retries (50 ms, doubled up to 400 ms). Its
/// receiver may take as long as it likes to answer, so that no attempt fails because a test was put
/// off.
#[track_caller]
fn quick_endpoint(daemon: &Daemon, name: &str, url: &str, more: &[&str]) -> serde_json::Value {
    let mut args = vec!["endpoint", "create", name, "--url", url, "--allow-private"];
    if !more.contains(&"--retry-base") {
        args.extend(["--retry-base", "50ms", "--retry-max", "400ms"]);
    }
    if !more.contains(&"--timeout") {
        args.extend(["--timeout", "5m"]);
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
        let rows = daemon.rows(&format!("/v1/deliveries?endpoint={endpoint}"));
        rows.into_iter().find(|delivery| delivery["state"] == state)
    })
}
