//! What lists and details of events have in common.

use crate::admin::http::problem::Problem;
use crate::admin::scan::log_scan::LogScan;
use crate::api::values::{Text, Time};
use crate::api::views::EventSummary;
use crate::model::{Event, EventId, Seq};

pub fn summary(event: &Event, conflicts_with: Option<EventId>) -> EventSummary {
    EventSummary {
        id: Text(event.id),
        source: event.source_name.clone(),
        event_type: event.kind.clone(),
        received_at: Time(event.received_at),
        size: event.body.len(),
        duplicates: 0,
        dedupe_key: event.dedupe_key.clone(),
        first_id: event.first_id.map(Text),
        conflicts_with: conflicts_with.map(Text),
    }
}

/// How often these events came again.
pub fn duplicates(scan: &LogScan, seqs: &[Seq]) -> Result<Vec<u32>, Problem> {
    let views = scan.event_views(seqs)?;
    Ok(seqs
        .iter()
        .map(|s| views.iter().find(|v| v.seq == *s).map_or(0, |v| v.duplicates))
        .collect())
}
