//! What a consumer promises for what is taken from it.

use async_nats::jetstream::consumer::{AckPolicy, pull};
use async_nats::jetstream::stream::{Config as StreamConfig, RetentionPolicy};

use super::finding::{Finding, Findings, Weight, limit};
use super::stored::{KnownSync, room, storage};
use crate::model::{size, time};
use crate::nats::part::BoxPart;

/// What is known of a consumer.
#[derive(Clone, Debug)]
pub struct InFacts {
    /// The part of the stream that is this box's.
    pub part: Option<BoxPart>,
    /// Which other box made the consumer of that part.
    pub other_box: Option<String>,
    pub sync: KnownSync,
    pub max_payload: u64,
    /// The largest body of the source.
    pub max_body: u64,
    pub dedupe_window_ms: u64,
}

/// What a consumer promises for what is taken from it.
#[must_use]
pub fn of_consumer(
    stream: &StreamConfig,
    consumer: &pull::Config,
    facts: &InFacts,
) -> Vec<Finding> {
    let mut found = Findings::default();
    storage(&mut found, stream, &facts.sync);
    room(&mut found, stream);
    giving(&mut found, consumer);
    if stream.retention != RetentionPolicy::Limits {
        let text = "retention is not limits: a message that is given up leaves the stream, too";
        found.add(Weight::Weak, text);
    }

    let most = limit(stream.max_message_size).unwrap_or(facts.max_payload).min(facts.max_payload);
    if most > facts.max_body {
        let text = format!(
            "messages may have {}, the source takes bodies of {}: larger ones are given up; raise \
             --max-body",
            size::format_bytes(most),
            size::format_bytes(facts.max_body)
        );
        found.add(Weight::Weak, text);
    }
    repetition(&mut found, facts);
    if let Some(part) = facts.part {
        is_a_part(&mut found, stream, consumer, part, facts.other_box.as_deref());
    }
    found.0
}

/// Whether the consumer gives each message, until it is acknowledged.
fn giving(found: &mut Findings, consumer: &pull::Config) {
    if consumer.ack_policy != AckPolicy::Explicit {
        let text = "ack_policy is not explicit: messages would count as taken that hookbox has \
                    not stored";
        found.add(Weight::Broken, text);
    }
    if consumer.headers_only {
        found.add(Weight::Broken, "the consumer delivers headers only: bodies would be lost");
    }

    if consumer.max_deliver > 0 {
        let text = format!(
            "max_deliver is {}: a message that a box does not take so often, for instance \
             because it is away, is given up; set it to -1",
            consumer.max_deliver
        );
        found.add(Weight::Weak, text);
    }
    if consumer.memory_storage {
        let text = "the consumer is kept in memory: when its server ends, messages come again";
        found.add(Weight::Weak, text);
    }
    if !consumer.inactive_threshold.is_zero() {
        let after = u64::try_from(consumer.inactive_threshold.as_millis()).unwrap_or(u64::MAX);
        let text = format!(
            "inactive_threshold is {}: when no box asks for so long, the server deletes the \
             consumer and forgets what was taken; set it to 0",
            time::format_duration_ms(after)
        );
        found.add(Weight::Weak, text);
    }
}

/// What becomes of a message that comes again.
fn repetition(found: &mut Findings, facts: &InFacts) {
    if facts.dedupe_window_ms == 0 {
        let text = "--dedupe-window of the source is 0: a message that comes again is one more \
                    event";
        return found.add(Weight::Weak, text);
    }

    let window = time::format_duration_ms(facts.dedupe_window_ms);
    let text = format!("a message that comes again within {window} is the same event");
    match facts.part {
        Some(part) => {
            found.add(Weight::Note, format!("{text}: it comes to this box (part {part})"));
        }
        None => found.add(
            Weight::Weak,
            format!(
                "{text} at this box alone: another box of this consumer does not know it, and has \
                 one more event when a box, its bridge or the server dies in between; give each \
                 box a part (part = \"1/3\"), or part = \"1/1\" where this box takes all"
            ),
        ),
    }
}

/// Why the stream has no such part: it has to number its messages.
#[must_use]
pub fn lacks_part(stream: &StreamConfig, part: BoxPart) -> Option<String> {
    let transform = stream.subject_transform.as_ref();
    let destination = transform.map_or("", |transform| transform.destination.as_str());
    let is_there = part.is_made_by(destination);
    (!is_there).then(|| {
        let (stream, example) = (&stream.name, part.example());
        format!("{stream} does not number the parts that {part} is one of: give it {example}")
    })
}

/// Whether the messages of a part come to one box, and each message is in a part.
fn is_a_part(
    found: &mut Findings,
    stream: &StreamConfig,
    consumer: &pull::Config,
    part: BoxPart,
    other_box: Option<&str>,
) {
    if let Some(text) = lacks_part(stream, part) {
        found.add(Weight::Broken, text);
    }
    let filters = filters(consumer);
    let is_part = !filters.is_empty() && filters.iter().all(|filter| part.is_of(filter));
    if !is_part && !part.is_all() {
        let wanted = part.filters(&[]).join(", ");
        let text = format!("the consumer takes {filters:?} and has to take {wanted}, or of it");
        found.add(Weight::Broken, text);
    }
    if let Some(other) = other_box {
        let text = format!(
            "the consumer was made by {other}: two boxes that take the same part can both make an \
             event of a message; one that replaces {other} for good takes over its name (box), too"
        );
        found.add(Weight::Weak, text);
    }
}

/// The subjects that a consumer takes; none where it takes all.
#[must_use]
pub fn filters(consumer: &pull::Config) -> Vec<String> {
    let one = Some(&consumer.filter_subject).filter(|filter| !filter.is_empty());
    one.into_iter().chain(&consumer.filter_subjects).cloned().collect()
}
