//! Dead letters: attempted again or discarded, by id or by a filter, beginning with the oldest.

use std::collections::HashSet;
use std::sync::Arc;

use hyper::StatusCode;

use super::commands::distinct;
use super::dead_letters::{row, wanted};
use super::dry_run;
use super::totals::{CommandTotals, LOOKS};
use crate::admin::context::Admin;
use crate::admin::http::problem::Problem;
use crate::admin::http::request::ApiRequest;
use crate::admin::http::response::ApiResponse;
use crate::admin::resources::names::check_filter;
use crate::admin::scan::dead_letters::{each_oldest_first, find};
use crate::admin::scan::filters::with_local_event;
use crate::admin::scan::log_scan::LogScan;
use crate::admin::scan::types::check_type;
use crate::admin::scan::walk;
use crate::api::DeadLettersBody;
use crate::api::views::{DiscardView, RetryView};
use crate::model::{DeliveryId, limits};
use crate::queue::{
    DeliveriesChanged, DiscardDeadLetters, QueueRequest, RetryCheckQuery, RetryDeliveries, Revive,
};

pub async fn retry(admin: &Arc<Admin>, request: ApiRequest) -> Result<ApiResponse, Problem> {
    let body: DeadLettersBody = request.fields()?;
    let dry_run = body.dry_run;
    let request = |deliveries| RetryDeliveries { deliveries };
    let (matched, totals) = sweep(admin, body, request, Some(RetryCheckQuery)).await?;
    let (queued, left_out) = (totals.changed, totals.left_out());
    Ok(ApiResponse::ok(RetryView { matched, queued, dry_run, left_out }))
}

pub async fn discard(admin: &Arc<Admin>, request: ApiRequest) -> Result<ApiResponse, Problem> {
    let body: DeadLettersBody = request.fields()?;
    let dry_run = body.dry_run;
    let (matched, totals) =
        sweep(admin, body, |deliveries| DiscardDeadLetters { deliveries }, None).await?;
    let (discarded, left_out) = (totals.changed, totals.left_out());
    Ok(ApiResponse::ok(DiscardView { matched, discarded, dry_run, left_out }))
}

/// Does one thing to dead letters named by id, or to all that pass a filter, slice by slice.
/// Returns how many matched, and what became of them. `check`: how the queue is asked in a dry run
/// what it would leave out.
async fn sweep<R: QueueRequest<Answer = DeliveriesChanged> + Clone>(
    admin: &Arc<Admin>,
    body: DeadLettersBody,
    request: fn(Vec<Revive>) -> R,
    check: Option<fn(Vec<Revive>) -> RetryCheckQuery>,
) -> Result<(usize, CommandTotals), Problem> {
    let named = distinct(body.ids)?;
    let mut filter = body.filter.at(admin.wall_ms());

    match &named {
        named
            if [named.is_some(), body.all, !filter.is_empty()].iter().filter(|is| **is).count()
                > 1 =>
        {
            return Err(Problem::bad("give ids, or a filter, or all: not several of them"));
        }
        None if !body.all && filter.is_empty() => {
            return Err(Problem::bad(
                "no dead letters selected: give ids, a filter (endpoint, source, type, since, \
                 until), or all",
            ));
        }
        _ => {}
    }

    let dry_run = body.dry_run;
    walk::value(admin, move |scan| {
        filter.events = with_local_event(scan, filter.events)?;
        let mut sweep = Sweep {
            scan,
            request,
            dry_run,
            check,
            is_named: named.is_some(),
            slice: Vec::new(),
            matched: 0,
            totals: CommandTotals::default(),
        };

        match named {
            Some(ids) => sweep.named(&ids)?,
            None => each_oldest_first(scan, wanted(scan, &filter)?, &mut |dead| {
                if row(scan, &dead, &filter)?.is_some() {
                    sweep.add(dead.revive)?;
                }
                Ok(())
            })?,
        }

        sweep.flush()?;
        sweep.look_again()?;

        // Perhaps the filter names what does not exist.
        if sweep.matched == 0 {
            check_filter(&scan.admin, &filter)?;
            check_type(scan, filter.events.kind.as_deref())?;
        }
        Ok((sweep.matched, sweep.totals))
    })
    .await
}

/// A mass operation under way.
struct Sweep<'a, R> {
    scan: &'a LogScan,
    request: fn(Vec<Revive>) -> R,
    dry_run: bool,
    check: Option<fn(Vec<Revive>) -> RetryCheckQuery>,
    /// They were named by their ids.
    is_named: bool,
    slice: Vec<Revive>,
    matched: usize,
    totals: CommandTotals,
}

impl<R: QueueRequest<Answer = DeliveriesChanged> + Clone> Sweep<'_, R> {
    fn named(&mut self, ids: &[DeliveryId]) -> Result<(), Problem> {
        let mut found = find(self.scan, ids)?;
        found.reverse();
        let there: HashSet<DeliveryId> = found.iter().map(|d| d.revive.delivery).collect();
        if let Some(id) = ids.iter().find(|id| !there.contains(id)) {
            let detail =
                format!("{id} is not a dead letter: see `hookboxctl dlq list`; nothing was done");
            return Err(Problem::new(StatusCode::NOT_FOUND, detail));
        }
        found.into_iter().try_for_each(|dead| self.add(dead.revive))
    }

    fn add(&mut self, revive: Revive) -> Result<(), Problem> {
        self.matched += 1;
        self.take(revive)
    }

    /// Those that retention relocated between reading and asking are read where they are now.
    fn look_again(&mut self) -> Result<(), Problem> {
        for _ in 1..LOOKS {
            let moved = std::mem::take(&mut self.totals.moved);
            if moved.is_empty() {
                break;
            }
            let found = find(self.scan, &moved)?;
            self.totals.leave_out("is not a dead letter any more", moved.len() - found.len());
            // Oldest first.
            found.into_iter().rev().try_for_each(|dead| self.take(dead.revive))?;
            self.flush()?;
        }
        Ok(())
    }

    fn take(&mut self, revive: Revive) -> Result<(), Problem> {
        self.slice.push(revive);
        if self.slice.len() == limits::SLICE { self.flush() } else { Ok(()) }
    }

    fn flush(&mut self) -> Result<(), Problem> {
        let slice = std::mem::take(&mut self.slice);
        if self.dry_run || slice.is_empty() {
            let Some(check) = self.check.filter(|_| !slice.is_empty()) else { return Ok(()) };
            let counted = (&mut self.totals, false);
            return dry_run::count(self.scan, &slice, counted, check, |dead| dead.delivery);
        }

        let is_single = slice.len() == 1;
        match self.scan.ask(&(self.request)(slice)) {
            Ok(changed) => self.totals.add(changed),
            // The queue refuses a single one; whoever has not named it asked for others, too.
            Err(problem) if is_single && !self.is_named && problem.is_conflict() => {
                self.totals.leave_out(&problem.detail, 1);
            }
            Err(problem) => return Err(problem),
        }
        Ok(())
    }
}
