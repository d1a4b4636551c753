//! Every reason becomes a sentence with since when, until when, or what to do.

use serde_json::json;

use super::super::explainer::Explainer;
use super::describe;
use crate::model::{BatchId, CatchUpMode, DeliveryId, HoldReason, Rate, WallMs};
use crate::queue::WaitReason;

const NOW: WallMs = 1_767_300_000_000;
const HEAD: DeliveryId = DeliveryId { seq: 7, endpoint: 1 };
const BATCH: BatchId = BatchId { seq: 9, part: 0 };

/// Describes each reason, and looks for its kind and for a part of its sentence.
#[track_caller]
fn check<const N: usize>(table: [(WaitReason, &str, &str); N]) {
    let explainer = Explainer { now: NOW, endpoint: "app".into() };
    for (reason, kind, part) in table {
        let found = describe(&explainer, &reason, "evt_x");
        let (found, text) = (found.kind, found.text);
        assert!(found == kind && text.contains(part), "{found}: {text}: {part}");
        assert!(!text.ends_with('.'), "{found}: {text}");
        assert!(!text.contains(") ("), "two brackets in a row: {found}: {text}");
    }
}

#[test]
fn what_stands_between_the_endpoint_and_its_receiver() {
    use WaitReason::{Breaker, Clock, Hold, Offline, Paused};

    check([
        (Hold { reason: HoldReason::Gone, since: NOW - 65_000 }, "hold", "410 Gone"),
        (
            Hold { reason: HoldReason::Operator, since: NOW },
            "hold",
            "hookboxctl endpoint release app",
        ),
        (Hold { reason: HoldReason::Operator, since: NOW }, "hold", "ago) by the operator: "),
        (Hold { reason: HoldReason::Failing, since: NOW }, "hold", "because there was no success"),
        (
            Offline { since: NOW - 5_000, probe_at: NOW + 3_200 },
            "offline",
            "the next probe is sent in 3s",
        ),
        (Clock { until: NOW + 60_000 }, "clock", "in 1m"),
        (
            Breaker { since: NOW, probe_at: NOW + 2_000, failures: 12 },
            "breaker",
            "after 12 failures in a row",
        ),
        (Paused { until: NOW + 30_000 }, "paused", "Retry-After"),
    ]);
}

#[test]
fn attempts_batches_and_lanes() {
    use WaitReason::{Behind, InBatch, Parked, Retry, UnderWay};
    let due_at = Some(NOW + 9_000);

    check([
        (UnderWay { number: 2, batch: None, members: 1 }, "in_flight", "attempt 2 is under way"),
        (UnderWay { number: 1, batch: Some(BATCH), members: 3 }, "in_flight", "with 3 deliveries"),
        (UnderWay { number: 1, batch: None, members: 2 }, "in_flight", "being put together"),
        (
            Parked { head: HEAD, itself: true, attempts: 5, last: 1 },
            "parked",
            "hookboxctl delivery retry dlv_",
        ),
        (Parked { head: HEAD, itself: false, attempts: 5, last: 1 }, "parked", "behind evt_x"),
        (
            Behind { head: HEAD, under_way: true, attempts: 0, due_at: None },
            "lane",
            "attempt 1 is under way",
        ),
        (
            Behind { head: HEAD, under_way: false, attempts: 3, due_at },
            "lane",
            "attempt 4 is due in 9s",
        ),
        (
            Retry { number: 4, due_at: NOW + 12_000, most: Some(9), gives_up_in_ms: 60_000 },
            "retry",
            "attempt 4 of 9 is due in 12s",
        ),
        (
            InBatch { batch: BATCH, members: 5, number: 2, due_at: Some(NOW) },
            "batch",
            "one of 5 in batch bat_",
        ),
    ]);
}

#[test]
fn what_holds_an_endpoint_back() {
    use WaitReason::{CatchingUp, NoConsumer, Rate as RateLimit, Retries, SourceRetries, Window};
    let rate = Rate { count: 10, per_ms: 60_000 };

    check([
        (NoConsumer, "no_consumer", "hookboxctl consume app"),
        (RateLimit { rate, next_at: NOW + 6_000 }, "rate", "10/m"),
        (
            CatchingUp { mode: CatchUpMode::Newest, next_at: NOW + 1_000 },
            "catching_up",
            "newest first",
        ),
        (Window { in_flight: 1, width: 1, most: 16 }, "window", "1 attempt is in flight to app"),
        (Retries { waiting: 9_000, most: 8_192 }, "retries", "above 8192"),
        (SourceRetries { waiting: 6_144 }, "source_retries", "the source's share"),
    ]);
}

#[test]
fn who_goes_first() {
    use WaitReason::{Gathering, InLine, OnDisk, Share, Slots, Turn};

    check([
        (Slots { in_flight: 128, most: 128, on_probation: true }, "slots", "keep failing"),
        (Share { own: 40, left: 20 }, "share", "20 slots left are kept for others"),
        (Gathering { max_events: 100, closes_at: NOW + 4_000 }, "gathering", "closes in 4s"),
        (InLine { before: 1 }, "in_line", "1 delivery before it"),
        (OnDisk { before_at_most: 12 }, "backlog", "at most 12 before it"),
        (Turn, "turn", "at once"),
    ]);
}

#[test]
fn facts_stand_beside_the_sentence() {
    let explainer = Explainer { now: NOW, endpoint: "app".into() };
    let reason = WaitReason::Retry { number: 4, due_at: NOW, most: None, gives_up_in_ms: 60_000 };
    let shown = serde_json::to_value(describe(&explainer, &reason, "")).expect("JSON");

    assert_eq!(
        shown,
        json!({
            "kind": "retry",
            "text": "attempt 4 is due now; by the policy of app it is given up 1m from now at the \
                     latest",
            "number": 4,
            "max_attempts": null,
            "due_at": "2026-01-01T20:40:00.000Z",
            "gives_up_in_ms": 60_000,
        })
    );
}
