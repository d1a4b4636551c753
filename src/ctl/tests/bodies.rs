//! Long bodies on a screen: their beginning, and how the rest is had.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::screens::{delivery_id, event_id, shown};
use crate::ctl::show;
use crate::ctl::terminal::Terminal;
use crate::model::limits::BODY_SHOWN;

/// An event whose body has this size and begins so.
fn event(beginning: &[u8], size: usize) -> Value {
    json!({
        "id": event_id(), "source": "s", "type": "t", "received_at": "2026-11-23T13:20:00.000Z",
        "size": size, "duplicates": 0, "request_line": "POST /in/s", "query": {}, "remote": "",
        "filter_too_expensive": [], "headers": {}, "deliveries": [],
        "body_base64": STANDARD.encode(beginning),
    })
}

#[test]
fn of_a_long_body_the_beginning_is_shown_and_how_the_rest_is_had() {
    let save = format!("hookboxctl event body {} > FILE", event_id());
    let last_line = |body: &[u8], size: usize| {
        let screen = shown(&event(body, size), show::event);
        screen.lines().last().unwrap_or_default().to_owned()
    };

    let text = "x".repeat(BODY_SHOWN);
    assert_eq!(last_line(text.as_bytes(), BODY_SHOWN), text, "all of it");
    let expected = format!("… 10000000 more bytes: {save}");
    assert_eq!(last_line(text.as_bytes(), BODY_SHOWN + 10_000_000), expected);
    // Neither is a character cut, nor is more decoded than is shown.
    let long = "é".repeat(BODY_SHOWN);
    let screen = shown(&event(&[b"x", long.as_bytes()].concat(), 1 + long.len()), show::event);
    let shown_text = format!("\nx{}\n… ", "é".repeat(BODY_SHOWN / 2 - 1));
    assert!(screen.contains(&shown_text), "{}", &screen[..500]);
    assert!(screen.len() < BODY_SHOWN + 1_000, "{} bytes", screen.len());

    let strange = vec![0; BODY_SHOWN];
    let expected = format!("… 70000 bytes that are not text: {save}");
    assert_eq!(last_line(&strange, 70_000), expected);
    assert_eq!(last_line(&[0; 9], 9), "(9 bytes that are not text: use --json)");
}

#[test]
fn a_long_body_that_would_be_sent_is_cut_as_well() {
    for (len, left) in [(BODY_SHOWN, None), (BODY_SHOWN + 5, Some(5)), (BODY_SHOWN + 6, Some(6))] {
        let answer = json!({"body_base64": STANDARD.encode(vec![b'x'; len])});
        let screen = shown(&answer, show::tested);
        let more = left.map(|left| format!("… {left} more bytes: see --json"));
        let last = screen.lines().last().unwrap_or_default();
        assert_eq!(last.starts_with('x'), left.is_none(), "{len}");
        assert!(more.is_none_or(|more| last == more), "{len}: {last}");
    }
}

#[test]
fn an_answer_that_was_not_kept_differs_from_an_empty_one() {
    for (trimmed, expected) in [(false, "(empty)"), (true, "(not kept: disk space was scarce)")] {
        let response = json!({"status": 500, "headers": {}, "body_base64": "", "trimmed": trimmed});
        let attempt = json!({
            "number": 2, "started_at": "2026-11-23T13:20:00.000Z", "duration_ms": 3,
            "outcome": "retryable", "status": 500, "next": "retry", "counted": true,
            "request": {"method": "POST", "url": "http://x/", "headers": {}}, "response": response,
        });
        let delivery = json!({
            "id": delivery_id(), "event": event_id(), "endpoint": "app", "state": "pending",
            "attempts": 2, "due_at": null, "operator": [], "history": [attempt],
        });
        let screen = shown(&delivery, |delivery| show::delivery(delivery, Terminal::default()));
        assert!(screen.contains(&format!("attempt 2: 500\n  {expected}\n")), "{screen}");
    }
}
