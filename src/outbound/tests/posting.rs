//! One attempt at a time, against receivers of every temper.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use tokio::io::AsyncWriteExt;
use tokio::net::UnixListener;

use super::{Got, OK, Receiver, WALL_MS, attempt, endpoint, event, read_request, room, send, with};
use crate::model::{AttemptReport, Event, Header, Outcome, TimedSecret, limits};

const RETRY: Outcome = Outcome::Retryable { after_ms: None };

fn error(report: &AttemptReport) -> &str {
    report.error.as_deref().unwrap_or("")
}

fn shown<'a>(report: &'a AttemptReport, name: &str) -> Option<&'a [u8]> {
    report.request.headers.iter().find(|h| h.name == name).map(|h| h.value.as_ref())
}

#[tokio::test]
async fn delivers_over_one_kept_connection() {
    let receiver = Receiver::always(OK.to_vec()).await;
    let (room, endpoint) = (room(), receiver.endpoint());
    let first = attempt(&room, &endpoint).await;
    assert_eq!(first.outcome, Outcome::Delivered);
    assert!(first.connect_ms.is_some());
    for _ in 0..5 {
        let next = attempt(&room, &endpoint).await;
        assert_eq!((next.outcome, next.connect_ms, next.error), (Outcome::Delivered, None, None));
    }
    let got = receiver.got();
    assert_eq!(got.len(), 6);
    assert!(got.iter().all(|g| g.conn == 0 && g.body == br#"{"a":1}"#));
    assert!(got[0].head.starts_with("POST /hook?x=1 HTTP/1.1\r\n"));
    assert_eq!(got[0].header("host"), Some(receiver.address.to_string().as_str()));
    let response = first.response.unwrap();
    assert_eq!((response.status, response.body.as_ref()), (200, &b"ok"[..]));
    assert_eq!(room.idle.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn says_who_what_and_which_attempt() {
    let receiver = Receiver::always(OK.to_vec()).await;
    let secrets = vec![
        TimedSecret::current(super::super::generate_secret([5; 32])),
        TimedSecret { expires_at: Some(WALL_MS - 1), ..TimedSecret::current("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw") },
    ];
    let endpoint = with(&receiver.endpoint(), |e| e.secrets = secrets);
    let report = attempt(&room(), &endpoint).await;
    let got = receiver.got().remove(0);
    let id = event().id.to_string();
    assert_eq!(got.header("webhook-id"), Some(id.as_str()));
    assert_eq!(got.header("webhook-timestamp"), Some("1795438800"));
    assert_eq!(got.header("hookbox-source"), Some("github"));
    assert_eq!(got.header("hookbox-type"), Some("push"));
    assert_eq!(got.header("hookbox-attempt"), Some("3"));
    assert_eq!(got.header("user-agent"), Some("hookbox/test"));
    assert_eq!(got.header("content-type"), Some("application/json"));
    assert_eq!(got.head.matches("content-length").count(), 1);

    let content = [format!("{id}.1795438800.").as_bytes(), &got.body].concat();
    let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, &[5; 32]);
    let signature = got.header("webhook-signature").unwrap();
    let tag = data_encoding::BASE64.decode(signature.strip_prefix("v1,").unwrap().as_bytes()).unwrap();
    ring::hmac::verify(&key, &content, &tag).expect("signed with the live secret alone");

    assert_eq!(shown(&report, "webhook-signature"), Some("v1,…".as_bytes()));
    assert_eq!(shown(&report, "webhook-id"), Some(id.as_bytes()));
    let log = format!("{report:?}");
    assert!(!log.contains(&signature[3..]), "{log}");
}

fn with_headers(headers: &[(&str, &[u8])], from_provider: bool) -> Event {
    let headers = headers.iter().map(|(n, v)| Header::new(*n, v.to_vec())).collect();
    Event { headers, from_provider, ..event() }
}

#[tokio::test]
async fn forwards_the_senders_headers_where_wanted() {
    let receiver = Receiver::always(OK.to_vec()).await;
    let (room, endpoint) = (room(), receiver.endpoint());
    let headers: &[(&str, &[u8])] = &[
        ("host", b"hookbox.example"),
        ("content-type", b"application/xml"),
        ("content-length", b"999"),
        ("content-encoding", b"gzip"),
        ("connection", b"close, X-Hop"),
        ("x-hop", b"1"),
        ("transfer-encoding", b"chunked"),
        ("user-agent", b"GitHub-Hookshot"),
        ("webhook-id", b"msg_other"),
        ("svix-id", b"msg_other"),
        ("hookbox-source", b"forged"),
        ("authorization", "…".as_bytes()),
        ("x-token", "Bearer …".as_bytes()),
        ("x-github-event", b"push"),
        ("x-twice", b"1"),
        ("x-twice", b"2"),
        ("x-broken", b"a\r\nx-injected: 1"),
        ("bad name", b"1"),
    ];
    let report = send(&room, &endpoint, with_headers(headers, true)).await;
    assert_eq!(report.outcome, Outcome::Delivered);
    send(&room, &endpoint, with_headers(headers, false)).await;
    let never = with(&endpoint, |e| e.forward_headers = Some(false));
    send(&room, &never, with_headers(headers, true)).await;
    let always = with(&endpoint, |e| e.forward_headers = Some(true));
    send(&room, &always, with_headers(headers, false)).await;

    let got = receiver.got();
    let count: Vec<usize> = got.iter().map(|g| g.head.matches("\nx-").count()).collect();
    assert_eq!(count, [3, 0, 0, 3], "{}", got[0].head);
    let head = &got[0];
    assert_eq!(head.header("x-github-event"), Some("push"));
    assert_eq!(head.header("hookbox-source"), Some("github"));
    assert_eq!(head.header("user-agent"), Some("hookbox/test"));
    assert_eq!(head.header("content-type"), Some("application/xml"));
    for gone in ["authorization", "svix-id", "transfer-encoding", "x-injected", "connection"] {
        assert_eq!(head.header(gone), None, "{gone}");
    }
    assert!(got.iter().all(|g| g.header("content-encoding") == Some("gzip")));
    assert!(!head.head.contains("msg_other") && !head.head.contains("999"));
    assert_eq!(shown(&report, "forwarded-headers"), Some(&b"3"[..]));
    assert_eq!(shown(&report, "x-github-event"), None);
}

#[tokio::test]
async fn values_unfit_for_headers_are_left_out() {
    let receiver = Receiver::always(OK.to_vec()).await;
    let mut odd = with_headers(&[("content-type", b"text/\0plain")], true);
    odd.kind = "a\r\nx-injected: 1".to_owned();
    odd.source_name = "naïve ☃".to_owned();
    odd.body = bytes::Bytes::new();
    let report = send(&room(), &receiver.endpoint(), odd).await;
    assert_eq!(report.outcome, Outcome::Delivered);
    let got = receiver.got().remove(0);
    assert_eq!(got.header("hookbox-type"), None);
    assert_eq!(got.header("hookbox-source"), Some("naïve ☃"));
    assert_eq!(got.header("content-type"), Some("application/octet-stream"));
    assert_eq!(got.header("content-length"), Some("0"));
    assert!(!got.head.contains("x-injected"));
}

#[tokio::test]
async fn a_loop_of_daemons_ends() {
    let receiver = Receiver::always(OK.to_vec()).await;
    let (room, endpoint) = (room(), receiver.endpoint());
    let last = with_headers(&[("hookbox-hops", b"7")], false);
    assert_eq!(send(&room, &endpoint, last).await.outcome, Outcome::Delivered);
    assert_eq!(receiver.got()[0].header("hookbox-hops"), Some("8"));
    let report = send(&room, &endpoint, with_headers(&[("hookbox-hops", b"8")], false)).await;
    assert_eq!(report.outcome, Outcome::Refused);
    assert!(error(&report).contains("loop"), "{}", error(&report));
    assert_eq!(receiver.got().len(), 1);
}

#[tokio::test]
async fn a_kept_connection_that_ended_is_replaced_at_once() {
    // The first answer is good; the second request is read and then the connection closed without a byte.
    let receiver = Receiver::new(|conn, mut stream, got| async move {
        for turn in 0..2 {
            let Some(request) = read_request(&mut stream, conn).await else { return };
            got.lock().unwrap().push(request);
            if turn == 0 {
                stream.write_all(OK).await.unwrap();
            }
        }
    })
    .await;
    let (room, endpoint) = (room(), receiver.endpoint());
    for _ in 0..3 {
        let report = attempt(&room, &endpoint).await;
        assert_eq!(report.outcome, Outcome::Delivered, "{:?}", report.error);
    }
    let conns: Vec<usize> = receiver.got().iter().map(|g| g.conn).collect();
    assert_eq!(conns, [0, 0, 1, 1, 2]);
}

#[tokio::test]
async fn a_connection_closed_while_idle_does_no_harm() {
    let receiver = Receiver::answering(&[OK]).await;
    let (room, endpoint) = (room(), receiver.endpoint());
    for _ in 0..5 {
        assert_eq!(attempt(&room, &endpoint).await.outcome, Outcome::Delivered);
    }
    assert_eq!(receiver.got().len(), 5);
}

#[tokio::test]
async fn half_an_answer_is_not_sent_again_at_once() {
    let receiver = Receiver::answering(&[OK, b"HTTP/1.1 2"]).await;
    let (room, endpoint) = (room(), receiver.endpoint());
    assert_eq!(attempt(&room, &endpoint).await.outcome, Outcome::Delivered);
    let report = attempt(&room, &endpoint).await;
    assert_eq!((&report.outcome, report.response.is_none()), (&RETRY, true));
    assert!(error(&report).contains("closed before an answer"), "{}", error(&report));
    assert_eq!(receiver.got().len(), 2);
}

#[tokio::test]
async fn bytes_nobody_asked_for_are_not_taken_for_the_next_answer() {
    let double: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\nHTTP/1.1 410 Gone\r\ncontent-length: 0\r\n\r\n";
    let receiver = Receiver::always(double.to_vec()).await;
    let (room, endpoint) = (room(), receiver.endpoint());
    for _ in 0..3 {
        assert_eq!(attempt(&room, &endpoint).await.outcome, Outcome::Delivered);
    }
    let conns: Vec<usize> = receiver.got().iter().map(|g| g.conn).collect();
    assert_eq!(conns, [0, 1, 2]);
}

#[tokio::test]
async fn statuses_come_to_their_outcomes() {
    for (answer, outcome, word) in [
        ("204 No Content\r\n", Outcome::Delivered, ""),
        ("500 Oops\r\ncontent-length: 0\r\n", RETRY, ""),
        ("302 Found\r\nlocation: http://127.0.0.1:1/\r\ncontent-length: 0\r\n", RETRY, "not followed (to http://127.0"),
        ("308 Moved\r\ncontent-length: 0\r\n", RETRY, "not followed"),
        ("410 Gone\r\ncontent-length: 0\r\n", Outcome::Gone, ""),
        ("429 Slow\r\nretry-after: 7\r\ncontent-length: 0\r\n", Outcome::Retryable { after_ms: Some(7000) }, ""),
        ("503 Busy\r\nretry-after: -1\r\ncontent-length: 0\r\n", RETRY, ""),
        ("200 OK\r\nconnection: close\r\n", Outcome::Delivered, ""),
    ] {
        let receiver = Receiver::new(move |conn, mut stream, got| async move {
            let Some(request) = read_request(&mut stream, conn).await else { return };
            got.lock().unwrap().push(request);
            stream.write_all(format!("HTTP/1.1 {answer}\r\n").as_bytes()).await.unwrap();
        })
        .await;
        let report = attempt(&room(), &receiver.endpoint()).await;
        assert_eq!(report.outcome, outcome, "{answer}");
        assert!(error(&report).contains(word), "{answer}: {}", error(&report));
        assert_eq!(report.error.is_none(), word.is_empty(), "{answer}");
        assert_eq!(report.response.map(|r| r.status), answer[..3].parse().ok());
        assert_eq!(receiver.got().len(), 1, "{answer}");
    }
}

/// Writes without end, and counts what it got rid of before the peer hung up.
async fn flood(start: &'static [u8], more: &'static [u8]) -> (Receiver, Arc<AtomicUsize>) {
    let written = Arc::new(AtomicUsize::new(0));
    let count = written.clone();
    let receiver = Receiver::new(move |conn, mut stream, got| {
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
        let room = room();
        let report = attempt(&room, &receiver.endpoint()).await;
        assert_eq!((&report.outcome, &report.error), (&Outcome::Delivered, &None));
        assert_eq!(report.response.unwrap().body.len(), limits::RESPONSE_KEPT);
        assert_eq!(room.idle.load(Ordering::Relaxed), 0, "the connection is of no more use");
        // What the peer wrote stands mostly in socket buffers.
        assert!(written.load(Ordering::Relaxed) < 16 << 20);
    }
    let (receiver, _) = flood(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n", b"1\r\nx\r\n").await;
    let report = attempt(&room(), &receiver.endpoint()).await;
    assert_eq!(report.outcome, Outcome::Delivered, "{:?}", report.error);
}

#[tokio::test]
async fn heads_without_end_are_cut() {
    for (start, more) in [
        (&b"HTTP/1.1 200 OK\r\nx: "[..], &[b'x'; 1024][..]),
        (b"HTTP/1.1 200 OK\r\n", b"x: y\r\n"),
        (b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 100 Continue\r\n\r\n"),
        (b"HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n", b"HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n"),
    ] {
        let (receiver, written) = flood(start, more).await;
        let report = attempt(&room(), &receiver.endpoint()).await;
        assert_eq!((&report.outcome, report.response.is_none()), (&RETRY, true));
        assert!(error(&report).contains("larger than 32 KiB"), "{}", error(&report));
        assert!(report.duration_ms < 4000, "cut by size, not by the clock");
        assert!(written.load(Ordering::Relaxed) < 16 << 20);
    }
}

#[tokio::test]
async fn an_early_1xx_is_no_answer() {
    let early: &[u8] = b"HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";
    let receiver = Receiver::always(early.to_vec()).await;
    let report = attempt(&room(), &receiver.endpoint()).await;
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
        (b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nshort", "status 200 came, but its body broke off"),
        (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n", "status 200 came, but its body broke off"),
    ] {
        let receiver = Receiver::new(move |conn, mut stream, got| async move {
            let Some(request) = read_request(&mut stream, conn).await else { return };
            got.lock().unwrap().push(request);
            let _ = stream.write_all(answer).await;
        })
        .await;
        let report = attempt(&room(), &receiver.endpoint()).await;
        assert_eq!(report.outcome, RETRY, "{}", answer.escape_ascii());
        assert!(error(&report).contains(word), "{}: {}", answer.escape_ascii(), error(&report));
        assert_eq!(receiver.got().len(), 1, "a fresh connection is not tried twice");
    }
}

#[tokio::test]
async fn a_reset_is_said_plainly() {
    let receiver = Receiver::new(|_, stream, _| async move {
        // Closing with bytes unread makes the kernel send RST.
        stream.readable().await.unwrap();
        drop(stream);
    })
    .await;
    let report = attempt(&room(), &receiver.endpoint()).await;
    assert_eq!(report.outcome, RETRY);
    assert!(error(&report).contains("the connection was"), "{}", error(&report));
}

#[tokio::test]
async fn nobody_listens() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let report = attempt(&room(), &endpoint(&format!("http://{address}/"))).await;
    assert_eq!(report.outcome, RETRY);
    assert_eq!(error(&report), format!("connection refused by {address}"));
    assert_eq!(report.connect_ms, None);
}

#[tokio::test]
async fn one_deadline_over_everything() {
    for (answer, word) in [
        (&b""[..], "no answer within 150ms (connected, request sent)"),
        (b"HTTP/1.1 200 OK\r\n", "connected, request sent"),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 100000\r\n\r\n", "status 200 came, but not the whole body"),
    ] {
        let receiver = Receiver::new(move |conn, mut stream, got| async move {
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
        let report = attempt(&room(), &endpoint).await;
        assert_eq!(report.outcome, RETRY);
        assert!(error(&report).contains(word), "{}", error(&report));
        assert!((150..2000).contains(&report.duration_ms), "{}", report.duration_ms);
        assert_eq!(report.response.is_some(), word.starts_with("status"));
    }
}

#[tokio::test]
async fn unix_sockets_reach_local_applications() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("app.sock");
    let listener = UnixListener::bind(&path).unwrap();
    let got: Arc<Mutex<Vec<Got>>> = Arc::default();
    let log = got.clone();
    tokio::spawn(async move {
        for conn in 0.. {
            let (mut stream, _) = listener.accept().await.unwrap();
            while let Some(request) = read_request(&mut stream, conn).await {
                log.lock().unwrap().push(request);
                stream.write_all(OK).await.unwrap();
            }
        }
    });
    let unix = with(&endpoint(&format!("unix:{}:/in?a=b", path.display())), |e| e.allow_private = false);
    let room = room();
    for _ in 0..2 {
        let report = attempt(&room, &unix).await;
        assert_eq!(report.outcome, Outcome::Delivered, "{:?}", report.error);
    }
    let got = got.lock().unwrap().clone();
    assert!(got[0].head.starts_with("POST /in?a=b HTTP/1.1\r\n"));
    assert_eq!((got[0].header("host"), got[1].conn), (Some("localhost"), 0));

    let missing = endpoint(&format!("unix:{}/none.sock:/", folder.path().display()));
    let report = attempt(&room, &missing).await;
    assert_eq!(report.outcome, RETRY);
    assert!(error(&report).contains("is the application running?"), "{}", error(&report));
}

#[tokio::test]
async fn an_endpoint_that_cannot_be_used_is_refused_in_the_report() {
    for (url, secret) in [("not a url", None), ("http://127.0.0.1:1/", Some("hunter2"))] {
        let broken = with(&endpoint(url), |e| e.secrets = secret.map(TimedSecret::current).into_iter().collect());
        let report = attempt(&room(), &broken).await;
        assert_eq!(report.outcome, Outcome::Refused);
        assert!(!error(&report).is_empty() && !error(&report).contains("hunter2"));
    }
}

#[tokio::test]
async fn responses_in_the_log_are_small() {
    let fields: String = (0..90).map(|n| format!("x-{n}: {}\r\n", "v".repeat(300))).collect();
    let answer = format!("HTTP/1.1 200 OK\r\nset-cookie: session=canary\r\n{fields}content-length: 0\r\n\r\n");
    let receiver = Receiver::always(answer.into_bytes()).await;
    let report = attempt(&room(), &receiver.endpoint()).await;
    let response = report.response.unwrap();
    assert_eq!(response.headers.len(), limits::RESPONSE_FIELDS);
    assert!(response.headers.iter().all(|h| h.value.len() <= limits::RESPONSE_VALUE));
    assert!(!format!("{response:?}").contains("canary"));
}

#[tokio::test]
async fn changed_and_deleted_endpoints_lose_their_connections() {
    let receiver = Receiver::always(OK.to_vec()).await;
    let (room, endpoint) = (room(), receiver.endpoint());
    attempt(&room, &endpoint).await;
    assert_eq!(room.idle.load(Ordering::Relaxed), 1);
    room.forget(std::slice::from_ref(&endpoint));
    assert_eq!(room.idle.load(Ordering::Relaxed), 1);
    let changed = with(&endpoint, |e| e.allow_private = false);
    room.forget(std::slice::from_ref(&changed));
    assert_eq!(room.idle.load(Ordering::Relaxed), 0);

    attempt(&room, &endpoint).await;
    let report = attempt(&room, &changed).await;
    assert_eq!(report.outcome, Outcome::Refused, "the permission does not live on in a kept connection");
    assert_eq!(room.idle.load(Ordering::Relaxed), 0);
    assert_eq!(receiver.got().len(), 2);
}

#[tokio::test]
async fn the_reaper_closes_what_is_idle_for_long() {
    let receiver = Receiver::always(OK.to_vec()).await;
    let now = Arc::new(std::sync::atomic::AtomicU64::new(0));
    let clock = now.clone();
    let settings = super::settings(super::FakeResolver::default());
    let clock: super::Clock =
        Arc::new(move || crate::model::Now { mono_ms: clock.load(Ordering::Relaxed), wall_ms: WALL_MS });
    let room = super::Outbound::new(settings, clock).unwrap();
    let endpoint = receiver.endpoint();
    attempt(&room, &endpoint).await;
    now.store(limits::IDLE_MS - 1, Ordering::Relaxed);
    assert!(room.reap());
    now.store(limits::IDLE_MS, Ordering::Relaxed);
    assert!(!room.reap());
    assert_eq!(room.idle.load(Ordering::Relaxed), 0);
    attempt(&room, &endpoint).await;
    now.store(limits::IDLE_MS * 2, Ordering::Relaxed);
    attempt(&room, &endpoint).await;
    let conns: Vec<usize> = receiver.got().iter().map(|g| g.conn).collect();
    assert_eq!(conns, [0, 1, 2], "an old one is not used either");
}

#[tokio::test]
async fn many_at_once_keep_a_bounded_number_of_connections() {
    let receiver = Receiver::always(OK.to_vec()).await;
    let (room, endpoint) = (room(), receiver.endpoint());
    let attempts: Vec<_> = (0..100)
        .map(|_| {
            let (room, endpoint) = (room.clone(), endpoint.clone());
            tokio::spawn(async move { attempt(&room, &endpoint).await.outcome })
        })
        .collect();
    for made in attempts {
        assert_eq!(made.await.unwrap(), Outcome::Delivered);
    }
    assert!((1..=limits::IDLE_CONNECTIONS).contains(&room.idle.load(Ordering::Relaxed)));
}

#[tokio::test]
async fn large_bodies_arrive_whole() {
    let receiver = Receiver::always(OK.to_vec()).await;
    let body: Vec<u8> = (0..2_000_000u32).map(|n| n.to_le_bytes()[n as usize % 3]).collect();
    let large = Event { body: body.clone().into(), ..event() };
    let report = send(&room(), &receiver.endpoint(), large).await;
    assert_eq!(report.outcome, Outcome::Delivered);
    assert_eq!(receiver.got()[0].body, body);
}
