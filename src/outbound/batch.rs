//! Several events in one request, and what the receiver says of them.
//!
//! ```text
//! json         [{"id","type","source","time","data"}, …]               application/json
//! ndjson       one such object a line                                   application/x-ndjson
//! cloudevents  [{"specversion":"1.0","id","type","source","time",
//!               "datacontenttype","data"}, …]                           application/cloudevents-batch+json
//! ```
//!
//! `data` is the body as it came when it is JSON (in `ndjson` with spaces for its line breaks), a string when it is other
//! text in UTF-8 and its content type, if it has one, says `text/` or `json`; everything else is base64 in `data_base64`
//! (CloudEvents 1.0, JSON Event Format, section 3.1). The `webhook-id` is the batch's, the same at every
//! attempt; the signature covers the whole body. A receiver that took only some answers 2xx with
//! `{"failed":["evt_…"]}`: the others count as delivered.

use std::borrow::Cow;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hyper::header::{HeaderName, HeaderValue};
use serde::Serialize;
use serde_json::value::RawValue;

use super::failure::Failure;
use super::message::{Message, hops};
use crate::model::time::rfc3339;
use crate::model::{BatchFormat, BatchId, Event, EventId};

/// How many events there are in the request.
const HOOKBOX_BATCH: HeaderName = HeaderName::from_static("hookbox-batch");
/// A CloudEvent has to have a type.
const NO_TYPE: &str = "event";

#[derive(Serialize)]
struct Element<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    specversion: Option<&'static str>,
    id: String,
    #[serde(rename = "type")]
    kind: &'a str,
    source: &'a str,
    time: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    datacontenttype: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<Data<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    data_base64: Option<String>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Data<'a> {
    Json(Cow<'a, RawValue>),
    Text(&'a str),
}

impl Message {
    /// Several events, as an endpoint's batches are written.
    ///
    /// # Errors
    /// When one of the events goes round in circles.
    pub(super) fn of_batch(batch: BatchId, format: BatchFormat, events: &[Arc<Event>]) -> Result<Self, Failure> {
        let mut body = Vec::with_capacity(events.iter().map(|event| event.body.len() + 256).sum());
        let mut passed = 0;
        let (open, between, close, kind) = match format {
            BatchFormat::Json => ("[", ",", "]", "application/json"),
            BatchFormat::Ndjson => ("", "\n", "\n", "application/x-ndjson"),
            BatchFormat::Cloudevents => ("[", ",", "]", "application/cloudevents-batch+json; charset=utf-8"),
        };
        body.extend_from_slice(open.as_bytes());
        for (number, event) in events.iter().enumerate() {
            passed = passed.max(hops(event)?);
            if number > 0 {
                body.extend_from_slice(between.as_bytes());
            }
            let written = serde_json::to_writer(&mut body, &element(event, format));
            written.map_err(|why| Failure::Endpoint(format!("event {} cannot be written: {why}", event.id)))?;
        }
        body.extend_from_slice(close.as_bytes());
        let mut message = Self::new(batch.to_string(), body.into(), HeaderValue::from_static(kind));
        message.headers.push((HOOKBOX_BATCH, HeaderValue::from(events.len())));
        let source = events.first().map(|event| event.source_name.clone()).unwrap_or_default();
        if events.iter().all(|event| event.source_name == source) {
            message.source = source;
        }
        message.hops = passed;
        Ok(message)
    }
}

fn element(event: &Event, format: BatchFormat) -> Element<'_> {
    let cloud = format == BatchFormat::Cloudevents;
    let content_type = event.header("content-type").map(|value| String::from_utf8_lossy(value).into_owned());
    // What is packed is no text, whatever it says.
    let plain = event.header("content-encoding").is_none();
    let text = std::str::from_utf8(&event.body).ok().filter(|_| plain);
    let json = text.and_then(|text| serde_json::from_str::<&RawValue>(text).ok());
    // A line is a line. No string of JSON holds a raw line break, so each stands between tokens, as a space does.
    let json = match json {
        Some(json) if format == BatchFormat::Ndjson && json.get().contains(['\n', '\r']) => {
            RawValue::from_string(json.get().replace(['\n', '\r'], " ")).ok().map(Cow::Owned)
        }
        json => json.map(Cow::Borrowed),
    };
    let is_text = content_type.as_ref().is_none_or(|kind| kind.starts_with("text/") || kind.contains("json"));
    let (data, data_base64) = match (json, text.filter(|_| is_text && !event.body.is_empty())) {
        (Some(json), _) => (Some(Data::Json(json)), None),
        (None, Some(text)) => (Some(Data::Text(text)), None),
        (None, None) => (None, (!event.body.is_empty()).then(|| STANDARD.encode(&event.body))),
    };
    Element {
        specversion: cloud.then_some("1.0"),
        id: event.webhook_id().to_string(),
        kind: if cloud && event.kind.is_empty() { NO_TYPE } else { &event.kind },
        source: &event.source_name,
        time: rfc3339(event.received_at),
        datacontenttype: content_type.filter(|_| cloud),
        data,
        data_base64,
    }
}

/// Which events of a batch the receiver did not take, by the body of its 2xx. Those it does not name were taken; what
/// is not an answer of this kind names none.
#[must_use]
pub(super) fn failed(body: &[u8]) -> Vec<EventId> {
    #[derive(serde::Deserialize)]
    struct Said {
        failed: Vec<serde_json::Value>,
    }
    let said = serde_json::from_slice::<Said>(body).map(|said| said.failed).unwrap_or_default();
    said.iter().filter_map(|id| id.as_str()?.parse().ok()).collect()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use bytes::Bytes;
    use serde_json::{Value, json};

    use super::{Message, failed};
    use crate::model::{BatchFormat, BatchId, Event, EventId, Header};

    fn event(seq: u64, kind: &str, content_type: &str, body: &[u8]) -> Arc<Event> {
        Arc::new(Event {
            id: EventId { seq, tag: 1 },
            source: 1,
            source_name: "s".into(),
            kind: kind.into(),
            received_at: 0,
            dedupe_key: None,
            request_line: String::new(),
            remote: String::new(),
            headers: vec![Header::new("content-type", content_type.to_owned())],
            body: Bytes::copy_from_slice(body),
            from_provider: false,
            first_id: None,
        })
    }

    fn mixed() -> Vec<Arc<Event>> {
        vec![
            event(1, "a", "application/json", b"{\"n\": 1.50,\n \"n\": 2}"),
            event(2, "", "text/plain", "grüß".as_bytes()),
            event(3, "c", "image/png", &[0xff, 0, 1]),
            event(4, "d", "application/json", b""),
        ]
    }

    fn written(format: BatchFormat) -> (String, String) {
        let message = Message::of_batch(BatchId { seq: 9, part: 0 }, format, &mixed()).expect("no loop");
        assert!(message.id.starts_with("bat_"));
        let kind = message.headers[0].1.to_str().expect("ascii").to_owned();
        (kind, String::from_utf8(message.body.to_vec()).expect("text"))
    }

    #[test]
    fn json_goes_as_it_came_and_bytes_as_base64() {
        let (kind, body) = written(BatchFormat::Json);
        assert_eq!(kind, "application/json");
        assert!(body.contains("{\"n\": 1.50,\n \"n\": 2}"), "bit for bit: {body}");
        let all: Vec<Value> = serde_json::from_str(&body).expect("a JSON array");
        assert_eq!(all[1]["data"], "grüß");
        assert_eq!(all[2]["data_base64"], "/wAB");
        assert!(all[3].get("data").is_none() && all[3].get("data_base64").is_none());
        let id = EventId { seq: 1, tag: 1 }.to_string();
        assert_eq!((&all[0]["id"], &all[0]["type"]), (&json!(id), &json!("a")));
        assert_eq!((&all[0]["source"], &all[0]["time"]), (&json!("s"), &json!("1970-01-01T00:00:00.000Z")));
    }

    #[test]
    fn a_line_of_ndjson_is_a_line() {
        let (kind, body) = written(BatchFormat::Ndjson);
        assert_eq!(kind, "application/x-ndjson");
        assert_eq!(body.lines().count(), 4);
        for line in body.lines() {
            serde_json::from_str::<Value>(line).expect("each is JSON");
        }
        assert!(body.contains("\"data\":{\"n\": 1.50,  \"n\": 2}"), "JSON on one line, else as it came: {body}");
    }

    #[test]
    fn cloudevents_have_what_the_specification_asks_for() {
        let (kind, body) = written(BatchFormat::Cloudevents);
        assert!(kind.starts_with("application/cloudevents-batch+json"));
        let all: Vec<Value> = serde_json::from_str(&body).expect("a JSON array");
        for event in &all {
            assert_eq!(event["specversion"], "1.0");
            for required in ["id", "type", "source"] {
                assert!(!event[required].as_str().expect("text").is_empty(), "{required}");
            }
        }
        assert_eq!(all[2]["datacontenttype"], "image/png");
    }

    #[test]
    fn what_failed_is_named_or_nothing_did() {
        let id = EventId { seq: 7, tag: 9 };
        assert_eq!(failed(format!("{{\"failed\":[\"{id}\",5,\"evt_x\"],\"more\":1}}").as_bytes()), [id]);
        for nothing in ["", "ok", "{}", "[]", "{\"failed\":null}", "{\"failed\":[]}"] {
            assert!(failed(nothing.as_bytes()).is_empty(), "{nothing}");
        }
    }
}
