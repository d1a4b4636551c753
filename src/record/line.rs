//! An event as a line of JSON: what `log export` and `log salvage` write and `log import` takes.
//!
//! A line holds the whole event, bit for bit, and the states of its deliveries. Unknown fields are
//! ignored, so that later versions may add some.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::model::time::{parse_wall, rfc3339};
use crate::model::{Event, EventId, Header};

/// One event. `what` is `event` in a file that holds other lines as well.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EventLine {
    #[serde(default)]
    pub what: String,
    /// The id that its receivers know it by.
    pub id: String,
    pub source: String,
    #[serde(default, rename = "type")]
    pub kind: String,
    /// RFC 3339.
    pub received_at: String,
    #[serde(default)]
    pub dedupe_key: Option<String>,
    #[serde(default)]
    pub request_line: String,
    #[serde(default)]
    pub remote: String,
    /// Names and values; a value that is not UTF-8 is `{"base64": …}`.
    #[serde(default)]
    pub headers: Vec<(String, Value)>,
    #[serde(default)]
    pub from_provider: bool,
    #[serde(default)]
    pub body_base64: String,
    #[serde(default)]
    pub deliveries: Vec<DeliveryLine>,
}

/// The state of one of its deliveries.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeliveryLine {
    /// The endpoint's name.
    pub endpoint: String,
    /// Named as in `delivery list`.
    pub state: String,
    /// How it died, when it is dead.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dead_letter: Option<DeadLetterLine>,
}

/// How a delivery died.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeadLetterLine {
    #[serde(default)]
    pub attempts: u32,
    /// RFC 3339.
    #[serde(default)]
    pub died_at: Option<String>,
    #[serde(default)]
    pub reason: String,
}

impl DeliveryLine {
    /// Whether it had not ended: an import delivers it.
    #[must_use]
    pub fn waits(&self) -> bool {
        matches!(self.state.as_str(), "pending" | "in_flight" | "held")
    }

    /// Whether it is a dead letter: an import keeps it as one.
    #[must_use]
    pub fn is_dead(&self) -> bool {
        self.state == "dead"
    }
}

impl EventLine {
    #[must_use]
    pub fn new(event: &Event, deliveries: Vec<DeliveryLine>) -> Self {
        let value = |header: &Header| match std::str::from_utf8(&header.value) {
            Ok(text) => Value::from(text),
            Err(_) => serde_json::json!({ "base64": STANDARD.encode(&header.value) }),
        };

        Self {
            what: "event".to_owned(),
            id: event.webhook_id().to_string(),
            source: event.source_name.clone(),
            kind: event.kind.clone(),
            received_at: rfc3339(event.received_at),
            dedupe_key: event.dedupe_key.clone(),
            request_line: event.request_line.clone(),
            remote: event.remote.clone(),
            headers: event
                .headers
                .iter()
                .map(|header| (header.name.clone(), value(header)))
                .collect(),
            from_provider: event.from_provider,
            body_base64: STANDARD.encode(&event.body),
            deliveries,
        }
    }

    /// The event. Its own number and its source's number are not filled in.
    ///
    /// # Errors
    /// Names the field that is malformed.
    pub fn event(&self) -> Result<Event, String> {
        let first_id: EventId = self.id.parse().map_err(|e| format!("'id': {e}"))?;
        let received_at = parse_wall(&self.received_at).ok_or_else(|| {
            format!("'received_at': '{}' is not an RFC 3339 time", self.received_at)
        })?;
        let decode = |what: &str, text: &str| {
            STANDARD.decode(text).map_err(|e| format!("'{what}' is not base64: {e}"))
        };

        // A value is text, or base64 where it is not UTF-8.
        let header = |(name, value): &(String, Value)| {
            let bytes = match value {
                Value::String(text) => text.clone().into_bytes(),
                other => decode(
                    "headers",
                    other["base64"]
                        .as_str()
                        .ok_or("'headers': a value is neither text nor base64")?,
                )?,
            };
            Ok(Header::new(name.clone(), bytes))
        };

        Ok(Event {
            id: EventId { seq: 0, tag: 0 },
            source: 0,
            source_name: self.source.clone(),
            kind: self.kind.clone(),
            received_at,
            dedupe_key: self.dedupe_key.clone(),
            request_line: self.request_line.clone(),
            remote: self.remote.clone(),
            headers: self.headers.iter().map(header).collect::<Result<_, String>>()?,
            body: decode("body_base64", &self.body_base64)?.into(),
            from_provider: self.from_provider,
            first_id: Some(first_id),
        })
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::{DeliveryLine, EventLine};
    use crate::model::{Event, EventId, Header};

    #[test]
    fn an_event_reads_back_as_it_was_written() {
        let event = Event {
            id: EventId { seq: 7, tag: 9 },
            source: 3,
            source_name: "in".into(),
            kind: "a.b".into(),
            received_at: 1_700_000_000_123,
            dedupe_key: Some("k".into()),
            request_line: "POST /in/in?x=1".into(),
            remote: "127.0.0.1:1".into(),
            headers: vec![
                Header::new("a", "1"),
                Header::new("a", "2"),
                Header::new("b", &b"\xff\x00"[..]),
            ],
            body: Bytes::from_static(b"\x00\xffbody"),
            from_provider: true,
            first_id: None,
        };
        let deliveries =
            vec![DeliveryLine { endpoint: "app".into(), state: "held".into(), dead_letter: None }];
        let text = serde_json::to_string(&EventLine::new(&event, deliveries)).expect("writes");
        let line: EventLine = serde_json::from_str(&text).expect("reads");
        assert!(line.deliveries[0].waits());

        let back = line.event().expect("reads");
        assert_eq!(back.webhook_id(), event.id, "receivers see the same id");
        assert_eq!(Event { id: event.id, source: 3, first_id: None, ..back }, event);
    }

    #[test]
    fn a_malformed_field_is_named() {
        let line = |id: &str, at: &str, body: &str| {
            let line = serde_json::json!({
                "id": id, "source": "s", "received_at": at, "body_base64": body, "new": 1,
            });
            serde_json::from_value::<EventLine>(line).expect("reads").event()
        };
        let id = EventId { seq: 1, tag: 1 }.to_string();
        assert!(line(&id, "2026-01-01T00:00:00Z", "").is_ok());

        for (got, word) in [
            (line("x", "2026-01-01T00:00:00Z", ""), "'id'"),
            (line(&id, "noon", ""), "'received_at'"),
            (line(&id, "7", "*"), "'body_base64'"),
        ] {
            assert!(got.expect_err("refused").contains(word));
        }
    }
}
