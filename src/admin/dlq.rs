//! Dead letters: list and show them, attempt them again, discard them. By their graves, newest first.

use std::collections::HashSet;
use std::sync::Arc;

use serde_json::{Value, json};

use super::Admin;
use super::deliveries::{ids, show_one};
use super::events::{endpoint_name, read as read_event};
use super::fields::{Fields, boolean};
use super::http::{Answer, Call, Problem};
use super::select::{Select, limit};
use super::walk::{self, Walker, unexpected};
use crate::model::time::rfc3339;
use crate::model::{DeliveryId, DeliveryState, EventId, Seq, WallMs, limits};
use crate::queue::{Command, Reply, Revive};
use crate::record::DeadLetter;

/// A dead letter as its grave tells it.
pub(super) struct Dead {
    pub(super) revive: Revive,
    grave: Seq,
    pub(super) died_at: WallMs,
    pub(super) reason: String,
}

pub(super) fn list(admin: &Arc<Admin>, mut call: Call) -> Result<Answer, Problem> {
    let select = Select::of_deliveries(&mut call.params, admin.wall_ms())?;
    let limit = limit(call.params.take("limit"))?;
    let after = call.params.take("after").map(|t| t.parse::<DeliveryId>()).transpose();
    let after = after.map_err(|e| Problem::bad(format!("'after': {e}")))?;
    call.params.done()?;
    if select.state.is_some_and(|s| s != DeliveryState::Dead) {
        return Err(Problem::bad("'state': dead letters are dead: use `hookboxctl delivery list` for others"));
    }
    Ok(stream(admin, select, limit, after))
}

/// Sends dead letters that pass, newest first.
pub(super) fn stream(admin: &Arc<Admin>, select: Select, limit: usize, after: Option<DeliveryId>) -> Answer {
    walk::stream(admin, move |walker| {
        let select = select.here(walker)?;
        let before = match after {
            None => Seq::MAX,
            Some(id) => find(walker, &[id])?
                .first()
                .map(|dead| dead.grave)
                .ok_or_else(|| Problem::bad(format!("'after': {id} is no dead letter any more: start anew")))?,
        };
        let mut left = limit;
        each(walker, before, &mut |dead| {
            let Some(row) = row(walker, &dead, &select)? else { return Ok(true) };
            walker.send(&row)?;
            left -= 1;
            Ok(left > 0)
        })
    })
}

pub(super) async fn show(admin: &Arc<Admin>, mut call: Call) -> Result<Answer, Problem> {
    call.params.done()?;
    let id: DeliveryId = call.arg.parse().map_err(|e| Problem::bad(format!("{e}")))?;
    walk::value(admin, move |walker| {
        let dead = find(walker, &[id])?.pop().ok_or_else(|| Problem::missing("dead letter", &id.to_string()));
        let dead =
            dead.map_err(|p| Problem { detail: format!("{id} is no dead letter: see `hookboxctl dlq list`"), ..p })?;
        let mut shown = show_one(walker, id)?;
        shown["attempts"] = json!(dead.revive.attempts);
        Ok(Answer::ok(shown))
    })
    .await
}

pub(super) async fn retry(admin: &Arc<Admin>, call: Call) -> Result<Answer, Problem> {
    mass(admin, &call, "queued", |deliveries| Command::Retry { deliveries }).await
}

pub(super) async fn discard(admin: &Arc<Admin>, call: Call) -> Result<Answer, Problem> {
    mass(admin, &call, "discarded", |deliveries| Command::Discard { deliveries }).await
}

/// Does one thing to dead letters named by id, or to all that pass a filter, slice by slice.
async fn mass(
    admin: &Arc<Admin>,
    call: &Call,
    done: &'static str,
    command: fn(Vec<Revive>) -> Command,
) -> Result<Answer, Problem> {
    let mut fields = Fields::new(call.object()?);
    let named = ids(&mut fields)?;
    let select = Select::of_body(&mut fields, admin.wall_ms())?;
    let all = fields.get("all", boolean)?.unwrap_or(false);
    let dry_run = fields.get("dry_run", boolean)?.unwrap_or(false);
    fields.done()?;
    match &named {
        Some(_) if all || !select.is_empty() => {
            return Err(Problem::bad("give ids, or a filter, or all: not several of them"));
        }
        None if !all && select.is_empty() => {
            return Err(Problem::bad(
                "which dead letters? Give ids, a filter (endpoint, source, type, since, until), or all",
            ));
        }
        _ => {}
    }
    walk::value(admin, move |walker| {
        let select = select.here(walker)?;
        let mut sweep = Sweep { walker, command, dry_run, slice: Vec::new(), matched: 0, changed: 0 };
        match named {
            Some(ids) => sweep.named(&ids)?,
            None => each(walker, Seq::MAX, &mut |dead| {
                if row(walker, &dead, &select)?.is_some() {
                    sweep.add(dead.revive)?;
                }
                Ok(true)
            })?,
        }
        sweep.flush()?;
        let mut answer = json!({"matched": sweep.matched, "dry_run": dry_run});
        answer[done] = json!(sweep.changed);
        Ok(Answer::ok(answer))
    })
    .await
}

/// A mass operation under way.
struct Sweep<'a> {
    walker: &'a Walker,
    command: fn(Vec<Revive>) -> Command,
    dry_run: bool,
    slice: Vec<Revive>,
    matched: usize,
    changed: usize,
}

impl Sweep<'_> {
    fn named(&mut self, ids: &[DeliveryId]) -> Result<(), Problem> {
        let found = find(self.walker, ids)?;
        let there: HashSet<DeliveryId> = found.iter().map(|d| d.revive.delivery).collect();
        if let Some(id) = ids.iter().find(|id| !there.contains(id)) {
            let detail = format!("{id} is no dead letter: see `hookboxctl dlq list`; nothing was done");
            return Err(Problem::new(hyper::StatusCode::NOT_FOUND, detail));
        }
        found.into_iter().try_for_each(|dead| self.add(dead.revive))
    }

    fn add(&mut self, revive: Revive) -> Result<(), Problem> {
        self.matched += 1;
        self.slice.push(revive);
        if self.slice.len() == limits::SLICE { self.flush() } else { Ok(()) }
    }

    fn flush(&mut self) -> Result<(), Problem> {
        let slice = std::mem::take(&mut self.slice);
        if self.dry_run || slice.is_empty() {
            return Ok(());
        }
        match self.walker.command(&(self.command)(slice))? {
            Reply::Done { count } => self.changed += count,
            other => return Err(unexpected(&other)),
        }
        Ok(())
    }
}

/// Visits the graves before `before`, newest first, until `visit` says that it is enough.
fn each(walker: &Walker, mut before: Seq, visit: &mut dyn FnMut(Dead) -> Result<bool, Problem>) -> Result<(), Problem> {
    loop {
        let graves = walker.graves(before, limits::SLICE)?;
        let Some(last) = graves.last().copied() else { return Ok(()) };
        for grave in graves {
            walker.still_wanted()?;
            let Some(dead) = dead_at(walker, grave)? else { continue };
            if !visit(dead)? {
                return Ok(());
            }
        }
        before = last;
    }
}

/// The dead letters of these ids, as far as they are any.
pub(super) fn find(walker: &Walker, ids: &[DeliveryId]) -> Result<Vec<Dead>, Problem> {
    let mut left: HashSet<DeliveryId> = ids.iter().copied().collect();
    // The state knows at once which of them are dead: the walk below only looks for those.
    for view in walker.delivery_views(ids)? {
        if view.state != DeliveryState::Dead {
            left.remove(&view.delivery);
        }
    }
    let mut found = Vec::new();
    if left.is_empty() {
        return Ok(found);
    }
    each(walker, Seq::MAX, &mut |dead| {
        if left.remove(&dead.revive.delivery) {
            found.push(dead);
        }
        Ok(!left.is_empty())
    })?;
    Ok(found)
}

/// Reads a grave.
fn dead_at(walker: &Walker, grave: Seq) -> Result<Option<Dead>, Problem> {
    let dead = walker.log().read(grave)?.and_then(|record| record.dead_letter(grave));
    Ok(dead.map(|dead| {
        let DeadLetter { delivery, event, attempts, died_at, reason, last } = dead;
        Dead { revive: Revive { delivery, event, attempts, last, grave: Some(grave) }, grave, died_at, reason }
    }))
}

/// The row of a dead letter, when it passes. Its times are those of its death.
fn row(walker: &Walker, dead: &Dead, select: &Select) -> Result<Option<Value>, Problem> {
    let endpoint = endpoint_name(&walker.admin, dead.revive.delivery.endpoint);
    if !select.passes_endpoint(&endpoint) || !select.passes_time(dead.died_at) {
        return Ok(None);
    }
    let event = read_event(walker, dead.revive.event)?.map(|(event, _)| event);
    let about_event = select.source.is_some() || select.kind.is_some() || select.event.is_some();
    if about_event && !event.as_ref().is_some_and(|e| select.passes_event(e)) {
        return Ok(None);
    }
    // An event that was dropped has lost its random part; its place in the log still says which it was.
    let id = event.as_ref().map_or(EventId { seq: dead.revive.event, tag: 0 }, |e| e.id);
    Ok(Some(json!({
        "id": dead.revive.delivery.to_string(),
        "event": id.to_string(),
        "endpoint": endpoint,
        "state": "dead",
        "attempts": dead.revive.attempts,
        "due_at": null,
        "source": event.as_ref().map(|e| e.source_name.clone()),
        "type": event.as_ref().map(|e| e.kind.clone()),
        "died_at": rfc3339(dead.died_at),
        "reason": dead.reason,
    })))
}
