//! Dead letters: attempted again or discarded, by id or by a filter, beginning with the oldest.

use std::collections::HashSet;
use std::sync::Arc;

use hyper::StatusCode;

use super::commands::distinct;
use super::dead_letters::row;
use crate::admin::context::Admin;
use crate::admin::http::problem::Problem;
use crate::admin::http::request::ApiRequest;
use crate::admin::http::response::ApiResponse;
use crate::admin::scan::dead_letters::{each_oldest_first, find};
use crate::admin::scan::filters::with_local_event;
use crate::admin::scan::log_scan::LogScan;
use crate::admin::scan::walk;
use crate::api::DeadLettersBody;
use crate::api::views::{DiscardView, RetryView};
use crate::model::{DeliveryId, limits};
use crate::queue::{DiscardDeadLetters, QueueRequest, RetryDeliveries, Revive};

pub async fn retry(admin: &Arc<Admin>, request: ApiRequest) -> Result<ApiResponse, Problem> {
    let body: DeadLettersBody = request.fields()?;
    let dry_run = body.dry_run;
    let (matched, queued) = sweep(admin, body, |deliveries| RetryDeliveries { deliveries }).await?;
    Ok(ApiResponse::ok(RetryView { matched, queued, dry_run }))
}

pub async fn discard(admin: &Arc<Admin>, request: ApiRequest) -> Result<ApiResponse, Problem> {
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
            return Err(Problem::new(StatusCode::NOT_FOUND, detail));
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
