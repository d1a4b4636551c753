//! The lines of `tail`.

use serde_json::json;

use super::screens::{delivery_id, event_id, shown};
use crate::ctl::events;
use crate::ctl::table::{local, local_ms};

#[test]
fn a_duplicate_names_its_event() {
    let mut duplicate = json!({
        "what": "duplicate", "at": "2026-11-23T13:20:00.123Z", "event_seq": 7, "id": event_id(),
    });
    let line = shown(&duplicate, events::tail_line);
    assert!(line.ends_with(&format!("  in    duplicate of {}", event_id())), "{line}");

    // An older daemon says no more.
    duplicate["id"] = json!(null);
    let line = shown(&duplicate, events::tail_line);
    assert!(line.ends_with("duplicate of record 7"), "{line}");
}

#[test]
fn an_attempt_is_one_line_of_the_stream() {
    let attempt = json!({
        "what": "attempt", "at": "2026-11-23T13:20:00.123Z", "endpoint": "app", "number": 2,
        "outcome": "retryable", "status": 503, "duration_ms": 12, "delivery": delivery_id(),
        "event_seq": 1, "next_at": "2026-11-23T13:20:04.000Z",
    });
    assert_eq!(
        shown(&attempt, events::tail_line),
        format!(
            "{}  out   app  retryable  503  12ms  attempt 2  {}  next at {}",
            local_ms(1_795_440_000_123),
            delivery_id(),
            local(1_795_440_004_000)
        )
    );

    let mut in_batch = attempt.clone();
    in_batch["next_by"] = json!("2026-11-23T13:20:06.000Z");
    let line = shown(&in_batch, events::tail_line);
    let by = format!("  next with a batch, by {}", local(1_795_440_006_000));
    assert!(line.ends_with(&by), "{line}");

    let mut given_up = attempt.clone();
    (given_up["next_at"], given_up["next"]) = (json!(null), json!("dead"));
    (given_up["status"], given_up["error"]) = (json!(200), json!("it took others"));
    let line = shown(&given_up, events::tail_line);
    assert!(line.contains("  retryable  200: it took others  "), "{line}");
    assert!(line.ends_with("  given up (dead)"), "{line}");

    let of_a_later_version = json!({"what": "planet", "at": "2026-11-23T13:20:00.123Z"});
    assert_eq!(
        shown(&of_a_later_version, events::tail_line),
        "{\"what\":\"planet\",\"at\":\"2026-11-23T13:20:00.123Z\"}"
    );
}
