//! Real requests over real sockets, against a scheduler that only takes notes.

mod fair;
mod hostile;
mod slow;
mod world;

use std::sync::Arc;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::{TcpStream, UnixStream};

use super::IngestLimits;
use crate::model::{EventId, Source};
use world::{IngestWorld, get, post, status};

#[tokio::test]
async fn an_event_comes_in_as_it_was_sent() {
    let world = IngestWorld::new().await;
    let body = b"\x00\xff\n bytes \r\n\r\n";
    let mut request = b"POST /in/open?x=1&access_token=hunter2 HTTP/1.1\r\nHost: h\r\nConnection: \
                       close\r\nX-Odd: \xff\r\nContent-Type: text/weird\r\nAuthorization: Bearer \
                       hunter2\r\nWebhook-Id: w1\r\nCe-Type: com.x\r\nContent-Length: 14\r\n\r\n"
        .to_vec();
    request.extend_from_slice(body);

    let answer = world.raw(&request).await;
    assert_eq!(status(&answer), 202, "{answer}");

    let events = world.accepted();
    let [event] = events.as_slice() else { panic!("{events:?}") };
    let id = EventId { seq: 1, tag: 7 }.to_string();
    assert!(answer.to_lowercase().contains(&format!("webhook-id: {id}")), "{answer}");
    assert!(answer.ends_with(&format!("{{\"id\":\"{id}\"}}")), "{answer}");

    assert_eq!(event.body.as_ref(), body);
    assert_eq!((event.source.name.as_str(), event.kind.as_str()), ("open", "com.x"));
    assert_eq!(event.dedupe_key.as_deref(), Some("w1"));
    assert_eq!(
        event.dedupe,
        Some(super::identity::fingerprint(world::SALT, event.source.id, "w1"))
    );
    assert_eq!(event.request_line, "POST /in/open?x=1&access_token=…");
    assert!(event.remote.starts_with("127.0.0.1:"));

    let kept: Vec<_> = event.headers.iter().map(|h| (h.name.as_str(), h.value.as_ref())).collect();
    assert_eq!(
        kept,
        [
            ("x-odd", b"\xff".as_slice()),
            ("content-type", b"text/weird"),
            ("authorization", "…".as_bytes()),
            ("webhook-id", b"w1"),
            ("ce-type", b"com.x"),
        ]
    );
}

#[tokio::test]
async fn a_repetition_gets_the_first_id() {
    let world = IngestWorld::new().await;
    let request = post("/in/open", "Idempotency-Key: k\r\n", "x");
    let first = world.raw(request.as_bytes()).await;
    let again = world.raw(request.as_bytes()).await;
    assert_eq!((status(&first), status(&again)), (202, 202));
    assert!(
        again.ends_with(&format!(
            "{{\"id\":\"{}\",\"duplicate\":true}}",
            EventId { seq: 1, tag: 7 }
        )),
        "{again}"
    );
}

#[tokio::test]
async fn one_connection_serves_many_requests_pipelined_and_chunked() {
    let world = IngestWorld::new().await;
    let one = "POST /in/open HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nfirst";
    let chunked = "POST /in/open HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: \
                   chunked\r\n\r\n3;x=y\r\nsec\r\n3\r\nond\r\n0\r\nT: 1\r\n\r\n";
    let empty = "POST /in/open HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n";
    let last = post("/in/open", "", "last");
    let answer = world.raw(format!("{one}{chunked}{empty}{last}").as_bytes()).await;
    assert_eq!(answer.matches("HTTP/1.1 202").count(), 4, "{answer}");
    let bodies: Vec<_> = world.accepted().iter().map(|event| event.body.clone()).collect();
    assert_eq!(bodies, ["first", "second", "", "last"]);
}

#[tokio::test]
async fn a_large_body_in_many_frames_stays_whole() {
    let world = IngestWorld::new().await;
    let body: String =
        (0..200_000u32).map(|n| char::from(b'a' + u8::try_from(n % 26).unwrap_or(0))).collect();
    let answer = world.raw(post("/in/open", "", &body).as_bytes()).await;
    assert_eq!(status(&answer), 202);
    assert_eq!(world.accepted()[0].body, body);
}

#[tokio::test]
async fn http2_by_prior_knowledge_works_and_its_host_is_known() {
    let world = IngestWorld::new().await;
    let stream = TcpStream::connect(&world.address).await.expect("connected");
    let (mut client, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream))
            .await
            .expect("HTTP/2");
    let driver = tokio::spawn(connection);

    for n in 0..3 {
        let request = hyper::Request::post(format!("http://h.example/in/open?n={n}"))
            .header("webhook-id", format!("w{n}"))
            .body(Full::new(Bytes::from(format!("body {n}"))))
            .expect("a request");
        let response = client.send_request(request).await.expect("answered");
        assert_eq!(response.status(), 202);
        let body = response.into_body().collect().await.expect("a body").to_bytes();
        assert_eq!(body, format!("{{\"id\":\"{}\"}}", EventId { seq: n + 1, tag: 7 }));
    }

    // Refusals too, and they do not end the connection.
    let request = hyper::Request::post("http://h.example/in/nobody")
        .body(Full::new(Bytes::from("x")))
        .expect("a request");
    assert_eq!(client.send_request(request).await.expect("answered").status(), 404);

    let fields = (0..=crate::model::limits::HEADERS)
        .fold(hyper::Request::post("http://h/in/open"), |r, n| r.header(format!("x-{n}"), "1"));
    let request = fields.body(Full::new(Bytes::new())).expect("a request");
    assert_eq!(client.send_request(request).await.expect("answered").status(), 431);

    let large = Full::new(Bytes::from(vec![0; 5000]));
    let request = hyper::Request::post("http://h.example/in/small").body(large).expect("a request");
    assert_eq!(client.send_request(request).await.expect("answered").status(), 413);

    let request = hyper::Request::post("http://h.example/in/open")
        .body(Full::new(Bytes::from("x")))
        .expect("a request");
    assert_eq!(client.send_request(request).await.expect("answered").status(), 202);
    assert_eq!(world.accepted().len(), 4);

    drop(client);
    let _ = driver.await;
}

#[tokio::test]
async fn a_unix_socket_is_listened_on() {
    let folder = tempfile::tempdir().expect("a folder");
    let address = format!("unix:{}", folder.path().join("in.sock").display());
    let world = IngestWorld::listening(&address, IngestLimits::default()).await;
    let stream = UnixStream::connect(folder.path().join("in.sock")).await.expect("connected");
    let answer = world::exchange(stream, post("/in/open", "", "x").as_bytes()).await;
    assert_eq!(status(&answer), 202);
    assert_eq!(world.accepted()[0].remote, "unix");
    world.stop().await;
    assert!(!folder.path().join("in.sock").exists());
}

#[tokio::test]
async fn health_is_reported() {
    let world = IngestWorld::new().await;
    assert_eq!(status(&world.raw(get("/healthz").as_bytes()).await), 200);
    assert_eq!(status(&world.raw(get("/readyz").as_bytes()).await), 200);
    world.not_accepting("the disk is full");
    assert_eq!(status(&world.raw(get("/healthz").as_bytes()).await), 200);
    let answer = world.raw(get("/readyz").as_bytes()).await;
    assert_eq!(status(&answer), 503);
    assert!(
        answer.contains("not accepting events") && answer.contains("retry-after: 5"),
        "{answer}"
    );
    assert!(!answer.contains("the disk is full"), "the reason is not for strangers: {answer}");
    let answer = world.raw(post("/in/open", "", "x").as_bytes()).await;
    assert_eq!(status(&answer), 503);
    assert!(answer.contains("retry-after: 30") && !answer.contains("disk is full"), "{answer}");
    assert_eq!(status(&world.raw(post("/healthz", "", "").as_bytes()).await), 405);
    assert!(world.accepted().is_empty());
}

#[tokio::test]
async fn a_stop_lets_what_is_in_flight_finish_and_nothing_else_begin() {
    let world = IngestWorld::new().await;
    world.hold();
    let idle = TcpStream::connect(&world.address).await.expect("connected");
    let request = post("/in/open", "", "x");
    let in_flight = async { world.raw(request.as_bytes()).await };
    let stopping = async {
        world.wait_for_held(1).await;
        world.tell_to_stop();
        // The idle one is closed, the listener too; then the scheduler goes on.
        assert_eq!(world::exchange(idle, b"").await, "");
        assert!(TcpStream::connect(&world.address).await.is_err(), "no new connections");
        world.go_on();
    };
    let (answer, ()) = tokio::join!(in_flight, stopping);
    assert_eq!(status(&answer), 202, "{answer}");
    world.stop().await;
}

#[tokio::test]
async fn a_batch_becomes_one_accept_of_several_events() {
    use super::verify::{Proven, SplitEvent};
    let mut source = Source::new("batch", "none");
    source.split = true;

    let element = |key: &str| SplitEvent {
        kind: Some("open".into()),
        dedupe_key: Some(key.into()),
        body: Bytes::from(format!("{{\"k\":\"{key}\"}}")),
        content_type: "application/json".into(),
    };
    let proven = Proven { elements: vec![element("a"), element("b")], ..Proven::default() };

    let head = hyper::Request::post("/in/batch")
        .header("content-type", "text/x")
        .header("content-encoding", "x");
    // These describe the whole body, like the two above, and are not kept with its elements.
    let head = head
        .header("content-digest", "sha-256=:AAAA:")
        .header("content-md5", "AAAA")
        .header("digest", "sha-256=A")
        .header("x-hub-signature-256", "sha256=00")
        .header("signature-input", "s=()")
        .header("signature", "s=:AA==:")
        .header("x-shopify-hmac-sha256", "AA==");
    let head = head.body(()).expect("a request").into_parts().0;

    let all = super::headers::collect(&head.headers);
    let peer = super::route::Peer::unix();
    let (events, answer) = super::new_events::new_events(
        &source.into(),
        1,
        &peer,
        &head,
        all,
        Bytes::from_static(b"whole"),
        proven,
    );

    assert_eq!(answer, None);
    let shown: Vec<_> = events
        .iter()
        .map(|e| (e.dedupe_key.as_deref(), e.body.as_ref(), e.headers.len()))
        .collect();
    assert_eq!(
        shown,
        [(Some("a"), br#"{"k":"a"}"#.as_slice(), 1), (Some("b"), br#"{"k":"b"}"#.as_slice(), 1)]
    );
    assert_eq!(events[0].headers[0].text(), "application/json");
}

#[tokio::test]
async fn a_signature_does_not_go_on_with_a_part_of_the_body() {
    use super::verify::{BodyPart, Proven};
    let mut source = Source::new("form", "hmac");
    source.params.insert("header".into(), "X-Proof".into());
    let source = Arc::new(source);
    let events = |part: Option<BodyPart>| {
        let head = hyper::Request::post("/in/form")
            .header("x-signature", "00")
            .header("x-proof", "00")
            .header("x-other", "1");
        let head = head.body(()).expect("a request").into_parts().0;
        let all = super::headers::collect(&head.headers);
        let peer = super::route::Peer::unix();
        let proven = Proven { part, ..Proven::default() };
        let body = Bytes::from_static(b"p=%7B%7D");
        super::new_events::new_events(&source, 1, &peer, &head, all, body, proven).0
    };
    let names = |events: &[crate::queue::NewEvent]| -> Vec<String> {
        events[0].headers.iter().map(|header| header.name.clone()).collect()
    };

    assert_eq!(names(&events(None)), ["x-signature", "x-proof", "x-other"], "they fit");
    let part = BodyPart { body: Bytes::from_static(b"{}"), content_type: "application/json" };
    assert_eq!(names(&events(Some(part))), ["x-other", "content-type"]);
}
