//! Events in the JSON format of CloudEvents 1.0:
//! <https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/formats/json-format.md>.
//!
//! Three extension attributes hold the names of endpoints, with commas between them: `hookboxdue`
//! those that the event still has to be delivered to, `hookboxdead` those of which it is a dead
//! letter, and `hookboxended` the others.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::record::line::{DeliveryLine, EventLine};

/// The type of an event without one: CloudEvents does not allow an empty type.
const NO_TYPE: &str = "hookbox.event";

pub(super) fn to_cloud_event(line: EventLine) -> Value {
    let endpoints = |which: &dyn Fn(&DeliveryLine) -> bool| {
        let names = line.deliveries.iter().filter(|d| which(d)).map(|d| d.endpoint.as_str());
        names.collect::<Vec<_>>().join(",")
    };

    let mut event = json!({
        "specversion": "1.0",
        "id": line.id,
        "source": format!("/in/{}", line.source),
        "type": if line.kind.is_empty() { NO_TYPE } else { &line.kind },
        "time": line.received_at,
        "hookboxdue": endpoints(&DeliveryLine::waits),
        "hookboxdead": endpoints(&DeliveryLine::is_dead),
        "hookboxended": endpoints(&|delivery| !delivery.waits() && !delivery.is_dead()),
        "data_base64": line.body_base64,
    });
    let mut headers = line.headers.into_iter();
    if let Some((_, content_type)) = headers.find(|(name, _)| name == "content-type") {
        event["datacontenttype"] = content_type;
    }
    event
}

/// The line of an export that corresponds to a CloudEvent; `None` when it is none.
///
/// # Errors
/// When an attribute is invalid: it would be lost silently.
pub(super) fn from_cloud_event(event: &Value) -> Result<Option<EventLine>, String> {
    match &event["specversion"] {
        Value::Null => return Ok(None),
        Value::String(version) if version == "1.0" => {}
        other => return Err(format!("specversion must be \"1.0\", not {other}")),
    }
    for attribute in ["id", "source", "type", "time"] {
        if !event[attribute].is_string() {
            return Err(format!("{attribute} must be a string"));
        }
    }

    let text = |field: &str| event[field].as_str().unwrap_or_default();
    let kind = text("type");
    let content_type = event.get("datacontenttype");
    Ok(Some(EventLine {
        what: "event".to_owned(),
        id: text("id").to_owned(),
        source: text("source").rsplit('/').next().unwrap_or_default().to_owned(),
        kind: if kind == NO_TYPE { String::new() } else { kind.to_owned() },
        received_at: text("time").to_owned(),
        dedupe_key: None,
        request_line: String::new(),
        remote: String::new(),
        headers: content_type
            .map(|value| ("content-type".to_owned(), value.clone()))
            .into_iter()
            .collect(),
        from_provider: false,
        body_base64: body_of(event)?,
        deliveries: deliveries_of(event)?,
    }))
}

/// The body in base64: `data_base64`, or else the text of `data`.
fn body_of(event: &Value) -> Result<String, String> {
    if !matches!(event["data_base64"], Value::Null | Value::String(_)) {
        return Err("data_base64 must be a string".to_owned());
    }
    if event.get("data").is_some() && event.get("data_base64").is_some() {
        return Err("data and data_base64 exclude each other".to_owned());
    }

    Ok(match (&event["data_base64"], &event["data"]) {
        (Value::String(encoded), _) => encoded.clone(),
        (_, Value::Null) => String::new(),
        (_, data) => STANDARD.encode(data.to_string()),
    })
}

fn deliveries_of(event: &Value) -> Result<Vec<DeliveryLine>, String> {
    let attributes =
        [("hookboxdue", "pending"), ("hookboxdead", "dead"), ("hookboxended", "delivered")];

    let mut deliveries = Vec::new();
    for (attribute, state) in attributes {
        let names = match &event[attribute] {
            Value::Null => "",
            Value::String(names) => names,
            _ => {
                let expected = "names of endpoints with commas between them";
                return Err(format!("{attribute} must be a string: {expected}"));
            }
        };
        let names = names.split(',').filter(|name| !name.is_empty());
        deliveries.extend(names.map(|name| DeliveryLine {
            endpoint: name.to_owned(),
            state: state.to_owned(),
            dead_letter: None,
        }));
    }
    Ok(deliveries)
}
