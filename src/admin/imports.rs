//! Import: events that another log accepted, or a lost part of this one, as lines of JSON (see
//! `record::line`).

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use hyper::StatusCode;

use super::Admin;
use super::events;
use super::http::{ApiRequest, ApiResponse, Problem};
use super::walk::{self, LogScan};
use crate::api::views::ImportView;
use crate::model::time::parse_wall;
use crate::model::{EndpointId, EventId, WallMs, limits};
use crate::queue::{ImportEvents, ImportedDead, ImportedEvent, ImportedQuery, Refusal};
use crate::record::Record;
use crate::record::line::{DeliveryLine, EventLine};

/// What the fingerprints of ids are made with, where those of dedupe keys have their source's
/// number; sources are numbered from 1.
const NO_SOURCE: u32 = 0;
/// Why a dead letter died, when an export does not say.
const NO_REASON: &str = "it was a dead letter where it was imported from";

/// Takes in the lines of the body that were not taken in before. With `history_only` nothing of
/// them is delivered.
pub(super) async fn import(
    admin: &Arc<Admin>,
    mut request: ApiRequest,
) -> Result<ApiResponse, Problem> {
    let history_only = request.params.flag("history_only")?;
    let first_line = match request.params.take("first_line") {
        None => 1,
        Some(text) => text
            .parse()
            .map_err(|_| Problem::bad(format!("'first_line' is a number, not '{text}'")))?,
    };
    request.params.done()?;
    let health = admin.handle.health();
    if !health.accepting.load(Ordering::Acquire) {
        return Err(Refusal::NoRoom(health.reason()).into());
    }
    let mut events = Vec::new();
    for (line, number) in request.body.split(|byte| *byte == b'\n').zip(first_line..u64::MAX) {
        if !line.iter().all(u8::is_ascii_whitespace) {
            let at_line = |what| Problem::bad(format!("line {number}: {what}"));
            let (event, absent) = imported(admin, line, history_only).map_err(at_line)?;
            events.push((event, absent.map(at_line)));
        }
    }
    if events.len() > limits::SLICE {
        let detail = format!("at most {} events at a time", limits::SLICE);
        return Err(Problem::new(StatusCode::PAYLOAD_TOO_LARGE, detail));
    }
    walk::value(admin, move |scan| {
        let all = events.len();
        let mut fresh = Vec::new();
        for (event, absent) in events {
            if is_here(scan, &event)? {
                continue;
            }
            match absent {
                Some(problem) if place(scan, event.event.webhook_id())?.is_none() => {
                    return Err(problem);
                }
                // It was imported before: the queue leaves it out.
                _ => fresh.push(event),
            }
        }
        let imported = scan.ask(&ImportEvents { events: fresh })?;
        Ok(ApiResponse::ok(ImportView { imported, skipped: all - imported }))
    })
    .await
}

/// Reads a line. Says as well which endpoint of it is not here, which matters only if the event is
/// not here either.
fn imported(
    admin: &Admin,
    line: &[u8],
    history_only: bool,
) -> Result<(ImportedEvent, Option<String>), String> {
    let line: EventLine = serde_json::from_slice(line).map_err(|error| {
        // The number of the line stands before it.
        let words = error.to_string();
        let words = words.rsplit_once(" at line ").map_or(&*words, |(words, _)| words);
        format!("this is no exported event: {words}, at column {}", error.column())
    })?;
    let mut event = line.event()?;
    let long = [(event.kind.len(), limits::TYPE_LEN), (event.source_name.len(), limits::NAME_LEN)];
    let key = (event.dedupe_key.as_ref().map_or(0, String::len), limits::DEDUPE_KEY_LEN);
    let headers = event.headers.iter().map(|h| h.name.len() + h.value.len()).sum::<usize>();
    let too_large =
        (event.body.len() as u64) > limits::MAX_BODY || headers > limits::HEAD_BYTES * 2;
    if too_large || long.iter().chain([&key]).any(|(len, most)| len > most) {
        return Err("the event is larger than any that is accepted here".to_owned());
    }
    let directory = admin.handle.directory();
    if let Some(source) = directory.sources_by_name.get(&event.source_name) {
        event.source = source.id;
    }
    let (mut deliver_to, mut dead, mut absent) = (Vec::new(), Vec::new(), None);
    for delivery in line.deliveries.iter().filter(|_| !history_only) {
        let what = match delivery.state.as_str() {
            _ if delivery.waits() => "still has to be delivered to",
            _ if delivery.is_dead() => "is a dead letter of",
            "delivered" | "cancelled" | "unknown" => continue,
            other => return Err(format!("'{other}' is no state of a delivery")),
        };
        let name = &delivery.endpoint;
        let Some(endpoint) = directory.endpoints.iter().find(|endpoint| endpoint.name == *name)
        else {
            absent = Some(format!(
                "it {what} endpoint '{name}', which is not here: create it, or import with \
                 --history-only"
            ));
            continue;
        };
        if delivery.is_dead() {
            dead.push(dead_letter(delivery, endpoint.id, admin.wall_ms())?);
        } else {
            deliver_to.push(endpoint.id);
        }
    }
    let named: Vec<EndpointId> =
        dead.iter().map(|dead| dead.endpoint).chain(deliver_to.iter().copied()).collect();
    if named.iter().collect::<HashSet<_>>().len() < named.len() {
        return Err("it names an endpoint twice".to_owned());
    }
    let key = event.dedupe_key.as_ref().filter(|_| event.source != NO_SOURCE);
    let imported = ImportedEvent {
        dedupe: key.map(|key| events::fingerprint(directory.salt, event.source, key)),
        identity: identity(admin, event.webhook_id()),
        event,
        deliver_to,
        dead,
    };
    Ok((imported, absent))
}

/// A dead letter as it was; what an export does not say of it (a CloudEvent has no place for it) is
/// made up for.
fn dead_letter(
    delivery: &DeliveryLine,
    endpoint: EndpointId,
    now: WallMs,
) -> Result<ImportedDead, String> {
    let letter = delivery.dead_letter.clone().unwrap_or_default();
    let died_at = match &letter.died_at {
        Some(at) => parse_wall(at).ok_or_else(|| format!("'died_at': '{at}' is no time"))?,
        None => now,
    };
    let mut reason = if letter.reason.is_empty() { NO_REASON.to_owned() } else { letter.reason };
    reason.truncate(reason.floor_char_boundary(limits::REASON_LEN));
    Ok(ImportedDead { endpoint, attempts: letter.attempts, died_at, reason })
}

/// The fingerprint of an event's first id.
pub(super) fn identity(admin: &Admin, id: EventId) -> u64 {
    events::fingerprint(admin.handle.directory().salt, NO_SOURCE, &id.to_string())
}

/// Whether this very log holds the event under its first id. One that it has lost may come in
/// again.
fn is_here(scan: &LogScan, imported: &ImportedEvent) -> Result<bool, Problem> {
    let id = imported.event.webhook_id();
    if id.seq == 0 || id.seq > scan.log().durable() {
        return Ok(false);
    }
    let place = scan.event_views(&[id.seq])?.first().map_or(id.seq, |view| view.stands_at);
    // What cannot be read is lost: that is what is being brought back.
    Ok(matches!(
        scan.log().read(place),
        Ok(Some(Record::EventAccepted { event, .. } | Record::EventRelocated { event, .. })) if event.id == id
    ))
}

/// Where the event stands that was imported under this id, if one was.
pub(super) fn place(scan: &LogScan, id: EventId) -> Result<Option<EventId>, Problem> {
    let seq = scan.ask(&ImportedQuery(identity(&scan.admin, id)))?;
    let Some(seq) = seq else { return Ok(None) };
    Ok(events::read(scan, seq)?.map(|(event, _)| event.id))
}
