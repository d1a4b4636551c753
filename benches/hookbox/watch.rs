//! What the daemon says of itself, asked on its socket: a program started for each look would take
//! a core's time.

use std::time::Duration;

use serde_json::Value;

use super::support::admin::Admin;
use super::support::{Daemon, until};

/// Events of a load are on their way for this long at most.
const LIMIT: Duration = Duration::from_secs(600);

pub fn status(daemon: &Daemon) -> Value {
    let mut admin = Admin::connect(&daemon.socket).expect("the socket");
    admin.get("/v1/status").expect("an answer").1
}

/// Makes something, e.g. an endpoint.
pub fn make(daemon: &Daemon, what: &str, fields: &[Value]) {
    let mut admin = Admin::connect(&daemon.socket).expect("the socket");
    for one in fields {
        let (status, answer) = admin.post(&format!("/v1/{what}"), one).expect("an answer");
        assert!((200..300).contains(&status), "{one}: {answer}");
    }
}

/// Waits until `wanted` deliveries are delivered and remembered.
pub fn await_delivered(daemon: &Daemon, wanted: u64) {
    until("everything to be delivered", LIMIT, || {
        (status(daemon)["deliveries"]["delivered"].as_u64() >= Some(wanted)).then_some(())
    });
}

/// Memory that is resident, in MiB.
pub fn resident_mib(daemon: &Daemon) -> f64 {
    super::report::number(daemon.proc_number("status", "VmRSS")) / 1024.0
}

/// The most that was resident since it started, or since [`forget_peak`].
pub fn peak_mib(daemon: &Daemon) -> f64 {
    super::report::number(daemon.proc_number("status", "VmHWM")) / 1024.0
}

pub fn forget_peak(daemon: &Daemon) {
    std::fs::write(format!("/proc/{}/clear_refs", daemon.pid()), "5").expect("our own process");
}
