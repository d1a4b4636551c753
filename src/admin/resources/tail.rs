//! Tail: the last events and attempts, out of the log, and with `follow` those from then on.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::{broadcast, mpsc};

use super::deliveries::{Aftermath, aftermath};
use super::names::{check_filter, endpoint_name, endpoint_of};
use crate::admin::context::Admin;
use crate::admin::http::problem::Problem;
use crate::admin::http::request::{ApiRequest, stopped};
use crate::admin::http::response::{ApiResponse, line};
use crate::admin::scan::log_scan::LogScan;
use crate::admin::scan::{event_lookup, page, walk};
use crate::api::values::{Text, Time};
use crate::api::views::{ProblemLine, TailView};
use crate::model::{DeliveryFilter, DeliveryId, Event, EventFilter, EventId, Seq, WallMs, limits};
use crate::record::{DeliveryAttempt, Record};
use crate::scheduler::TailLine;

/// Lines of the past when nobody says how many.
const PAST: usize = 10;
/// Lines that may wait for a slow reader, beside `limits::TAIL_LAG` at the scheduler.
const LINES_WAITING: usize = 64;
/// Events of duplicates whose sources are kept: what is sent again is sent again soon.
const SOURCES_KEPT: usize = 1024;

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

    /// Duplicates pass as events do. That of an event that is gone has no source any more.
    fn duplicate(&self, source: Option<&str>) -> bool {
        match source {
            Some(source) => self.event(source),
            None => self.endpoint.is_none() && self.source.is_none(),
        }
    }
}

/// The sources of events that came again: the record of a duplicate has only the number of its
/// event.
#[derive(Default)]
struct RepeatedSources(HashMap<Seq, Option<String>>);

impl RepeatedSources {
    /// That of one event, on a thread that may block.
    fn read(&mut self, scan: &LogScan, event: Seq) -> Result<Option<String>, Problem> {
        if let Some(known) = self.0.get(&event) {
            return Ok(known.clone());
        }
        let found = event_lookup::find(scan, event)?;
        Ok(self.keep(event, found.map(|(event, _)| event.source_name.clone())))
    }

    /// The same, off the thread.
    async fn find(&mut self, admin: &Arc<Admin>, event: Seq) -> Option<String> {
        if let Some(known) = self.0.get(&event) {
            return known.clone();
        }
        let found = walk::value(admin, move |scan| event_lookup::find(scan, event)).await;
        let found = found.ok().flatten();
        self.keep(event, found.map(|(event, _)| event.source_name.clone()))
    }

    fn keep(&mut self, event: Seq, source: Option<String>) -> Option<String> {
        if self.0.len() >= SOURCES_KEPT {
            self.0.clear();
        }
        self.0.insert(event, source.clone());
        source
    }
}

/// What was sent of the past, so that it is not sent again as it is followed.
#[derive(Default)]
struct AlreadySent {
    events: HashSet<Seq>,
    attempts: HashSet<(DeliveryId, u32)>,
}

pub fn tail(admin: &Arc<Admin>, mut request: ApiRequest) -> Result<ApiResponse, Problem> {
    let follow = request.params.flag("follow")?;
    let wanted = TailFilter {
        source: request.params.take("source"),
        endpoint: request.params.take("endpoint"),
    };
    let past = match request.params.take("limit").as_deref() {
        None => PAST,
        Some("0") => 0,
        text => {
            let past = page::limit(text.map(str::to_owned))?;
            if past > limits::PAGE_MAX {
                let most = limits::PAGE_MAX;
                return Err(Problem::bad(format!("'limit': at most {most} of the past are shown")));
            }
            past
        }
    };
    request.params.done()?;
    let events = EventFilter { source: wanted.source.clone(), ..EventFilter::default() };
    check_filter(admin, &DeliveryFilter { events, endpoint: wanted.endpoint.clone() })?;

    // Before the past is read, so that nothing falls between the two.
    let live = admin.handle.tail();
    let (sender, receiver) = mpsc::channel(LINES_WAITING);
    let admin = admin.clone();
    tokio::spawn(async move {
        let Some(sent) = send_past(&admin, wanted.clone(), past, &sender).await else { return };
        if follow {
            let mut stop = request.stop;
            tokio::select! {
                () = forward(&admin, live, &wanted, sent, &sender) => {}
                () = sender.closed() => {}
                () = stopped(&mut stop) => {}
            }
        }
    });
    Ok(ApiResponse::Lines(receiver, None))
}

/// Sends what happened last; `None` when the reader is gone.
async fn send_past(
    admin: &Arc<Admin>,
    wanted: TailFilter,
    count: usize,
    sender: &mpsc::Sender<Bytes>,
) -> Option<AlreadySent> {
    let past = walk::value(admin, move |scan| last(scan, &wanted, count)).await;
    let (lines, sent): (Vec<Bytes>, AlreadySent) = match past {
        Ok((lines, sent)) => (lines.iter().map(line).collect(), sent),
        Err(problem) => {
            (vec![line(&ProblemLine { problem: problem.view() })], AlreadySent::default())
        }
    };

    for past in lines {
        sender.send(past).await.ok()?;
    }
    Some(sent)
}

/// The last `count` lines that pass, oldest first.
fn last(
    scan: &LogScan,
    wanted: &TailFilter,
    count: usize,
) -> Result<(Vec<TailView>, AlreadySent), Problem> {
    let (mut lines, mut sent) = (Vec::new(), AlreadySent::default());
    if count == 0 {
        return Ok((lines, sent));
    }
    let mut repeated = RepeatedSources::default();

    for entry in scan.log().backward(Seq::MAX) {
        scan.still_wanted()?;
        let Some((_, record)) = scan.entry(entry) else { continue };

        if let Record::EventAccepted { event, fan_out, .. } = &record
            && wanted.event(&event.source_name)
        {
            sent.events.insert(event.id.seq);
            lines.push(event_line(event, fan_out.len()));
        }

        if let Record::DuplicateSeen { event, at } = record
            && wanted.endpoint.is_none()
        {
            let source = repeated.read(scan, event)?;
            if wanted.duplicate(source.as_deref()) {
                let salt = scan.admin.handle.directory().salt;
                lines.push(duplicate_line(EventId::in_log(salt, event), source, at));
            }
        }

        for attempt in record.attempts() {
            let endpoint = endpoint_name(&scan.admin, attempt.delivery.endpoint);
            if lines.len() < count && wanted.attempt(&endpoint) {
                sent.attempts.insert((attempt.delivery, attempt.number));
                let settings = endpoint_of(&scan.admin, attempt.delivery.endpoint);
                let next_by = settings.and_then(|settings| attempt.joins_batch_by(&settings));
                lines.push(attempt_line(&attempt, endpoint, next_by));
            }
        }

        if lines.len() == count {
            break;
        }
    }

    lines.reverse();
    Ok((lines, sent))
}

fn event_line(event: &Event, deliveries: usize) -> TailView {
    TailView::Event {
        at: Time(event.received_at),
        id: Text(event.id),
        source: event.source_name.clone(),
        event_type: event.kind.clone(),
        size: event.body.len(),
        deliveries,
    }
}

fn duplicate_line(event: EventId, source: Option<String>, at: WallMs) -> TailView {
    TailView::Duplicate { at: Time(at), id: Some(Text(event)), source, event_seq: event.seq }
}

fn attempt_line(
    attempt: &DeliveryAttempt<'_>,
    endpoint: String,
    next_by: Option<WallMs>,
) -> TailView {
    let report = attempt.report;
    let Aftermath { next, next_at, reason } = aftermath(attempt.next);
    TailView::Attempt {
        at: Time(report.started_at),
        delivery: Text(attempt.delivery),
        event_seq: attempt.event,
        endpoint,
        number: attempt.number,
        duration_ms: report.duration_ms,
        outcome: attempt.outcome().name().to_owned(),
        status: report.response.as_ref().map(|r| r.status),
        error: attempt.error().map(str::to_owned),
        next: Some(next.into()),
        next_at,
        next_by: next_by.map(Time),
        reason,
    }
}

/// Sends what happens, until the scheduler or the reader is gone.
async fn forward(
    admin: &Arc<Admin>,
    mut live: broadcast::Receiver<Arc<TailLine>>,
    wanted: &TailFilter,
    sent: AlreadySent,
    sender: &mpsc::Sender<Bytes>,
) {
    let mut repeated = RepeatedSources::default();
    loop {
        let received = live.recv().await;
        let row = match received.as_deref() {
            Ok(TailLine::Duplicate { event, at }) if wanted.endpoint.is_none() => {
                let source = repeated.find(admin, event.seq).await;
                let passes = wanted.duplicate(source.as_deref());
                passes.then(|| duplicate_line(*event, source, *at))
            }
            Ok(line) => live_line(line, wanted, &sent),
            Err(broadcast::error::RecvError::Lagged(lines)) => {
                Some(TailView::Missed { lines: *lines })
            }
            Err(broadcast::error::RecvError::Closed) => return,
        };

        if let Some(row) = row
            && sender.send(line(&row)).await.is_err()
        {
            return;
        }
    }
}

fn live_line(line: &TailLine, wanted: &TailFilter, sent: &AlreadySent) -> Option<TailView> {
    match line {
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
        // Where they pass, they are looked up.
        TailLine::Duplicate { .. } => None,

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
            next,
            next_by,
        } => {
            let passes = wanted.attempt(endpoint) && !sent.attempts.contains(&(*delivery, *number));
            let Aftermath { next, next_at, reason } = aftermath(next);
            passes.then(|| TailView::Attempt {
                at: Time(*at),
                delivery: Text(*delivery),
                event_seq: *event,
                endpoint: endpoint.clone(),
                number: *number,
                duration_ms: *duration_ms,
                outcome: outcome.name().to_owned(),
                status: *status,
                error: error.clone(),
                next: Some(next.into()),
                next_at,
                next_by: next_by.map(Time),
                reason,
            })
        }
    }
}
