//! Dead letters: list and show them, attempt them again, discard them. By their records: lists are
//! newest first, and what is done to many begins with the oldest.

use std::collections::HashSet;
use std::sync::Arc;

use super::Admin;
use super::deliveries::show_one;
use super::delivery_commands::distinct;
use super::events::{endpoint_name, find as find_event};
use super::filters::{DeliveryQuery, after, limit, with_local_event};
use super::http::{ApiRequest, ApiResponse, Problem};
use super::walk::{self, LogScan};
use crate::api::DeadLettersBody;
use crate::api::values::{Text, Time};
use crate::api::views::{DeliveryView, DiscardView, RetryView};
use crate::model::{
    DeliveryFilter, DeliveryId, DeliveryState, EventId, EventTraits, Seq, WallMs, limits,
};
use crate::queue::{DiscardDeadLetters, QueueRequest, RetryDeliveries, Revive};
use crate::record::DeadLetter;
use roaring::RoaringTreemap;

/// A dead letter, read from its record.
pub(super) struct Dead {
    pub(super) revive: Revive,
    dead_letter_seq: Seq,
    pub(super) died_at: WallMs,
    pub(super) reason: String,
}

pub(super) fn list(admin: &Arc<Admin>, mut request: ApiRequest) -> Result<ApiResponse, Problem> {
    let query = DeliveryQuery::of(&mut request.params, admin.wall_ms())?;
    let limit = limit(request.params.take("limit"))?;
    let after = after(&mut request.params)?;
    request.params.done()?;

    if query.state.is_some_and(|s| s != DeliveryState::Dead) {
        return Err(Problem::bad(
            "'state': dead letters are dead: use `hookboxctl delivery list` for others",
        ));
    }
    Ok(stream(admin, query.filter, limit, after))
}

/// Sends dead letters that pass, newest first.
pub(super) fn stream(
    admin: &Arc<Admin>,
    filter: DeliveryFilter,
    limit: usize,
    after: Option<DeliveryId>,
) -> ApiResponse {
    walk::stream(admin, move |scan| {
        let mut filter = filter;
        filter.events = with_local_event(scan, filter.events)?;
        let before = match after {
            None => Seq::MAX,
            Some(id) => {
                find(scan, &[id])?.first().map(|dead| dead.dead_letter_seq).ok_or_else(|| {
                    Problem::bad(format!("'after': {id} is no dead letter any more: start anew"))
                })?
            }
        };
        let mut left = limit;
        each(scan, before, &mut |dead| {
            let Some(row) = row(scan, &dead, &filter)? else { return Ok(true) };
            scan.send(&row)?;
            left -= 1;
            Ok(left > 0)
        })
    })
}

pub(super) async fn show(
    admin: &Arc<Admin>,
    mut request: ApiRequest,
) -> Result<ApiResponse, Problem> {
    request.params.done()?;
    let id: DeliveryId = request.arg.parse().map_err(|e| Problem::bad(format!("{e}")))?;
    walk::value(admin, move |scan| {
        let dead = find(scan, &[id])?
            .pop()
            .ok_or_else(|| Problem::missing("dead letter", &id.to_string()));
        let dead = dead.map_err(|p| Problem {
            detail: format!("{id} is no dead letter: see `hookboxctl dlq list`"),
            ..p
        })?;
        let mut shown = show_one(scan, id)?;
        shown.delivery.attempts = dead.revive.attempts;
        Ok(ApiResponse::ok(shown))
    })
    .await
}

pub(super) async fn retry(admin: &Arc<Admin>, request: ApiRequest) -> Result<ApiResponse, Problem> {
    let body: DeadLettersBody = request.fields()?;
    let dry_run = body.dry_run;
    let (matched, queued) = sweep(admin, body, |deliveries| RetryDeliveries { deliveries }).await?;
    Ok(ApiResponse::ok(RetryView { matched, queued, dry_run }))
}

pub(super) async fn discard(
    admin: &Arc<Admin>,
    request: ApiRequest,
) -> Result<ApiResponse, Problem> {
    let body: DeadLettersBody = request.fields()?;
    let dry_run = body.dry_run;
    let (matched, discarded) =
        sweep(admin, body, |deliveries| DiscardDeadLetters { deliveries }).await?;
    Ok(ApiResponse::ok(DiscardView { matched, discarded, dry_run }))
}

/// Does one thing to dead letters named by id, or to all that pass a filter, slice by slice.
/// Returns how many matched, and how many were changed.
async fn sweep<R: QueueRequest<Answer = usize> + Clone>(
    admin: &Arc<Admin>,
    body: DeadLettersBody,
    request: fn(Vec<Revive>) -> R,
) -> Result<(usize, usize), Problem> {
    let named = distinct(body.ids)?;
    let mut filter = body.filter.at(admin.wall_ms());
    match &named {
        Some(_) if body.all || !filter.is_empty() => {
            return Err(Problem::bad("give ids, or a filter, or all: not several of them"));
        }
        None if !body.all && filter.is_empty() => {
            return Err(Problem::bad(
                "which dead letters? Give ids, a filter (endpoint, source, type, since, until), \
                 or all",
            ));
        }
        _ => {}
    }

    let dry_run = body.dry_run;
    walk::value(admin, move |scan| {
        filter.events = with_local_event(scan, filter.events)?;
        let mut sweep = Sweep { scan, request, dry_run, slice: Vec::new(), matched: 0, changed: 0 };
        match named {
            Some(ids) => sweep.named(&ids)?,
            None => each_oldest_first(scan, &mut |dead| {
                if row(scan, &dead, &filter)?.is_some() {
                    sweep.add(dead.revive)?;
                }
                Ok(())
            })?,
        }
        sweep.flush()?;
        Ok((sweep.matched, sweep.changed))
    })
    .await
}

/// A mass operation under way.
struct Sweep<'a, R> {
    scan: &'a LogScan,
    request: fn(Vec<Revive>) -> R,
    dry_run: bool,
    slice: Vec<Revive>,
    matched: usize,
    changed: usize,
}

impl<R: QueueRequest<Answer = usize> + Clone> Sweep<'_, R> {
    fn named(&mut self, ids: &[DeliveryId]) -> Result<(), Problem> {
        let mut found = find(self.scan, ids)?;
        found.reverse();
        let there: HashSet<DeliveryId> = found.iter().map(|d| d.revive.delivery).collect();
        if let Some(id) = ids.iter().find(|id| !there.contains(id)) {
            let detail =
                format!("{id} is no dead letter: see `hookboxctl dlq list`; nothing was done");
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
        self.changed += self.scan.ask(&(self.request)(slice))?;
        Ok(())
    }
}

/// Visits the dead_letter_seqs before `before`, newest first, until `visit` says that it is enough.
pub(super) fn each(
    scan: &LogScan,
    mut before: Seq,
    visit: &mut dyn FnMut(Dead) -> Result<bool, Problem>,
) -> Result<(), Problem> {
    loop {
        let dead_letter_seqs = scan.dead_letter_seqs(before, limits::SLICE)?;
        let Some(last) = dead_letter_seqs.last().copied() else { return Ok(()) };
        for dead in those_in(scan, dead_letter_seqs)? {
            scan.still_wanted()?;
            if !visit(dead)? {
                return Ok(());
            }
        }
        before = last;
    }
}

/// Visits those that lie there now in the order in which they died: on a lane they are attempted
/// again in the order in which they are asked for. Only the places of the dead_letter_seqs are
/// remembered, and those that are dug meanwhile are not visited.
fn each_oldest_first(
    scan: &LogScan,
    visit: &mut dyn FnMut(Dead) -> Result<(), Problem>,
) -> Result<(), Problem> {
    let mut places = RoaringTreemap::new();
    let mut before = Seq::MAX;
    loop {
        let dead_letter_seqs = scan.dead_letter_seqs(before, limits::SLICE)?;
        let Some(last) = dead_letter_seqs.last().copied() else { break };
        scan.still_wanted()?;
        places.extend(dead_letter_seqs);
        before = last;
    }
    let mut places = places.into_iter();
    loop {
        let dead_letter_seqs: Vec<Seq> = places.by_ref().take(limits::SLICE).collect();
        if dead_letter_seqs.is_empty() {
            return Ok(());
        }
        for dead in those_in(scan, dead_letter_seqs)? {
            scan.still_wanted()?;
            visit(dead)?;
        }
    }
}

/// The dead letters in these dead_letter_seqs, in the same order.
fn those_in(scan: &LogScan, dead_letter_seqs: Vec<Seq>) -> Result<Vec<Dead>, Problem> {
    scan.still_wanted()?;
    let found: Vec<Dead> = dead_letter_seqs
        .into_iter()
        .filter_map(|dead_letter_seq| dead_at(scan, dead_letter_seq))
        .collect();
    let ids: Vec<DeliveryId> = found.iter().map(|dead| dead.revive.delivery).collect();
    // Behind records that are lost there may be a dead_letter_seq of one that was asked for again.
    let is_dead =
        scan.delivery_views(&ids)?.into_iter().map(|view| view.state == DeliveryState::Dead);
    Ok(found
        .into_iter()
        .zip(is_dead)
        .filter(|(_, is_dead)| *is_dead)
        .map(|(dead, _)| dead)
        .collect())
}

/// The dead letters of these ids, as far as they are any.
pub(super) fn find(scan: &LogScan, ids: &[DeliveryId]) -> Result<Vec<Dead>, Problem> {
    let mut left: HashSet<DeliveryId> = ids.iter().copied().collect();
    // The state knows at once which of them are dead: the walk below only looks for those.
    for view in scan.delivery_views(ids)? {
        if view.state != DeliveryState::Dead {
            left.remove(&view.delivery);
        }
    }
    let mut found = Vec::new();
    if left.is_empty() {
        return Ok(found);
    }
    each(scan, Seq::MAX, &mut |dead| {
        if left.remove(&dead.revive.delivery) {
            found.push(dead);
        }
        Ok(!left.is_empty())
    })?;
    Ok(found)
}

/// Reads a dead_letter_seq. One that is damaged is passed over, and reported when the walk is over:
/// it is about to get another.
fn dead_at(scan: &LogScan, dead_letter_seq: Seq) -> Option<Dead> {
    let (_, record) =
        scan.entry(scan.log().read(dead_letter_seq).map(|record| (dead_letter_seq, record)))?;
    let dead = record.and_then(|record| record.dead_letter(dead_letter_seq));
    dead.map(|dead| {
        let DeadLetter { delivery, event, attempts, died_at, reason, last } = dead;
        Dead {
            revive: Revive {
                delivery,
                event,
                attempts,
                last,
                dead_letter_seq: Some(dead_letter_seq),
            },
            dead_letter_seq,
            died_at,
            reason,
        }
    })
}

/// The row of a dead letter, when it passes. Its time is that of its death.
fn row(
    scan: &LogScan,
    dead: &Dead,
    filter: &DeliveryFilter,
) -> Result<Option<DeliveryView>, Problem> {
    let endpoint = endpoint_name(&scan.admin, dead.revive.delivery.endpoint);
    let event = find_event(scan, dead.revive.event)?.map(|(event, _)| event);
    // An event that was dropped has lost its random part; its record still says which it was.
    let id = event.as_ref().map_or(EventId { seq: dead.revive.event, tag: 0 }, |e| e.id);
    let traits = EventTraits {
        id,
        first_id: event.as_ref().and_then(|event| event.first_id),
        source: event.as_ref().map(|event| event.source_name.as_str()),
        kind: event.as_ref().map(|event| event.kind.as_str()),
        at: Some(dead.died_at),
    };
    if !filter.matches(&traits, &endpoint) {
        return Ok(None);
    }

    Ok(Some(DeliveryView {
        id: Text(dead.revive.delivery),
        event: Text(id),
        endpoint,
        state: DeliveryState::Dead.into(),
        attempts: dead.revive.attempts,
        due_at: None,
        source: event.as_ref().map(|event| event.source_name.clone()),
        event_type: event.as_ref().map(|event| event.kind.clone()),
        created_at: None,
        died_at: Some(Time(dead.died_at)),
        reason: Some(dead.reason.clone()),
    }))
}
