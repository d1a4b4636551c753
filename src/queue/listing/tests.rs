//! How long questions take that lists and `status` ask, with as many endpoints and dead letters as
//! there may be. A measurement: it judges nothing.

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use roaring::RoaringTreemap;

use super::{CountQuery, GoneRecords, OrphansQuery};
use crate::model::{DeliveryId, DeliveryState, Endpoint, Event, EventId, Now, Seq, Source, limits};
use crate::queue::request::Query;
use crate::queue::{DeadLetterSeqsQuery, Queue, State, StatusQuery};
use crate::record::{DeadLetter, Record};

const NOW: Now = Now { mono_ms: 1_000, wall_ms: 1_800_000_000_000 };
const DEAD: u64 = 1_000_000;

fn endpoints() -> u32 {
    u32::try_from(limits::ENDPOINTS).expect("a small number")
}

/// As many endpoints as there may be, every other of them deleted, and a million dead letters.
fn world() -> State {
    let mut state = State::new();
    let mut source = Source::new("in", "none");
    source.id = 1;
    follow(&mut state, Record::SourceSet { source: Box::new(source) });
    for id in 1..=endpoints() {
        let mut endpoint = Endpoint::new(format!("e{id}"), "http://app.example/");
        endpoint.id = id;
        follow(&mut state, Record::EndpointSet { endpoint: Box::new(endpoint) });
    }

    let event = Arc::new(event());
    for n in 0..DEAD {
        let endpoint = 1 + u32::try_from(n % u64::from(endpoints())).expect("a small number");
        let (event, fan_out) = (Arc::clone(&event), vec![endpoint]);
        let beside = Default::default();
        let accepted = Record::EventAccepted { event, dedupe: None, fan_out, beside, ran_ms: 0 };
        let seq = follow(&mut state, accepted);
        let dead = DeadLetter {
            delivery: DeliveryId { seq, endpoint },
            event: seq,
            attempts: 1,
            died_at: NOW.wall_ms,
            reason: "refused".to_owned(),
            last: 0,
            kept_since: None,
        };
        follow(&mut state, Record::DeliveryDied { dead });
    }
    for endpoint in (1..=endpoints()).step_by(2) {
        follow(&mut state, Record::EndpointDeleted { endpoint, at: NOW.wall_ms });
    }
    state
}

fn event() -> Event {
    Event {
        id: EventId { seq: 1, tag: 1 },
        source: 1,
        source_name: "in".into(),
        kind: "t".into(),
        received_at: NOW.wall_ms,
        dedupe_key: None,
        request_line: String::new(),
        remote: String::new(),
        headers: Vec::new(),
        body: Bytes::from_static(b"{}"),
        from_provider: false,
        first_id: None,
    }
}

fn follow(state: &mut State, record: Record) -> Seq {
    let seq = state.next_seq;
    state.apply(seq, &record).expect("it follows");
    seq
}

/// The middle of some measurements of a question.
fn measure<Q: Query>(queue: &Queue, what: &str, query: &Q) {
    let mut took: Vec<_> = (0..11)
        .map(|_| {
            let began = Instant::now();
            std::hint::black_box(queue.ask(NOW, query));
            began.elapsed()
        })
        .collect();
    took.sort();
    println!("{what:40} {:>12.1?}", took[took.len() / 2]);
}

#[test]
#[ignore = "a measurement: run with --ignored --nocapture"]
fn questions_about_a_million_dead_letters() {
    let began = Instant::now();
    let state = world();
    println!("{:40} {:>12.1?}", "to fold it", began.elapsed());
    let last = state.next_seq;
    let queue = Queue::new(state, 1, NOW);

    let all = |state| CountQuery { state, endpoints: None };
    measure(&queue, "count dead", &all(DeliveryState::Dead));
    measure(&queue, "count pending", &all(DeliveryState::Pending));
    measure(&queue, "count in flight", &all(DeliveryState::InFlight));
    let of_one = CountQuery { state: DeliveryState::Dead, endpoints: Some(vec![7]) };
    measure(&queue, "count dead of one endpoint", &of_one);
    measure(&queue, "status", &StatusQuery);
    let numbers = DeadLetterSeqsQuery { before: last, limit: limits::SLICE };
    measure(&queue, "256 numbers of dead letters", &numbers);

    let orphans = |below| {
        let gone = Arc::new(GoneRecords { below, others: RoaringTreemap::new() });
        OrphansQuery { gone, from: DeliveryId { seq: 0, endpoint: 0 } }
    };
    measure(&queue, "orphans, of none", &orphans(0));
    measure(&queue, "orphans, a part of half of the log", &orphans(last / 2));
}
