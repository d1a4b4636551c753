//! `hookboxctl consume`: a consumer of a pull endpoint. It leases events, hands each to stdout or to a command, and says
//! what became of it. A lease is extended while the command runs; whatever is not settled when the consumer ends goes
//! back when its lease runs out.

use std::io::Write as _;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::CtlError;
use super::args::ConsumeArgs;
use super::client::{Client, encode};
use super::output::Output;

/// Exit codes of a command, as `exec:` endpoints understand them: try again, and never again.
const TRY_AGAIN: i32 = 75;
const NEVER_AGAIN: i32 = 100;
/// A daemon that was there may be away for so many looks, and what is between two of them.
const AWAY: u32 = 60;
const AGAIN: Duration = Duration::from_secs(1);
/// A busy daemon is told again so often.
const TRIES: u32 = 50;
/// Between two looks at a command that runs.
const LOOK: Duration = Duration::from_millis(20);

pub(super) fn consume(client: &Client, out: &mut Output, args: &ConsumeArgs) -> Result<(), CtlError> {
    if let Some(program) = args.exec.first() {
        can_be_run(program)?;
    }
    let mut left = args.max.unwrap_or(u64::MAX);
    let mut was_there = false;
    let mut away = 0;
    while left > 0 {
        let most = u64::from(args.batch).min(left);
        let mut body = json!({"max": most, "wait_ms": args.wait});
        if let Some(lease_ms) = args.lease {
            body["lease_ms"] = json!(lease_ms);
        }
        let answer = match client.post(&format!("/v1/endpoints/{}/lease", encode(&args.name)), &body) {
            // Too many consumers at the moment; or the daemon is being started again.
            Err(CtlError::Busy(_)) if !args.once => None,
            Err(CtlError::Unreachable(_)) if was_there && !args.once && away < AWAY => None,
            answer => Some(answer?),
        };
        let Some(answer) = answer else {
            away += 1;
            std::thread::park_timeout(AGAIN);
            continue;
        };
        (was_there, away) = (true, 0);
        let leases = answer["leases"].as_array().cloned().unwrap_or_default();
        left -= leases.len() as u64;
        if !leases.is_empty() {
            take(client, out, args, &leases, answer["lease_ms"].as_u64().unwrap_or(1))?;
        }
        if args.once {
            return Ok(());
        }
    }
    Ok(())
}

/// Before anything is leased that nobody could take.
fn can_be_run(program: &str) -> Result<(), CtlError> {
    let runs = |path: &Path| path.metadata().is_ok_and(|m| m.is_file() && m.permissions().mode() & 0o111 != 0);
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = match program.contains('/') {
        true => runs(Path::new(program)),
        false => std::env::split_paths(&path).any(|folder| runs(&folder.join(program))),
    };
    match found {
        true => Ok(()),
        false => {
            Err(CtlError::Usage(format!("'{program}' is no command that can be run: is it there, and executable?")))
        }
    }
}

/// Deals with what was leased at once.
fn take(
    client: &Client,
    out: &mut Output,
    args: &ConsumeArgs,
    leases: &[Value],
    lease_ms: u64,
) -> Result<(), CtlError> {
    let Some((program, arguments)) = args.exec.split_first() else {
        for lease in leases {
            show(out, lease)?;
            say(client, lease, "ack", &json!({}))?;
        }
        return Ok(());
    };
    let several = args.batch > 1;
    let groups = if several { vec![leases] } else { leases.chunks(1).collect() };
    for group in groups {
        let input = if several { lines(group) } else { body(&group[0])? };
        let mut command = Command::new(program);
        command.args(arguments).stdin(Stdio::piped()).env("HOOKBOX_ENDPOINT", &args.name);
        command.env("HOOKBOX_EVENTS", group.len().to_string());
        if !several {
            facts(&mut command, &group[0]);
        }
        let child = command.spawn().map_err(|error| CtlError::Io { what: format!("cannot run {program}"), error })?;
        let status = wait(client, lease_ms, group, child, input)?;
        let code = status.code();
        for lease in group {
            match code {
                Some(0) => say(client, lease, "ack", &json!({}))?,
                Some(NEVER_AGAIN) => say(client, lease, "reject", &json!({"dead": true, "reason": ended(status)}))?,
                _ => say(client, lease, "reject", &json!({"reason": ended(status)}))?,
            }
        }
    }
    Ok(())
}

fn ended(status: ExitStatus) -> String {
    match status.code() {
        Some(TRY_AGAIN) => "the command asked to be run again (exit 75)".to_owned(),
        Some(NEVER_AGAIN) => "the command never wants to see it again (exit 100)".to_owned(),
        _ => format!("the command ended with {status}"),
    }
}

/// Feeds the command, and extends the leases while it runs.
fn wait(
    client: &Client,
    lease_ms: u64,
    leases: &[Value],
    mut child: Child,
    input: Vec<u8>,
) -> Result<ExitStatus, CtlError> {
    let failed = |error| CtlError::Io { what: "cannot wait for the command".into(), error };
    if let Some(mut stdin) = child.stdin.take() {
        // A command that does not read its input is no failure of ours.
        std::thread::spawn(move || drop(stdin.write_all(&input)));
    }
    let mut waited = Duration::ZERO;
    let half = Duration::from_millis(lease_ms / 2).max(LOOK);
    loop {
        if let Some(status) = child.try_wait().map_err(failed)? {
            return Ok(status);
        }
        std::thread::park_timeout(LOOK);
        waited += LOOK;
        if waited >= half {
            waited = Duration::ZERO;
            for lease in leases {
                say(client, lease, "extend", &json!({"lease_ms": lease_ms}))?;
            }
        }
    }
}

/// Says what became of a lease. One that ran out meanwhile, or that the daemon knows no more because it was started again,
/// is lent again: nothing to do about it.
fn say(client: &Client, lease: &Value, verb: &str, body: &Value) -> Result<(), CtlError> {
    let id = lease["lease"].as_str().unwrap_or_default();
    let mut tries = 0;
    loop {
        match client.post(&format!("/v1/leases/{}/{verb}", encode(id)), body) {
            // The lease still holds.
            Err(CtlError::Busy(_)) if tries < TRIES => {
                tries += 1;
                std::thread::park_timeout(LOOK);
            }
            Err(CtlError::Refused(why) | CtlError::Busy(why) | CtlError::Unreachable(why)) => {
                eprintln!("hookboxctl: {}: {why}", lease["event"].as_str().unwrap_or_default());
                return Ok(());
            }
            done => return done.map(|_| ()),
        }
    }
}

fn show(out: &mut Output, lease: &Value) -> Result<(), CtlError> {
    let text = |lease: &Value| {
        let field = |key: &str| lease[key].as_str().unwrap_or_default().to_owned();
        let body = body(lease).map(|body| String::from_utf8_lossy(&body).into_owned()).unwrap_or_default();
        // It comes from outside, and goes to a terminal.
        let body: String = body.chars().map(|c| if c.is_control() && c != '\t' { ' ' } else { c }).collect();
        format!("{} {} {} {body}", field("event"), field("source"), field("type"))
    };
    out.one(lease, text)?;
    out.finish()
}

fn body(lease: &Value) -> Result<Vec<u8>, CtlError> {
    let text = lease["body_base64"].as_str().unwrap_or_default();
    STANDARD.decode(text).map_err(|_| CtlError::Refused("the daemon's answer has no body in base64".into()))
}

/// One JSON object a line, for a command that takes several events.
fn lines(leases: &[Value]) -> Vec<u8> {
    let mut all = Vec::new();
    for lease in leases {
        all.extend_from_slice(lease.to_string().as_bytes());
        all.push(b'\n');
    }
    all
}

fn facts(command: &mut Command, lease: &Value) {
    if let Some(kind) = lease["headers"]["content-type"].as_str() {
        command.env("HOOKBOX_CONTENT_TYPE", kind);
    }
    for (name, key) in [("ID", "event"), ("TYPE", "type"), ("SOURCE", "source"), ("DELIVERY", "delivery")] {
        command.env(format!("HOOKBOX_{name}"), lease[key].as_str().unwrap_or_default());
    }
    command.env("HOOKBOX_ATTEMPT", lease["attempt"].to_string());
}
