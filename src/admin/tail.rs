//! Tail: the last things that passed, out of the log, and with `follow` what passes from then on.

use std::collections::HashSet;
use std::sync::Arc;

use serde_json::{Value, json};
use tokio::sync::{broadcast, mpsc};

use super::Admin;
use super::deliveries::outcome_name;
use super::events::endpoint_name;
use super::http::{Answer, Call, Problem, line};
use super::walk;
use crate::model::time::rfc3339;
use crate::model::{DeliveryId, Seq};
use crate::record::{Attempted, Next, Record};
use crate::scheduler::TailLine;

/// Lines of the past when nobody says how many.
const PAST: usize = 10;
/// Lines that may wait for a slow reader, beside `limits::TAIL_LAG` at the scheduler.
const LINES_WAITING: usize = 64;

/// What of the stream is wanted.
#[derive(Clone, Default)]
struct Wanted {
    source: Option<String>,
    endpoint: Option<String>,
}

impl Wanted {
    /// Events pass unless an endpoint is asked for, attempts unless a source is.
    fn event(&self, source: &str) -> bool {
        self.endpoint.is_none() && self.source.as_ref().is_none_or(|s| s == source)
    }

    fn attempt(&self, endpoint: &str) -> bool {
        self.endpoint.as_ref().is_some_and(|e| e == endpoint) || (self.endpoint.is_none() && self.source.is_none())
    }

    fn duplicate(&self) -> bool {
        self.endpoint.is_none() && self.source.is_none()
    }
}

/// What was told of the past, so that it is not told again as it is followed.
#[derive(Default)]
struct Told {
    events: HashSet<Seq>,
    attempts: HashSet<(DeliveryId, u32)>,
}

pub(super) fn tail(admin: &Arc<Admin>, mut call: Call) -> Result<Answer, Problem> {
    let follow = call.params.flag("follow")?;
    let wanted = Wanted { source: call.params.take("source"), endpoint: call.params.take("endpoint") };
    let past = match call.params.take("limit").as_deref() {
        None => PAST,
        Some("0") => 0,
        text => super::select::limit(text.map(str::to_owned))?.min(crate::model::limits::PAGE_MAX),
    };
    call.params.done()?;
    if let Some(name) = &wanted.source {
        super::sources::find(admin, name)?;
    }
    // Before the past is read, so that nothing falls between the two.
    let live = admin.handle.tail();
    let (sender, receiver) = mpsc::channel(LINES_WAITING);
    let admin = admin.clone();
    tokio::spawn(async move {
        let seen = wanted.clone();
        let told = walk::value(&admin, move |walker| last(walker, &seen, past)).await;
        let (lines, told) = match told {
            Ok(found) => found,
            Err(problem) => (vec![json!({ "problem": problem.value() })], Told::default()),
        };
        for row in lines {
            if sender.send(line(&row)).await.is_err() {
                return;
            }
        }
        if follow {
            let mut stop = call.stop;
            tokio::select! {
                () = forward(live, &wanted, told, &sender) => {}
                () = sender.closed() => {}
                () = super::server::stopped(&mut stop) => {}
            }
        }
    });
    Ok(Answer::Lines(receiver))
}

/// The last `count` lines that pass, oldest first.
fn last(walker: &walk::Walker, wanted: &Wanted, count: usize) -> Result<(Vec<Value>, Told), Problem> {
    let (mut lines, mut told) = (Vec::new(), Told::default());
    if count == 0 {
        return Ok((lines, told));
    }
    for entry in walker.log().backward(Seq::MAX) {
        walker.still_wanted()?;
        let Some((_, record)) = walker.entry(entry) else { continue };
        match record {
            Record::EventAccepted { event, fan_out, .. } if wanted.event(&event.source_name) => {
                told.events.insert(event.id.seq);
                lines.push(json!({
                    "what": "event", "at": rfc3339(event.received_at), "id": event.id.to_string(),
                    "source": event.source_name, "type": event.kind, "size": event.body.len(),
                    "deliveries": fan_out.len(),
                }));
            }
            Record::DuplicateSeen { event, at } if wanted.duplicate() => {
                lines.push(json!({"what": "duplicate", "at": rfc3339(at), "event_seq": event}));
            }
            record => {
                let before = lines.len();
                for attempt in record.attempts() {
                    let endpoint = endpoint_name(&walker.admin, attempt.delivery.endpoint);
                    if lines.len() < count && wanted.attempt(&endpoint) {
                        told.attempts.insert((attempt.delivery, attempt.number));
                        lines.push(attempt_line(&attempt, &endpoint));
                    }
                }
                if lines.len() == before {
                    continue;
                }
            }
        }
        if lines.len() == count {
            break;
        }
    }
    lines.reverse();
    Ok((lines, told))
}

fn attempt_line(attempt: &Attempted<'_>, endpoint: &str) -> Value {
    let report = attempt.report;
    let next_at = if let Next::Retry { due_at, .. } = attempt.next { Some(rfc3339(*due_at)) } else { None };
    json!({
        "what": "attempt", "at": rfc3339(report.started_at), "delivery": attempt.delivery.to_string(),
        "event_seq": attempt.event, "endpoint": endpoint, "number": attempt.number,
        "duration_ms": report.duration_ms, "outcome": outcome_name(&report.outcome),
        "status": report.response.as_ref().map(|r| r.status), "error": report.error,
        "next_at": next_at,
    })
}

/// Sends what passes, until the scheduler or the reader is gone.
async fn forward(
    mut live: broadcast::Receiver<Arc<TailLine>>,
    wanted: &Wanted,
    told: Told,
    sender: &mpsc::Sender<bytes::Bytes>,
) {
    loop {
        let row = match live.recv().await {
            Ok(passed) => live_row(&passed, wanted, &told),
            Err(broadcast::error::RecvError::Lagged(missed)) => Some(json!({"what": "missed", "lines": missed})),
            Err(broadcast::error::RecvError::Closed) => return,
        };
        if let Some(row) = row
            && sender.send(line(&row)).await.is_err()
        {
            return;
        }
    }
}

fn live_row(passed: &TailLine, wanted: &Wanted, told: &Told) -> Option<Value> {
    match passed {
        TailLine::Event { id, source, kind, at, size, deliveries } => {
            (wanted.event(source) && !told.events.contains(&id.seq)).then(|| {
                json!({
                    "what": "event", "at": rfc3339(*at), "id": id.to_string(), "source": source, "type": kind,
                    "size": size, "deliveries": deliveries,
                })
            })
        }
        TailLine::Duplicate { event, at } => {
            wanted.duplicate().then(|| json!({"what": "duplicate", "at": rfc3339(*at), "event_seq": event}))
        }
        TailLine::Attempt { delivery, event, endpoint, number, at, duration_ms, outcome, status, error, next_at } => {
            (wanted.attempt(endpoint) && !told.attempts.contains(&(*delivery, *number))).then(|| {
                json!({
                    "what": "attempt", "at": rfc3339(*at), "delivery": delivery.to_string(), "event_seq": event,
                    "endpoint": endpoint, "number": number, "duration_ms": duration_ms, "outcome": outcome,
                    "status": status, "error": error, "next_at": next_at.map(rfc3339),
                })
            })
        }
    }
}
