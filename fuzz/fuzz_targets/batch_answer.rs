//! What a receiver answers to a batch: success is never read out of what names an event as failed,
//! and nobody fails who is not of the batch.
#![no_main]

use std::sync::Arc;

use bytes::Bytes;
use hookbox::model::{Event, EventId};
use hookbox::outbound::failed_events;
use libfuzzer_sys::fuzz_target;
use serde_json::Value;

fn events() -> Vec<Arc<Event>> {
    (1..=3)
        .map(|seq| {
            Arc::new(Event {
                id: EventId { seq, tag: 1 },
                source: 1,
                source_name: "s".into(),
                kind: "push".into(),
                received_at: 0,
                dedupe_key: None,
                request_line: String::new(),
                remote: String::new(),
                headers: Vec::new(),
                body: Bytes::new(),
                from_provider: false,
                first_id: None,
            })
        })
        .collect()
}

fuzz_target!(|data: &[u8]| {
    let Some((flags, given)) = data.split_first() else { return };
    let events = events();
    let ids: Vec<EventId> = events.iter().map(|event| event.webhook_id()).collect();
    // `$1` to `$3` are the ids, so that they need not be found by chance.
    let mut body = Vec::new();
    let mut rest = given;
    while let Some((byte, tail)) = rest.split_first() {
        rest = tail;
        match (byte, tail.first()) {
            (b'$', Some(digit @ b'1'..=b'3')) => {
                body.extend_from_slice(ids[usize::from(digit - b'1')].to_string().as_bytes());
                rest = &tail[1..];
            }
            _ => body.push(*byte),
        }
    }
    let is_whole = flags & 1 == 0;
    let coding = (flags & 2 != 0).then_some(&b"gzip"[..]);
    let kind = (flags & 4 != 0).then_some(&b"application/json"[..]);

    let output = failed_events(&body, is_whole, (coding, kind), &events);
    match &output {
        Ok(named) => assert!(named.iter().all(|id| ids.contains(id))),
        Err(why) => assert!(!why.is_empty() && why.chars().count() < 400, "{why}"),
    }
    if let Ok(Value::Object(object)) = serde_json::from_slice::<Value>(&body)
        && let Some(Value::Array(list)) = object.get("failed")
    {
        let id = |id: &Value| id.as_str()?.trim().parse().ok().filter(|id| ids.contains(id));
        let read: Option<Vec<EventId>> = list.iter().map(id).collect();
        match (&output, read) {
            (Ok(named), Some(read)) => assert_eq!(*named, read),
            (Ok(_), None) => panic!("a list that is not understood is no success"),
            (Err(_), _) => {}
        }
        assert!(is_whole || output.is_err(), "what was cut says nothing");
    }
});
