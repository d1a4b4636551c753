//! Responses to batches.

use std::sync::Arc;

use super::{Outbound, ScriptedReceiver, event, outbound};
use crate::model::{
    AttemptReport, BatchFormat, BatchId, Endpoint, Event, EventId, Outcome, limits,
};

const RETRY: Outcome = Outcome::Retryable { after_ms: None };

fn events(count: u64) -> Vec<Arc<Event>> {
    (1..=count)
        .map(|seq| Arc::new(Event { id: EventId { seq, tag: u64::MAX - seq }, ..event() }))
        .collect()
}

async fn send(
    outbound: &Outbound,
    to: &Arc<Endpoint>,
    events: &[Arc<Event>],
) -> (AttemptReport, Vec<EventId>) {
    outbound.attempt_batch(BatchId { seq: 5, part: 0 }, 1, to, events, BatchFormat::Json).await
}

/// Sends a batch to a receiver that answers 200 with this body.
async fn answered(events: &[Arc<Event>], body: &str) -> (AttemptReport, Vec<EventId>) {
    let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len());
    let receiver = ScriptedReceiver::always(answer.into_bytes()).await;
    let result = send(&outbound(), &receiver.endpoint(), events).await;
    let got = receiver.got();
    assert_eq!(got.len(), 1);
    assert_eq!(got[0].header("accept-encoding"), Some("identity"));
    assert_eq!(got[0].header("hookbox-batch"), Some(events.len().to_string().as_str()));
    result
}

#[tokio::test]
async fn a_full_list_is_read_to_its_end_however_it_is_written() {
    let events = events(u64::from(limits::BATCH_OUT_EVENTS));
    let ids: Vec<String> = events.iter().map(|event| event.id.to_string()).collect();
    let listed = serde_json::json!({"failed": ids});
    for body in [listed.to_string(), serde_json::to_string_pretty(&listed).unwrap()] {
        assert!(body.len() > limits::RESPONSE_READ);
        let (report, failed) = answered(&events, &body).await;
        assert_eq!((report.outcome, failed.len()), (Outcome::Delivered, events.len()));
        assert_eq!(report.response.map(|head| head.body.len()), Some(limits::RESPONSE_KEPT));
    }
    let some = serde_json::json!({"failed": &ids[..520]}).to_string();
    assert_eq!(answered(&events, &some).await.1.len(), 520);
}

#[tokio::test]
async fn an_answer_that_is_not_understood_fails_all_and_says_so() {
    let events = events(2);
    let id = events[0].id;

    for (body, word) in [
        (format!("{{\"failed\":[{{\"id\":\"{id}\"}}]}}"), "not text"),
        (format!("{{\"failed\":\"{id}\"}}"), "not a list"),
        (
            "{\"failed\":[\"evt_000000000000a35e4k143q0ne8\"]}".to_owned(),
            "not an event of this batch",
        ),
        (
            format!(
                "{{\"padding\":\"{}\",\"failed\":[\"{id}\"]}}",
                "x".repeat(limits::BATCH_ANSWER)
            ),
            "longer than",
        ),
    ] {
        let (report, failed) = answered(&events, &body).await;
        assert_eq!((&report.outcome, failed.len()), (&RETRY, 0), "{body:.60}");
        let error = report.error.expect("it says why");
        assert!(error.contains(word) && error.contains("all of the batch"), "{error}");
        assert_eq!(report.response.map(|head| head.status), Some(200));
    }

    for body in ["", "thanks", "{\"ok\":2}", "{\"failed\":[]}"] {
        let (report, failed) = answered(&events, body).await;
        assert_eq!(
            (report.outcome, failed.len(), report.error),
            (Outcome::Delivered, 0, None),
            "{body}"
        );
    }
}

#[tokio::test]
async fn an_event_that_passed_many_daemons_is_sent_like_the_others() {
    let mut all = events(3);
    let far = Event {
        headers: vec![crate::model::Header::new("hookbox-hops", "9")],
        ..all[1].as_ref().clone()
    };
    all[1] = Arc::new(far);
    let (report, _) = answered(&all, "").await;
    assert_eq!(report.outcome, Outcome::Delivered, "{:?}", report.error);
}

#[tokio::test]
async fn a_batch_belongs_to_the_trace_of_all_of_its_events_and_each_says_its_own() {
    use crate::model::Header;
    let traced = |trace: char, span: char| {
        let trace: String = std::iter::repeat_n(trace, 32).collect();
        let span: String = std::iter::repeat_n(span, 16).collect();
        let mut event = event();
        event.headers.push(Header::new("traceparent", format!("00-{trace}-{span}-01")));
        event.headers.push(Header::new("tracestate", "a=1"));
        Arc::new(event)
    };

    for (events, parent) in [
        (vec![traced('1', 'a'), traced('1', 'b')], Some('1')),
        (vec![traced('1', 'a'), traced('2', 'a')], None),
        (vec![traced('1', 'a'), Arc::new(event())], None),
    ] {
        let receiver = ScriptedReceiver::always(super::OK.to_vec()).await;
        send(&outbound(), &receiver.endpoint(), &events).await;
        let got = receiver.got().remove(0);

        let said = parent.map(|of| {
            let trace: String = std::iter::repeat_n(of, 32).collect();
            format!("00-{trace}-0707070707070707-01")
        });
        assert_eq!(got.header("traceparent"), said.as_deref());
        let elements: serde_json::Value = serde_json::from_slice(&got.body).expect("JSON");
        let own = elements[0]["traceparent"].as_str().expect("its own");
        assert!(own.starts_with("00-1111") && own.ends_with("aaaaaaaa-01"), "{own}");
        assert_eq!(elements[0]["tracestate"], "a=1");
    }
}
