//! One sender at full force leaves the others working.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body_util::Full;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use super::world::{IngestWorld, exchange, post, status};
use crate::ingest::budget::Holder;
use crate::ingest::{IngestLimits, TrustedProxies};
use crate::model::limits;
use crate::model::share::Share;

const ATTACKER: &str = "127.0.0.66";
/// As `status` calls it.
const CALLED: &str = "address 127.0.0.66";

/// Begins `count` bodies of `announced` bytes, of which `sent` come and then nothing, and waits
/// until they are held.
async fn stalled(
    world: &IngestWorld,
    path: &str,
    count: usize,
    announced: usize,
    sent: usize,
) -> Vec<TcpStream> {
    let mut held = Vec::new();
    for _ in 0..count {
        let mut stream = world.connect_from(ATTACKER).await;
        let head =
            format!("POST {path} HTTP/1.1\r\nHost: h\r\nContent-Length: {announced}\r\n\r\n");
        // One that is refused may be closed before it is all sent.
        let _ = stream.write_all(head.as_bytes()).await;
        let _ = stream.write_all(&vec![b'x'; sent]).await;
        held.push(stream);
    }
    held
}

#[tokio::test]
async fn bodies_that_one_address_begins_and_does_not_end_leave_the_others_their_part() {
    let world =
        IngestWorld::with(IngestLimits { ingest_bytes: 4 << 20, ..IngestLimits::default() }).await;
    let held = stalled(&world, "/in/open", 137, 350_000, 300_000).await;
    while world.ingest.refusals().of("open").is_none() {
        tokio::task::yield_now().await;
    }

    let large = "x".repeat(900_000);
    let answer = exchange(world.connect().await, post("/in/open", "", &large).as_bytes()).await;
    assert_eq!(status(&answer), 202, "another address, the same source: {answer}");
    let answer = exchange(world.connect().await, post("/in/tok3n", "", &large).as_bytes()).await;
    assert_eq!(status(&answer), 202, "another source: {answer}");
    let answer =
        exchange(world.connect_from(ATTACKER).await, post("/in/open", "", "small").as_bytes())
            .await;
    assert_eq!(status(&answer), 202, "the same address with a small body: {answer}");
    assert_eq!(world.full(Share::BytesBeingRead), [CALLED]);
    drop(held);
}

#[tokio::test]
async fn what_was_held_is_given_back() {
    let world =
        IngestWorld::with(IngestLimits { ingest_bytes: 4 << 20, ..IngestLimits::default() }).await;
    drop(stalled(&world, "/in/open", 20, 350_000, 300_000).await);
    while world.ingest.connections() > 0 {
        tokio::task::yield_now().await;
    }
    assert_eq!(world.ingest.held_bytes(), 0);
}

#[tokio::test]
async fn a_sender_that_stops_is_cut_off_long_before_the_deadline() {
    // The deadline is beyond these tests' patience.
    let limits =
        IngestLimits { body_pace_ms: 200, body_timeout_ms: 3_600_000, ..IngestLimits::default() };
    let world = IngestWorld::with(limits).await;
    for (framing, part) in [
        ("Content-Length: 350000", "x".repeat(300_000)),
        ("Content-Length: 2", "x".to_owned()),
        ("Content-Length: 2", String::new()),
        ("Transfer-Encoding: chunked", "3\r\nabc\r\n".to_owned()),
    ] {
        let request = format!("POST /in/open HTTP/1.1\r\nHost: h\r\n{framing}\r\n\r\n{part}");
        let answer = exchange(world.connect().await, request.as_bytes()).await;
        assert_eq!(status(&answer), 408, "{framing}: {answer}");
    }
    assert_eq!(world.accepted().len(), 0);
}

#[tokio::test]
async fn requests_without_a_proof_use_up_no_genuine_senders_rate() {
    let world = IngestWorld::new().await;
    let mut refused = Vec::new();
    for n in 0..20 {
        let guess = format!("X-Key: guess{n}\r\n");
        refused.push(status(&world.raw(post("/in/keyed", &guess, "x").as_bytes()).await));
    }
    assert_eq!(refused[..5], [401; 5], "what is wrong is refused at the source's rate");
    assert_eq!(refused[5..], [429; 15]);

    let mut genuine = Vec::new();
    for _ in 0..7 {
        genuine.push(status(
            &world.raw(post("/in/keyed", "X-Key: hunter2\r\n", "x").as_bytes()).await,
        ));
    }
    assert_eq!(genuine, [202, 202, 202, 202, 202, 429, 429]);
    let seen = world.ingest.refusals().of("keyed").expect("counted");
    assert_eq!((seen.counts.get("rate-unproven"), seen.counts.get("rate")), (Some(&15), Some(&2)));
    assert_eq!(world.full(Share::UnprovenRequests), ["source 7"]);
}

#[tokio::test]
async fn one_address_leaves_the_others_connections() {
    let world =
        IngestWorld::with(IngestLimits { connections: 80, ..IngestLimits::default() }).await;
    let mut held = Vec::new();
    for _ in 0..80 {
        held.push(world.connect_from(ATTACKER).await);
    }

    while world
        .ingest
        .refusals()
        .of("")
        .is_none_or(|seen| seen.counts.get("connections") != Some(&60))
    {
        tokio::task::yield_now().await;
    }

    assert_eq!(world.ingest.connections(), 20, "a quarter");

    let answer = exchange(world.connect().await, post("/in/open", "", "x").as_bytes()).await;
    assert_eq!(status(&answer), 202, "{answer}");
    let answer = exchange(world.connect_from(ATTACKER).await, b"").await;
    assert_eq!(status(&answer), 503, "{answer}");
    assert_eq!(world.full(Share::Connections), [CALLED]);
}

#[tokio::test]
async fn a_trusted_proxy_may_have_all_connections() {
    let world =
        IngestWorld::with(IngestLimits { connections: 80, ..IngestLimits::default() }).await;
    world
        .ingest
        .trust(TrustedProxies { nets: vec!["127.0.0.66/32".parse().expect("a net")], unix: false });
    let mut held = Vec::new();
    for _ in 0..80 {
        held.push(world.connect_from(ATTACKER).await);
    }
    while world.ingest.connections() < 80 {
        tokio::task::yield_now().await;
    }
}

/// A body that is announced and never comes.
struct Never;

impl hyper::body::Body for Never {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<hyper::body::Frame<Bytes>, Self::Error>>> {
        Poll::Pending
    }

    fn size_hint(&self) -> hyper::body::SizeHint {
        hyper::body::SizeHint::with_exact(1000)
    }
}

/// A budget of which one address has 64 KiB.
fn little_memory() -> IngestLimits {
    IngestLimits { ingest_bytes: 256 << 10, ..IngestLimits::default() }
}

#[tokio::test]
async fn streams_that_announce_a_body_and_send_none_are_counted() {
    let world = IngestWorld::with(little_memory()).await;
    let (answered, mut answers) = tokio::sync::mpsc::unbounded_channel();
    for _ in 0..4 {
        let stream = world.connect_from(ATTACKER).await;
        let (mut client, connection) =
            hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream))
                .await
                .expect("HTTP/2");
        tokio::spawn(connection);
        for _ in 0..20 {
            let request = hyper::Request::post("http://h/in/open").body(Never).expect("a request");
            let (answer, answered) = (client.send_request(request), answered.clone());
            tokio::spawn(async move {
                answered.send(answer.await.map(|answer| answer.status().as_u16()))
            });
        }
    }
    // What has no room is answered at once or refused with its connection; what has waits for its
    // body.
    let mut refused = 0;
    while refused < 4 * 20 - 17 {
        let answer = answers.recv().await.expect("an answer");
        assert!(answer.is_err() || matches!(answer, Ok(503)), "{answer:?}");
        refused += 1;
    }
    assert!(
        world.ingest.held_bytes() <= (64 << 10) + crate::model::limits::SMALL_BODY,
        "{}",
        world.ingest.held_bytes()
    );

    let answer = exchange(world.connect().await, post("/in/open", "", "x").as_bytes()).await;
    assert_eq!(status(&answer), 202, "{answer}");
    assert_eq!(world.full(Share::OpenStreams), [CALLED]);
}

#[tokio::test]
async fn unfinished_heads_are_counted() {
    let world = IngestWorld::with(little_memory()).await;
    let head = format!("POST /in/open HTTP/1.1\r\nHost: h\r\nX: {}", "x".repeat(40 << 10));
    let (answered, mut answers) = tokio::sync::mpsc::unbounded_channel();
    for _ in 0..4 {
        let (stream, head, answered) =
            (world.connect_from(ATTACKER).await, head.clone(), answered.clone());
        tokio::spawn(async move { answered.send(exchange(stream, head.as_bytes()).await) });
    }
    for _ in 0..3 {
        let refused = answers.recv().await.expect("an answer");
        assert_eq!(status(&refused), 503, "{refused}");
        assert!(
            refused.contains("retry-after: 1") && refused.contains("application/problem+json"),
            "{refused}"
        );
    }
    while world.ingest.connections() > 1 {
        tokio::task::yield_now().await;
    }

    let answer = exchange(world.connect().await, post("/in/open", "", "x").as_bytes()).await;
    assert_eq!(status(&answer), 202, "{answer}");
    let answer =
        exchange(world.connect_from(ATTACKER).await, post("/in/open", "", "x").as_bytes()).await;
    assert_eq!(status(&answer), 202, "a small request of the same address: {answer}");
    assert_eq!(world.full(Share::BytesBeingRead), [CALLED]);
}

#[tokio::test]
async fn one_address_leaves_the_others_places_in_front_of_the_scheduler() {
    let world =
        IngestWorld::with(IngestLimits { accepts_each: 10, ..IngestLimits::default() }).await;
    world.hold();
    // All connections but 20 are taken, and one address wants 40.
    let most = crate::model::limits::ACCEPTS_WAITING - 20;
    let mut taken: Vec<_> = (0..most).map(|_| Box::pin(world.handle.accept(Vec::new()))).collect();
    let mut cx = Context::from_waker(std::task::Waker::noop());
    assert!(taken.iter_mut().all(|one| one.as_mut().poll(&mut cx).is_pending()));
    let ask = |stream| {
        tokio::spawn(async move { exchange(stream, post("/in/open", "", "x").as_bytes()).await })
    };
    let mut greedy = vec![ask(world.connect_from(ATTACKER).await)];
    // What it holds once its body is read, which is then all it does but wait.
    while world.ingest.held_bytes() <= crate::model::limits::REQUEST_BYTES {
        tokio::task::yield_now().await;
    }
    let each = world.ingest.held_bytes();
    for _ in 1..40 {
        greedy.push(ask(world.connect_from(ATTACKER).await));
    }
    while world.ingest.held_bytes() < 40 * each {
        tokio::task::yield_now().await;
    }

    let honest = ask(world.connect().await);
    while world.ingest.held_bytes() < 41 * each {
        tokio::task::yield_now().await;
    }
    world.go_on();
    for one in greedy {
        assert_eq!(status(&one.await.expect("no panic")), 202, "they only wait");
    }
    assert_eq!(status(&honest.await.expect("no panic")), 202);
    assert_eq!(world.full(Share::WaitingRequests), [CALLED], "and nobody else waited for a share");
    for one in taken {
        let _ = one.await;
    }
}

/// What comes over a socket, a proxy or from many addresses is nobody's share but the source's.
#[tokio::test]
async fn one_source_leaves_the_others_places_in_front_of_the_scheduler() {
    let world =
        IngestWorld::with(IngestLimits { accepts_of_source: 10, ..IngestLimits::default() }).await;
    world.hold();
    // All places but 20 are taken, and one source wants 40, each for another address.
    let most = crate::model::limits::ACCEPTS_WAITING - 20;
    let mut taken: Vec<_> = (0..most).map(|_| Box::pin(world.handle.accept(Vec::new()))).collect();
    let mut cx = Context::from_waker(std::task::Waker::noop());
    assert!(taken.iter_mut().all(|one| one.as_mut().poll(&mut cx).is_pending()));
    let ask = |stream, path: &'static str| {
        tokio::spawn(async move { exchange(stream, post(path, "", "x").as_bytes()).await })
    };
    let mut greedy = vec![ask(world.connect_from("127.0.0.100").await, "/in/open")];
    while world.ingest.held_bytes() <= crate::model::limits::REQUEST_BYTES {
        tokio::task::yield_now().await;
    }
    let each = world.ingest.held_bytes();
    for n in 1..40 {
        let from = format!("127.0.0.{}", 100 + n);
        greedy.push(ask(world.connect_from(&from).await, "/in/open"));
    }
    while world.ingest.held_bytes() < 40 * each {
        tokio::task::yield_now().await;
    }

    let honest = ask(world.connect().await, "/in/tok3n");
    while world.ingest.held_bytes() < 41 * each {
        tokio::task::yield_now().await;
    }
    world.go_on();
    for one in greedy {
        assert_eq!(status(&one.await.expect("no panic")), 202, "they only wait");
    }
    assert_eq!(status(&honest.await.expect("no panic")), 202);
    assert_eq!(world.full(Share::WaitingRequests), ["source 1"]);
    for one in taken {
        let _ = one.await;
    }
}

/// What is looked for in a large body costs as much as a proof, and takes its turn.
#[tokio::test]
async fn what_is_looked_for_in_a_large_body_takes_its_turn() {
    let world = IngestWorld::new().await;
    let large = limits::PROOF_SMALL + 1;
    let own = [None, Some(Holder::Source(9))];
    let turn = world.ingest.proof_memory.wait(own, large).await;
    let body = "x".repeat(large);
    let request = post("/in/typed", "", &body);
    let mut answer = Box::pin(async { exchange(world.connect().await, request.as_bytes()).await });

    // It is read whole, and then waits.
    let mut cx = Context::from_waker(std::task::Waker::noop());
    while world.ingest.proof_memory.waiting() == 0 {
        assert!(answer.as_mut().poll(&mut cx).is_pending(), "it was answered out of turn");
        tokio::task::yield_now().await;
    }
    drop(turn);
    assert_eq!(status(&answer.await), 202);
    assert_eq!(world.full(Share::ParsedBytes), ["source 9"]);
}

/// An open connection of HTTP/2.
async fn speak_http2(world: &IngestWorld) -> hyper::client::conn::http2::SendRequest<Full<Bytes>> {
    let stream = world.connect_from(ATTACKER).await;
    let (client, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream))
            .await
            .expect("HTTP/2");
    tokio::spawn(connection);
    client
}

/// It is in memory until it is through.
#[tokio::test]
async fn what_waits_for_the_scheduler_is_counted_when_its_stream_is_reset() {
    const BYTES: usize = 100_000;
    let world =
        IngestWorld::with(IngestLimits { accepts_each: 4, ..IngestLimits::default() }).await;
    world.hold();
    let mut client = speak_http2(&world).await;
    for waiting in 0..4 {
        let body = Full::new(Bytes::from(vec![b'x'; BYTES]));
        let request = hyper::Request::post("http://h/in/open").body(body).expect("a request");
        let mut answer = Box::pin(client.send_request(request));
        let mut cx = Context::from_waker(std::task::Waker::noop());
        while world.handle.accepts_waiting() == waiting {
            assert!(answer.as_mut().poll(&mut cx).is_pending());
            tokio::task::yield_now().await;
        }
        drop(answer);
    }
    // Frames come in order: once these are answered the resets have come.
    for _ in 0..4 {
        let request = hyper::Request::get("http://h/healthz").body(Full::default());
        let answer = client.send_request(request.expect("a request")).await;
        assert_eq!(answer.expect("answered").status(), 200);
    }
    assert!(world.ingest.held_bytes() >= 4 * BYTES, "{}", world.ingest.held_bytes());

    // The places of the address are taken, too: one more waits.
    let mut stream = world.connect_from(ATTACKER).await;
    stream.write_all(post("/in/open", "", "x").as_bytes()).await.expect("sent");
    while world.ingest.accept_permits.waiting() == 0 {
        assert_eq!(world.handle.accepts_waiting(), 4, "it found a place");
        tokio::task::yield_now().await;
    }

    drop(client);
    world.go_on();
    while world.ingest.held_bytes() > 0 {
        tokio::task::yield_now().await;
    }
    assert_eq!(world.accepted().len(), 5, "all of them came in");
}
