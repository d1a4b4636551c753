//! Events: list (newest first, out of the log), show, send.

use std::collections::HashSet;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use data_encoding::HEXLOWER;
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

use super::Admin;
use super::filters::{after, event_filter, limit};
use super::http::{ApiRequest, ApiResponse, Problem};
use super::walk::{self, LogScan};
use crate::api::SendEventBody;
use crate::api::values::{Text, Time};
use crate::api::views::{
    EventDeliveryView, EventDetailView, EventSentView, EventSummary, EventView, HeadersView,
};
use crate::model::query;
use crate::model::secret::redacted_url;
use crate::model::{
    DeliveryId, Event, EventId, EventTraits, Fingerprints, Header, REDACTED, Seq, SourceId,
    is_credential_name, limits,
};
use crate::queue::{DeliverySnapshot, NewEvent};
use crate::record::Record;

/// Rows that are completed at a time; few, so that the first ones come soon.
const ROWS: usize = 32;

pub(super) fn list(admin: &Arc<Admin>, mut request: ApiRequest) -> Result<ApiResponse, Problem> {
    let filter = event_filter(&mut request.params, admin.wall_ms())?;
    let limit = limit(request.params.take("limit"))?;
    let after: Option<EventId> = after(&mut request.params)?;
    request.params.done()?;

    Ok(walk::stream(admin, move |scan| {
        let before = after.map_or(Ok(Seq::MAX), |id| place(scan, id.seq))?;
        let mut rows = Vec::with_capacity(ROWS);
        let mut left = limit;
        let mut relocated = RelocatedEvents::default();

        for entry in scan.log().backward(before) {
            scan.still_wanted()?;
            let Some((seq, record)) = scan.entry(entry) else { continue };
            let earlier = conflicts_with(&record);
            let Some((event, fan_out)) = relocated.event(scan, seq, record)? else { continue };
            if !filter.matches(&EventTraits::from(&*event)) {
                continue;
            }

            let summary = summary(&event, earlier);
            rows.push((event.id.seq, EventView { summary, deliveries: fan_out }));
            left -= 1;
            if rows.len() == ROWS || left == 0 {
                flush(scan, &mut rows)?;
            }
            if left == 0 {
                return Ok(());
            }
        }
        flush(scan, &mut rows)
    }))
}

pub(super) async fn show(
    admin: &Arc<Admin>,
    mut request: ApiRequest,
) -> Result<ApiResponse, Problem> {
    request.params.done()?;
    let id: EventId = request.arg.parse().map_err(|e| Problem::bad(format!("{e}")))?;
    walk::value(admin, move |scan| show_one(scan, id).map(ApiResponse::ok)).await
}

fn show_one(scan: &LogScan, id: EventId) -> Result<EventDetailView, Problem> {
    let here = here(scan, id)?;
    let found = read(scan, here.seq)?.filter(|(event, _)| event.id == here);
    let (event, deliveries) = found.ok_or_else(|| Problem::missing("event", &id.to_string()))?;
    let id = event.id;
    let record = scan.log().read(place(scan, here.seq)?)?;

    let mut summary = summary(&event, record.as_ref().and_then(conflicts_with));
    summary.duplicates = duplicates(scan, &[id.seq])?[0];
    let delivery = |snapshot: &DeliverySnapshot| EventDeliveryView {
        id: Text(snapshot.delivery),
        endpoint: endpoint_name(&scan.admin, snapshot.delivery.endpoint),
        state: snapshot.state.into(),
    };
    let deliveries = scan.delivery_views(&deliveries)?.iter().map(delivery).collect();
    let remark = event.is_looping().then(|| {
        format!(
            "it has passed {} daemons of this kind (hookbox-hops), which looks like a loop: it \
             was kept, and goes nowhere by itself; `hookboxctl replay --event {id} --to ENDPOINT` \
             sends it all the same",
            event.hops()
        )
    });

    Ok(EventDetailView {
        summary,
        request_line: request_line(&event),
        query: query::fields(event.query().unwrap_or_default()),
        remote: event.remote.clone(),
        headers: headers_view(&event.headers),
        body_base64: STANDARD.encode(&event.body),
        deliveries,
        remark,
        filter_too_expensive: undecided(scan, id.seq),
    })
}

/// The endpoints whose filters could not tell whether they want the event. Where the record that
/// would say so cannot be read, the event is shown all the same, without them.
fn undecided(scan: &LogScan, seq: Seq) -> Vec<String> {
    match scan.log().read(seq + 1) {
        Ok(Some(Record::FilterUndecided { event, endpoints, .. })) if event == seq => {
            endpoints.into_iter().map(|id| endpoint_name(&scan.admin, id)).collect()
        }
        _ => Vec::new(),
    }
}

pub(super) async fn send(admin: &Admin, request: ApiRequest) -> Result<ApiResponse, Problem> {
    let given: SendEventBody = request.fields()?;
    let name =
        given.source.ok_or_else(|| Problem::bad("'source' is missing: whose event is it?"))?.0;
    let source = super::sources::find(admin, &name)?;
    let kind = given.event_type.map(String::from).unwrap_or_default();
    let key = given.id.map(String::from);
    let body = body(given.data, given.data_base64)?
        .ok_or_else(|| Problem::bad("'data' is missing: give 'data' or 'data_base64'"))?;

    if kind.len() > limits::TYPE_LEN
        || key.as_ref().is_some_and(|k| k.len() > limits::DEDUPE_KEY_LEN)
    {
        let (kind, key) = (limits::TYPE_LEN, limits::DEDUPE_KEY_LEN);
        return Err(Problem::bad(format!(
            "'type' has at most {kind} characters, 'id' at most {key}"
        )));
    }
    if body.len() as u64 > source.max_body {
        let detail =
            format!("the data has {} bytes, source '{name}' takes {}", body.len(), source.max_body);
        return Err(Problem::new(hyper::StatusCode::PAYLOAD_TOO_LARGE, detail));
    }

    let content_type =
        given.content_type.map_or_else(|| content_type_of(&body).to_owned(), String::from);
    let mut headers = vec![Header::new("content-type", content_type)];
    headers.extend(extra_headers(&given.headers)?);
    let salt = admin.handle.directory().salt;
    let of = |text: &str| fingerprint(salt, source.id, text);
    let content =
        key.as_ref().map(|_| of(&format!("sha256:{}", HEXLOWER.encode(&Sha256::digest(&body)))));
    let new = NewEvent {
        dedupe: key.as_deref().map(of),
        beside: Fingerprints { content, ..Fingerprints::default() },
        dedupe_key: key,
        request_line: format!("POST /in/{}", source.name),
        remote: format!("admin socket, user {}", request.caller.uid),
        source,
        kind,
        headers,
        body,
    };

    let accepted = admin.handle.accept(vec![new]).await?;
    let first = accepted.first().ok_or_else(Problem::gone)?;
    Ok(ApiResponse::accepted(EventSentView {
        id: Text(first.id),
        duplicate: first.duplicate,
        conflicts_with: first.conflicts_with.map(Text),
    }))
}

/// Method, path and query of an event, with the source's name in the place of a token and no secret
/// parameters, which earlier versions remembered.
fn request_line(event: &Event) -> String {
    let Some((method, target)) = event.request_line.split_once(' ') else {
        return event.request_line.clone();
    };
    let (path, query) =
        target.split_once('?').map_or((target, None), |(path, query)| (path, Some(query)));
    let path = if path.starts_with("/in/") {
        format!("/in/{}", event.source_name)
    } else {
        path.to_owned()
    };
    redacted_url(&format!(
        "{method} {path}{}",
        query.map(|query| format!("?{query}")).unwrap_or_default()
    ))
}

/// The content type of a body, where none is given.
pub(super) fn content_type_of(body: &[u8]) -> &'static str {
    match serde_json::from_slice::<serde::de::IgnoredAny>(body) {
        Ok(_) => "application/json",
        Err(_) => "application/octet-stream",
    }
}

/// The bytes that are given as text or in base64.
pub(super) fn body(data: Option<Value>, encoded: Option<String>) -> Result<Option<Bytes>, Problem> {
    match (data, encoded) {
        (Some(_), Some(_)) => Err(Problem::bad("give 'data' or 'data_base64', not both")),
        (Some(Value::String(text)), None) => Ok(Some(text.into())),
        (Some(json), None) => Ok(Some(json.to_string().into())),
        (None, Some(encoded)) => {
            STANDARD.decode(encoded).map(|bytes| Some(bytes.into())).map_err(|e| {
                Problem::bad(format!(
                    "'data_base64' is not base64 (RFC 4648 section 4, padded): {e}"
                ))
            })
        }
        (None, None) => Ok(None),
    }
}

fn extra_headers(headers: &Map<String, Value>) -> Result<Vec<Header>, Problem> {
    if headers.len() > limits::HEADERS {
        return Err(Problem::bad(format!("'headers': at most {}", limits::HEADERS)));
    }

    let read = |(name, value): (&String, &Value)| {
        let name = name.to_ascii_lowercase();
        let value = value.as_str().unwrap_or_default();
        let good = hyper::header::HeaderName::from_bytes(name.as_bytes()).is_ok()
            && name != "content-type"
            && hyper::header::HeaderValue::from_str(value).is_ok();
        if good {
            // As those of a sender.
            let value = if is_credential_name(&name) { REDACTED } else { value };
            return Ok(Header::new(name, value.to_owned()));
        }
        Err(Problem::bad(format!(
            "'headers': '{name}' cannot be sent along ('content_type' has a field of its own)"
        )))
    };
    headers.iter().map(read).collect()
}

/// The first 8 bytes of SHA-256 over the log's salt, the source and the key, as ingest makes it.
pub(super) fn fingerprint(salt: u64, source: SourceId, key: &str) -> u64 {
    let mut hash = Sha256::new();
    hash.update(salt.to_be_bytes());
    hash.update(source.to_be_bytes());
    hash.update([0u8]);
    hash.update(key.as_bytes());
    hash.finalize().iter().take(8).fold(0, |n, b| (n << 8) | u64::from(*b))
}

fn summary(event: &Event, conflicts_with: Option<EventId>) -> EventSummary {
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

/// The earlier event that has the same dedupe key, and says something else.
fn conflicts_with(record: &Record) -> Option<EventId> {
    match record {
        Record::EventAccepted { beside, .. } => beside.conflicts_with,
        _ => None,
    }
}

fn duplicates(scan: &LogScan, seqs: &[Seq]) -> Result<Vec<u32>, Problem> {
    let views = scan.event_views(seqs)?;
    Ok(seqs
        .iter()
        .map(|s| views.iter().find(|v| v.seq == *s).map_or(0, |v| v.duplicates))
        .collect())
}

fn flush(scan: &LogScan, rows: &mut Vec<(Seq, EventView)>) -> Result<(), Problem> {
    let seqs: Vec<Seq> = rows.iter().map(|(seq, _)| *seq).collect();
    if seqs.is_empty() {
        return Ok(());
    }
    for ((_, mut row), count) in rows.drain(..).zip(duplicates(scan, &seqs)?) {
        row.summary.duplicates = count;
        scan.send(&row)?;
    }
    Ok(())
}

/// Headers without credentials, of which earlier versions remembered more than this one does.
pub(super) fn headers_view(headers: &[Header]) -> HeadersView {
    let mut shown = HeadersView::default();
    for header in headers {
        match is_credential_name(&header.name) {
            true => shown.set(&header.name, REDACTED),
            false => shown.add(&header.name, &header.text()),
        }
    }
    shown
}

/// The endpoint's name; its number when it was deleted.
pub(super) fn endpoint_name(admin: &Admin, id: u32) -> String {
    let directory = admin.handle.directory();
    let found = directory.endpoints.iter().find(|e| e.id == id);
    let former = || directory.former_endpoints.get(&id).cloned();
    found.map(|e| e.name.clone()).or_else(former).unwrap_or_else(|| format!("#{id}"))
}

/// Relocated events are listed where they stand now, and only when their own record is gone.
#[derive(Default)]
pub(super) struct RelocatedEvents {
    listed: HashSet<Seq>,
}

impl RelocatedEvents {
    /// The event that a record holds, with the number of its deliveries, when it is listed at this
    /// record.
    pub(super) fn event(
        &mut self,
        scan: &LogScan,
        at: Seq,
        record: Record,
    ) -> Result<Option<(Arc<Event>, usize)>, Problem> {
        match record {
            Record::EventAccepted { event, fan_out, .. } => Ok(Some((event, fan_out.len()))),
            Record::EventRelocated { seq, event, fan_out } if self.stands(scan, seq, at)? => {
                Ok(Some((event, fan_out.len())))
            }
            _ => Ok(None),
        }
    }

    /// Whether the relocated event `seq` is listed at record `at`.
    pub(super) fn stands(&mut self, scan: &LogScan, seq: Seq, at: Seq) -> Result<bool, Problem> {
        // Its own record may have been dropped, or be damaged.
        if self.listed.contains(&seq) || matches!(scan.log().read(seq), Ok(Some(_))) {
            return Ok(false);
        }
        // An event whose deliveries have all ended is forgotten by the state; it is then listed at
        // its last relocation.
        let stands_at = scan.event_views(&[seq])?.first().map_or(at, |v| v.stands_at);
        if stands_at != at && stands_at != seq {
            return Ok(false);
        }
        self.listed.insert(seq);
        Ok(true)
    }
}

/// Where the event of record `seq` is listed.
pub(super) fn place(scan: &LogScan, seq: Seq) -> Result<Seq, Problem> {
    if matches!(scan.log().read(seq), Ok(Some(_))) {
        return Ok(seq);
    }
    Ok(scan.event_views(&[seq])?.first().map_or(seq, |v| v.stands_at))
}

/// The id that an event has here: the one given, or, when that is of another log or of a part that
/// was lost, that of the event that was imported under it.
pub(super) fn here(scan: &LogScan, id: EventId) -> Result<EventId, Problem> {
    let own = read(scan, id.seq).is_ok_and(|found| found.is_some_and(|(event, _)| event.id == id));
    if own { Ok(id) } else { Ok(super::imports::place(scan, id)?.unwrap_or(id)) }
}

/// An event with its deliveries.
pub(super) type EventAndDeliveries = (Arc<Event>, Vec<DeliveryId>);

/// The event of record `seq`, wherever it stands now, with those of its deliveries that are known.
pub(super) fn read(scan: &LogScan, seq: Seq) -> Result<Option<EventAndDeliveries>, Problem> {
    match scan.log().read(place(scan, seq)?)? {
        Some(
            Record::EventAccepted { event, fan_out, .. }
            | Record::EventRelocated { event, fan_out, .. },
        ) if event.id.seq == seq => {
            let ids = fan_out.into_iter().map(|endpoint| DeliveryId { seq, endpoint }).collect();
            Ok(Some((event, ids)))
        }
        _ => Ok(None),
    }
}

/// The same; nothing when it is damaged, which the walk reports by itself.
pub(super) fn find(scan: &LogScan, seq: Seq) -> Result<Option<EventAndDeliveries>, Problem> {
    let at = place(scan, seq)?;
    if scan.log().read(at).is_err() { Ok(None) } else { read(scan, seq) }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{extra_headers, fingerprint, headers_view};
    use crate::model::Header;

    fn object(value: serde_json::Value) -> serde_json::Map<String, serde_json::Value> {
        value.as_object().cloned().expect("an object")
    }

    #[test]
    fn fingerprints_depend_on_all_three_parts() {
        let one = fingerprint(1, 2, "key");
        assert_eq!(one, fingerprint(1, 2, "key"));
        for other in [fingerprint(2, 2, "key"), fingerprint(1, 3, "key"), fingerprint(1, 2, "kex")]
        {
            assert_ne!(one, other);
        }
    }

    #[test]
    fn repeated_headers_are_joined() {
        let headers = [Header::new("a", "1"), Header::new("b", "2"), Header::new("a", "3")];
        assert_eq!(json!(headers_view(&headers)), json!({"a": "1, 3", "b": "2"}));
    }

    #[test]
    fn headers_cannot_smuggle_lines() {
        assert!(extra_headers(&object(json!({"x": "a\r\nb: c"}))).is_err());
        assert!(extra_headers(&object(json!({"x y": "a"}))).is_err());
        assert_eq!(extra_headers(&object(json!({"X-A": "b"}))).expect("good")[0].name, "x-a");
    }
}
