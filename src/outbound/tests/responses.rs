//! Responses, and what is none: their outcomes for the delivery.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

use tokio::io::AsyncWriteExt;

use super::{OK, ScriptedReceiver, attempt, endpoint, outbound, read_request, with};
use crate::model::{AttemptFault, AttemptReport, Now, Outcome, TimedSecret, limits};

const RETRY: Outcome = Outcome::Retryable { after_ms: None };

fn error(report: &AttemptReport) -> &str {
    report.error.as_deref().unwrap_or("")
}

#[tokio::test]
async fn statuses_come_to_their_outcomes() {
    for (answer, outcome, word) in [
        ("204 No Content\r\n", Outcome::Delivered, ""),
        ("500 Oops\r\ncontent-length: 0\r\n", RETRY, ""),
        (
            "302 Found\r\nlocation: http://127.0.0.1:1/\r\ncontent-length: 0\r\n",
            RETRY,
            "not followed (to http://127.0",
        ),
        ("308 Moved\r\ncontent-length: 0\r\n", RETRY, "not followed"),
        ("304 Not Modified\r\n", RETRY, "does not say that the event was accepted"),
        ("410 Gone\r\ncontent-length: 0\r\n", Outcome::Gone, ""),
        (
            "429 Slow\r\nretry-after: 7\r\ncontent-length: 0\r\n",
            Outcome::Retryable { after_ms: Some(7000) },
            "",
        ),
        ("503 Busy\r\nretry-after: -1\r\ncontent-length: 0\r\n", RETRY, ""),
        ("200 OK\r\nconnection: close\r\n", Outcome::Delivered, ""),
    ] {
        let receiver = ScriptedReceiver::new(move |conn, mut stream, got| async move {
            let Some(request) = read_request(&mut stream, conn).await else { return };
            got.lock().unwrap().push(request);
            stream.write_all(format!("HTTP/1.1 {answer}\r\n").as_bytes()).await.unwrap();
        })
        .await;

        let report = attempt(&outbound(), &receiver.endpoint()).await;
        assert_eq!(report.outcome, outcome, "{answer}");
        assert!(error(&report).contains(word), "{answer}: {}", error(&report));
        assert_eq!(report.error.is_none(), word.is_empty(), "{answer}");
        assert_eq!(report.response.map(|r| r.status), answer[..3].parse().ok());
        assert_eq!(receiver.got().len(), 1, "{answer}");
    }
}

/// Writes without end, and counts what it got rid of before the peer hung up.
async fn flood(start: &'static [u8], more: &'static [u8]) -> (ScriptedReceiver, Arc<AtomicUsize>) {
    let written = Arc::new(AtomicUsize::new(0));
    let count = written.clone();
    let receiver = ScriptedReceiver::new(move |conn, mut stream, got| {
        let count = count.clone();
        async move {
            let Some(request) = read_request(&mut stream, conn).await else { return };
            got.lock().unwrap().push(request);
            let mut next = start;
            while stream.write_all(next).await.is_ok() {
                count.fetch_add(next.len(), Ordering::Relaxed);
                next = more;
            }
        }
    })
    .await;
    (receiver, written)
}

#[tokio::test]
async fn endless_bodies_are_cut() {
    const KIB: &[u8] = &[b'x'; 1024];

    for start in [
        &b"HTTP/1.1 200 OK\r\n\r\n"[..],
        b"HTTP/1.1 200 OK\r\ncontent-length: 10000000000\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: 10000000000\r\n\r\n",
    ] {
        let (receiver, written) = flood(start, KIB).await;
        let outbound = outbound();
        let report = attempt(&outbound, &receiver.endpoint()).await;
        assert_eq!((&report.outcome, &report.error), (&Outcome::Delivered, &None));
        assert_eq!(report.response.unwrap().body.len(), limits::RESPONSE_KEPT);
        assert_eq!(outbound.http().idle_connections(), 0, "the connection is of no more use");
        // What the peer wrote stands mostly in socket buffers.
        assert!(written.load(Ordering::Relaxed) < 16 << 20);
    }

    let (receiver, _) =
        flood(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n", b"1\r\nx\r\n").await;
    let report = attempt(&outbound(), &receiver.endpoint()).await;
    assert_eq!(report.outcome, Outcome::Delivered, "{:?}", report.error);
}

#[tokio::test]
async fn heads_without_end_are_cut() {
    for (start, more) in [
        (&b"HTTP/1.1 200 OK\r\nx: "[..], &[b'x'; 1024][..]),
        (b"HTTP/1.1 200 OK\r\n", b"x: y\r\n"),
        (b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 100 Continue\r\n\r\n"),
        (
            b"HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n",
            b"HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n",
        ),
    ] {
        let (receiver, written) = flood(start, more).await;
        let report = attempt(&outbound(), &receiver.endpoint()).await;
        assert_eq!((&report.outcome, report.response.is_none()), (&RETRY, true));
        assert!(error(&report).contains("larger than 32 KiB"), "{}", error(&report));
        assert!(report.duration_ms < 4000, "cut by size, not by the clock");
        assert!(written.load(Ordering::Relaxed) < 16 << 20);
    }
}

#[tokio::test]
async fn an_early_1xx_is_no_answer() {
    let early: &[u8] = b"HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n\
        HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";
    let receiver = ScriptedReceiver::always(early.to_vec()).await;
    let report = attempt(&outbound(), &receiver.endpoint()).await;
    assert_eq!(report.response.map(|r| r.status), Some(200));
}

#[tokio::test]
async fn answers_that_are_none() {
    for (answer, word) in [
        (&b""[..], "closed before an answer"),
        (b"SSH-2.0-OpenSSH_9.6\r\n", "not HTTP/1.1"),
        (b"HTTP/2.0 200 OK\r\n\r\n", "not HTTP/1.1"),
        (b"HTTP/1.1 200 OK\r\nbad header\r\n\r\n", "not HTTP/1.1"),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nab", "not HTTP/1.1"),
        (
            b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nshort",
            "status 200 came, but its body broke off",
        ),
        (
            b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n",
            "status 200 came, but its body broke off",
        ),
    ] {
        let receiver = ScriptedReceiver::new(move |conn, mut stream, got| async move {
            let Some(request) = read_request(&mut stream, conn).await else { return };
            got.lock().unwrap().push(request);
            let _ = stream.write_all(answer).await;
        })
        .await;

        let report = attempt(&outbound(), &receiver.endpoint()).await;
        assert_eq!(report.outcome, RETRY, "{}", answer.escape_ascii());
        assert!(error(&report).contains(word), "{}: {}", answer.escape_ascii(), error(&report));
        assert_eq!(receiver.got().len(), 1, "a fresh connection is not tried twice");
    }
}

#[tokio::test]
async fn a_reset_is_said_plainly() {
    let receiver = ScriptedReceiver::new(|_, stream, _| async move {
        // Closing with bytes unread makes the kernel send RST.
        stream.readable().await.unwrap();
        drop(stream);
    })
    .await;
    let report = attempt(&outbound(), &receiver.endpoint()).await;
    assert_eq!(report.outcome, RETRY);
    assert!(error(&report).contains("the connection was"), "{}", error(&report));
}

#[tokio::test]
async fn nobody_listens() {
    // Bound and kept, so that nobody else gets this port meanwhile.
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let address = socket.local_addr().unwrap();
    let report = attempt(&outbound(), &endpoint(&format!("http://{address}/"))).await;
    assert_eq!(report.outcome, RETRY);
    assert_eq!(error(&report), format!("connection refused by {address}"));
    assert_eq!(report.connect_ms, None);
}

#[tokio::test]
async fn one_deadline_over_everything() {
    for (answer, word) in [
        (&b""[..], "no answer within 150ms (connected, request sent)"),
        (b"HTTP/1.1 200 OK\r\n", "connected, request sent"),
        (
            b"HTTP/1.1 200 OK\r\ncontent-length: 100000\r\n\r\n",
            "status 200 came, but not the whole body",
        ),
    ] {
        let receiver = ScriptedReceiver::new(move |conn, mut stream, got| async move {
            let Some(request) = read_request(&mut stream, conn).await else { return };
            got.lock().unwrap().push(request);
            let mut next = answer;
            // One byte now and then: every single read is in time, the whole is not.
            let mut tick = tokio::time::interval(std::time::Duration::from_millis(20));
            while !answer.is_empty() && stream.write_all(next).await.is_ok() {
                tick.tick().await;
                next = b"x";
            }
            read_request(&mut stream, conn).await;
        })
        .await;

        let endpoint = with(&receiver.endpoint(), |e| e.timeout_ms = 150);
        // A machine that does not let the test run for that time ends one of them in an earlier
        // phase.
        let mut report = attempt(&outbound(), &endpoint).await;
        for _ in 0..10 {
            if error(&report).contains(word) {
                break;
            }
            report = attempt(&outbound(), &endpoint).await;
        }

        assert_eq!(report.outcome, RETRY);
        assert!(error(&report).contains(word), "{}", error(&report));
        assert!(report.duration_ms >= 150, "{}", report.duration_ms);
        assert_eq!(report.response.is_some(), word.starts_with("status"));
    }
}

#[tokio::test]
async fn an_endpoint_that_cannot_be_used_is_refused_in_the_report() {
    for (url, secret) in [("not a url", None), ("http://127.0.0.1:1/", Some("hunter2"))] {
        let broken = with(&endpoint(url), |e| {
            e.secrets = secret.map(TimedSecret::current).into_iter().collect()
        });
        let report = attempt(&outbound(), &broken).await;
        assert_eq!(report.outcome, Outcome::Refused);
        assert!(!error(&report).is_empty() && !error(&report).contains("hunter2"));
    }
}

#[tokio::test]
async fn a_secret_that_is_not_there_yet_is_looked_for_again() {
    const SECRET: &str = "whsec_c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0";

    let receiver = ScriptedReceiver::always(OK.to_vec()).await;
    let is_there = Arc::new(AtomicBool::new(false));
    let seen = is_there.clone();
    let settings = super::OutboundSettings {
        lookup: Some(Arc::new(move |text| match (text, seen.load(Ordering::SeqCst)) {
            ("file:/s" | "env:S", true) => Ok(Some(SECRET.to_owned())),
            ("file:/s" | "env:S", false) => Err(format!("{text} is not there")),
            _ => Ok(None),
        })),
        ..super::settings(super::FakeResolver::default())
    };
    let ms = Arc::new(AtomicU64::new(0));
    let (of_test, start) = (ms.clone(), super::clock());
    let clock = Arc::new(move || {
        let now = start();
        Now { mono_ms: now.mono_ms + of_test.load(Ordering::SeqCst), ..now }
    });
    let outbound = super::Outbound::new(settings, clock).unwrap();

    let signed = with(&receiver.endpoint(), |endpoint| {
        endpoint.secrets = vec![TimedSecret::current("file:/s")];
    });
    let templated = with(&receiver.endpoint(), |endpoint| {
        endpoint.id += 1;
        endpoint.template.headers = vec![("X-Key".into(), "{{ secret('env:S') }}".into())];
    });
    for endpoint in [&signed, &templated] {
        let report = attempt(&outbound, endpoint).await;
        assert_eq!(report.outcome, RETRY, "it may be there later: {report:?}");
        assert_eq!(report.fault, Some(AttemptFault::Unclear), "and says nothing of the link");
        assert!(error(&report).contains("is not there"), "{}", error(&report));
    }

    is_there.store(true, Ordering::SeqCst);
    ms.store(limits::LOOKUP_AGAIN_MS, Ordering::SeqCst);
    for endpoint in [&signed, &templated] {
        assert_eq!(attempt(&outbound, endpoint).await.outcome, Outcome::Delivered);
    }
    assert!(receiver.got()[0].header("webhook-signature").is_some());
}

#[tokio::test]
async fn a_receiver_that_repeats_the_signing_secret_does_not_show_it() {
    const KEY: &str = "c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0";
    let body = format!("expected whsec_{KEY} or {KEY}");
    let answer = format!("HTTP/1.1 500 x\r\ncontent-length: {}\r\n\r\n{body}", body.len());
    let receiver = ScriptedReceiver::always(answer.into_bytes()).await;
    let signed = with(&receiver.endpoint(), |endpoint| {
        endpoint.secrets = vec![TimedSecret::current(format!("whsec_{KEY}"))];
    });
    let report = attempt(&outbound(), &signed).await;
    let shown = String::from_utf8_lossy(&report.response.unwrap().body).into_owned();
    assert!(shown.starts_with("expected") && !shown.contains(KEY), "{shown}");
}

#[tokio::test]
async fn only_a_path_of_its_own_makes_410_an_answer_to_the_endpoint() {
    let gone = b"HTTP/1.1 410 Gone\r\ncontent-length: 0\r\n\r\n";
    let receiver = ScriptedReceiver::always(gone.to_vec()).await;
    assert_eq!(attempt(&outbound(), &receiver.endpoint()).await.outcome, Outcome::Gone);

    let by_event = with(&receiver.endpoint(), |endpoint| {
        endpoint.template.path = Some("/devices/{{ body.a }}".into());
    });
    assert_eq!(attempt(&outbound(), &by_event).await.outcome, RETRY);
}

#[tokio::test]
async fn responses_in_the_log_are_small() {
    let fields: String = (0..90).map(|n| format!("x-{n}: {}\r\n", "v".repeat(300))).collect();
    let answer = format!(
        "HTTP/1.1 200 OK\r\nset-cookie: session=canary\r\n{fields}content-length: 0\r\n\r\n"
    );
    let receiver = ScriptedReceiver::always(answer.into_bytes()).await;
    let report = attempt(&outbound(), &receiver.endpoint()).await;
    let response = report.response.unwrap();
    assert_eq!(response.headers.len(), limits::RESPONSE_FIELDS);
    assert!(response.headers.iter().all(|h| h.value.len() <= limits::RESPONSE_VALUE));
    assert!(!format!("{response:?}").contains("canary"));
}
