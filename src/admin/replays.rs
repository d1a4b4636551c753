//! Replays: count what would be delivered anew, register it with the queue, list what is under way.

use std::sync::Arc;

use serde_json::{Value, json};

use super::Admin;
use super::events::{Carried, read as read_event};
use super::fields::{Fields, boolean, rate, text};
use super::http::{Answer, Call, Problem};
use super::select::Select;
use super::walk::{self, Walker, unexpected};
use crate::model::time::rfc3339;
use crate::model::{Event, Seq};
use crate::queue::{Command, Query, Reply};
use crate::record::{Record, Replay, ReplayFilter};

pub(super) async fn list(admin: &Admin, mut call: Call) -> Result<Answer, Problem> {
    call.params.done()?;
    let replays = match admin.handle.ask(Query::Replays).await? {
        Reply::Replays(replays) => replays,
        other => return Err(unexpected(&other)),
    };
    let text: String = replays.iter().rev().map(|r| format!("{}\n", view(r))).collect();
    Ok(Answer::Text("application/x-ndjson", text))
}

pub(super) async fn start(admin: &Arc<Admin>, call: Call) -> Result<Answer, Problem> {
    let mut fields = Fields::new(call.object()?);
    let to = fields.get("to", text)?;
    let per_second = fields.get("rate", per_second)?;
    let dry_run = fields.get("dry_run", boolean)?.unwrap_or(false);
    let all = fields.get("all", boolean)?.unwrap_or(false);
    let select = Select::of_body(&mut fields, admin.wall_ms())?;
    fields.done()?;
    if select.endpoint.is_some() {
        return Err(Problem::bad("a replay goes 'to' an endpoint: give 'to', not 'endpoint'"));
    }
    if select.is_empty() && !all {
        return Err(Problem::bad(
            "which events? Give event, source, type, since or until, or all for every one there is",
        ));
    }
    let directory = admin.handle.directory();
    if let Some(name) = to.as_ref().filter(|name| !directory.endpoints.iter().any(|e| e.name == **name)) {
        return Err(Problem::missing("endpoint", name));
    }
    walk::value(admin, move |walker| {
        let select = select.here(walker)?;
        let found = count(walker, &select, to.is_some())?;
        if let (Some(id), 0) = (select.event, found.events) {
            return Err(Problem::missing("event", &id.to_string()));
        }
        let mut answer = json!({"matched": found.events, "queued": 0, "dry_run": dry_run});
        if dry_run || found.deliveries == 0 {
            answer["would_queue"] = json!(found.deliveries);
            return Ok(Answer::ok(answer));
        }
        let filter = ReplayFilter {
            since: select.since,
            until: select.until,
            source: select.source.clone(),
            kind: select.kind.clone(),
            event: select.event,
            to: to.clone(),
        };
        let command = Command::StartReplay { filter, rate: per_second, next: found.first, end: found.last };
        match walker.command(&command)? {
            Reply::Replay(replay) => answer["replay"] = json!(replay.id),
            Reply::Done { .. } => {}
            other => return Err(unexpected(&other)),
        }
        answer["queued"] = json!(found.deliveries);
        Ok(Answer::Json(hyper::StatusCode::ACCEPTED, answer))
    })
    .await
}

/// What a replay would do, and between which records its events stand.
#[derive(Default)]
struct Found {
    events: u64,
    deliveries: u64,
    first: Seq,
    last: Seq,
}

impl Found {
    fn add(&mut self, at: Seq, deliveries: usize) {
        self.first = if self.events == 0 { at } else { self.first.min(at) };
        self.last = self.last.max(at);
        self.events += 1;
        self.deliveries += deliveries as u64;
    }
}

fn count(walker: &Walker, select: &Select, to_one: bool) -> Result<Found, Problem> {
    let mut found = Found::default();
    let there: std::collections::HashSet<u32> =
        walker.admin.handle.directory().endpoints.iter().map(|e| e.id).collect();
    let passes = |event: &Event| select.passes_event(event) && select.passes_time(event.received_at);
    if let Some(id) = select.event {
        if let Some((event, deliveries)) = read_event(walker, id.seq)?.filter(|(event, _)| passes(event)) {
            let went = deliveries.iter().filter(|d| there.contains(&d.endpoint)).count();
            debug_assert_eq!(event.id, id);
            found.add(super::events::place(walker, id.seq)?, if to_one { 1 } else { went });
        }
        return Ok(found);
    }
    let end = walker.log().durable();
    let mut carried = Carried::default();
    for entry in walker.log().forward(walker.log().first()) {
        walker.still_wanted()?;
        let Some((at, record)) = walker.entry(entry) else { continue };
        if at > end {
            break;
        }
        let (event, went) = match record {
            Record::EventAccepted { event, fan_out, .. } => {
                let went = fan_out.iter().filter(|e| there.contains(e)).count();
                (event, went)
            }
            Record::EventCarried { seq, event, fan_out } if carried.stands(walker, seq, at)? => {
                let went = fan_out.iter().filter(|e| there.contains(e)).count();
                (event, went)
            }
            _ => continue,
        };
        if passes(&event) {
            found.add(at, if to_one { 1 } else { went });
        }
    }
    Ok(found)
}

/// The queue paces replays by the second.
fn per_second(value: &Value) -> Result<u32, String> {
    let rate = rate(value)?;
    let per_second = u64::from(rate.count) * 1000 / rate.per_ms;
    u32::try_from(per_second).ok().filter(|n| *n > 0).ok_or_else(|| "is at least \"1/s\"".into())
}

fn view(replay: &Replay) -> Value {
    let filter = &replay.filter;
    json!({
        "id": replay.id,
        "since": filter.since.map(rfc3339),
        "until": filter.until.map(rfc3339),
        "source": filter.source,
        "type": filter.kind,
        "event": filter.event.map(|id| id.to_string()),
        "to": filter.to,
        "next": replay.next,
        "end": replay.end,
        "rate": replay.rate.map(|r| format!("{r}/s")),
        "started_at": rfc3339(replay.started_at),
    })
}
