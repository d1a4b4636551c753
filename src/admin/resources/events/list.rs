//! `event list`: out of the log, the newest first.

use std::sync::Arc;

use super::summary::{duplicates, summary};
use crate::admin::context::Admin;
use crate::admin::http::problem::Problem;
use crate::admin::http::request::ApiRequest;
use crate::admin::http::response::ApiResponse;
use crate::admin::resources::names::check_filter;
use crate::admin::scan::event_lookup::{RelocatedEvents, listed_at};
use crate::admin::scan::filters::{event_filter, with_local_event};
use crate::admin::scan::log_scan::LogScan;
use crate::admin::scan::page::{After, after, limit};
use crate::admin::scan::types::check_type;
use crate::admin::scan::walk;
use crate::api::views::EventView;
use crate::model::{DeliveryFilter, EventFilter, EventId, EventTraits, Seq};
use crate::record::{HeldEvent, Record, Sieve};

/// Rows that are completed at a time; few, so that the first ones come soon.
const ROWS: usize = 32;

pub async fn list(admin: &Arc<Admin>, mut request: ApiRequest) -> Result<ApiResponse, Problem> {
    let filter = event_filter(&mut request.params, admin.wall_ms())?;
    let limit = limit(request.params.take("limit"))?;
    let after: Option<After<EventId>> = after(&mut request.params)?;
    request.params.done()?;

    walk::list(admin, move |scan| {
        let filter = with_local_event(scan, filter)?;
        let mut before = match after {
            None => Seq::MAX,
            Some(After::Row(id)) => listed_at(scan, id.seq)?,
            Some(After::Record(seq)) => seq,
        };
        // One event stands at one place, and nothing else is looked at for it.
        let only = filter.event.map(|id| listed_at(scan, id.seq)).transpose()?;
        before = only.map_or(before, |at| before.min(at.saturating_add(1)));

        let mut listing = EventListing::new(scan, &filter, limit);
        for entry in scan.log().backward_sifted(before, Sieve::events(&filter)) {
            let Some((seq, record)) = scan.entry(entry) else { continue };
            if only.is_some_and(|at| seq < at) || !listing.take(seq, record)? {
                break;
            }
        }
        listing.flush()?;
        if let Some(at) = listing.overdue_at {
            return scan.send_more(&at, scan.time_at(at));
        }
        if scan.has_sent() {
            return Ok(());
        }
        let kind = filter.kind.clone();
        check_filter(&scan.admin, &DeliveryFilter { events: filter, endpoint: None })?;
        check_type(scan, kind.as_deref())
    })
    .await
}

/// One list under way.
struct EventListing<'a> {
    scan: &'a LogScan,
    filter: &'a EventFilter,
    left: usize,
    /// Rows that are to be completed and sent.
    rows: Vec<(Seq, EventView)>,
    relocated: RelocatedEvents,
    /// The record down to which it has looked when it had found nothing for too long.
    overdue_at: Option<Seq>,
}

impl<'a> EventListing<'a> {
    fn new(scan: &'a LogScan, filter: &'a EventFilter, limit: usize) -> Self {
        let (rows, relocated) = (Vec::with_capacity(ROWS), RelocatedEvents::default());
        Self { scan, filter, left: limit, rows, relocated, overdue_at: None }
    }

    /// Takes in the event of a record, if it passes. Returns whether older ones are wanted.
    fn take(&mut self, seq: Seq, record: Option<Record>) -> Result<bool, Problem> {
        self.scan.still_wanted()?;
        if let Some(record) = record
            && let Some(held) = self.relocated.event(self.scan, seq, &record)?
            && self.filter.matches(&EventTraits::from(&**held.event))
        {
            let HeldEvent { event, fan_out, conflicts_with, .. } = held;
            let summary = summary(event, conflicts_with);
            self.rows.push((event.id.seq, EventView { summary, deliveries: fan_out.len() }));
            self.left -= 1;
        }

        if self.rows.len() == ROWS || self.left == 0 || self.scan.is_overdue() {
            self.flush()?;
        }
        if self.left > 0 && self.scan.is_overdue() {
            self.overdue_at = Some(seq);
        }
        Ok(self.left > 0 && self.overdue_at.is_none())
    }

    /// Completes rows and sends them.
    fn flush(&mut self) -> Result<(), Problem> {
        let seqs: Vec<Seq> = self.rows.iter().map(|(seq, _)| *seq).collect();
        if seqs.is_empty() {
            return Ok(());
        }
        for ((_, mut row), count) in self.rows.drain(..).zip(duplicates(self.scan, &seqs)?) {
            row.summary.duplicates = count;
            self.scan.send(&row)?;
        }
        Ok(())
    }
}
