//! `event show`: an event with its headers, its body and its deliveries.

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::summary::{duplicates, summary};
use crate::admin::context::Admin;
use crate::admin::http::problem::Problem;
use crate::admin::http::request::ApiRequest;
use crate::admin::http::response::ApiResponse;
use crate::admin::resources::names::endpoint_name;
use crate::admin::resources::redaction::headers_view;
use crate::admin::scan::event_lookup::record_of;
use crate::admin::scan::identity::local_id;
use crate::admin::scan::ids::event_id;
use crate::admin::scan::log_scan::LogScan;
use crate::admin::scan::walk;
use crate::api::values::Text;
use crate::api::views::{EventDeliveryView, EventDetailView};
use crate::model::secret::redacted_url;
use crate::model::{DeliveryId, Event, EventId, Seq, query};
use crate::queue::DeliverySnapshot;
use crate::record::Record;

pub async fn show(admin: &Arc<Admin>, mut request: ApiRequest) -> Result<ApiResponse, Problem> {
    let body_bytes = body_bytes(request.params.take("body_bytes"))?;
    request.params.done()?;
    let text = request.arg;
    walk::value(admin, move |scan| {
        let id = event_id(scan, &text)?;
        show_one(scan, id, body_bytes).map(ApiResponse::ok)
    })
    .await
}

/// How many bytes of the body are answered: all when nobody says.
fn body_bytes(text: Option<String>) -> Result<usize, Problem> {
    let Some(text) = text else { return Ok(usize::MAX) };
    text.parse().map_err(|_| {
        Problem::bad(format!("'body_bytes': '{text}' must be a whole number of bytes from 0"))
    })
}

fn show_one(scan: &LogScan, id: EventId, body_bytes: usize) -> Result<EventDetailView, Problem> {
    let here = local_id(scan, id)?;
    let missing = || Problem::missing("event", &id.to_string());
    // A body may be large: its record is read once.
    let record = record_of(scan, here.seq)?.ok_or_else(missing)?;
    let held = record.held_event().filter(|held| held.event.id == here).ok_or_else(missing)?;
    let (event, id) = (held.event, here);
    let deliveries: Vec<DeliveryId> = held
        .fan_out
        .iter()
        .map(|endpoint| DeliveryId { seq: here.seq, endpoint: *endpoint })
        .collect();

    let mut summary = summary(event, held.conflicts_with);
    summary.duplicates = duplicates(scan, &[id.seq])?[0];
    let delivery = |snapshot: &DeliverySnapshot| EventDeliveryView {
        id: Text(snapshot.delivery),
        endpoint: endpoint_name(&scan.admin, snapshot.delivery.endpoint),
        state: snapshot.state.into(),
    };
    let deliveries: Vec<_> = scan.delivery_views(&deliveries)?.iter().map(delivery).collect();
    let goes_nowhere = deliveries.is_empty();
    Ok(EventDetailView {
        summary,
        request_line: request_line(event),
        query: query::fields(event.query().unwrap_or_default()),
        remote: event.remote.clone(),
        headers: headers_view(&event.headers),
        body_base64: STANDARD.encode(&event.body[..event.body.len().min(body_bytes)]),
        deliveries,
        remark: loop_remark(event).or_else(|| imported_remark(scan, id).filter(|_| goes_nowhere)),
        filter_too_expensive: undecided(scan, id.seq),
    })
}

/// What the operator should know of an event that looks like a loop.
fn loop_remark(event: &Event) -> Option<String> {
    let (id, hops) = (event.id, event.hops());
    event.is_looping().then(|| {
        format!(
            "it has passed too many hookbox daemons (hookbox-hops: {hops}): it is stored but not \
             delivered; `hookboxctl replay --event {id} --to ENDPOINT` delivers it all the same"
        )
    })
}

/// What became of an event that was imported, and not matched with the endpoints of this daemon.
fn imported_remark(scan: &LogScan, id: EventId) -> Option<String> {
    let next = scan.log().read(id.seq + 1).ok().flatten();
    matches!(next, Some(Record::EventImported { .. })).then(|| {
        format!(
            "it was imported without deliveries, and matched with no endpoint: `hookboxctl replay \
             --event {id} --to ENDPOINT` delivers it"
        )
    })
}

/// The endpoints whose filters could not tell whether they want the event. Where the record that
/// would say so cannot be read, the event is shown without them.
fn undecided(scan: &LogScan, seq: Seq) -> Vec<String> {
    let record = scan.log().read(seq + 1).ok().flatten();
    let Some(Record::FilterUndecided { event, endpoints, .. }) = record else { return Vec::new() };
    let endpoints = endpoints.into_iter().filter(|_| event == seq);
    endpoints.map(|id| endpoint_name(&scan.admin, id)).collect()
}

/// Method, path and query of an event, with the source's name in the place of a token and no secret
/// parameters, which earlier versions remembered.
fn request_line(event: &Event) -> String {
    let Some((method, target)) = event.request_line.split_once(' ') else {
        return event.request_line.clone();
    };
    let (path, query) =
        target.split_once('?').map_or((target, None), |(path, query)| (path, Some(query)));
    let path = match path.strip_prefix("/in/") {
        // A bin takes what stands below its path.
        Some(rest) => {
            let below = rest.find('/').map_or("", |at| &rest[at..]);
            format!("/in/{}{below}", event.source_name)
        }
        None => path.to_owned(),
    };
    let query = query.map(|query| format!("?{query}")).unwrap_or_default();
    redacted_url(&format!("{method} {path}{query}"))
}
