//! `consume`: a consumer of a pull endpoint. It leases events, gives each to stdout or to a
//! command, and acknowledges or rejects it. A lease is extended while the command runs. What is
//! neither acknowledged nor rejected when the consumer ends goes to others when its lease expires.
//! One that is to end passes that on to its command, waits for it, and rejects what it has not
//! begun with.

mod command;

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};
use std::time::Duration;

use serde::Serialize;

use super::answer::{Answer, decoded_body};
use super::args::ConsumeArgs;
use super::client::{AdminClient, resource};
use super::error::CtlError;
use super::output::Output;
use super::reconnect::{self, Reconnects};
use super::table::clean;
use crate::api::text::Line;
use crate::api::values::{Int, Span};
use crate::api::views::{LeaseView, LeasesView};
use crate::api::{EmptyBody, ExtendBody, LeaseBody, RejectBody};
use crate::model::safe_text::is_active;
use crate::service::stdio;
use command::{ConsumerCommand, ConsumerSignals};

/// Exit codes of a command, as `exec:` endpoints understand them: try again, and give up.
const TRY_AGAIN: i32 = 75;
const GIVE_UP: i32 = 100;
/// How often a result is reported again to a busy daemon.
const REPORT_TRIES: u32 = 50;
/// The pause between two looks at a running command, and between two reports to a busy daemon.
const POLL_PAUSE: Duration = Duration::from_millis(20);

pub(super) fn consume(
    client: &AdminClient,
    out: &mut Output,
    args: &ConsumeArgs,
) -> Result<(), CtlError> {
    let args = &args.with_last_word();
    if let Some(program) = args.exec.first() {
        can_be_run(program)?;
    }

    let signals = ConsumerSignals::catch()?;
    let mut left = args.max.unwrap_or(u64::MAX);
    let mut was_there = false;
    let mut reconnects = Reconnects::default();
    while left > 0 {
        let most = u32::try_from(left).map_or(args.batch, |left| left.min(args.batch));
        let body = LeaseBody {
            max: Some(Int::from_u32(most)),
            wait: Some(Span::from_ms(if reconnects.is_away() { 0 } else { args.wait })),
            lease: args.lease.map(Span::from_ms),
        };

        let answer = match client.post(&resource("endpoints", &args.name, "/lease"), &body) {
            // There are too many consumers at the moment, or the daemon is being restarted.
            Err(CtlError::Busy(_)) if !args.once => None,
            Err(error @ CtlError::Unreachable(_))
                if was_there && !args.once && reconnects.goes_on_after(&error) =>
            {
                None
            }
            answer => Some(answer?),
        };
        let Some(answer) = answer else {
            std::thread::park_timeout(reconnect::PAUSE);
            continue;
        };
        was_there = true;
        reconnects.answered();

        let busy = signals.busy();
        let LeasesView { leases, lease } = answer.view()?;
        let leases = leases.into_iter().map(Leased::read).collect::<Result<Vec<_>, _>>()?;
        left = left.saturating_sub(leases.len() as u64);
        if !leases.is_empty() {
            let consumer = ConsumerRun { client, args, lease_ms: lease.ms(), signals: &signals };
            consumer.process(out, &leases)?;
        }
        if let Some(code) = signals.end_code() {
            out.finish()?;
            std::process::exit(code);
        }
        drop(busy);
        if args.once {
            return Ok(());
        }
    }
    Ok(())
}

/// A leased delivery, and how it came: so it is printed, or given to a command.
struct Leased {
    answer: Answer,
    view: LeaseView,
}

impl Leased {
    fn read(answer: Answer) -> Result<Self, CtlError> {
        let view = answer.view()?;
        Ok(Self { answer, view })
    }
}

/// Refuses a command that cannot be run, before anything is leased for it.
fn can_be_run(program: &str) -> Result<(), CtlError> {
    let is_executable = |path: &Path| {
        path.metadata().is_ok_and(|m| m.is_file() && m.permissions().mode() & 0o111 != 0)
    };
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = match program.contains('/') {
        true => is_executable(Path::new(program)),
        false => std::env::split_paths(&path).any(|dir| is_executable(&dir.join(program))),
    };

    match found {
        true => Ok(()),
        false => Err(CtlError::Usage(format!(
            "'{program}' cannot be run: check that it exists and is executable"
        ))),
    }
}

/// A consumer with what it has leased.
struct ConsumerRun<'a> {
    client: &'a AdminClient,
    args: &'a ConsumeArgs,
    lease_ms: u64,
    signals: &'a ConsumerSignals,
}

impl ConsumerRun<'_> {
    /// Processes what was leased at once: prints it, or gives it to the command.
    fn process(&self, out: &mut Output, leases: &[Leased]) -> Result<(), CtlError> {
        if self.args.exec.is_empty() {
            for lease in leases {
                show(out, lease)?;
                settle(self.client, &lease.view, "ack", &EmptyBody {})?;
            }
            return Ok(());
        }

        let several = self.args.batch > 1;
        let groups = if several { vec![leases] } else { leases.chunks(1).collect() };
        for group in groups {
            if self.signals.end_code().is_some() {
                self.reject(group, false, "the consumer was ended")?;
                continue;
            }
            let status = self.run(group)?;
            if !status.success() {
                self.reject(group, status.code() == Some(GIVE_UP), &reason(status))?;
                continue;
            }
            for lease in group {
                settle(self.client, &lease.view, "ack", &EmptyBody {})?;
            }
        }
        Ok(())
    }

    fn reject(&self, leases: &[Leased], dead: bool, reason: &str) -> Result<(), CtlError> {
        for lease in leases {
            let body = RejectBody { after: None, dead, reason: Line::of(reason) };
            settle(self.client, &lease.view, "reject", &body)?;
        }
        Ok(())
    }

    /// Runs the command with these events, and extends their leases while it runs.
    fn run(&self, leases: &[Leased]) -> Result<ExitStatus, CtlError> {
        let several = self.args.batch > 1;
        let input =
            if several { lines(leases) } else { decoded_body(&leases[0].view.body_base64)? };
        let program = &self.args.exec[0];
        let mut command = Command::new(program);
        command.args(&self.args.exec[1..]).stdin(Stdio::piped());
        command.env("HOOKBOX_ENDPOINT", &self.args.name);
        command.env("HOOKBOX_EVENTS", leases.len().to_string());
        if !several {
            set_variables(&mut command, &leases[0].view);
        }

        let started = ConsumerCommand::start(&mut command, input, self.signals);
        let mut running = started
            .map_err(|error| CtlError::Io { what: format!("cannot run {program}"), error })?;
        let failed = |error| CtlError::Io { what: "cannot wait for the command".into(), error };
        let mut waited = Duration::ZERO;
        let half = Duration::from_millis(self.lease_ms / 2).max(POLL_PAUSE);
        loop {
            if let Some(status) = running.try_wait().map_err(failed)? {
                return Ok(status);
            }

            std::thread::park_timeout(POLL_PAUSE);
            waited += POLL_PAUSE;
            if waited >= half {
                waited = Duration::ZERO;
                for lease in leases {
                    let body = ExtendBody { lease: Some(Span::from_ms(self.lease_ms)) };
                    settle(self.client, &lease.view, "extend", &body)?;
                }
            }
        }
    }
}

/// Why the command's events were not acknowledged.
fn reason(status: ExitStatus) -> String {
    match status.code() {
        Some(TRY_AGAIN) => "the command asked to be run again (exit 75)".to_owned(),
        Some(GIVE_UP) => "the command gave up (exit 100)".to_owned(),
        _ => format!("the command ended with {status}"),
    }
}

/// Acknowledges, rejects or extends a lease. A lease that has expired, or that the daemon does not
/// know after a restart, is lent again: that is reported, and no error.
fn settle(
    client: &AdminClient,
    lease: &LeaseView,
    verb: &str,
    body: &impl Serialize,
) -> Result<(), CtlError> {
    let mut tries = 0;
    loop {
        match client.post(&resource("leases", &lease.lease, &format!("/{verb}")), body) {
            // The lease is still valid.
            Err(CtlError::Busy(_)) if tries < REPORT_TRIES => {
                tries += 1;
                std::thread::park_timeout(POLL_PAUSE);
            }
            Err(CtlError::Refused(why) | CtlError::Busy(why) | CtlError::Unreachable(why)) => {
                stdio::note(format_args!("hookboxctl: {}: {}", lease.event, clean(&why)));
                return Ok(());
            }
            done => return done.map(|_| ()),
        }
    }
}

fn show(out: &mut Output, lease: &Leased) -> Result<(), CtlError> {
    let text = |lease: &LeaseView| {
        let body = decoded_body(&lease.body_base64).unwrap_or_default();
        let body = String::from_utf8_lossy(&body).into_owned();
        // The body is not trusted, and may go to a terminal.
        let body: String =
            body.chars().map(|c| if is_active(c) && c != '\t' { ' ' } else { c }).collect();
        format!("{} {} {} {body}", lease.event, lease.source, lease.event_type)
    };
    out.one(&lease.answer, text)?;
    out.finish()
}

/// One JSON object a line, for a command that takes several events.
fn lines(leases: &[Leased]) -> Vec<u8> {
    let mut all = Vec::new();
    for lease in leases {
        all.extend_from_slice(lease.answer.json().as_bytes());
        all.push(b'\n');
    }
    all
}

/// The event as variables of the command.
fn set_variables(command: &mut Command, lease: &LeaseView) {
    if let Some(kind) = lease.headers.get("content-type") {
        command.env("HOOKBOX_CONTENT_TYPE", kind);
    }
    command
        .env("HOOKBOX_ID", lease.event.to_string())
        .env("HOOKBOX_TYPE", &lease.event_type)
        .env("HOOKBOX_SOURCE", &lease.source)
        .env("HOOKBOX_QUERY", &lease.query)
        .env("HOOKBOX_DELIVERY", lease.delivery.to_string())
        .env("HOOKBOX_ATTEMPT", lease.attempt.to_string());
}
