//! An event: one accepted webhook.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::{EventId, SourceId, WallMs};

/// One header field: the name in lower case, the value as its bytes came.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Header {
    pub name: String,
    pub value: Bytes,
}

impl Header {
    #[must_use]
    pub fn new(name: impl Into<String>, value: impl Into<Bytes>) -> Self {
        Self { name: name.into(), value: value.into() }
    }

    /// The value for people: bytes that are not UTF-8 are replaced.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.value).into_owned()
    }
}

/// One accepted webhook. Immutable.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    pub id: EventId,
    pub source: SourceId,
    /// The source's name when the event came, which outlives the source.
    pub source_name: String,
    /// The event's type (`push`, `invoice.paid`); empty when nobody said one.
    pub kind: String,
    pub received_at: WallMs,
    /// What the sender said of its own identity for this event; a repetition within the window is a duplicate.
    pub dedupe_key: Option<String>,
    /// Method, path and query as they came, e.g. `POST /in/github?x=1`.
    pub request_line: String,
    /// The address it came from, as text.
    pub remote: String,
    pub headers: Vec<Header>,
    /// Opaque, bit for bit.
    pub body: Bytes,
    /// Whether its source was a provider preset: then its headers go along by default.
    #[serde(default)]
    pub from_provider: bool,
    /// The id it was accepted under by the log that it was imported from; receivers go on seeing this one.
    #[serde(default)]
    pub first_id: Option<EventId>,
}

impl Event {
    /// Whether it is one of the daemon's own, from the built-in source `hookbox`.
    #[must_use]
    pub fn is_own(&self) -> bool {
        self.source == 0
    }

    /// The id that its receivers see, the same at every attempt and in every log.
    #[must_use]
    pub fn webhook_id(&self) -> EventId {
        self.first_id.unwrap_or(self.id)
    }

    /// The first header of that (lower-case) name.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&Bytes> {
        self.headers.iter().find(|h| h.name == name).map(|h| &h.value)
    }

    /// About how many bytes it takes in memory.
    #[must_use]
    pub fn cost(&self) -> usize {
        let headers: usize = self.headers.iter().map(|h| h.name.len() + h.value.len() + 64).sum();
        self.body.len() + headers + self.kind.len() + self.source_name.len() + 256
    }
}
