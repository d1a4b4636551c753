//! Connections: kept, reused, closed.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use tokio::io::AsyncWriteExt;

use super::{OK, ScriptedReceiver, WALL_MS, attempt, outbound, read_request, with};
use crate::model::{AttemptReport, Outcome, limits};

const RETRY: Outcome = Outcome::Retryable { after_ms: None };

fn error(report: &AttemptReport) -> &str {
    report.error.as_deref().unwrap_or("")
}

#[tokio::test]
async fn delivers_over_one_kept_connection() {
    let receiver = ScriptedReceiver::always(OK.to_vec()).await;
    let (outbound, endpoint) = (outbound(), receiver.endpoint());
    let first = attempt(&outbound, &endpoint).await;
    assert_eq!(first.outcome, Outcome::Delivered);
    assert!(first.connect_ms.is_some());
    for _ in 0..5 {
        let next = attempt(&outbound, &endpoint).await;
        assert_eq!((next.outcome, next.connect_ms, next.error), (Outcome::Delivered, None, None));
    }
    let got = receiver.got();
    assert_eq!(got.len(), 6);
    assert!(got.iter().all(|g| g.conn == 0 && g.body == br#"{"a":1}"#));
    assert!(got[0].head.starts_with("POST /hook?x=1 HTTP/1.1\r\n"));
    assert_eq!(got[0].header("host"), Some(receiver.address.to_string().as_str()));
    let response = first.response.unwrap();
    assert_eq!((response.status, response.body.as_ref()), (200, &b"ok"[..]));
    assert_eq!(outbound.http().idle_connections(), 1);
}

#[tokio::test]
async fn a_connection_closed_while_idle_does_no_harm() {
    let (sender, mut closed) = tokio::sync::mpsc::unbounded_channel();

    let receiver = ScriptedReceiver::new(move |conn, mut stream, got| {
        let sender = sender.clone();
        async move {
            let Some(request) = read_request(&mut stream, conn).await else { return };
            got.lock().unwrap().push(request);
            stream.write_all(OK).await.unwrap();
            drop(stream);
            sender.send(()).unwrap();
        }
    })
    .await;

    let (outbound, endpoint) = (outbound(), receiver.endpoint());

    for _ in 0..5 {
        assert_eq!(attempt(&outbound, &endpoint).await.outcome, Outcome::Delivered);
        closed.recv().await.unwrap();
        // That it was closed arrives a moment later; the reaper looks in the same way as whoever
        // takes a connection.
        while outbound.http().idle_connections() > 0 {
            outbound.close_idle();
            tokio::task::yield_now().await;
        }
    }

    assert_eq!(receiver.got().len(), 5);
}

#[tokio::test]
async fn half_an_answer_is_not_sent_again_at_once() {
    let receiver = ScriptedReceiver::answering(&[OK, b"HTTP/1.1 2"]).await;
    let (outbound, endpoint) = (outbound(), receiver.endpoint());
    assert_eq!(attempt(&outbound, &endpoint).await.outcome, Outcome::Delivered);
    let report = attempt(&outbound, &endpoint).await;
    assert_eq!((&report.outcome, report.response.is_none()), (&RETRY, true));
    assert!(error(&report).contains("closed before an answer"), "{}", error(&report));
    assert_eq!(receiver.got().len(), 2);
}

#[tokio::test]
async fn bytes_nobody_asked_for_are_not_taken_for_the_next_answer() {
    let double: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n\
        HTTP/1.1 410 Gone\r\ncontent-length: 0\r\n\r\n";
    let receiver = ScriptedReceiver::always(double.to_vec()).await;
    let (outbound, endpoint) = (outbound(), receiver.endpoint());
    for _ in 0..3 {
        assert_eq!(attempt(&outbound, &endpoint).await.outcome, Outcome::Delivered);
    }
    let conns: Vec<usize> = receiver.got().iter().map(|g| g.conn).collect();
    assert_eq!(conns, [0, 1, 2]);
}

#[tokio::test]
async fn changed_and_deleted_endpoints_lose_their_connections() {
    let receiver = ScriptedReceiver::always(OK.to_vec()).await;
    let (outbound, endpoint) = (outbound(), receiver.endpoint());
    attempt(&outbound, &endpoint).await;
    assert_eq!(outbound.http().idle_connections(), 1);
    outbound.forget(std::slice::from_ref(&endpoint));
    assert_eq!(outbound.http().idle_connections(), 1);
    let changed = with(&endpoint, |e| e.allow_private = false);
    outbound.forget(std::slice::from_ref(&changed));
    assert_eq!(outbound.http().idle_connections(), 0);

    attempt(&outbound, &endpoint).await;
    let report = attempt(&outbound, &changed).await;
    assert_eq!(
        report.outcome,
        Outcome::Refused,
        "the permission does not live on in a kept connection"
    );
    assert_eq!(outbound.http().idle_connections(), 0);
    assert_eq!(receiver.got().len(), 2);
}

#[tokio::test]
async fn the_reaper_closes_what_is_idle_for_long() {
    let receiver = ScriptedReceiver::always(OK.to_vec()).await;
    let now = Arc::new(std::sync::atomic::AtomicU64::new(0));
    let clock = now.clone();
    let settings = super::settings(super::FakeResolver::default());
    let clock: super::Clock = Arc::new(move || crate::model::Now {
        mono_ms: clock.load(Ordering::Relaxed),
        wall_ms: WALL_MS,
    });

    let outbound = super::Outbound::new(settings, clock).unwrap();
    let endpoint = receiver.endpoint();
    attempt(&outbound, &endpoint).await;
    now.store(limits::IDLE_MS - 1, Ordering::Relaxed);
    assert!(outbound.close_idle());
    now.store(limits::IDLE_MS, Ordering::Relaxed);
    assert!(!outbound.close_idle());
    assert_eq!(outbound.http().idle_connections(), 0);
    attempt(&outbound, &endpoint).await;
    now.store(limits::IDLE_MS * 2, Ordering::Relaxed);
    attempt(&outbound, &endpoint).await;
    let conns: Vec<usize> = receiver.got().iter().map(|g| g.conn).collect();
    assert_eq!(conns, [0, 1, 2], "an old one is not used either");
}

#[tokio::test]
async fn many_at_once_keep_a_bounded_number_of_connections() {
    let receiver = ScriptedReceiver::always(OK.to_vec()).await;
    let (outbound, endpoint) = (outbound(), receiver.endpoint());
    let attempts: Vec<_> = (0..100)
        .map(|_| {
            let (outbound, endpoint) = (outbound.clone(), endpoint.clone());
            tokio::spawn(async move { attempt(&outbound, &endpoint).await.outcome })
        })
        .collect();
    for made in attempts {
        assert_eq!(made.await.unwrap(), Outcome::Delivered);
    }
    assert!((1..=limits::IDLE_CONNECTIONS).contains(&outbound.http().idle_connections()));
}
