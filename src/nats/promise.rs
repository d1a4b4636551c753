//! What is promised with these settings of the stream, the consumer and the server. Pure: facts in,
//! sentences out.

use std::fmt;
use std::time::Duration;

use async_nats::jetstream::consumer::{AckPolicy, pull};
use async_nats::jetstream::stream::{
    Config as StreamConfig, DiscardPolicy, PersistenceMode, RetentionPolicy, StorageType,
};

use super::part::BoxPart;
use super::template::covers;
use super::varz::SyncPolicy;
use crate::model::{size, time};

/// What headers take beside a body, about.
const HEADER_ROOM: u64 = 4 << 10;

/// How much a finding matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Weight {
    /// It is so, and as good as it can be.
    Note,
    /// Something that was acknowledged can be lost, or stored twice.
    Weak,
    /// It cannot work so.
    Broken,
}

/// One sentence of the promise.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    pub weight: Weight,
    pub text: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let weight = match self.weight {
            Weight::Note => "promise",
            Weight::Weak => "weaker",
            Weight::Broken => "impossible",
        };
        write!(f, "{weight}: {}", self.text)
    }
}

/// What else is known of a stream.
#[derive(Clone, Debug)]
pub struct OutFacts {
    /// The subjects that the route publishes to, with wildcards.
    pub pattern: String,
    /// By the server's monitoring port; `None` where none is configured, else why it is not known.
    pub sync: Option<Result<SyncPolicy, String>>,
    /// The largest message that the server takes.
    pub max_payload: u64,
    /// The largest body of the sources that the endpoint takes events from.
    pub max_body: u64,
    /// The longest time between two attempts of one delivery.
    pub horizon_ms: u64,
}

/// What is known of a consumer.
#[derive(Clone, Debug)]
pub struct InFacts {
    /// The part of the stream that is this box's.
    pub part: Option<BoxPart>,
    /// Which other box made the consumer of that part.
    pub other_box: Option<String>,
    pub max_payload: u64,
    /// The largest body of the source.
    pub max_body: u64,
    pub dedupe_window_ms: u64,
}

#[derive(Default)]
struct Findings(Vec<Finding>);

impl Findings {
    fn add(&mut self, weight: Weight, text: impl Into<String>) {
        self.0.push(Finding { weight, text: text.into() });
    }
}

/// What a stream promises for what is published to it.
#[must_use]
pub fn of_stream(stream: &StreamConfig, facts: &OutFacts) -> Vec<Finding> {
    let mut found = Findings::default();
    acceptance(&mut found, stream, &facts.pattern);
    storage(&mut found, stream, facts.sync.as_ref());
    repetition(&mut found, stream.duplicate_window, facts.horizon_ms);
    room(&mut found, stream);

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

/// What survives what.
fn storage(found: &mut Findings, stream: &StreamConfig, sync: Option<&Result<SyncPolicy, String>>) {
    if stream.storage == StorageType::Memory {
        let text = "storage is memory: what is acknowledged is lost when its servers end; use file";
        return found.add(Weight::Weak, text);
    }
    if stream.persist_mode == Some(PersistenceMode::Async) {
        let text = "persist_mode is async: it is acknowledged before it is stored";
        found.add(Weight::Weak, text);
    }

    let replicas = stream.num_replicas.max(1);
    let all_of = if replicas == 1 {
        "the server".to_owned()
    } else {
        format!("most of its {replicas} replicas at the same time")
    };
    let lost = |what: &str| {
        format!("a power cut of {all_of} can lose {what} acknowledged; set sync_interval: always")
    };
    match sync {
        Some(Ok(SyncPolicy::Always)) => {
            found.add(Weight::Note, "each message is synced to disk before it is acknowledged");
        }
        Some(Ok(SyncPolicy::EachMs(ms))) => {
            let text = lost(&format!("the last {} that were", time::format_duration_ms(*ms)));
            found.add(Weight::Weak, format!("sync_interval: {text}"));
        }
        Some(Err(why)) => {
            let text = lost("what was last");
            found.add(Weight::Weak, format!("sync_interval is not known ({why}): {text}"));
        }
        None => {
            let text = lost("what was last (by default of two minutes)");
            let text = format!("sync_interval is not known, for monitoring is not set: {text}");
            found.add(Weight::Weak, text);
        }
    }
    match replicas {
        1 => found.add(Weight::Note, "one replica: the stream is lost with the disk of its server"),
        n => {
            found.add(Weight::Note, format!("{n} replicas: the stream survives the loss of a disk"))
        }
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

/// What goes, and what is refused, when there is no room.
fn room(found: &mut Findings, stream: &StreamConfig) {
    let bounds = [
        limit(stream.max_messages).map(|n| format!("max_msgs {n}")),
        limit(stream.max_bytes).map(|n| format!("max_bytes {}", size::format_bytes(n))),
        limit(stream.max_messages_per_subject).map(|n| format!("max_msgs_per_subject {n}")),
    ];
    let bounds: Vec<String> = bounds.into_iter().flatten().collect();
    match (bounds.as_slice(), stream.discard) {
        ([], _) => found.add(
            Weight::Note,
            "the stream has no bound of its own: what its server's disk cannot take is refused, \
             and tried again",
        ),
        (bounds, DiscardPolicy::New) => {
            let text =
                format!("at {} new messages are refused, and tried again", bounds.join(", "));
            found.add(Weight::Note, text);
        }
        (bounds, _) => {
            let text = format!(
                "at {} the oldest messages are dropped, consumed or not; discard: new refuses \
                 new ones instead, which hookbox keeps",
                bounds.join(", ")
            );
            found.add(Weight::Weak, text);
        }
    }

    if !stream.max_age.is_zero() {
        let age = u64::try_from(stream.max_age.as_millis()).unwrap_or(u64::MAX);
        let text = format!(
            "messages are dropped after {}, consumed or not",
            time::format_duration_ms(age)
        );
        found.add(Weight::Note, text);
    }
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
}

/// What a consumer promises for what is taken from it.
#[must_use]
pub fn of_consumer(
    stream: &StreamConfig,
    consumer: &pull::Config,
    facts: &InFacts,
) -> Vec<Finding> {
    let mut found = Findings::default();
    if consumer.ack_policy != AckPolicy::Explicit {
        let text = "ack_policy is not explicit: messages would count as taken that hookbox has \
                    not stored";
        found.add(Weight::Broken, text);
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
    if consumer.headers_only {
        found.add(Weight::Broken, "the consumer delivers headers only: bodies would be lost");
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
    let window = time::format_duration_ms(facts.dedupe_window_ms);
    let text = format!("a message that comes again within {window} is the same event");
    match facts.part {
        Some(part) => {
            found.add(Weight::Note, format!("{text}: it comes to this box (part {part})"));
            is_a_part(&mut found, stream, consumer, part, facts.other_box.as_deref());
        }
        None => found.add(
            Weight::Note,
            format!("{text} at this box; another one of this consumer would not know it (part)"),
        ),
    }
    found.0
}

/// Whether the messages of a part come to one box, and each message is in a part.
fn is_a_part(
    found: &mut Findings,
    stream: &StreamConfig,
    consumer: &pull::Config,
    part: BoxPart,
    other_box: Option<&str>,
) {
    let transform = stream.subject_transform.as_ref();
    if !transform.is_some_and(|transform| part.is_made_by(&transform.destination)) {
        let text = format!(
            "{} does not number the parts that {part} is one of: give it {}",
            stream.name,
            part.example()
        );
        found.add(Weight::Broken, text);
    }

    let filters = filters(consumer);
    if filters.is_empty() || !filters.iter().all(|filter| part.is_of(filter)) {
        let wanted = part.filters(&[]).join(", ");
        let text = format!("the consumer takes {filters:?} and has to take {wanted}, or of it");
        found.add(Weight::Broken, text);
    }
    if let Some(other) = other_box {
        let text = format!(
            "the consumer was made by {other}: two boxes that take the same part can both make an \
             event of a message"
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

/// A bound of the server, where -1 and 0 are none.
fn limit(given: impl TryInto<u64>) -> Option<u64> {
    given.try_into().ok().filter(|given| *given > 0)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use async_nats::jetstream::consumer::{AckPolicy, pull};
    use async_nats::jetstream::stream::{
        Config, DiscardPolicy, RetentionPolicy, StorageType, SubjectTransform,
    };

    use super::{InFacts, OutFacts, SyncPolicy, Weight, of_consumer, of_stream};

    fn good() -> (Config, OutFacts) {
        let stream = Config {
            name: "HOOKS".to_owned(),
            subjects: vec!["hooks.>".to_owned()],
            storage: StorageType::File,
            discard: DiscardPolicy::New,
            max_bytes: 1 << 30,
            num_replicas: 3,
            duplicate_window: Duration::from_secs(7_200),
            ..Config::default()
        };
        let facts = OutFacts {
            pattern: "hooks.box.*.*".to_owned(),
            sync: Some(Ok(SyncPolicy::Always)),
            max_payload: 8 << 20,
            max_body: 1 << 20,
            horizon_ms: 3_700_000,
        };
        (stream, facts)
    }

    /// The worst, and all of that weight.
    fn worst(stream: &Config, facts: &OutFacts) -> (Weight, String) {
        let found = of_stream(stream, facts);
        let worst = found.iter().map(|finding| finding.weight).max().expect("some");
        let texts: Vec<String> = found
            .iter()
            .filter(|finding| finding.weight == worst)
            .map(ToString::to_string)
            .collect();
        (worst, texts.join("; "))
    }

    #[test]
    fn a_stream_that_keeps_all_has_no_weakness() {
        let (stream, facts) = good();
        assert_eq!(worst(&stream, &facts).0, Weight::Note);
    }

    #[test]
    fn each_weakness_is_named() {
        type Change = fn(&mut Config, &mut OutFacts);
        let cases: [(Change, Weight, &str); 14] = [
            (|s, _| s.storage = StorageType::Memory, Weight::Weak, "storage is memory"),
            (|_, f| f.sync = None, Weight::Weak, "sync_interval is not known"),
            (|_, f| f.sync = Some(Err("away".into())), Weight::Weak, "(away)"),
            (
                |_, f| f.sync = Some(Ok(SyncPolicy::EachMs(120_000))),
                Weight::Weak,
                "the last 2m that were",
            ),
            (|s, _| s.duplicate_window = Duration::from_secs(120), Weight::Weak, "stored twice"),
            (|s, _| s.discard = DiscardPolicy::Old, Weight::Weak, "the oldest messages"),
            (|s, _| s.retention = RetentionPolicy::Interest, Weight::Weak, "not kept"),
            (|s, _| s.max_message_size = 1 << 20, Weight::Weak, "becomes a dead letter"),
            (|_, f| f.max_payload = 1 << 20, Weight::Weak, "becomes a dead letter"),
            (|s, _| s.no_ack = true, Weight::Broken, "no_ack"),
            (|s, _| s.sealed = true, Weight::Broken, "sealed"),
            (
                |s, _| s.mirror = Some(async_nats::jetstream::stream::Source::default()),
                Weight::Broken,
                "mirror",
            ),
            (|s, _| s.subjects = vec!["hooks.*".into()], Weight::Broken, "not all of"),
            (|_, f| f.pattern = "other.*".into(), Weight::Broken, "not all of other.*"),
        ];

        for (change, weight, part) in cases {
            let (mut stream, mut facts) = good();
            change(&mut stream, &mut facts);
            let (found, text) = worst(&stream, &facts);
            assert!(found == weight && text.contains(part), "{part}: {found:?} {text}");
        }
    }

    #[test]
    fn a_consumer_that_gives_up_is_named() {
        let (stream, _) = good();
        let facts = facts();
        let consumer = pull::Config {
            ack_policy: AckPolicy::Explicit,
            max_deliver: -1,
            ..pull::Config::default()
        };
        let worst = |consumer: &pull::Config, facts: &InFacts| {
            let found = of_consumer(&stream, consumer, facts);
            found.iter().map(|finding| finding.weight).max().expect("some")
        };
        assert_eq!(worst(&consumer, &facts), Weight::Note);
        let none = pull::Config { ack_policy: AckPolicy::None, ..consumer.clone() };
        assert_eq!(worst(&none, &facts), Weight::Broken);
        let five = pull::Config { max_deliver: 5, ..consumer.clone() };
        assert_eq!(worst(&five, &facts), Weight::Weak);
        let small = InFacts { max_body: 1 << 10, ..facts };
        assert_eq!(worst(&consumer, &small), Weight::Weak);
    }

    fn facts() -> InFacts {
        InFacts {
            part: None,
            other_box: None,
            max_payload: 1 << 20,
            max_body: 2 << 20,
            dedupe_window_ms: 3_000,
        }
    }

    #[test]
    fn a_part_needs_a_stream_that_numbers_them_and_one_box() {
        let stream = |destination: Option<&str>| Config {
            subject_transform: destination.map(|destination| SubjectTransform {
                source: "jobs.>".to_owned(),
                destination: destination.to_owned(),
            }),
            ..good().0
        };
        let consumer = |filter: &str| pull::Config {
            ack_policy: AckPolicy::Explicit,
            max_deliver: -1,
            filter_subject: filter.to_owned(),
            ..pull::Config::default()
        };
        let facts = InFacts { part: Some("2/3".parse().expect("a part")), ..facts() };
        let other = InFacts { other_box: Some("box-9".to_owned()), ..facts.clone() };

        let made = "{{random(3)}}.jobs.>";
        for (destination, filter, facts, weight, part) in [
            (Some(made), "1.>", &facts, Weight::Note, "it comes to this box (part 2/3)"),
            (Some(made), "1.>", &other, Weight::Weak, "was made by box-9"),
            (Some(made), "0.>", &facts, Weight::Broken, "has to take 1.>"),
            (Some(made), "", &facts, Weight::Broken, "has to take 1.>"),
            (Some("{{random(2)}}.jobs.>"), "1.>", &facts, Weight::Broken, "{{random(3)}}.jobs.>"),
            (None, "1.>", &facts, Weight::Broken, "does not number the parts"),
        ] {
            let found = of_consumer(&stream(destination), &consumer(filter), facts);
            let worst = found.iter().max_by_key(|finding| finding.weight).expect("some");
            assert!(
                worst.weight == weight && worst.text.contains(part),
                "{destination:?} {filter}: {worst}"
            );
        }
    }
}
