//! Events: list (newest first, out of the log), show, send.

use std::collections::HashSet;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use super::Admin;
use super::fields::{Fields, text};
use super::http::{Answer, Call, Problem};
use super::select::{Select, limit, state_name};
use super::walk::{self, Walker};
use crate::model::time::rfc3339;
use crate::model::{DeliveryId, Event, EventId, Header, Seq, SourceId, limits};
use crate::queue::NewEvent;
use crate::record::Record;

/// Rows that are completed at a time; few, so that the first ones come soon.
const ROWS: usize = 32;

pub(super) fn list(admin: &Arc<Admin>, mut call: Call) -> Result<Answer, Problem> {
    let select = Select::of_events(&mut call.params, admin.wall_ms())?;
    let limit = limit(call.params.take("limit"))?;
    let after = call.params.take("after").map(|t| t.parse::<EventId>()).transpose();
    let after = after.map_err(|e| Problem::bad(format!("'after': {e}")))?;
    call.params.done()?;
    Ok(walk::stream(admin, move |walker| {
        let before = after.map_or(Ok(Seq::MAX), |id| place(walker, id.seq))?;
        let mut rows = Vec::with_capacity(ROWS);
        let mut left = limit;
        let mut carried = Carried::default();
        for entry in walker.log().backward(before) {
            walker.still_wanted()?;
            let Some((seq, record)) = walker.entry(entry) else { continue };
            let Some((event, fan_out)) = carried.event(walker, seq, record)? else { continue };
            if !select.passes_event(&event) || !select.passes_time(event.received_at) {
                continue;
            }
            rows.push((event.id.seq, row(&event, fan_out)));
            left -= 1;
            if rows.len() == ROWS || left == 0 {
                flush(walker, &mut rows)?;
            }
            if left == 0 {
                return Ok(());
            }
        }
        flush(walker, &mut rows)
    }))
}

pub(super) async fn show(admin: &Arc<Admin>, mut call: Call) -> Result<Answer, Problem> {
    call.params.done()?;
    let id: EventId = call.arg.parse().map_err(|e| Problem::bad(format!("{e}")))?;
    walk::value(admin, move |walker| {
        let here = here(walker, id)?;
        let found = read(walker, here.seq)?.filter(|(event, _)| event.id == here);
        let (event, deliveries) = found.ok_or_else(|| Problem::missing("event", &id.to_string()))?;
        let id = event.id;
        let mut shown = row(&event, deliveries.len());
        shown["duplicates"] = json!(duplicates(walker, &[id.seq])?[0]);
        shown["request_line"] = json!(event.request_line);
        shown["remote"] = json!(event.remote);
        shown["headers"] = headers_view(&event.headers);
        shown["body_base64"] = json!(STANDARD.encode(&event.body));
        let views = walker.delivery_views(&deliveries)?;
        let view = |v: &crate::queue::DeliveryView| {
            let endpoint = endpoint_name(&walker.admin, v.delivery.endpoint);
            json!({"id": v.delivery.to_string(), "endpoint": endpoint, "state": state_name(v.state)})
        };
        shown["deliveries"] = views.iter().map(view).collect();
        Ok(Answer::ok(shown))
    })
    .await
}

pub(super) async fn send(admin: &Admin, call: Call) -> Result<Answer, Problem> {
    let mut fields = Fields::new(call.object()?);
    let name = fields.get("source", text)?.ok_or_else(|| Problem::bad("'source' is missing: whose event is it?"))?;
    let source = super::sources::find(admin, &name)?;
    let kind = fields.get("type", text)?.unwrap_or_default();
    let key = fields.get("id", text)?;
    let body = body(&mut fields)?;
    let content_type = fields.get("content_type", text)?;
    let extra = fields.take("headers").unwrap_or_else(|| json!({}));
    fields.done()?;
    if kind.len() > limits::TYPE_LEN || key.as_ref().is_some_and(|k| k.len() > limits::DEDUPE_KEY_LEN) {
        let (kind, key) = (limits::TYPE_LEN, limits::DEDUPE_KEY_LEN);
        return Err(Problem::bad(format!("'type' has at most {kind} characters, 'id' at most {key}")));
    }
    if body.len() as u64 > source.max_body {
        let detail = format!("the data has {} bytes, source '{name}' takes {}", body.len(), source.max_body);
        return Err(Problem::new(hyper::StatusCode::PAYLOAD_TOO_LARGE, detail));
    }
    let mut headers = vec![Header::new("content-type", content_type.unwrap_or_else(|| content_type_of(&body).into()))];
    headers.extend(extra_headers(&extra)?);
    let new = NewEvent {
        dedupe: key.as_ref().map(|k| fingerprint(admin.handle.directory().salt, source.id, k)),
        dedupe_key: key,
        request_line: format!("POST {}", source.path()),
        remote: format!("admin socket, user {}", call.caller.uid),
        source,
        kind,
        headers,
        body,
    };
    let accepted = admin.handle.accept(vec![new]).await?;
    let first = accepted.first().ok_or_else(Problem::gone)?;
    Ok(Answer::Json(hyper::StatusCode::ACCEPTED, json!({"id": first.id.to_string(), "duplicate": first.duplicate})))
}

/// What a body is that nobody said it of.
pub(super) fn content_type_of(body: &[u8]) -> &'static str {
    match serde_json::from_slice::<serde::de::IgnoredAny>(body) {
        Ok(_) => "application/json",
        Err(_) => "application/octet-stream",
    }
}

/// The given bytes.
pub(super) fn body(fields: &mut Fields) -> Result<Bytes, Problem> {
    let data = fields.take("data");
    let encoded = fields.take("data_base64");
    match (data, encoded) {
        (Some(_), Some(_)) => Err(Problem::bad("give 'data' or 'data_base64', not both")),
        (Some(Value::String(text)), None) => Ok(text.into()),
        (Some(json), None) => Ok(json.to_string().into()),
        (None, Some(Value::String(encoded))) => STANDARD
            .decode(encoded)
            .map(Bytes::from)
            .map_err(|e| Problem::bad(format!("'data_base64' is not base64 (RFC 4648 section 4, padded): {e}"))),
        (None, Some(_)) => Err(Problem::bad("'data_base64' is text in quotes")),
        (None, None) => Err(Problem::bad("'data' is missing: give 'data' or 'data_base64'")),
    }
}

fn extra_headers(headers: &Value) -> Result<Vec<Header>, Problem> {
    let headers = headers.as_object().ok_or_else(|| Problem::bad("'headers' is an object of texts"))?;
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
            return Ok(Header::new(name, value.to_owned()));
        }
        Err(Problem::bad(format!("'headers': '{name}' cannot be sent along ('content_type' has a field of its own)")))
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

fn row(event: &Event, deliveries: usize) -> Value {
    json!({
        "id": event.id.to_string(),
        "source": event.source_name,
        "type": event.kind,
        "received_at": rfc3339(event.received_at),
        "size": event.body.len(),
        "duplicates": 0,
        "deliveries": deliveries,
        "dedupe_key": event.dedupe_key,
        "first_id": event.first_id.map(|id| id.to_string()),
    })
}

fn duplicates(walker: &Walker, seqs: &[Seq]) -> Result<Vec<u32>, Problem> {
    let views = walker.event_views(seqs)?;
    Ok(seqs.iter().map(|s| views.iter().find(|v| v.seq == *s).map_or(0, |v| v.duplicates)).collect())
}

fn flush(walker: &Walker, rows: &mut Vec<(Seq, Value)>) -> Result<(), Problem> {
    let seqs: Vec<Seq> = rows.iter().map(|(seq, _)| *seq).collect();
    if seqs.is_empty() {
        return Ok(());
    }
    for ((_, mut row), count) in rows.drain(..).zip(duplicates(walker, &seqs)?) {
        row["duplicates"] = json!(count);
        walker.send(&row)?;
    }
    Ok(())
}

/// One name, one text; what came several times is joined as RFC 9110 section 5.3 does.
pub(super) fn headers_view(headers: &[Header]) -> Value {
    let mut shown = Map::new();
    for header in headers {
        match shown.get_mut(&header.name) {
            Some(Value::String(text)) => {
                text.push_str(", ");
                text.push_str(&header.text());
            }
            _ => {
                shown.insert(header.name.clone(), Value::String(header.text()));
            }
        }
    }
    Value::Object(shown)
}

/// The endpoint's name; its number when it was deleted.
pub(super) fn endpoint_name(admin: &Admin, id: u32) -> String {
    let directory = admin.handle.directory();
    let found = directory.endpoints.iter().find(|e| e.id == id);
    let former = || directory.former_endpoints.get(&id).cloned();
    found.map(|e| e.name.clone()).or_else(former).unwrap_or_else(|| format!("#{id}"))
}

/// Carried events are told where they stand now, and only when their own record is gone.
#[derive(Default)]
pub(super) struct Carried {
    told: HashSet<Seq>,
}

impl Carried {
    /// The event that a record holds, with the number of its deliveries, when it is to be told at this place.
    pub(super) fn event(
        &mut self,
        walker: &Walker,
        at: Seq,
        record: Record,
    ) -> Result<Option<(Arc<Event>, usize)>, Problem> {
        match record {
            Record::EventAccepted { event, fan_out, .. } => Ok(Some((event, fan_out.len()))),
            Record::EventCarried { seq, event, fan_out } if self.stands(walker, seq, at)? => {
                Ok(Some((event, fan_out.len())))
            }
            _ => Ok(None),
        }
    }

    /// Whether the carried event `seq` is to be told at record `at`.
    pub(super) fn stands(&mut self, walker: &Walker, seq: Seq, at: Seq) -> Result<bool, Problem> {
        if self.told.contains(&seq) || walker.log().read(seq)?.is_some() {
            return Ok(false);
        }
        // An event whose deliveries have all ended is forgotten by the state; its last carrying is then told.
        let stands_at = walker.event_views(&[seq])?.first().map_or(at, |v| v.stands_at);
        if stands_at != at && stands_at != seq {
            return Ok(false);
        }
        self.told.insert(seq);
        Ok(true)
    }
}

/// Where the event of record `seq` is told in lists.
pub(super) fn place(walker: &Walker, seq: Seq) -> Result<Seq, Problem> {
    if walker.log().read(seq)?.is_some() {
        return Ok(seq);
    }
    Ok(walker.event_views(&[seq])?.first().map_or(seq, |v| v.stands_at))
}

/// The id that an event has here: the one given, or, when that is of another log or of a part that was lost, that of the
/// event that was imported under it.
pub(super) fn here(walker: &Walker, id: EventId) -> Result<EventId, Problem> {
    let own = read(walker, id.seq).is_ok_and(|found| found.is_some_and(|(event, _)| event.id == id));
    if own { Ok(id) } else { Ok(super::imports::place(walker, id)?.unwrap_or(id)) }
}

/// An event with its deliveries.
type Found = (Arc<Event>, Vec<DeliveryId>);

/// The event of record `seq`, wherever it stands now, with those of its deliveries that are known.
pub(super) fn read(walker: &Walker, seq: Seq) -> Result<Option<Found>, Problem> {
    match walker.log().read(place(walker, seq)?)? {
        Some(Record::EventAccepted { event, fan_out, .. } | Record::EventCarried { event, fan_out, .. })
            if event.id.seq == seq =>
        {
            let ids = fan_out.into_iter().map(|endpoint| DeliveryId { seq, endpoint }).collect();
            Ok(Some((event, ids)))
        }
        _ => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{extra_headers, fingerprint, headers_view};
    use crate::model::Header;

    #[test]
    fn fingerprints_depend_on_all_three_parts() {
        let one = fingerprint(1, 2, "key");
        assert_eq!(one, fingerprint(1, 2, "key"));
        for other in [fingerprint(2, 2, "key"), fingerprint(1, 3, "key"), fingerprint(1, 2, "kex")] {
            assert_ne!(one, other);
        }
    }

    #[test]
    fn repeated_headers_are_joined() {
        let headers = [Header::new("a", "1"), Header::new("b", "2"), Header::new("a", "3")];
        assert_eq!(headers_view(&headers), json!({"a": "1, 3", "b": "2"}));
    }

    #[test]
    fn headers_cannot_smuggle_lines() {
        assert!(extra_headers(&json!({"x": "a\r\nb: c"})).is_err());
        assert!(extra_headers(&json!({"x y": "a"})).is_err());
        assert_eq!(extra_headers(&json!({"X-A": "b"})).expect("good")[0].name, "x-a");
    }
}
