//! Tail: the last things that passed, out of the log, and with `follow` what passes from then on.

use std::collections::HashSet;
use std::sync::Arc;

use tokio::sync::{broadcast, mpsc};

use super::Admin;
use super::deliveries::outcome_name;
use super::events::endpoint_name;
use super::http::{ApiRequest, ApiResponse, Problem, line};
use super::walk;
use crate::api::values::{Text, Time};
use crate::api::views::{ProblemLine, TailView};
use crate::model::{DeliveryId, Seq};
use crate::record::{Consequence, DeliveryAttempt, Record};
use crate::scheduler::TailLine;

/// Lines of the past when nobody says how many.
const PAST: usize = 10;
/// Lines that may wait for a slow reader, beside `limits::TAIL_LAG` at the scheduler.
const LINES_WAITING: usize = 64;

/// What of the stream is wanted.
#[derive(Clone, Default)]
struct TailFilter {
    source: Option<String>,
    endpoint: Option<String>,
}

impl TailFilter {
    /// Events pass unless an endpoint is asked for, attempts unless a source is.
    fn event(&self, source: &str) -> bool {
        self.endpoint.is_none() && self.source.as_ref().is_none_or(|s| s == source)
    }

    fn attempt(&self, endpoint: &str) -> bool {
        self.endpoint.as_ref().is_some_and(|e| e == endpoint)
            || (self.endpoint.is_none() && self.source.is_none())
    }

    fn duplicate(&self) -> bool {
        self.endpoint.is_none() && self.source.is_none()
    }
}

/// What was sent of the past, so that it is not sent again as it is followed.
#[derive(Default)]
struct AlreadySent {
    events: HashSet<Seq>,
    attempts: HashSet<(DeliveryId, u32)>,
}

pub(super) fn tail(admin: &Arc<Admin>, mut request: ApiRequest) -> Result<ApiResponse, Problem> {
    let follow = request.params.flag("follow")?;
    let wanted = TailFilter {
        source: request.params.take("source"),
        endpoint: request.params.take("endpoint"),
    };
    let past = match request.params.take("limit").as_deref() {
        None => PAST,
        Some("0") => 0,
        text => super::filters::limit(text.map(str::to_owned))?.min(crate::model::limits::PAGE_MAX),
    };
    request.params.done()?;
    if let Some(name) = &wanted.source {
        super::sources::find(admin, name)?;
    }
    // Before the past is read, so that nothing falls between the two.
    let live = admin.handle.tail();
    let (sender, receiver) = mpsc::channel(LINES_WAITING);
    let admin = admin.clone();
    tokio::spawn(async move {
        let seen = wanted.clone();
        let past = walk::value(&admin, move |scan| last(scan, &seen, past)).await;
        let (lines, sent): (Vec<bytes::Bytes>, AlreadySent) = match past {
            Ok((lines, sent)) => (lines.iter().map(line).collect(), sent),
            Err(problem) => {
                (vec![line(&ProblemLine { problem: problem.view() })], AlreadySent::default())
            }
        };
        for past in lines {
            if sender.send(past).await.is_err() {
                return;
            }
        }

        if follow {
            let mut stop = request.stop;
            tokio::select! {
                () = forward(live, &wanted, sent, &sender) => {}
                () = sender.closed() => {}
                () = super::server::stopped(&mut stop) => {}
            }
        }
    });
    Ok(ApiResponse::Lines(receiver))
}

/// The last `count` lines that pass, oldest first.
fn last(
    scan: &walk::LogScan,
    wanted: &TailFilter,
    count: usize,
) -> Result<(Vec<TailView>, AlreadySent), Problem> {
    let (mut lines, mut sent) = (Vec::new(), AlreadySent::default());
    if count == 0 {
        return Ok((lines, sent));
    }

    for entry in scan.log().backward(Seq::MAX) {
        scan.still_wanted()?;
        let Some((_, record)) = scan.entry(entry) else { continue };
        match record {
            Record::EventAccepted { event, fan_out, .. } if wanted.event(&event.source_name) => {
                sent.events.insert(event.id.seq);
                lines.push(TailView::Event {
                    at: Time(event.received_at),
                    id: Text(event.id),
                    source: event.source_name.clone(),
                    event_type: event.kind.clone(),
                    size: event.body.len(),
                    deliveries: fan_out.len(),
                });
            }
            Record::DuplicateSeen { event, at } if wanted.duplicate() => {
                lines.push(TailView::Duplicate { at: Time(at), event_seq: event });
            }
            record => {
                for attempt in record.attempts() {
                    let endpoint = endpoint_name(&scan.admin, attempt.delivery.endpoint);
                    if lines.len() < count && wanted.attempt(&endpoint) {
                        sent.attempts.insert((attempt.delivery, attempt.number));
                        lines.push(attempt_line(&attempt, endpoint));
                    }
                }
            }
        }
        if lines.len() == count {
            break;
        }
    }

    lines.reverse();
    Ok((lines, sent))
}

fn attempt_line(attempt: &DeliveryAttempt<'_>, endpoint: String) -> TailView {
    let report = attempt.report;
    let next_at = match attempt.next {
        Consequence::Retry { due_at, .. } => Some(Time(*due_at)),
        _ => None,
    };
    TailView::Attempt {
        at: Time(report.started_at),
        delivery: Text(attempt.delivery),
        event_seq: attempt.event,
        endpoint,
        number: attempt.number,
        duration_ms: report.duration_ms,
        outcome: outcome_name(&report.outcome).to_owned(),
        status: report.response.as_ref().map(|r| r.status),
        error: report.error.clone(),
        next_at,
    }
}

/// Sends what passes, until the scheduler or the reader is gone.
async fn forward(
    mut live: broadcast::Receiver<Arc<TailLine>>,
    wanted: &TailFilter,
    sent: AlreadySent,
    sender: &mpsc::Sender<bytes::Bytes>,
) {
    loop {
        let row = match live.recv().await {
            Ok(passed) => live_line(&passed, wanted, &sent),
            Err(broadcast::error::RecvError::Lagged(lines)) => Some(TailView::Missed { lines }),
            Err(broadcast::error::RecvError::Closed) => return,
        };
        if let Some(row) = row
            && sender.send(line(&row)).await.is_err()
        {
            return;
        }
    }
}

fn live_line(passed: &TailLine, wanted: &TailFilter, sent: &AlreadySent) -> Option<TailView> {
    match passed {
        TailLine::Event { id, source, kind, at, size, deliveries } => {
            let passes = wanted.event(source) && !sent.events.contains(&id.seq);
            passes.then(|| TailView::Event {
                at: Time(*at),
                id: Text(*id),
                source: source.clone(),
                event_type: kind.clone(),
                size: *size,
                deliveries: *deliveries,
            })
        }
        TailLine::Duplicate { event, at } => {
            wanted.duplicate().then_some(TailView::Duplicate { at: Time(*at), event_seq: *event })
        }
        TailLine::Attempt {
            delivery,
            event,
            endpoint,
            number,
            at,
            duration_ms,
            outcome,
            status,
            error,
            next_at,
        } => {
            let passes = wanted.attempt(endpoint) && !sent.attempts.contains(&(*delivery, *number));
            passes.then(|| TailView::Attempt {
                at: Time(*at),
                delivery: Text(*delivery),
                event_seq: *event,
                endpoint: endpoint.clone(),
                number: *number,
                duration_ms: *duration_ms,
                outcome: (*outcome).to_owned(),
                status: *status,
                error: error.clone(),
                next_at: next_at.map(Time),
            })
        }
    }
}
