//! Events for the tests of batches.

use std::sync::Arc;

use bytes::Bytes;

use crate::model::{Event, EventId, Header};

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

/// JSON, text, bytes, and nothing.
pub fn mixed() -> Vec<Arc<Event>> {
    vec![
        event(1, "a", "application/json", b"{\"n\": 1.50,\n \"n\": 2}"),
        event(2, "", "text/plain", "grüß".as_bytes()),
        event(3, "c", "image/png", &[0xff, 0, 1]),
        event(4, "d", "application/json", b""),
    ]
}
