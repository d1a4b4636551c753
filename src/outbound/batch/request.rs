//! Several events in one request.
//!
//! ```text
//! json         [{"id","type","source","time","data"}, …]     application/json
//! ndjson       one such object a line                         application/x-ndjson
//! cloudevents  [{"specversion":"1.0","id","type","source",
//!               "time","datacontenttype","data"}, …]
//!                                              application/cloudevents-batch+json
//! ```
//!
//! `data` is the body as it came when it is JSON (in `ndjson` with spaces for its line breaks) that
//! nearly every parser takes, so that one event does not keep the receiver from the others, a
//! string when it is other text in UTF-8 and its content type, if it has one, says `text/` or
//! `json`; everything else is base64 in `data_base64` (CloudEvents 1.0, JSON Event Format, section
//! 3.1). An event that came with a trace has `traceparent` and `tracestate` in its element; the
//! request belongs to a trace when all of its events belong to the same. The `webhook-id` is the
//! batch's, the same at every attempt; the signature covers the whole body.

use std::borrow::Cow;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hyper::header::{ACCEPT_ENCODING, HeaderName, HeaderValue};
use serde::Serialize;
use serde_json::value::RawValue;

use crate::model::json::is_widely_read;
use crate::model::time::rfc3339;
use crate::model::{BatchFormat, BatchId, Event, TraceContext};
use crate::outbound::message::Message;

/// How many events there are in the request.
const HOOKBOX_BATCH: HeaderName = HeaderName::from_static("hookbox-batch");
/// A CloudEvent has to have a type.
const NO_TYPE: &str = "event";

/// One event of a batch.
#[derive(Serialize)]
struct BatchElement<'a> {
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
    data: Option<EventData<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    data_base64: Option<String>,
    /// Where the event stands in a trace: as CloudEvents' extension has it.
    #[serde(skip_serializing_if = "Option::is_none")]
    traceparent: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tracestate: Option<String>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum EventData<'a> {
    Json(Cow<'a, RawValue>),
    Text(&'a str),
}

impl Message {
    /// Several events, as an endpoint's batches are written. Whatever one of them holds, the others
    /// are written.
    pub fn of_batch(batch: BatchId, format: BatchFormat, events: &[Arc<Event>]) -> Self {
        let mut body = Vec::with_capacity(events.iter().map(|event| event.body.len() + 256).sum());
        let (open, between, close, kind) = match format {
            BatchFormat::Json => ("[", ",", "]", "application/json"),
            BatchFormat::Ndjson => ("", "\n", "\n", "application/x-ndjson"),
            BatchFormat::Cloudevents => {
                ("[", ",", "]", "application/cloudevents-batch+json; charset=utf-8")
            }
        };

        body.extend_from_slice(open.as_bytes());
        for (number, event) in events.iter().enumerate() {
            if number > 0 {
                body.extend_from_slice(between.as_bytes());
            }
            let begin = body.len();
            if serde_json::to_writer(&mut body, &element(event, format)).is_err() {
                body.truncate(begin);
                // Text and numbers alone: this is always written.
                let bare = BatchElement {
                    data: None,
                    data_base64: base64_body(event),
                    ..element(event, format)
                };
                let _ = serde_json::to_writer(&mut body, &bare);
            }
        }
        body.extend_from_slice(close.as_bytes());

        let mut message = Self::new(batch.to_string(), body.into(), HeaderValue::from_static(kind));
        message.headers.push((HOOKBOX_BATCH, HeaderValue::from(events.len())));
        // The response has to be read, and a compressed one is not.
        message.headers.push((ACCEPT_ENCODING, HeaderValue::from_static("identity")));

        let source = events.first().map(|event| event.source_name.clone()).unwrap_or_default();
        if events.iter().all(|event| event.source_name == source) {
            message.source = source;
        }
        message.trace = common_trace(events);
        message.hops = events.iter().map(|event| event.hops()).max().unwrap_or(0);
        message
    }
}

/// The trace that all of them belong to. A request has one parent: where they belong to several
/// traces, or to none, it begins none.
fn common_trace(events: &[Arc<Event>]) -> Option<TraceContext> {
    let last = TraceContext::of(events.last()?)?;
    let is_same = |event: &Arc<Event>| {
        TraceContext::of(event).is_some_and(|trace| trace.trace_id() == last.trace_id())
    };
    events.iter().all(is_same).then_some(last)
}

/// The body of an event as base64.
fn base64_body(event: &Event) -> Option<String> {
    (!event.body.is_empty()).then(|| STANDARD.encode(&event.body))
}

/// One event, in the given format.
fn element(event: &Event, format: BatchFormat) -> BatchElement<'_> {
    let cloud = format == BatchFormat::Cloudevents;
    let content_type =
        event.header("content-type").map(|value| String::from_utf8_lossy(value).into_owned());
    // Compressed bytes are not text, whatever the content type says.
    let plain = event.header("content-encoding").is_none();
    let text = std::str::from_utf8(&event.body).ok().filter(|_| plain);
    let json = text.and_then(|text| serde_json::from_str::<&RawValue>(text).ok());
    let is_odd = json.is_some_and(|json| !is_widely_read(json.get().as_bytes()));

    // A line is a line. No string of JSON holds a raw line break, so each stands between tokens, as
    // a space does.
    let json = match json {
        Some(json) if format == BatchFormat::Ndjson && json.get().contains(['\n', '\r']) => {
            RawValue::from_string(json.get().replace(['\n', '\r'], " ")).ok().map(Cow::Owned)
        }
        json => json.map(Cow::Borrowed),
    };
    let is_text =
        content_type.as_ref().is_none_or(|kind| kind.starts_with("text/") || kind.contains("json"));
    let (data, data_base64) = match (
        json.filter(|_| !is_odd),
        text.filter(|_| is_text && !is_odd && !event.body.is_empty()),
    ) {
        (Some(json), _) => (Some(EventData::Json(json)), None),
        (None, Some(text)) => (Some(EventData::Text(text)), None),
        (None, None) => (None, base64_body(event)),
    };

    // Where it began, and for an event that does not say, the request that it came with.
    let trace = TraceContext::of_origin(&event.headers, &event.body)
        .or_else(|| TraceContext::of_request(&event.headers));
    let tracestate = trace.as_ref().and_then(|trace| trace.state().map(str::to_owned));

    BatchElement {
        specversion: cloud.then_some("1.0"),
        id: event.webhook_id().to_string(),
        kind: if cloud && event.kind.is_empty() { NO_TYPE } else { &event.kind },
        source: &event.source_name,
        time: rfc3339(event.received_at),
        datacontenttype: content_type.filter(|_| cloud),
        data,
        data_base64,
        traceparent: trace.map(|trace| trace.parent()),
        tracestate,
    }
}

#[cfg(test)]
mod tests {
    use base64::Engine;
    use base64::engine::general_purpose::STANDARD;
    use serde_json::{Value, json};

    use super::Message;
    use crate::model::{BatchFormat, BatchId, Event, EventId};
    use crate::outbound::batch::testing::mixed;

    fn written(format: BatchFormat) -> (String, String) {
        let message = Message::of_batch(BatchId { seq: 9, part: 0 }, format, &mixed());
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
        assert_eq!(
            (&all[0]["source"], &all[0]["time"]),
            (&json!("s"), &json!("1970-01-01T00:00:00.000Z"))
        );
    }

    #[test]
    fn json_that_breaks_parsers_goes_as_base64() {
        let mut events = mixed();
        let deep = format!("{}{}", "[".repeat(1000), "]".repeat(1000));
        let odd = [deep, "{\"n\": 1e999}".to_owned(), "[\"\\ud800\"]".to_owned()];
        for (at, body) in odd.iter().enumerate() {
            let event = Event { body: body.clone().into(), ..(*events[at]).clone() };
            events[at] = event.into();
        }

        for format in [BatchFormat::Json, BatchFormat::Cloudevents] {
            let message = Message::of_batch(BatchId { seq: 9, part: 0 }, format, &events);
            let all: Vec<Value> = serde_json::from_slice(&message.body).expect("it is read");
            for (element, body) in all.iter().zip(&odd) {
                assert_eq!(element["data_base64"], STANDARD.encode(body));
                assert!(element.get("data").is_none(), "{element}");
            }
        }
    }

    #[test]
    fn a_line_of_ndjson_is_a_line() {
        let (kind, body) = written(BatchFormat::Ndjson);
        assert_eq!(kind, "application/x-ndjson");
        assert_eq!(body.lines().count(), 4);
        for line in body.lines() {
            serde_json::from_str::<Value>(line).expect("each is JSON");
        }
        assert!(
            body.contains("\"data\":{\"n\": 1.50,  \"n\": 2}"),
            "JSON on one line, else as it came: {body}"
        );
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
}
