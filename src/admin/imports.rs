//! Import: events that another log accepted, or a lost part of this one, as lines of JSON (see `record::line`).

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use hyper::StatusCode;
use serde_json::json;

use super::Admin;
use super::events;
use super::http::{Answer, Call, Problem};
use super::walk::{self, Walker, unexpected};
use crate::model::time::parse_wall;
use crate::model::{EndpointId, EventId, WallMs, limits};
use crate::queue::{Command, ImportedDead, ImportedEvent, Query, Refusal, Reply};
use crate::record::Record;
use crate::record::line::{DeliveryLine, EventLine};

/// What the fingerprints of ids are made with, where those of dedupe keys have their source's number; sources are
/// numbered from 1.
const NO_SOURCE: u32 = 0;
/// Why a dead letter died, when an export does not say.
const UNTOLD: &str = "it was a dead letter where it was imported from";

/// Takes in the lines of the body that were not taken in before. With `history_only` nothing of them is delivered.
pub(super) async fn import(admin: &Arc<Admin>, mut call: Call) -> Result<Answer, Problem> {
    let history_only = call.params.flag("history_only")?;
    call.params.done()?;
    let health = admin.handle.health();
    if !health.accepting.load(Ordering::Acquire) {
        return Err(Refusal::NoRoom(health.reason()).into());
    }
    let mut events = Vec::new();
    for (line, number) in call.body.split(|byte| *byte == b'\n').zip(1..) {
        if !line.iter().all(u8::is_ascii_whitespace) {
            let read = imported(admin, line, history_only);
            events.push(read.map_err(|what| Problem::bad(format!("line {number}: {what}")))?);
        }
    }
    if events.len() > limits::SLICE {
        let detail = format!("at most {} events at a time", limits::SLICE);
        return Err(Problem::new(StatusCode::PAYLOAD_TOO_LARGE, detail));
    }
    walk::value(admin, move |walker| {
        let all = events.len();
        let mut fresh = Vec::new();
        for event in events {
            if !is_here(walker, &event)? {
                fresh.push(event);
            }
        }
        let imported = match walker.command(&Command::Import { events: fresh })? {
            Reply::Done { count } => count,
            other => return Err(unexpected(&other)),
        };
        Ok(Answer::ok(json!({"imported": imported, "skipped": all - imported})))
    })
    .await
}

fn imported(admin: &Admin, line: &[u8], history_only: bool) -> Result<ImportedEvent, String> {
    let line: EventLine = serde_json::from_slice(line).map_err(|e| format!("this is no exported event: {e}"))?;
    let mut event = line.event()?;
    let long = [(event.kind.len(), limits::TYPE_LEN), (event.source_name.len(), limits::NAME_LEN)];
    let key = (event.dedupe_key.as_ref().map_or(0, String::len), limits::DEDUPE_KEY_LEN);
    let headers = event.headers.iter().map(|h| h.name.len() + h.value.len()).sum::<usize>();
    let too_large = (event.body.len() as u64) > limits::MAX_BODY || headers > limits::HEAD_BYTES * 2;
    if too_large || long.iter().chain([&key]).any(|(len, most)| len > most) {
        return Err("the event is larger than any that is accepted here".to_owned());
    }
    let directory = admin.handle.directory();
    if let Some(source) = directory.sources_by_name.get(&event.source_name) {
        event.source = source.id;
    }
    let named = |what: &str, name: &str| -> Result<EndpointId, String> {
        let found = directory.endpoints.iter().find(|endpoint| endpoint.name == name);
        found.map(|endpoint| endpoint.id).ok_or_else(|| {
            format!("it {what} endpoint '{name}', which is not here: create it, or import with --history-only")
        })
    };
    let deliveries = || line.deliveries.iter().filter(|_| !history_only);
    let waiting = deliveries().filter(|delivery| delivery.waits());
    let deliver_to = waiting.map(|delivery| named("still has to be delivered to", &delivery.endpoint));
    let deliver_to = deliver_to.collect::<Result<Vec<_>, _>>()?;
    let dead = deliveries().filter(|delivery| delivery.is_dead()).map(|delivery| {
        let endpoint = named("is a dead letter of", &delivery.endpoint)?;
        dead_letter(delivery, endpoint, admin.wall_ms())
    });
    let dead = dead.collect::<Result<Vec<_>, _>>()?;
    let named: Vec<EndpointId> = dead.iter().map(|dead| dead.endpoint).chain(deliver_to.iter().copied()).collect();
    if named.iter().collect::<HashSet<_>>().len() < named.len() {
        return Err("it names an endpoint twice".to_owned());
    }
    let key = event.dedupe_key.as_ref().filter(|_| event.source != NO_SOURCE);
    Ok(ImportedEvent {
        dedupe: key.map(|key| events::fingerprint(directory.salt, event.source, key)),
        identity: identity(admin, event.webhook_id()),
        event,
        deliver_to,
        dead,
    })
}

/// A dead letter as it was; what an export does not say of it (a CloudEvent has no place for it) is made up for.
fn dead_letter(delivery: &DeliveryLine, endpoint: EndpointId, now: WallMs) -> Result<ImportedDead, String> {
    let told = delivery.dead_letter.clone().unwrap_or_default();
    let died_at = match &told.died_at {
        Some(at) => parse_wall(at).ok_or_else(|| format!("'died_at': '{at}' is no time"))?,
        None => now,
    };
    let mut reason = if told.reason.is_empty() { UNTOLD.to_owned() } else { told.reason };
    reason.truncate(reason.floor_char_boundary(limits::REASON_LEN));
    Ok(ImportedDead { endpoint, attempts: told.attempts, died_at, reason })
}

/// The fingerprint of an event's first id.
pub(super) fn identity(admin: &Admin, id: EventId) -> u64 {
    events::fingerprint(admin.handle.directory().salt, NO_SOURCE, &id.to_string())
}

/// Whether this very log holds the event under its first id. One that it has lost may come in again.
fn is_here(walker: &Walker, imported: &ImportedEvent) -> Result<bool, Problem> {
    let id = imported.event.webhook_id();
    if id.seq == 0 || id.seq > walker.log().durable() {
        return Ok(false);
    }
    let place = walker.event_views(&[id.seq])?.first().map_or(id.seq, |view| view.stands_at);
    // What cannot be read is lost: that is what is being brought back.
    Ok(matches!(
        walker.log().read(place),
        Ok(Some(Record::EventAccepted { event, .. } | Record::EventCarried { event, .. })) if event.id == id
    ))
}

/// Where the event stands that was imported under this id, if one was.
pub(super) fn place(walker: &Walker, id: EventId) -> Result<Option<EventId>, Problem> {
    let seq = match walker.ask(&Query::Imported(identity(&walker.admin, id)))? {
        Reply::Imported(seq) => seq,
        other => return Err(unexpected(&other)),
    };
    let Some(seq) = seq else { return Ok(None) };
    Ok(events::read(walker, seq)?.map(|(event, _)| event.id))
}
