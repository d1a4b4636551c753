//! Deliveries: list and show (out of the log, classified by the state), retry, cancel.

use std::collections::HashMap;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::Admin;
use super::events::{Carried, endpoint_name, headers_view, read as read_event};
use super::fields::{Fields, texts};
use super::http::{Answer, Call, Problem};
use super::select::{Select, limit, state_name};
use super::walk::{self, Walker, unexpected};
use crate::model::time::rfc3339;
use crate::model::{DeliveryId, DeliveryState, EndpointId, Event, EventId, Outcome, Seq, WallMs, limits};
use crate::queue::{Command, DeliveryView, Reply, Revive};
use crate::record::{Attempted, Next, Record};

/// Candidates that are classified at a time.
const CANDIDATES: usize = 64;

/// A delivery that a walk came by, with what its row says of the event.
struct Candidate {
    id: DeliveryId,
    event: EventId,
    source: String,
    kind: String,
    made_at: WallMs,
}

impl Candidate {
    fn new(id: DeliveryId, event: &Event, made_at: WallMs) -> Self {
        Self { id, event: event.id, source: event.source_name.clone(), kind: event.kind.clone(), made_at }
    }
}

pub(super) fn list(admin: &Arc<Admin>, mut call: Call) -> Result<Answer, Problem> {
    let select = Select::of_deliveries(&mut call.params, admin.wall_ms())?;
    let limit = limit(call.params.take("limit"))?;
    let after = call.params.take("after").map(|t| t.parse::<DeliveryId>()).transpose();
    let after = after.map_err(|e| Problem::bad(format!("'after': {e}")))?;
    call.params.done()?;
    if select.state == Some(DeliveryState::Dead) && after.is_none() {
        // Graves are kept in order: no need to look at what lives.
        return Ok(super::dlq::stream(admin, select, limit, None));
    }
    Ok(walk::stream(admin, move |walker| {
        let select = select.here(walker)?;
        let mut listing = Listing { walker, select: &select, left: limit, waiting: Vec::new() };
        listing.walk(after)
    }))
}

/// One `delivery list` under way.
struct Listing<'a> {
    walker: &'a Walker,
    select: &'a Select,
    left: usize,
    waiting: Vec<Candidate>,
}

impl Listing<'_> {
    fn walk(&mut self, after: Option<DeliveryId>) -> Result<(), Problem> {
        let before = match after {
            Some(id) => super::events::place(self.walker, id.seq)?.saturating_add(1),
            None => Seq::MAX,
        };
        // Deliveries of an event stand at its own record or later.
        let oldest = self.select.event.map_or(0, |id| id.seq);
        let mut skip_to = after;
        let mut carried = Carried::default();
        for entry in self.walker.log().backward(before) {
            self.walker.still_wanted()?;
            let Some((at, record)) = self.walker.entry(entry) else { continue };
            if at < oldest || self.left == 0 {
                break;
            }
            let mut found = self.candidates(&mut carried, at, record)?;
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

    /// The deliveries that a record made, or that were carried to it, and that pass the filters over events.
    fn candidates(&self, carried: &mut Carried, at: Seq, record: Record) -> Result<Vec<Candidate>, Problem> {
        let mut found = match record {
            Record::EventAccepted { event, fan_out, .. } => {
                let make = |endpoint| Candidate::new(DeliveryId { seq: at, endpoint }, &event, event.received_at);
                fan_out.into_iter().map(make).collect()
            }
            Record::Replayed { event, endpoint, at: made_at } => {
                let id = DeliveryId { seq: at, endpoint };
                let event = read_event(self.walker, event)?;
                event.iter().map(|(event, _)| Candidate::new(id, event, made_at)).collect()
            }
            Record::EventCarried { seq, event, fan_out } if carried.stands(self.walker, seq, at)? => {
                let make = |endpoint| Candidate::new(DeliveryId { seq, endpoint }, &event, event.received_at);
                fan_out.into_iter().map(make).collect()
            }
            _ => Vec::new(),
        };
        found.sort_by_key(|c: &Candidate| (std::cmp::Reverse(c.id.seq), c.id.endpoint));
        let admin = &self.walker.admin;
        found.retain(|c| {
            self.select.source.as_ref().is_none_or(|s| *s == c.source)
                && self.select.kind.as_ref().is_none_or(|g| super::select::glob(g, &c.kind))
                && self.select.event.is_none_or(|e| e == c.event)
                && self.select.passes_time(c.made_at)
                && (self.select.endpoint.is_none() || self.select.passes_endpoint(&endpoint_name(admin, c.id.endpoint)))
        });
        Ok(found)
    }

    /// Classifies what was found, completes it and sends it.
    fn flush(&mut self) -> Result<(), Problem> {
        let candidates = std::mem::take(&mut self.waiting);
        let ids: Vec<DeliveryId> = candidates.iter().map(|c| c.id).collect();
        let views = self.walker.delivery_views(&ids)?;
        let views: HashMap<DeliveryId, DeliveryView> = views.into_iter().map(|v| (v.delivery, v)).collect();
        let wanted = |c: &Candidate| {
            let view = views.get(&c.id)?;
            (self.select.state.is_none_or(|s| s == view.state)).then(|| (view.clone(), view.state))
        };
        let mut rows: Vec<(Candidate, DeliveryView)> =
            candidates.into_iter().filter_map(|c| wanted(&c).map(|(view, _)| (c, view))).collect();
        rows.truncate(self.left);
        self.left -= rows.len();
        let ended: HashMap<DeliveryId, DeliveryState> =
            rows.iter().filter(|(_, v)| has_ended(v.state)).map(|(c, v)| (c.id, v.state)).collect();
        let attempts = count_attempts(self.walker, &ended)?;
        for (candidate, view) in rows {
            let counted = attempts.get(&candidate.id).copied();
            self.walker.send(&row(&self.walker.admin, &candidate, &view, counted))?;
        }
        Ok(())
    }
}

fn has_ended(state: DeliveryState) -> bool {
    matches!(state, DeliveryState::Delivered | DeliveryState::Dead | DeliveryState::Cancelled)
}

fn row(admin: &Admin, candidate: &Candidate, view: &DeliveryView, counted: Option<u32>) -> Value {
    let due_at = match (view.state, view.retry) {
        (DeliveryState::Pending | DeliveryState::Held, Some(retry)) => Some(retry.due_at),
        // Never attempted: due since it was made.
        (DeliveryState::Pending | DeliveryState::Held, None) => Some(candidate.made_at),
        _ => None,
    };
    json!({
        "id": candidate.id.to_string(),
        "event": candidate.event.to_string(),
        "endpoint": endpoint_name(admin, candidate.id.endpoint),
        "state": state_name(view.state),
        "attempts": counted.or(view.retry.map(|r| r.attempts)).unwrap_or(0),
        "due_at": due_at.map(rfc3339),
        "source": candidate.source,
        "type": candidate.kind,
        "created_at": rfc3339(candidate.made_at),
    })
}

/// Whether a record ended this delivery for good, given how it ended.
fn ends(walker: &Walker, at: Seq, record: &Record, id: DeliveryId, state: DeliveryState) -> Result<bool, Problem> {
    // It may have died before, been revived, and died again: only the last death has a grave.
    if state == DeliveryState::Dead {
        let died_here = record.dead_letter(at).is_some_and(|dead| dead.delivery == id);
        return Ok(died_here && walker.is_grave(at)?);
    }
    Ok(match (record, state) {
        (Record::DeliveryCancelled { delivery, .. }, DeliveryState::Cancelled) => *delivery == id,
        (Record::EndpointDeleted { endpoint, .. }, DeliveryState::Cancelled) => *endpoint == id.endpoint,
        (Record::Superseded { endpoint, deliveries, .. }, DeliveryState::Cancelled) => {
            *endpoint == id.endpoint && deliveries.contains(&id.seq)
        }
        (record, _) => record.attempts().any(|attempt| {
            attempt.delivery == id
                && match attempt.next {
                    Next::Delivered => state == DeliveryState::Delivered,
                    Next::Ended => state == DeliveryState::Cancelled,
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
        Record::Superseded { endpoint, deliveries, .. } => {
            (deliveries.iter().map(|seq| DeliveryId { seq: *seq, endpoint: *endpoint }).collect(), None)
        }
        record => {
            let dead = record.dead_letter(at).map(|dead| dead.delivery);
            (record.attempts().map(|attempt| attempt.delivery).chain(dead).collect(), None)
        }
    }
}

/// How often deliveries that have ended were attempted: one pass forward, from the oldest of them until the last
/// has its end.
fn count_attempts(
    walker: &Walker,
    ended: &HashMap<DeliveryId, DeliveryState>,
) -> Result<HashMap<DeliveryId, u32>, Problem> {
    let mut counted = HashMap::new();
    let mut open = ended.clone();
    let Some(from) = open.keys().map(|id| id.seq).min() else { return Ok(counted) };
    for entry in walker.log().forward(from.max(walker.log().first())) {
        if open.is_empty() {
            break;
        }
        walker.still_wanted()?;
        let Some((at, record)) = walker.entry(entry) else { continue };
        let (some, all_of) = about(at, &record);
        for attempt in record.attempts().filter(|attempt| open.contains_key(&attempt.delivery)) {
            counted.insert(attempt.delivery, attempt.number);
        }
        if let Some(dead) = record.dead_letter(at).filter(|dead| open.contains_key(&dead.delivery)) {
            counted.insert(dead.delivery, dead.attempts);
        }
        if let Some(endpoint) = all_of {
            open.retain(|id, state| id.endpoint != endpoint || *state != DeliveryState::Cancelled);
        }
        for id in some {
            if let Some(state) = open.get(&id).copied()
                && ends(walker, at, &record, id, state)?
            {
                open.remove(&id);
            }
        }
    }
    Ok(counted)
}

pub(super) async fn show(admin: &Arc<Admin>, mut call: Call) -> Result<Answer, Problem> {
    call.params.done()?;
    let id: DeliveryId = call.arg.parse().map_err(|e| Problem::bad(format!("{e}")))?;
    walk::value(admin, move |walker| show_one(walker, id).map(Answer::ok)).await
}

pub(super) fn show_one(walker: &Walker, id: DeliveryId) -> Result<Value, Problem> {
    let candidate = find(walker, id)?.ok_or_else(|| Problem::missing("delivery", &id.to_string()))?;
    let view = walker.delivery_views(&[id])?.pop().ok_or_else(Problem::gone)?;
    let mut history = Vec::new();
    let mut orders = Vec::new();
    for entry in walker.log().forward(id.seq.max(walker.log().first())) {
        walker.still_wanted()?;
        let Some((at, record)) = walker.entry(entry) else { continue };
        history
            .extend(record.attempts().filter(|attempt| attempt.delivery == id).map(|attempt| attempt_view(&attempt)));
        match &record {
            Record::DeliveryCancelled { delivery, at, .. } if *delivery == id => {
                orders.push(json!({"what": "cancelled", "at": rfc3339(*at)}));
            }
            Record::DeliveryRetried { delivery, at, .. } if *delivery == id => {
                orders.push(json!({"what": "retried", "at": rfc3339(*at)}));
            }
            Record::Superseded { endpoint, deliveries, at, .. }
                if *endpoint == id.endpoint && deliveries.contains(&id.seq) =>
            {
                orders.push(json!({"what": "superseded by a later event of its key", "at": rfc3339(*at)}));
            }
            _ => {}
        }
        let all_there = view.retry.is_some_and(|r| r.last <= at) && !has_ended(view.state);
        if all_there || ends(walker, at, &record, id, view.state)? {
            break;
        }
    }
    let counted = history.last().and_then(|a| a["number"].as_u64()).and_then(|n| u32::try_from(n).ok());
    let mut shown = row(&walker.admin, &candidate, &view, counted.filter(|_| has_ended(view.state)).or(counted));
    if view.state == DeliveryState::Dead
        && let Some(dead) = super::dlq::find(walker, &[id])?.pop()
    {
        shown["reason"] = json!(dead.reason);
        shown["died_at"] = json!(rfc3339(dead.died_at));
    }
    shown["history"] = Value::Array(history);
    shown["operator"] = Value::Array(orders);
    Ok(shown)
}

/// The event of a delivery; `None` when there is no such delivery.
pub(super) fn event_of(walker: &Walker, id: DeliveryId) -> Result<Option<EventId>, Problem> {
    Ok(find(walker, id)?.map(|candidate| candidate.event))
}

/// The delivery's own record, or where its event was carried to.
fn find(walker: &Walker, id: DeliveryId) -> Result<Option<Candidate>, Problem> {
    match walker.log().read(id.seq)? {
        Some(Record::EventAccepted { event, fan_out, .. }) if fan_out.contains(&id.endpoint) => {
            Ok(Some(Candidate::new(id, &event, event.received_at)))
        }
        Some(Record::Replayed { event, endpoint, at }) if endpoint == id.endpoint => {
            Ok(read_event(walker, event)?.map(|(event, _)| Candidate::new(id, &event, at)))
        }
        Some(_) => Ok(None),
        None => {
            // Its record was dropped: the state still knows its event while it waits.
            let retry = walker.delivery_views(&[id])?.pop().and_then(|v| v.retry);
            let event = read_event(walker, retry.map_or(id.seq, |r| r.event))?;
            Ok(event.map(|(event, _)| Candidate::new(id, &event, event.received_at)))
        }
    }
}

fn attempt_view(attempt: &Attempted<'_>) -> Value {
    let report = attempt.report;
    let (next, next_at, reason) = match attempt.next {
        Next::Parked { reason } => ("parked", None, Some(reason.clone())),
        Next::Delivered => ("delivered", None, None),
        Next::Retry { due_at, .. } => ("retry", Some(rfc3339(*due_at)), None),
        Next::Dead { reason } => ("dead", None, Some(reason.clone())),
        Next::Held { .. } => ("held", None, None),
        Next::Ended => ("ended", None, None),
    };
    let response = report.response.as_ref().map(
        |r| json!({"status": r.status, "headers": headers_view(&r.headers), "body_base64": STANDARD.encode(&r.body)}),
    );
    json!({
        "number": attempt.number,
        "started_at": rfc3339(report.started_at),
        "duration_ms": report.duration_ms,
        "outcome": outcome_name(&attempt.outcome()),
        "status": report.response.as_ref().map(|r| r.status),
        "error": attempt.error(),
        "next_at": next_at,
        "next": next,
        "reason": reason,
        "counted": !attempt.spared,
        "batch": attempt.batch.map(|batch| batch.to_string()),
        "connect_ms": report.connect_ms,
        "request": {
            "method": report.request.method,
            "url": report.request.url,
            "headers": headers_view(&report.request.headers),
        },
        "response": response,
        "exit": report.command.as_ref().map(|c| c.exit),
        "output": report.command.as_ref().map(|c| String::from_utf8_lossy(&c.output)),
    })
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

/// `{"ids": […]}` of a body.
pub(super) fn ids(fields: &mut Fields) -> Result<Option<Vec<DeliveryId>>, Problem> {
    let Some(list) = fields.get("ids", texts)? else { return Ok(None) };
    let ids: Result<Vec<DeliveryId>, _> = list.iter().map(|t| t.parse()).collect();
    let mut ids = ids.map_err(|e: crate::model::IdError| Problem::bad(format!("'ids': {e}")))?;
    ids.sort_unstable();
    ids.dedup();
    if ids.is_empty() { Err(Problem::bad("'ids' is empty: name at least one delivery")) } else { Ok(Some(ids)) }
}

pub(super) async fn retry(admin: &Arc<Admin>, call: Call) -> Result<Answer, Problem> {
    let ids = given_ids(&call)?;
    walk::value(admin, move |walker| {
        let revives = ids.iter().map(|id| revive(walker, *id)).collect::<Result<Vec<_>, _>>()?;
        let queued = in_slices(walker, revives, |deliveries| Command::Retry { deliveries })?;
        Ok(Answer::ok(json!({"matched": ids.len(), "queued": queued, "dry_run": false})))
    })
    .await
}

pub(super) async fn cancel(admin: &Arc<Admin>, call: Call) -> Result<Answer, Problem> {
    let ids = given_ids(&call)?;
    walk::value(admin, move |walker| {
        for id in &ids {
            find(walker, *id)?.ok_or_else(|| Problem::missing("delivery", &id.to_string()))?;
        }
        let matched = ids.len();
        let cancelled = in_slices(walker, ids, |deliveries| Command::Cancel { deliveries })?;
        Ok(Answer::ok(json!({"matched": matched, "cancelled": cancelled})))
    })
    .await
}

fn given_ids(call: &Call) -> Result<Vec<DeliveryId>, Problem> {
    let mut fields = Fields::new(call.object()?);
    let ids = ids(&mut fields)?;
    fields.done()?;
    ids.ok_or_else(|| Problem::bad("'ids' is missing: name the deliveries"))
}

/// Hands a mass operation to the queue in slices of `limits::SLICE`; gives how many were changed.
pub(super) fn in_slices<T: Clone>(
    walker: &Walker,
    all: Vec<T>,
    command: impl Fn(Vec<T>) -> Command,
) -> Result<usize, Problem> {
    let mut changed = 0;
    for slice in all.chunks(limits::SLICE) {
        match walker.command(&command(slice.to_vec()))? {
            Reply::Done { count } => changed += count,
            other => return Err(unexpected(&other)),
        }
        walker.still_wanted()?;
    }
    Ok(changed)
}

/// What the queue has to be told of a delivery that is to be attempted again.
fn revive(walker: &Walker, id: DeliveryId) -> Result<Revive, Problem> {
    let candidate = find(walker, id)?.ok_or_else(|| Problem::missing("delivery", &id.to_string()))?;
    let view = walker.delivery_views(&[id])?.pop().ok_or_else(Problem::gone)?;
    let base = Revive { delivery: id, event: candidate.event.seq, attempts: 0, last: 0, grave: None };
    match (view.state, view.retry) {
        (DeliveryState::Delivered, _) => Err(Problem::new(
            hyper::StatusCode::CONFLICT,
            format!("{id} was delivered: use `hookboxctl replay --event {}` to send it once more", candidate.event),
        )),
        (DeliveryState::Dead, _) => super::dlq::find(walker, &[id])?.pop().map(|d| d.revive).ok_or_else(Problem::gone),
        (DeliveryState::Cancelled, _) => {
            let last = last_attempt(walker, id)?;
            Ok(last.map_or(base, |(last, attempts)| Revive { attempts, last, ..base }))
        }
        (_, Some(retry)) => Ok(Revive { event: retry.event, attempts: retry.attempts, last: retry.last, ..base }),
        (_, None) => Ok(base),
    }
}

/// The record and number of the last attempt of a cancelled delivery.
fn last_attempt(walker: &Walker, id: DeliveryId) -> Result<Option<(Seq, u32)>, Problem> {
    let mut last = None;
    for entry in walker.log().forward(id.seq.max(walker.log().first())) {
        walker.still_wanted()?;
        let Some((at, record)) = walker.entry(entry) else { continue };
        if let Some(attempt) = record.attempts().find(|attempt| attempt.delivery == id) {
            last = Some((at, attempt.number));
        }
        if ends(walker, at, &record, id, DeliveryState::Cancelled)? {
            break;
        }
    }
    Ok(last)
}
