//! Exchanges that break off, answers that come early or oddly, and connections that are given up.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::mpsc;

use super::{OK, ScriptedReceiver, attempt, event, outbound, read_request, send, with};
use crate::model::{Event, Outcome};

const RETRY: Outcome = Outcome::Retryable { after_ms: None };

fn large() -> Event {
    Event { body: vec![b'x'; 4 << 20].into(), ..event() }
}

/// Reads a request's head alone.
async fn read_head(stream: &mut TcpStream) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.unwrap());
    }
}

#[tokio::test]
async fn every_request_is_an_attempt_of_its_own() {
    // The first answer is good; what comes second over a connection ends it, without a byte of an
    // answer.
    let receiver = ScriptedReceiver::new(|conn, mut stream, got| async move {
        for turn in 0..2 {
            let Some(request) = read_request(&mut stream, conn).await else { return };
            got.lock().unwrap().push(request);
            if turn == 0 {
                stream.write_all(OK).await.unwrap();
            }
        }
    })
    .await;

    let (outbound, endpoint) = (outbound(), receiver.endpoint());
    let mut outcomes = Vec::new();
    for _ in 0..4 {
        outcomes.push(attempt(&outbound, &endpoint).await.outcome);
    }
    assert_eq!(outcomes, [Outcome::Delivered, RETRY, Outcome::Delivered, RETRY]);
    let conns: Vec<usize> = receiver.got().iter().map(|g| g.conn).collect();
    assert_eq!(conns, [0, 0, 1, 1]);
}

#[tokio::test]
async fn a_connection_is_not_used_towards_the_end_that_its_peer_set() {
    let soon: &[u8] = b"HTTP/1.1 200 OK\r\nkeep-alive: timeout=1\r\ncontent-length: 2\r\n\r\nok";
    let receiver = ScriptedReceiver::always(soon.to_vec()).await;
    let (outbound, endpoint) = (outbound(), receiver.endpoint());
    for _ in 0..3 {
        assert_eq!(attempt(&outbound, &endpoint).await.outcome, Outcome::Delivered);
    }
    let conns: Vec<usize> = receiver.got().iter().map(|g| g.conn).collect();
    assert_eq!(conns, [0, 1, 2]);
}

#[tokio::test]
async fn an_answer_that_comes_early_counts() {
    for (answer, status, outcome) in [
        ("413 Too Large\r\ncontent-length: 5\r\n\r\nlarge", 413, RETRY),
        ("410 Gone\r\ncontent-length: 0\r\n\r\n", 410, Outcome::Gone),
        ("401 No\r\nconnection: close\r\n\r\nno", 401, RETRY),
    ] {
        // It closes with most of the body unread: what is written then is answered with a reset.
        let receiver = ScriptedReceiver::new(move |_, mut stream, _| async move {
            read_head(&mut stream).await;
            stream.write_all(format!("HTTP/1.1 {answer}").as_bytes()).await.unwrap();
        })
        .await;

        for _ in 0..5 {
            let report = send(&outbound(), &receiver.endpoint(), large()).await;
            assert_eq!(
                report.response.as_ref().map(|head| head.status),
                Some(status),
                "{:?}",
                report.error
            );
            assert_eq!((report.outcome, report.error), (outcome.clone(), None));
        }
    }
}

#[tokio::test]
async fn who_takes_an_event_early_gets_all_of_it() {
    let (sender, mut read) = mpsc::unbounded_channel();
    let receiver = ScriptedReceiver::new(move |_, mut stream, _| {
        let sender = sender.clone();
        async move {
            read_head(&mut stream).await;
            stream.write_all(b"HTTP/1.1 202 Accepted\r\ncontent-length: 0\r\n\r\n").await.unwrap();
            let mut body = vec![0; 4 << 20];
            sender.send(stream.read_exact(&mut body).await.is_ok()).unwrap();
        }
    })
    .await;
    for _ in 0..5 {
        // The receiver closes behind each: nothing is kept.
        let report = send(&outbound(), &receiver.endpoint(), large()).await;
        assert_eq!((report.outcome, report.error), (Outcome::Delivered, None));
        assert_eq!(read.recv().await, Some(true), "the whole body came");
    }
}

#[tokio::test]
async fn what_is_given_up_is_reset_and_what_is_done_is_closed() {
    for body in [event().body, large().body] {
        let (sender, mut ended) = mpsc::unbounded_channel();
        let receiver = ScriptedReceiver::new(move |_, mut stream, _| {
            let sender = sender.clone();
            async move {
                // Longer than the deadline; what it reads then is what the kernels held.
                stream.readable().await.unwrap();
                tokio::time::sleep(Duration::from_millis(600)).await;
                let mut rest = Vec::new();
                sender
                    .send(stream.read_to_end(&mut rest).await.map_err(|error| error.kind()))
                    .unwrap();
            }
        })
        .await;
        let endpoint = with(&receiver.endpoint(), |endpoint| endpoint.timeout_ms = 200);
        let report = send(&outbound(), &endpoint, Event { body: body.clone(), ..event() }).await;
        assert_eq!(report.outcome, RETRY);
        let ended = ended.recv().await.expect("it looked");
        assert_eq!(ended, Err(std::io::ErrorKind::ConnectionReset), "{} bytes", body.len());
    }

    // Idle, and with nothing more to come.
    let (sender, mut ended) = mpsc::unbounded_channel();

    let receiver = ScriptedReceiver::new(move |conn, mut stream, _| {
        let sender = sender.clone();
        async move {
            read_request(&mut stream, conn).await.unwrap();
            stream.write_all(OK).await.unwrap();
            sender.send(stream.read(&mut [0]).await.map_err(|error| error.kind())).unwrap();
        }
    })
    .await;

    let outbound = outbound();
    assert_eq!(attempt(&outbound, &receiver.endpoint()).await.outcome, Outcome::Delivered);
    outbound.forget(&[]);
    assert_eq!(ended.recv().await, Some(Ok(0)));
}

#[tokio::test]
async fn odd_but_readable_heads_are_read() {
    let many =
        format!("HTTP/1.1 200 OK\r\n{}content-length: 0\r\n\r\n", "x-field: y\r\n".repeat(300));

    for answer in [
        "HTTP/1.1 200 OK\r\nx-folded: one\r\n two\r\n\tthree\r\ncontent-length: 0\r\n\r\n",
        "HTTP/1.1 200 OK\r\ncontent-length : 2\r\nserver \t: x\r\n\r\nok",
        "HTTP/1.1 200\r\ncontent-length: 0\r\n\r\n",
        "HTTP/1.0 200 OK\r\n\r\nok",
        &many,
    ] {
        let bytes = answer.as_bytes().to_vec();
        let receiver = ScriptedReceiver::new(move |conn, mut stream, got| {
            let bytes = bytes.clone();
            async move {
                let Some(request) = read_request(&mut stream, conn).await else { return };
                got.lock().unwrap().push(request);
                stream.write_all(&bytes).await.unwrap();
            }
        })
        .await;
        let report = attempt(&outbound(), &receiver.endpoint()).await;
        assert_eq!((&report.outcome, &report.error), (&Outcome::Delivered, &None), "{answer:.60}");
    }

    let too_many = format!("HTTP/1.1 200 OK\r\n{}\r\n", "x-field: y\r\n".repeat(600));
    let receiver = ScriptedReceiver::always(too_many.into_bytes()).await;
    let report = attempt(&outbound(), &receiver.endpoint()).await;
    assert_eq!(report.outcome, RETRY);
    assert!(
        report.error.as_deref().is_some_and(|why| why.contains("more than 512 fields")),
        "{report:?}"
    );
}

#[tokio::test]
async fn a_body_without_a_length_ends_when_its_connection_does_however_that_ends() {
    // It closes with the request's body unread, which resets the connection behind the answer.
    let receiver = ScriptedReceiver::new(|_, mut stream, _| async move {
        read_head(&mut stream).await;
        stream.write_all(b"HTTP/1.0 200 OK\r\ncontent-type: text/plain\r\n\r\nok").await.unwrap();
    })
    .await;
    let report = send(&outbound(), &receiver.endpoint(), large()).await;
    assert_eq!((report.outcome, report.error), (Outcome::Delivered, None));
}
