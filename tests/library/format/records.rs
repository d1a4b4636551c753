//! The records that the fixtures hold, as a queue could have decided them.

use std::sync::Arc;

use bytes::Bytes;
use hookbox::model::{
    AttemptReport, BatchId, CatchUp, CatchUpMode, DeliveryId, Endpoint, Event, EventId, Header,
    HoldReason, Outcome, RequestHead, ResponseHead, Source,
};
use hookbox::record::{
    AttemptFinished, BatchConsequence, BatchFinished, BatchMember, Consequence, DeadLetter,
    MemberFinished, OpenBreaker, Record, Replay, ReplayFilter, Restraint, Wait, WaitingDelivery,
};

use super::{AT, RUN};

fn event(seq: u64, kind: &str, body: &'static [u8]) -> Arc<Event> {
    Arc::new(Event {
        id: EventId { seq, tag: seq * 1_000_003 },
        source: 1,
        source_name: "in".into(),
        kind: kind.into(),
        received_at: AT + seq,
        dedupe_key: Some(format!("key-{seq}")),
        request_line: "POST /in/in?a=b".into(),
        remote: "127.0.0.1:5".into(),
        headers: vec![
            Header::new("content-type", "application/json"),
            Header::new("x-bytes", &b"\xff\x00"[..]),
        ],
        body: Bytes::from_static(body),
        from_provider: false,
        first_id: (seq == 12).then_some(EventId { seq: 77, tag: 99 }),
    })
}

fn accepted(seq: u64, kind: &str, body: &'static [u8], fan_out: &[u32]) -> Record {
    Record::EventAccepted {
        event: event(seq, kind, body),
        dedupe: Some(seq * 31),
        fan_out: fan_out.to_vec(),
        beside: Default::default(),
        ran_ms: 0,
    }
}

fn attempt(
    event: u64,
    next: Consequence,
    number: u32,
    status: u16,
    prev: u64,
    position: Option<u64>,
    low: u64,
) -> Record {
    let outcome = match next {
        Consequence::Delivered => Outcome::Delivered,
        _ => Outcome::Retryable { after_ms: None },
    };

    let report = AttemptReport {
        started_at: AT + 50,
        duration_ms: 5,
        connect_ms: Some(1),
        outcome,
        request: RequestHead {
            method: "POST".into(),
            url: "http://127.0.0.1:9/".into(),
            headers: Vec::new(),
        },
        response: Some(ResponseHead {
            status,
            headers: Vec::new(),
            body: Bytes::from_static(b"said"),
        }),
        error: None,
        fault: None,
        command: None,
    };

    let delivery = DeliveryId { seq: event, endpoint: 1 };
    Record::AttemptFinished(Box::new(AttemptFinished {
        delivery,
        event,
        number,
        report,
        next,
        prev,
        position,
        low,
        key: None,
        uncounted: false,
        failing_ms: 0,
        born: 0,
        ran_ms: 0,
        restraint: None,
        source: 0,
    }))
}

fn endpoint(id: u32, name: &str) -> Record {
    let mut endpoint = Endpoint::new(name, "http://127.0.0.1:9/");
    (endpoint.id, endpoint.allow_private, endpoint.created_at) = (id, true, AT);
    Record::EndpointSet { endpoint: Box::new(endpoint) }
}

fn source(id: u32, name: &str) -> Record {
    let mut source = Source::new(name, "none");
    (source.id, source.created_at) = (id, AT);
    Record::SourceSet { source: Box::new(source) }
}

/// A delivery to the endpoint 'app'.
fn on(seq: u64) -> DeliveryId {
    DeliveryId { seq, endpoint: 1 }
}

/// Every kind of record, as a queue could have decided them; the first commit is that of the first
/// segment.
pub(super) fn story(head: [u8; 32]) -> Vec<Vec<Record>> {
    let third = relocations(head);
    vec![first_segment(), deliveries(), third, batches()]
}

/// The first segment, which is dropped later.
fn first_segment() -> Vec<Record> {
    vec![
        Record::LogStarted { at: AT, version: "0.1.0".into(), salt: 42 },
        source(1, "in"),
        source(2, "former"),
        endpoint(1, "app"),
        endpoint(2, "former"),
        accepted(6, "old", b"{\"carried\":true}", &[1]),
    ]
}

/// Deliveries with every end that one can have, and settings that change meanwhile.
fn deliveries() -> Vec<Record> {
    let mut records = retried_and_dead();

    records.extend([
        accepted(19, "cancelled", b"{\"n\":19}", &[1]),
        Record::DeliveryCancelled { delivery: on(19), at: AT, dead_letter_seq: None },
        Record::ReplayStarted {
            replay: Replay {
                id: 21,
                filter: ReplayFilter { source: Some("in".into()), ..ReplayFilter::default() },
                next: 8,
                end: 20,
                rate: None,
                started_at: AT,
                due_at: 0,
                pause_ms: 0,
                member: None,
                to: None,
                left: Default::default(),
            },
        },
        Record::Replayed { event: 8, endpoint: 1, at: AT, ran_ms: 0 },
        Record::ReplayAdvanced { replay: 21, next: 21, due_at: 0, pause_ms: 0, left_from: None },
        Record::EndpointDeleted { endpoint: 2, at: AT },
        Record::EndpointReleased { endpoint: 1, at: AT, ran_ms: 0 },
        Record::EndpointHeld { endpoint: 1, reason: HoldReason::Operator, at: AT, ran_ms: 0 },
    ]);
    records
}

/// Events that are delivered, wait for a retry, were imported, and died twice.
fn retried_and_dead() -> Vec<Record> {
    let dead = |reason: &str| Consequence::Dead { reason: reason.into() };
    let retry = Consequence::Retry { due_at: AT, delay_ms: 1000, age_ms: 0 };

    vec![
        Record::SourceDeleted { source: 2 },
        accepted(8, "done", b"{\"n\":8}", &[1]),
        attempt(8, Consequence::Delivered, 1, 204, 0, Some(8), 5),
        accepted(10, "retry", b"{\"n\":10}", &[1]),
        attempt(10, retry, 1, 503, 0, Some(10), 5),
        accepted(12, "imported", b"{\"n\":12}", &[1]),
        Record::EventImported { event: 12, identity: 4711, at: AT },
        Record::DuplicateSeen { event: 8, at: AT },
        accepted(15, "dead", b"{\"n\":15}", &[1]),
        attempt(15, dead("policy"), 1, 500, 0, Some(15), 5),
        Record::DeliveryRetried {
            delivery: on(15),
            at: AT,
            dead_letter_seq: Some(16),
            event: 15,
            attempts: 1,
            last: 16,
            in_stream: false,
            ran_ms: 0,
        },
        attempt(15, dead("policy again"), 2, 500, 16, None, 5),
    ]
}

/// What retention keeps of the first segment, whose head is given, and the end of that segment.
fn relocations(head: [u8; 32]) -> Vec<Record> {
    let letter = DeadLetter {
        delivery: on(15),
        event: 15,
        attempts: 2,
        died_at: AT,
        reason: "policy again".into(),
        last: 18,
        kept_since: None,
    };
    let waiting = WaitingDelivery {
        delivery: on(6),
        position: 6,
        event: 6,
        attempts: 0,
        last: 0,
        key: None,
        born: 0,
        source: 0,
    };

    vec![
        Record::EventRelocated {
            seq: 6,
            event: event(6, "old", b"{\"carried\":true}"),
            fan_out: vec![1],
        },
        Record::DeliveriesRelocated { waiting: vec![waiting] },
        Record::DeadLetterRecorded { dead: letter, dead_letter_seq: 18 },
        Record::SegmentDropped { first: 1, last: 6, head, at: AT },
    ]
}

/// The records of an endpoint that takes batches.
fn batches() -> Vec<Record> {
    let many = |seq: u64| DeliveryId { seq, endpoint: 3 };
    let member = |delivery: u64| BatchMember {
        delivery,
        event: delivery,
        position: Some(delivery),
        attempts: 0,
        last: 0,
        key: Some(delivery),
        age_ms: 0,
        born: 0,
        source: 0,
    };
    let too_old = DeadLetter {
        delivery: many(33),
        event: 33,
        attempts: 1,
        died_at: AT,
        reason: "too old".into(),
        last: 38,
        kept_since: None,
    };

    vec![
        endpoint(3, "many"),
        accepted(32, "many", b"{\"n\":32}", &[3]),
        accepted(33, "many", b"{\"n\":33}", &[3]),
        accepted(34, "many", b"{\"n\":34}", &[3]),
        accepted(35, "many", b"{\"n\":35}", &[3]),
        Record::RateSpent { endpoint: 3, at: AT },
        Record::BatchFormed {
            endpoint: 3,
            members: vec![member(32), member(33)],
            low: 33,
            format: None,
        },
        Record::BatchFinished(Box::new(batch_finished())),
        Record::Superseded { endpoint: 3, deliveries: vec![34], low: 34, at: AT },
        Record::DeliveryDied { dead: too_old },
        Record::DeliveryCancelled { delivery: many(33), at: AT, dead_letter_seq: Some(40) },
        Record::EndpointHeld { endpoint: 3, reason: HoldReason::Receiver, at: AT, ran_ms: 0 },
    ]
}

/// A batch of two, of which the receiver took one.
fn batch_finished() -> BatchFinished {
    let ended = |delivery: u64, next: Consequence| MemberFinished {
        delivery,
        event: delivery,
        number: 1,
        prev: 0,
        next,
    };
    let Record::AttemptFinished(attempt) = attempt(32, Consequence::Delivered, 1, 200, 0, None, 0)
    else {
        unreachable!()
    };

    BatchFinished {
        endpoint: 3,
        batch: BatchId { seq: 37, part: 0 },
        number: 1,
        report: attempt.report,
        members: vec![
            ended(32, Consequence::Delivered),
            ended(33, Consequence::Retry { due_at: AT, delay_ms: 1000, age_ms: 0 }),
        ],
        next: BatchConsequence::Over,
        uncounted: false,
        failing_ms: 0,
        ran_ms: 0,
        restraint: None,
    }
}

/// The records that logs of the first fixture's time did not have, and what others hold since.
pub(super) fn restraints() -> Vec<Vec<Record>> {
    vec![restrained(), restraints_change()]
}

/// Two endpoints that fail: one has an open breaker and a pause, and goes away.
fn restrained() -> Vec<Record> {
    let mut source = Source::new("in", "none");
    (source.id, source.created_at) = (1, AT);
    let mut latest = Endpoint::new("latest", "http://127.0.0.1:9/");
    (latest.id, latest.allow_private, latest.created_at) = (2, true, AT);
    latest.catch_up = CatchUp { mode: CatchUpMode::Latest, key: Some("/k".into()), rate: None };

    let wait = Wait { until: AT + 60_000, wait_ms: 60_000 };
    let restraint = Restraint {
        failures: 12,
        failing_since: AT - 20_000,
        breaker: Some(OpenBreaker { since: AT - 1_000, probes: 3, probe: wait }),
        paused: Some(wait),
    };

    vec![
        Record::LogStarted { at: AT, version: "0.1.0".into(), salt: 7 },
        Record::SourceSet { source: Box::new(source) },
        endpoint(1, "app"),
        Record::EndpointSet { endpoint: Box::new(latest) },
        born(accepted(5, "first", b"{\"k\":1}", &[1, 2]), 1_000),
        born(accepted(6, "second", b"{\"k\":2}", &[1, 2]), 1_000),
        failed(5, 1, 2_000, Some(restraint)),
        failed(6, 2, 3_000, None),
        Record::EndpointAway { endpoint: 1, at: AT, ran_ms: RUN + 4_000 },
        Record::ClockRan { ran_ms: RUN + 6_000 },
    ]
}

/// It comes back, is held, and what else has records of its own since.
fn restraints_change() -> Vec<Record> {
    let replay = Replay {
        id: 15,
        filter: ReplayFilter::default(),
        next: 5,
        end: 6,
        rate: Some(1),
        started_at: AT,
        due_at: 0,
        pause_ms: 0,
        member: None,
        to: None,
        left: Default::default(),
    };

    vec![
        Record::EndpointBack { endpoint: 1, at: AT, ran_ms: RUN + 7_000 },
        Record::KeysLearned { endpoint: 2, keys: vec![(6, 77)] },
        Record::FilterUndecided { event: 6, endpoints: vec![2], at: AT },
        Record::EndpointHeld {
            endpoint: 1,
            reason: HoldReason::Operator,
            at: AT,
            ran_ms: RUN + 8_000,
        },
        Record::ReplayStarted { replay },
        Record::ReplayAdvanced {
            replay: 15,
            next: 6,
            due_at: AT + 1_000,
            pause_ms: 1_000,
            left_from: None,
        },
        Record::RecordsLost { first: 3, last: 3, kept: Vec::new(), at: AT },
        Record::ClockRan { ran_ms: RUN + 9_000 },
    ]
}

/// An event whose deliveries begin to age at this time of the run clock.
fn born(accepted: Record, at: u64) -> Record {
    let Record::EventAccepted { event, dedupe, fan_out, beside, .. } = accepted else {
        unreachable!("only an accepted event is born")
    };
    Record::EventAccepted { event, dedupe, fan_out, beside, ran_ms: RUN + at }
}

/// An attempt that failed at this time of the run clock, and what it leaves.
fn failed(event: u64, to: u32, at: u64, restraint: Option<Restraint>) -> Record {
    let retry = Consequence::Retry { due_at: AT + 1_000, delay_ms: 1_000, age_ms: 0 };
    let Record::AttemptFinished(finished) = attempt(event, retry, 1, 503, 0, Some(event), event)
    else {
        unreachable!()
    };

    Record::AttemptFinished(Box::new(AttemptFinished {
        delivery: DeliveryId { seq: event, endpoint: to },
        born: RUN + 1_000,
        ran_ms: RUN + at,
        restraint: restraint.map(Box::new),
        ..*finished
    }))
}
