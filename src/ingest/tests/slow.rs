//! Clients that take their time, and honest ones beside them.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::world::{IngestWorld, PATIENCE, exchange, post, status};
use crate::ingest::IngestLimits;

fn impatient() -> IngestLimits {
    IngestLimits { head_timeout_ms: 200, body_timeout_ms: 200, ..IngestLimits::default() }
}

/// Sends a byte now and then until the other side is gone. Returns what it answered.
async fn trickle(mut stream: TcpStream, bytes: &[u8]) -> String {
    let mut answer = Vec::new();
    let mut buffer = [0; 1024];
    for byte in bytes.iter().cycle() {
        if stream.write_all(&[*byte]).await.is_err() {
            break;
        }
        let pause = std::time::Duration::from_millis(20);
        match tokio::time::timeout(pause, stream.read(&mut buffer)).await {
            Err(_nothing_yet) => {}
            Ok(Ok(0) | Err(_)) => break,
            Ok(Ok(length)) => answer.extend_from_slice(&buffer[..length]),
        }
    }
    String::from_utf8_lossy(&answer).into_owned()
}

#[tokio::test]
async fn slow_heads_and_idle_connections_are_cut() {
    let world = IngestWorld::with(impatient()).await;

    // Nothing at all; the beginning of either protocol's first bytes; a head without an end.
    for start in [
        "",
        "P",
        "PRI * HTT",
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        "POST /in/open HTTP/1.1\r\nHost: h\r\nX-A: 1\r\n",
    ] {
        let _ = exchange(world.connect().await, start.as_bytes()).await;
    }

    let mut stream = world.connect().await;
    stream.write_all(b"POST /in/open HTTP/1.1\r\nHost: h\r\nX-A: ").await.expect("sent");
    let answer = trickle(stream, b"a").await;
    assert_eq!(status(&answer), 408, "{answer}");

    // Idle after a request: the exchange ends only when the server closes.
    let keep_alive = "POST /in/open HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\n\r\nx";
    let answer = exchange(world.connect().await, keep_alive.as_bytes()).await;
    assert_eq!(status(&answer), 202);

    // And after a request with a head that never ends behind it.
    let answer = exchange(
        world.connect().await,
        format!("{keep_alive}POST /in/open HTTP/1.1\r\n").as_bytes(),
    )
    .await;
    assert_eq!(answer.matches("HTTP/1.1 202").count(), 1, "{answer}");
    assert_eq!(answer.matches("HTTP/1.1 408").count(), 1, "{answer}");
    assert_eq!(world.accepted().len(), 2);
}

#[tokio::test]
async fn a_slow_head_is_408_and_silence_is_not_answered() {
    let world = IngestWorld::with(impatient()).await;
    for start in ["P", "PRI * HTT", "POST /in/open HTTP/1.1\r\nHost: h\r\nX-A: 1\r\n"] {
        let answer = exchange(world.connect().await, start.as_bytes()).await;
        assert_eq!(status(&answer), 408, "{start:?}: {answer}");
        assert!(
            answer.contains("application/problem+json")
                && answer.contains("the head was not received in time"),
            "{answer}"
        );
    }
    assert_eq!(exchange(world.connect().await, b"").await, "");
    let answer = exchange(world.connect().await, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await;
    assert!(!answer.contains("HTTP/1.1"), "{answer}");
    assert_eq!(world.ingest.refusals().of("").expect("counted").counts.get("too-slow"), Some(&3));
}

#[tokio::test]
async fn a_slow_body_is_408() {
    let world = IngestWorld::with(impatient()).await;
    let mut stream = world.connect().await;
    stream
        .write_all(b"POST /in/open HTTP/1.1\r\nHost: h\r\nContent-Length: 1000\r\n\r\n")
        .await
        .expect("sent");
    let answer = trickle(stream, b"a").await;
    assert_eq!(status(&answer), 408, "{answer}");
    assert!(answer.contains("application/problem+json"), "{answer}");
    let stalled = "POST /in/open HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nab";
    let answer = exchange(world.connect().await, stalled.as_bytes()).await;
    assert_eq!(status(&answer), 408, "{answer}");
    assert_eq!(world.accepted().len(), 0);
}

#[tokio::test]
async fn who_does_not_read_answers_is_cut() {
    let world = IngestWorld::with(impatient()).await;
    let mut stream = world.connect().await;
    let many = "GET /healthz HTTP/1.1\r\nHost: h\r\n\r\n".repeat(1000);
    let send_for_ever = async { while stream.write_all(many.as_bytes()).await.is_ok() {} };
    tokio::time::timeout(PATIENCE, send_for_ever).await.expect("it is cut");
    while world.ingest.connections() > 0 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn honest_clients_are_served_beside_many_slow_ones() {
    let world = IngestWorld::new().await;
    let mut slow = Vec::new();
    for n in 0..400 {
        let mut stream = world.connect().await;
        let start: &[u8] = match n % 4 {
            0 => b"",
            1 => b"POST /in/open HTTP/1.1\r\nHost: h\r\nX-A: ",
            2 => b"POST /in/open HTTP/1.1\r\nHost: h\r\nContent-Length: 900000\r\n\r\nabc",
            _ => b"PRI * HTTP/2.0\r\n\r\n",
        };
        stream.write_all(start).await.expect("sent");
        slow.push(stream);
    }
    for _ in 0..50 {
        assert_eq!(status(&world.raw(post("/in/open", "", "x").as_bytes()).await), 202);
    }
    assert_eq!(world.accepted().len(), 50);
    drop(slow);
}
