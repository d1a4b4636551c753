//! Deliveries: list and show, out of the log, classified by the state.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::Admin;
use super::delivery_row::DeliveryRow;
use super::endpoints::redacted_url;
use super::events::{RelocatedEvents, endpoint_name, find as find_event, headers_view};
use super::filters::{DeliveryQuery, after, limit};
use super::http::{ApiRequest, ApiResponse, Problem};
use super::orphans;
use super::walk::{self, LogScan};
use crate::api::values::{Text, Time};
use crate::api::views::{
    AttemptView, DeliveryDetailView, DeliveryView, HeadersView, NextStep, OperatorActionView,
    RequestView, ResponseView,
};
use crate::model::{
    CommandEnd, DeliveryId, DeliveryState, EndpointId, EventId, Header, Outcome, REDACTED, Seq,
};
use crate::queue::DeliverySnapshot;
use crate::record::{Consequence, DeliveryAttempt, Record, WaitingDelivery};

/// Candidates that are classified at a time.
const CANDIDATES: usize = 64;

pub(super) fn list(admin: &Arc<Admin>, mut request: ApiRequest) -> Result<ApiResponse, Problem> {
    let query = DeliveryQuery::of(&mut request.params, admin.wall_ms())?;
    let limit = limit(request.params.take("limit"))?;
    let after: Option<DeliveryId> = after(&mut request.params)?;
    request.params.done()?;

    if query.state == Some(DeliveryState::Dead) && after.is_none() {
        // DeadLetterSeqs are kept in order: no need to look at what lives.
        return Ok(super::dlq::stream(admin, query.filter, limit, None));
    }
    Ok(walk::stream(admin, move |scan| {
        let query = query.here(scan)?;
        let (waiting, placed) = (Vec::new(), HashSet::new());
        let mut listing = DeliveryListing { scan, query: &query, left: limit, waiting, placed };
        match after {
            // Those without a record of their own come last.
            Some(id) if !orphans::has_row(scan, id)? => orphans::list(&mut listing, Some(id)),
            after => {
                listing.walk(after)?;
                orphans::list(&mut listing, None)
            }
        }
    }))
}

/// One `delivery list` under way.
pub(super) struct DeliveryListing<'a> {
    pub(super) scan: &'a LogScan,
    pub(super) query: &'a DeliveryQuery,
    pub(super) left: usize,
    waiting: Vec<DeliveryRow>,
    /// Replays without a record of their own, shown where they were placed anew.
    pub(super) placed: HashSet<DeliveryId>,
}

impl DeliveryListing<'_> {
    fn walk(&mut self, after: Option<DeliveryId>) -> Result<(), Problem> {
        let before = match after {
            Some(id) => super::events::place(self.scan, id.seq)?.saturating_add(1),
            None => Seq::MAX,
        };
        // Deliveries of an event stand at its own record or later.
        let oldest = self.query.filter.events.event.map_or(0, |id| id.seq);
        let mut skip_to = after;
        let mut relocated = RelocatedEvents::default();
        for entry in self.scan.log().backward(before) {
            self.scan.still_wanted()?;
            let Some((at, record)) = self.scan.entry(entry) else { continue };
            if at < oldest || self.left == 0 {
                break;
            }
            let mut found = self.candidates(&mut relocated, at, record)?;
            if let Some(id) = skip_to.take() {
                let seen = found.iter().position(|c| c.id == id);
                found.drain(..seen.map_or(0, |i| i + 1));
            }
            self.waiting.extend(found);
            if self.waiting.len() >= CANDIDATES {
                self.flush()?;
            }
        }
        self.flush()
    }

    /// The deliveries that a record made, or that were relocated to it, and that pass the filters
    /// over events.
    fn candidates(
        &mut self,
        relocated: &mut RelocatedEvents,
        at: Seq,
        record: Record,
    ) -> Result<Vec<DeliveryRow>, Problem> {
        let mut found = match record {
            Record::EventAccepted { event, fan_out, .. } => {
                let make = |endpoint| {
                    DeliveryRow::new(DeliveryId { seq: at, endpoint }, &event, event.received_at)
                };
                fan_out.into_iter().map(make).collect()
            }
            Record::Replayed { event: seq, endpoint, at: made_at, .. } => {
                let id = DeliveryId { seq: at, endpoint };
                let event = find_event(self.scan, seq)?.map(|(event, _)| event);
                vec![DeliveryRow::of(id, seq, event.as_deref(), Some(made_at))]
            }
            Record::StreamPositionRelocated {
                waiting: WaitingDelivery { delivery, event: seq, .. },
            }
            | Record::DeliveryRetried { delivery, event: seq, in_stream: true, .. }
                if delivery.seq != seq && !orphans::has_record(self.scan, delivery.seq) =>
            {
                let event = find_event(self.scan, seq)?.map(|(event, _)| event);
                let is_new = self.placed.insert(delivery);
                is_new
                    .then(|| DeliveryRow::of(delivery, seq, event.as_deref(), None))
                    .into_iter()
                    .collect()
            }
            Record::EventRelocated { seq, event, fan_out }
                if relocated.stands(self.scan, seq, at)? =>
            {
                let make = |endpoint| {
                    DeliveryRow::new(DeliveryId { seq, endpoint }, &event, event.received_at)
                };
                fan_out.into_iter().map(make).collect()
            }
            _ => Vec::new(),
        };
        found.sort_by_key(|c: &DeliveryRow| (std::cmp::Reverse(c.id.seq), c.id.endpoint));
        let admin = &self.scan.admin;
        found.retain(|candidate| candidate.passes(&self.query.filter, admin));
        Ok(found)
    }

    /// Shows one more, if it passes. Returns whether there is room for others.
    pub(super) fn add(&mut self, candidate: DeliveryRow) -> Result<bool, Problem> {
        if candidate.passes(&self.query.filter, &self.scan.admin) {
            self.waiting.push(candidate);
        }
        if self.waiting.len() >= CANDIDATES {
            self.flush()?;
        }
        Ok(self.left > 0)
    }

    /// Classifies what was found, completes it and sends it.
    pub(super) fn flush(&mut self) -> Result<(), Problem> {
        let candidates = std::mem::take(&mut self.waiting);
        let ids: Vec<DeliveryId> = candidates.iter().map(|c| c.id).collect();
        let views = self.scan.delivery_views(&ids)?;
        let views: HashMap<DeliveryId, DeliverySnapshot> =
            views.into_iter().map(|v| (v.delivery, v)).collect();
        let wanted = |c: &DeliveryRow| {
            let view = views.get(&c.id)?;
            (self.query.state.is_none_or(|s| s == view.state)).then(|| (view.clone(), view.state))
        };
        let mut rows: Vec<(DeliveryRow, DeliverySnapshot)> =
            candidates.into_iter().filter_map(|c| wanted(&c).map(|(view, _)| (c, view))).collect();
        rows.truncate(self.left);
        self.left -= rows.len();
        let ended: HashMap<DeliveryId, DeliveryState> =
            rows.iter().filter(|(_, v)| has_ended(v.state)).map(|(c, v)| (c.id, v.state)).collect();
        let attempts = count_attempts(self.scan, &ended)?;
        for (candidate, view) in rows {
            let counted = attempts.get(&candidate.id).copied();
            self.scan.send(&row(&self.scan.admin, &candidate, &view, counted))?;
        }
        Ok(())
    }
}

fn has_ended(state: DeliveryState) -> bool {
    matches!(state, DeliveryState::Delivered | DeliveryState::Dead | DeliveryState::Cancelled)
}

fn row(
    admin: &Admin,
    found: &DeliveryRow,
    snapshot: &DeliverySnapshot,
    counted: Option<u32>,
) -> DeliveryView {
    let due_at = match (snapshot.state, snapshot.retry) {
        (DeliveryState::Pending, Some(retry)) => Some(retry.due_at),
        // Never attempted: due since it was made.
        (DeliveryState::Pending, None) => found.made_at,
        // What is held is due when it is released.
        _ => None,
    };

    DeliveryView {
        id: Text(found.id),
        event: Text(found.event),
        endpoint: endpoint_name(admin, found.id.endpoint),
        state: snapshot.state.into(),
        attempts: counted.or(snapshot.retry.map(|r| r.attempts)).unwrap_or(0),
        due_at: due_at.map(Time),
        source: found.source.clone(),
        event_type: found.kind.clone(),
        created_at: found.made_at.map(Time),
        died_at: None,
        reason: None,
    }
}

/// Whether a record ended this delivery for good, given how it ended.
pub(super) fn ends(
    scan: &LogScan,
    at: Seq,
    record: &Record,
    id: DeliveryId,
    state: DeliveryState,
) -> Result<bool, Problem> {
    // It may have died before, been revived, and died again: only the last death has a
    // dead_letter_seq.
    if state == DeliveryState::Dead {
        let died_here = record.dead_letter(at).is_some_and(|dead| dead.delivery == id);
        return Ok(died_here && scan.is_dead_letter_seq(at)?);
    }
    Ok(match (record, state) {
        (Record::DeliveryCancelled { delivery, .. }, DeliveryState::Cancelled) => *delivery == id,
        (Record::EndpointDeleted { endpoint, .. }, DeliveryState::Cancelled) => {
            *endpoint == id.endpoint
        }
        (Record::Superseded { endpoint, deliveries, .. }, DeliveryState::Cancelled) => {
            *endpoint == id.endpoint && deliveries.contains(&id.seq)
        }
        (record, _) => record.attempts().any(|attempt| {
            attempt.delivery == id
                && match attempt.next {
                    Consequence::Delivered => state == DeliveryState::Delivered,
                    Consequence::Ended => state == DeliveryState::Cancelled,
                    _ => false,
                }
        }),
    })
}

/// The deliveries a record may be the end of: some, or all of a deleted endpoint.
fn about(at: Seq, record: &Record) -> (Vec<DeliveryId>, Option<EndpointId>) {
    match record {
        Record::DeliveryCancelled { delivery, .. } => (vec![*delivery], None),
        Record::EndpointDeleted { endpoint, .. } => (Vec::new(), Some(*endpoint)),
        Record::Superseded { endpoint, deliveries, .. } => (
            deliveries.iter().map(|seq| DeliveryId { seq: *seq, endpoint: *endpoint }).collect(),
            None,
        ),
        record => {
            let dead = record.dead_letter(at).map(|dead| dead.delivery);
            (record.attempts().map(|attempt| attempt.delivery).chain(dead).collect(), None)
        }
    }
}

/// How often deliveries that have ended were attempted: one pass forward, from the oldest of them
/// until the last has its end.
fn count_attempts(
    scan: &LogScan,
    ended: &HashMap<DeliveryId, DeliveryState>,
) -> Result<HashMap<DeliveryId, u32>, Problem> {
    let mut counted = HashMap::new();
    let mut open = ended.clone();
    let Some(from) = open.keys().map(|id| id.seq).min() else { return Ok(counted) };
    for entry in scan.log().forward(from.max(scan.log().first())) {
        if open.is_empty() {
            break;
        }
        scan.still_wanted()?;
        let Some((at, record)) = scan.entry(entry) else { continue };
        let (some, all_of) = about(at, &record);
        for attempt in record.attempts().filter(|attempt| open.contains_key(&attempt.delivery)) {
            counted.insert(attempt.delivery, attempt.number - u32::from(attempt.uncounted));
        }
        if let Some(dead) = record.dead_letter(at).filter(|dead| open.contains_key(&dead.delivery))
        {
            counted.insert(dead.delivery, dead.attempts);
        }
        if let Some(endpoint) = all_of {
            open.retain(|id, state| id.endpoint != endpoint || *state != DeliveryState::Cancelled);
        }
        for id in some {
            if let Some(state) = open.get(&id).copied()
                && ends(scan, at, &record, id, state)?
            {
                open.remove(&id);
            }
        }
    }
    Ok(counted)
}

pub(super) async fn show(
    admin: &Arc<Admin>,
    mut request: ApiRequest,
) -> Result<ApiResponse, Problem> {
    request.params.done()?;
    let id: DeliveryId = request.arg.parse().map_err(|e| Problem::bad(format!("{e}")))?;
    walk::value(admin, move |scan| show_one(scan, id).map(ApiResponse::ok)).await
}

pub(super) fn show_one(scan: &LogScan, id: DeliveryId) -> Result<DeliveryDetailView, Problem> {
    let found = find(scan, id)?.ok_or_else(|| Problem::missing("delivery", &id.to_string()))?;
    let snapshot = scan.delivery_views(&[id])?.pop().ok_or_else(Problem::gone)?;
    let mut history = Vec::new();
    let mut operator = Vec::new();

    for entry in scan.log().forward(id.seq.max(scan.log().first())) {
        scan.still_wanted()?;
        let Some((at, record)) = scan.entry(entry) else { continue };
        let attempts = record.attempts().filter(|attempt| attempt.delivery == id);
        history.extend(attempts.map(|attempt| attempt_view(&scan.admin, &attempt)));
        operator.extend(operator_action(&record, id));

        let all_there = snapshot.retry.is_some_and(|r| r.last <= at) && !has_ended(snapshot.state);
        if all_there || ends(scan, at, &record, id, snapshot.state)? {
            break;
        }
    }

    // The last attempt may be one that does not count.
    let counted = history.last().map(|last| last.number - u32::from(!last.counted));
    let mut delivery = row(&scan.admin, &found, &snapshot, counted);
    if snapshot.state == DeliveryState::Dead
        && let Some(dead) = super::dlq::find(scan, &[id])?.pop()
    {
        delivery.reason = Some(dead.reason);
        delivery.died_at = Some(Time(dead.died_at));
    }
    Ok(DeliveryDetailView { delivery, history, operator })
}

/// What the operator, or a later event of the same key, did with a delivery.
fn operator_action(record: &Record, id: DeliveryId) -> Option<OperatorActionView> {
    let (what, at) = match record {
        Record::DeliveryCancelled { delivery, at, .. } if *delivery == id => ("cancelled", *at),
        Record::DeliveryRetried { delivery, at, .. } if *delivery == id => ("retried", *at),
        Record::Superseded { endpoint, deliveries, at, .. }
            if *endpoint == id.endpoint && deliveries.contains(&id.seq) =>
        {
            ("superseded by a later event of its key", *at)
        }
        _ => return None,
    };
    Some(OperatorActionView { what: what.to_owned(), at: Time(at) })
}

/// The event of a delivery; `None` when there is no such delivery.
pub(super) fn event_of(scan: &LogScan, id: DeliveryId) -> Result<Option<EventId>, Problem> {
    Ok(find(scan, id)?.map(|candidate| candidate.event))
}

/// The delivery's own record, or where its event was relocated to.
pub(super) fn find(scan: &LogScan, id: DeliveryId) -> Result<Option<DeliveryRow>, Problem> {
    // A damaged record is no better than one that is not there.
    match scan.log().read(id.seq).unwrap_or_default() {
        Some(Record::EventAccepted { event, fan_out, .. }) if fan_out.contains(&id.endpoint) => {
            Ok(Some(DeliveryRow::new(id, &event, event.received_at)))
        }
        Some(Record::Replayed { event, endpoint, at, .. }) if endpoint == id.endpoint => {
            let found = find_event(scan, event)?.map(|(event, _)| event);
            Ok(Some(DeliveryRow::of(id, event, found.as_deref(), Some(at))))
        }
        Some(_) => Ok(None),
        None => {
            // Its record was dropped, or is lost: the state still knows its event while it waits,
            // its dead_letter_seq when it died.
            let view = scan.delivery_views(&[id])?.pop();
            let known = match view.as_ref().map(|view| (view.state, view.retry)) {
                Some((_, Some(retry))) => Some(retry.event),
                Some((DeliveryState::Dead, None)) => {
                    super::dlq::find(scan, &[id])?.pop().map(|dead| dead.revive.event)
                }
                _ => None,
            };
            let event = find_event(scan, known.unwrap_or(id.seq))?.map(|(event, _)| event);
            let is_one = known.is_some() || event.is_some();
            Ok(is_one.then(|| DeliveryRow::of(id, known.unwrap_or(id.seq), event.as_deref(), None)))
        }
    }
}

fn attempt_view(admin: &Admin, attempt: &DeliveryAttempt<'_>) -> AttemptView {
    let report = attempt.report;
    let (next, next_at, reason) = match attempt.next {
        Consequence::Parked { reason } => (NextStep::Parked, None, Some(reason.clone())),
        Consequence::Delivered => (NextStep::Delivered, None, None),
        Consequence::Retry { due_at, .. } => (NextStep::Retry, Some(Time(*due_at)), None),
        Consequence::Dead { reason } => (NextStep::Dead, None, Some(reason.clone())),
        Consequence::Held { .. } => (NextStep::Held, None, None),
        Consequence::Ended => (NextStep::Ended, None, None),
    };
    let response = report.response.as_ref().map(|response| ResponseView {
        status: response.status,
        headers: headers_view(&response.headers),
        body_base64: STANDARD.encode(&response.body),
    });
    let output = |command: &CommandEnd| String::from_utf8_lossy(&command.output).into_owned();

    AttemptView {
        number: attempt.number,
        started_at: Time(report.started_at),
        duration_ms: report.duration_ms,
        outcome: outcome_name(&attempt.outcome()).to_owned(),
        status: report.response.as_ref().map(|r| r.status),
        error: attempt.error().map(str::to_owned),
        next_at,
        next: next.into(),
        reason,
        counted: !attempt.uncounted,
        batch: attempt.batch.map(|batch| batch.to_string()),
        connect_ms: report.connect_ms,
        request: RequestView {
            method: report.request.method.clone(),
            url: redacted_url(admin, &report.request.url),
            headers: request_headers(admin, &report.request.headers),
        },
        response,
        exit: report.command.as_ref().and_then(|command| command.exit),
        output: report.command.as_ref().map(output),
    }
}

/// The headers of a request for this caller: what the endpoint's own templates made may hold what
/// its owner wrote there.
fn request_headers(admin: &Admin, headers: &[Header]) -> HeadersView {
    if admin.shows_secrets() {
        return headers_view(headers);
    }
    let hide = |header: &Header| match is_plain_header(&header.name) {
        true => header.clone(),
        false => Header::new(header.name.clone(), REDACTED),
    };
    headers_view(&headers.iter().map(hide).collect::<Vec<_>>())
}

/// Whether it is hookbox itself that says it.
pub(super) fn is_plain_header(name: &str) -> bool {
    let own = [
        "host",
        "user-agent",
        "content-type",
        "content-length",
        "content-encoding",
        "forwarded-headers",
    ];
    own.contains(&name)
        || ["webhook-", "hookbox-", "HOOKBOX_"].iter().any(|prefix| name.starts_with(prefix))
}

pub(super) fn outcome_name(outcome: &Outcome) -> &'static str {
    match outcome {
        Outcome::Delivered => "delivered",
        Outcome::Retryable { .. } => "retryable",
        Outcome::Gone => "gone",
        Outcome::Refused => "refused",
        Outcome::Hold => "hold",
        Outcome::Drop => "drop",
    }
}
