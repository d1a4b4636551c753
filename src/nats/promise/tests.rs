//! What is said of which settings.

use std::time::Duration;

use async_nats::jetstream::consumer::{AckPolicy, pull};
use async_nats::jetstream::stream::{
    Config, DiscardPolicy, RetentionPolicy, StorageType, SubjectTransform,
};

use super::{InFacts, OutFacts, Weight, of_consumer, of_stream};
use crate::nats::varz::SyncPolicy;

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
    let texts: Vec<String> =
        found.iter().filter(|finding| finding.weight == worst).map(ToString::to_string).collect();
    (worst, texts.join("; "))
}

#[test]
fn a_stream_that_keeps_all_has_no_weakness() {
    let (stream, facts) = good();
    assert_eq!(worst(&stream, &facts).0, Weight::Note);
}

#[test]
fn each_weakness_is_named() {
    type StreamChange = fn(&mut Config, &mut OutFacts);
    let cases: [(StreamChange, Weight, &str); 16] = [
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
        // `discard: new` does not hold for the bound of a subject.
        (|s, _| s.max_messages_per_subject = 1, Weight::Weak, "the oldest messages of a subject"),
        (
            |s, _| (s.max_messages_per_subject, s.discard_new_per_subject) = (1, true),
            Weight::Note,
            "at max_msgs_per_subject 1 new messages are refused",
        ),
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
fn what_a_consumer_or_its_stream_loses_is_named() {
    let consumer = pull::Config {
        ack_policy: AckPolicy::Explicit,
        max_deliver: -1,
        ..pull::Config::default()
    };
    type ConsumerChange = fn(&mut Config, &mut pull::Config, &mut InFacts);
    let cases: [(ConsumerChange, Weight, &str); 14] = [
        (|_, _, _| {}, Weight::Note, "within 3s is the same event: it comes to this box"),
        (|_, _, f| f.part = None, Weight::Weak, "give each box a part (part = \"1/3\")"),
        (
            |s, _, _| s.retention = RetentionPolicy::WorkQueue,
            Weight::Weak,
            "given up leaves the stream",
        ),
        (|_, c, _| c.ack_policy = AckPolicy::None, Weight::Broken, "not explicit"),
        (|_, c, _| c.headers_only = true, Weight::Broken, "headers only"),
        (|_, c, _| c.max_deliver = 5, Weight::Weak, "max_deliver is 5"),
        (|_, c, _| c.memory_storage = true, Weight::Weak, "kept in memory"),
        (
            |_, c, _| c.inactive_threshold = Duration::from_secs(60),
            Weight::Weak,
            "inactive_threshold is 1m",
        ),
        (|_, _, f| f.max_body = 1 << 10, Weight::Weak, "larger ones are given up"),
        (|_, _, f| f.dedupe_window_ms = 0, Weight::Weak, "--dedupe-window of the source is 0"),
        (|s, _, _| s.storage = StorageType::Memory, Weight::Weak, "storage is memory"),
        (|_, _, f| f.sync = None, Weight::Weak, "sync_interval is not known"),
        (|s, _, _| s.discard = DiscardPolicy::Old, Weight::Weak, "the oldest messages"),
        (|s, _, _| s.max_messages_per_subject = 1, Weight::Weak, "messages of a subject"),
    ];

    for (change, weight, part) in cases {
        let (mut stream, mut consumer, mut facts) = (good().0, consumer.clone(), facts());
        change(&mut stream, &mut consumer, &mut facts);
        let found = of_consumer(&stream, &consumer, &facts);
        let worst = found.iter().map(|finding| finding.weight).max().expect("some");
        let said = found.iter().any(|one| one.weight == weight && one.text.contains(part));
        assert!(worst == weight && said, "{part}: {found:?}");
    }
}

fn facts() -> InFacts {
    InFacts {
        part: Some("1/1".parse().expect("a part")),
        other_box: None,
        sync: Some(Ok(SyncPolicy::Always)),
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

    let all = InFacts { part: Some("1/1".parse().expect("a part")), ..facts.clone() };
    let shared = InFacts { other_box: Some("box-9".to_owned()), ..all.clone() };

    let made = "{{random(3)}}.jobs.>";
    for (destination, filter, facts, weight, part) in [
        (Some(made), "1.>", &facts, Weight::Note, "it comes to this box (part 2/3)"),
        (Some(made), "1.>", &other, Weight::Weak, "was made by box-9"),
        (Some(made), "0.>", &facts, Weight::Broken, "has to take 1.>"),
        (Some(made), "", &facts, Weight::Broken, "has to take 1.>"),
        (Some("{{random(2)}}.jobs.>"), "1.>", &facts, Weight::Broken, "{{random(3)}}.jobs.>"),
        (None, "1.>", &facts, Weight::Broken, "does not number the parts"),
        (None, "", &all, Weight::Note, "it comes to this box (part 1/1)"),
        (None, "jobs.>", &shared, Weight::Weak, "was made by box-9"),
    ] {
        let found = of_consumer(&stream(destination), &consumer(filter), facts);
        let worst = found.iter().max_by_key(|finding| finding.weight).expect("some");
        assert!(
            worst.weight == weight && worst.text.contains(part),
            "{destination:?} {filter}: {worst}"
        );
    }
}
