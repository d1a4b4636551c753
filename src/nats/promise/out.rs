//! What a stream promises for what is published to it.

use std::time::Duration;

use async_nats::jetstream::stream::{Config as StreamConfig, RetentionPolicy};

use super::finding::{Finding, Findings, Weight, limit};
use super::stored::{KnownSync, room, storage};
use crate::model::{size, time};
use crate::nats::template::covers;

/// What headers take beside a body, about.
const HEADER_ROOM: u64 = 4 << 10;

/// What else is known of a stream.
#[derive(Clone, Debug)]
pub struct OutFacts {
    /// The subjects that the route publishes to, with wildcards.
    pub pattern: String,
    pub sync: KnownSync,
    /// The largest message that the server takes.
    pub max_payload: u64,
    /// The largest body of the sources that the endpoint takes events from.
    pub max_body: u64,
    /// The longest time between two attempts of one delivery.
    pub horizon_ms: u64,
}

/// What a stream promises for what is published to it.
#[must_use]
pub fn of_stream(stream: &StreamConfig, facts: &OutFacts) -> Vec<Finding> {
    let mut found = Findings::default();
    acceptance(&mut found, stream, &facts.pattern);
    storage(&mut found, stream, &facts.sync);
    repetition(&mut found, stream.duplicate_window, facts.horizon_ms);
    room(&mut found, stream);
    match stream.retention {
        RetentionPolicy::Interest => found.add(
            Weight::Weak,
            "retention is interest: what no consumer waits for is acknowledged and not kept",
        ),
        RetentionPolicy::WorkQueue => {
            found.add(Weight::Note, "retention is workqueue: what was consumed is dropped");
        }
        RetentionPolicy::Limits => {}
    }

    let most = limit(stream.max_message_size)
        .map_or(facts.max_payload, |most| most.min(facts.max_payload));
    if most < facts.max_body + HEADER_ROOM {
        found.add(
            Weight::Weak,
            format!(
                "the stream takes messages of {} with their headers, the sources bodies of up to \
                 {}: what is larger becomes a dead letter; raise max_msg_size and max_payload, or \
                 lower --max-body",
                size::format_bytes(most),
                size::format_bytes(facts.max_body)
            ),
        );
    }
    found.0
}

/// Whether the stream takes and acknowledges what is published.
fn acceptance(found: &mut Findings, stream: &StreamConfig, pattern: &str) {
    let name = &stream.name;
    if stream.no_ack {
        found.add(Weight::Broken, format!("{name} acknowledges nothing (no_ack)"));
    }
    if stream.sealed {
        found.add(Weight::Broken, format!("{name} is sealed: it takes nothing any more"));
    }
    if stream.mirror.is_some() {
        found.add(Weight::Broken, format!("{name} is a mirror: nothing can be published to it"));
    }
    if !stream.subjects.iter().any(|subject| covers(subject, pattern)) {
        let has = stream.subjects.join(", ");
        let text = format!("{name} takes {has}, and not all of {pattern}: change subject, or it");
        found.add(Weight::Broken, text);
    }
}

/// What is stored twice.
fn repetition(found: &mut Findings, window: Duration, horizon_ms: u64) {
    let window_ms = u64::try_from(window.as_millis()).unwrap_or(u64::MAX);
    let (window, horizon) =
        (time::format_duration_ms(window_ms), time::format_duration_ms(horizon_ms));
    if window_ms >= horizon_ms {
        let text = format!(
            "an event that is published again within {window} is stored once; hookbox waits at \
             most {horizon} between two attempts"
        );
        return found.add(Weight::Note, text);
    }
    let text = format!(
        "duplicate_window is {window}, and hookbox may wait {horizon} between two attempts: an \
         event whose acknowledgement was lost may be stored twice; raise the window, or lower \
         --retry-max of the endpoint"
    );
    found.add(Weight::Weak, text);
}
