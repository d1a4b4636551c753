//! What is refused, and that nothing of it is remembered.

use std::task::{Context, Waker};

use super::world::{IngestWorld, get, post, status};
use crate::ingest::IngestLimits;
use crate::model::limits;

/// Sends each, expects the status, and that no event came of any.
async fn refused(world: &IngestWorld, cases: &[(&str, Vec<u8>, &[u16])]) {
    for (what, request, expected) in cases {
        let answer = world.raw(request).await;
        assert!(expected.contains(&status(&answer)), "{what}: {answer:?}");
        assert_eq!(
            answer.matches("HTTP/1.1 4").count(),
            1,
            "{what}: the connection ends: {answer:?}"
        );
        let (head, body) = answer.split_once("\r\n\r\n").expect("a head");
        assert!(head.contains("application/problem+json"), "{what}: a bare refusal: {answer:?}");
        assert!(serde_json::from_str::<serde_json::Value>(body).is_ok(), "{what}: {answer:?}");
    }
    assert_eq!(world.accepted().len(), 0);
}

fn line(line: &str) -> Vec<u8> {
    format!("POST /in/open HTTP/1.1\r\nHost: h\r\n{line}\r\n\r\nabc").into_bytes()
}

#[tokio::test]
async fn malformed_heads_are_400() {
    let world = IngestWorld::new().await;
    let padded =
        line(&format!("Transfer-Encoding:{}chunked,gzip,chunked", " ".repeat(64 - 18 - 7)));

    let cases = [
        ("CL+TE", line("Content-Length: 3\r\nTransfer-Encoding: chunked")),
        ("TE+CL", line("Transfer-Encoding: chunked\r\nContent-Length: 3")),
        ("CL twice, differing", line("Content-Length: 3\r\nContent-Length: 2")),
        ("CL twice, the same", line("Content-Length: 3\r\nContent-Length: 3")),
        ("CL list", line("Content-Length: 3, 3")),
        ("CL with a sign", line("Content-Length: +3")),
        ("CL negative", line("Content-Length: -3")),
        ("CL hexadecimal", line("Content-Length: 0x3")),
        ("CL empty", line("Content-Length:")),
        ("CL too large for a number", line("Content-Length: 99999999999999999999999")),
        ("TE of another kind", line("Transfer-Encoding: gzip")),
        ("TE chunked not last", line("Transfer-Encoding: chunked, gzip")),
        ("TE padded so that its first 64 bytes end with chunked", padded),
        ("TE twice", line("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked")),
        ("TE split over two lines", line("Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked")),
        ("TE with a parameter", line("Transfer-Encoding: chunked;q=1")),
        (
            "TE in HTTP/1.0",
            b"POST /in/open HTTP/1.0\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
                .to_vec(),
        ),
        (
            "a fold before the first field",
            b"POST /in/open HTTP/1.1\r\n Host: h\r\nHost: h\r\n\r\n".to_vec(),
        ),
        ("obs-fold", line("X-A: 1\r\n  2\r\nContent-Length: 3")),
        ("space before the colon", line("Content-Length : 3")),
        ("NUL in a value", line("X-A: a\0b\r\nContent-Length: 3")),
        ("NUL in a name", line("X\0A: ab\r\nContent-Length: 3")),
        ("bare CR in a value", line("X-A: a\rb\r\nContent-Length: 3")),
        ("bare LF", line("X-A: a\nContent-Length: 3")),
        (
            "bare LF everywhere",
            b"POST /in/open HTTP/1.1\nHost: h\nContent-Length: 3\n\nabc".to_vec(),
        ),
        (
            "NUL in the path",
            b"POST /in/op\0en HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n".to_vec(),
        ),
        ("no Host", b"POST /in/open HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc".to_vec()),
        ("two Hosts", line("Host: other\r\nContent-Length: 3")),
        ("not HTTP", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03 hello\r\n\r\n".to_vec()),
        ("another version", b"POST /in/open HTTP/9.9\r\nHost: h\r\n\r\n".to_vec()),
    ]
    .map(|(what, request)| (what, request, [400u16].as_slice()));

    refused(&world, &cases).await;
}

#[tokio::test]
async fn malformed_bodies_are_400() {
    let world = IngestWorld::new().await;
    let chunked = |body: &str| {
        format!("POST /in/open HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n{body}")
            .into_bytes()
    };

    let cases = [
        ("a chunk size that is none", chunked("xyz\r\nabc\r\n0\r\n\r\n")),
        ("a chunk longer than it says", chunked("1\r\nabc\r\n0\r\n\r\n")),
        ("a chunk size that overflows", chunked("fffffffffffffffff\r\nabc\r\n0\r\n\r\n")),
        ("bare LF after a chunk size", chunked("3\nabc\n0\n\n")),
        ("bare LF in a chunk extension", chunked("3;a\nb\r\nabc\r\n0\r\n\r\n")),
        ("bare LF behind the last chunk", chunked("3\r\nabc\r\n0;x\n\r\n\r\n")),
        ("bare LF behind the last chunk's size", chunked("3\r\nabc\r\n0\n\n")),
        ("bare LF in a trailer", chunked("3\r\nabc\r\n0\r\nT: 1\n\r\n\r\n")),
        (
            "bare LF that ends the trailers for some",
            chunked("3\r\nabc\r\n0\r\nT: 1\n\nPOST /in/open HTTP/1.1\r\n\r\n"),
        ),
        ("a folded trailer", chunked("3\r\nabc\r\n0\r\nT: 1\r\n 2\r\n\r\n")),
        ("NUL in a chunk extension", chunked("3;\0\r\nabc\r\n0\r\n\r\n")),
    ]
    .map(|(what, request)| (what, request, [400u16].as_slice()));

    refused(&world, &cases).await;
}

/// Whatever was sent in the same breath behind one request is read as strictly as the first, and
/// nothing behind what is refused is taken for a request.
#[tokio::test]
async fn nothing_is_smuggled_behind_another_request() {
    let world = IngestWorld::new().await;
    let good = "POST /in/open HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\n\r\nx";
    let plain = "POST /in/open HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nfirst";
    let chunked = "POST /in/open HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: \
                   chunked\r\n\r\n5\r\nfirst\r\n0\r\n\r\n";

    let bad = [
        "POST /in/open HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\nContent-Length: \
         5\r\n\r\n0\r\n\r\n",
        "POST /in/open HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\nx",
        "POST /in/open HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        "POST /in/open HTTP/1.1\nHost: h\nContent-Length: 1\n\nx",
        "POST /in/open HTTP/1.1\r\nHost: h\r\nX: 1\r\n 2\r\nContent-Length: 1\r\n\r\nx",
        "POST /in/open HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\nT: \
         1\n\n",
    ];

    let mut accepted = 0;
    for bad in bad {
        for first in ["", plain, chunked] {
            let answer = world.raw(format!("{first}{bad}{good}{good}").as_bytes()).await;
            accepted += usize::from(!first.is_empty());
            assert_eq!(answer.matches("HTTP/1.1 400").count(), 1, "{first:?} {bad:?}: {answer}");
            assert_eq!(
                answer.matches("HTTP/1.1 202").count(),
                usize::from(!first.is_empty()),
                "{bad:?}: {answer}"
            );
            assert_eq!(world.accepted().len(), accepted, "{first:?} {bad:?}");
        }
    }
}

#[tokio::test]
async fn a_body_that_ends_early_leaves_no_event() {
    use tokio::io::AsyncWriteExt;
    let world = IngestWorld::new().await;
    for request in
        ["Content-Length: 10\r\n\r\nabc", "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n"]
    {
        let mut stream = world.connect().await;
        let request = format!("POST /in/open HTTP/1.1\r\nHost: h\r\n{request}");
        stream.write_all(request.as_bytes()).await.expect("sent");
        stream.shutdown().await.expect("half closed");
        let answer = super::world::exchange(stream, b"").await;
        assert!(matches!(status(&answer), 0 | 400), "{answer}");
    }
    assert_eq!(world.accepted().len(), 0);
}

#[tokio::test]
async fn heads_have_their_limits() {
    let world = IngestWorld::new().await;
    let fields: String = (0..=limits::HEADERS).map(|n| format!("x-{n}: 1\r\n")).collect();
    let long = "x".repeat(limits::HEAD_BYTES + 4096);

    let cases: [(&str, Vec<u8>, &[u16]); 4] = [
        ("101 and more fields", post("/in/open", &fields, "abc").into_bytes(), &[431]),
        (
            "a field of 68 KiB",
            post("/in/open", &format!("x: {long}\r\n"), "abc").into_bytes(),
            &[431],
        ),
        (
            "a target of 68 KiB",
            post(&format!("/in/open?{long}"), "", "abc").into_bytes(),
            &[414, 431],
        ),
        (
            "a target of 9 KiB",
            post(&format!("/in/open?{}", &long[..9 << 10]), "", "abc").into_bytes(),
            &[414],
        ),
    ];

    refused(&world, &cases).await;
}

#[tokio::test]
async fn bodies_have_their_limits_while_they_are_read() {
    let world = IngestWorld::new().await;
    let answer = world.raw(post("/in/small", "", &"x".repeat(1001)).as_bytes()).await;
    assert_eq!(status(&answer), 413, "{answer}");
    assert!(
        answer.contains("application/problem+json") && answer.contains("connection: close"),
        "{answer}"
    );

    // Announced only: refused at once, and a client that waits for 100 Continue is not asked for
    // it.
    let announced = "POST /in/small HTTP/1.1\r\nHost: h\r\nContent-Length: 20000000000\r\nExpect: \
                     100-continue\r\n\r\n";
    let answer = world.raw(announced.as_bytes()).await;
    assert_eq!(status(&answer), 413, "{answer}");

    // Chunks without end.
    let mut endless =
        b"POST /in/small HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec();
    for _ in 0..10_000 {
        endless.extend_from_slice(b"64\r\n");
        endless.extend_from_slice(&[b'x'; 100]);
        endless.extend_from_slice(b"\r\n");
    }
    let answer = world.raw(&endless).await;
    assert!(matches!(status(&answer), 413 | 0), "{answer}");

    let seen = world.ingest.refusals().of("small").expect("counted");
    assert_eq!(seen.counts.get("too-large"), Some(&3));

    assert_eq!(status(&world.raw(post("/in/small", "", &"x".repeat(1000)).as_bytes()).await), 202);
    assert_eq!(world.accepted().len(), 1);
}

#[tokio::test]
async fn what_is_not_there_is_404_whatever_the_trick() {
    let world = IngestWorld::new().await;
    let paths = [
        "/",
        "/in",
        "/in/",
        "/in/nobody",
        "/in/gone",
        "/in/hidden",
        "/in/open/",
        "/in//open",
        "/in/./open",
        "/in/../in/open",
        "/in/%6fpen",
        "/in/open%2f",
        "/in/open%00",
        "/in/..%2fopen",
        "/in/open;a",
        "/healthz/x",
        "/IN/open",
        "/in/open/../open",
    ];

    for path in paths {
        let answer = world.raw(post(path, "X-Forwarded-Host: h\r\n", "x").as_bytes()).await;
        assert_eq!(status(&answer), 404, "{path}: {answer}");
        assert!(answer.contains("/in/{source}"), "{answer}");
    }
    assert_eq!(world.accepted().len(), 0);

    assert_eq!(status(&world.raw(post("http://elsewhere/in/open", "", "x").as_bytes()).await), 202);
    assert_eq!(status(&world.raw(post("/in/tok3n", "", "x").as_bytes()).await), 202);
    assert_eq!(world.accepted()[1].request_line, "POST /in/hidden");
}

#[tokio::test]
async fn refusals_are_problem_documents_that_tell_no_secrets() {
    let world = IngestWorld::new().await;
    let cases = [
        (post("/in/odd", "", "x"), 503, "odd", "unknown-scheme"),
        (post("/in/away", "X-Forwarded-For: 192.0.2.1\r\n", "x"), 403, "away", "address"),
        (get("/in/open"), 405, "open", "method"),
        (post("/nowhere", "", "x"), 404, "", "not-found"),
    ];

    for (request, code, source, kind) in cases {
        let answer = world.raw(request.as_bytes()).await;
        assert_eq!(status(&answer), code, "{answer}");
        let (head, body) = answer.split_once("\r\n\r\n").expect("a head and a body");
        assert!(head.contains("application/problem+json"), "{head}");
        assert_eq!(head.contains("allow: POST"), code == 405, "{head}");

        let document: serde_json::Value = serde_json::from_str(body).expect("JSON");
        assert_eq!((&document["status"], &document["type"]), (&code.into(), &"about:blank".into()));
        assert!(document["title"].is_string() && document["detail"].is_string());
        assert!(!answer.contains("no-such-scheme"), "{answer}");

        let seen = world.ingest.refusals().of(source).expect("counted");
        assert!(kind == "unknown-scheme" || seen.counts.get(kind) == Some(&1), "{seen:?}");
    }
    assert!(!world.ingest.refusals().of("odd").expect("counted").last_reason.is_empty());
    assert_eq!(world.accepted().len(), 0);
}

#[tokio::test]
async fn a_sender_with_much_to_say_can_still_read_its_refusal() {
    let world = IngestWorld::new().await;
    let answer = world.raw(post("/in/nobody", "", &"x".repeat(200 << 10)).as_bytes()).await;
    assert_eq!(status(&answer), 404, "{answer}");
    assert_eq!(world.accepted().len(), 0);
}

#[tokio::test]
async fn a_full_queue_is_503_at_once() {
    let world = IngestWorld::new().await;
    world.hold();
    let mut waiting: Vec<_> =
        (0..limits::ACCEPTS_WAITING).map(|_| Box::pin(world.handle.accept(Vec::new()))).collect();
    let mut cx = Context::from_waker(Waker::noop());
    assert!(waiting.iter_mut().all(|one| one.as_mut().poll(&mut cx).is_pending()));
    let answer = world.raw(post("/in/open", "", "x").as_bytes()).await;
    assert_eq!(status(&answer), 503, "{answer}");
    assert!(answer.contains("retry-after: 1"), "{answer}");
    assert_eq!(world.ingest.refusals().of("open").expect("counted").counts.get("busy"), Some(&1));
    world.go_on();
    for one in waiting {
        let _ = one.await;
    }
    assert_eq!(world.accepted().len(), 0);
}

#[tokio::test]
async fn heads_and_bodies_share_one_budget() {
    let world =
        IngestWorld::with(IngestLimits { ingest_bytes: 16_000, ..IngestLimits::default() }).await;
    let answer = world.raw(post("/in/open", "", &"x".repeat(17_000)).as_bytes()).await;
    assert_eq!(status(&answer), 503, "{answer}");
    for _ in 0..2 {
        let answer = world.raw(post("/in/open", "", &"x".repeat(9_000)).as_bytes()).await;
        assert_eq!(status(&answer), 202, "given back: {answer}");
    }
    assert_eq!(world.accepted().len(), 2);
}

#[tokio::test]
async fn connections_have_their_limit() {
    let world = IngestWorld::with(IngestLimits { connections: 2, ..IngestLimits::default() }).await;
    let (one, two) = (world.connect().await, world.connect().await);
    let answer = world.raw(b"").await;
    assert_eq!(status(&answer), 503, "{answer}");
    let (head, body) = answer.split_once("\r\n\r\n").expect("a head and a body");
    assert!(
        head.contains(&format!("content-length: {}\r\n", body.len()))
            || head.ends_with(&format!("content-length: {}", body.len())),
        "{answer}"
    );
    let _: serde_json::Value = serde_json::from_str(body).expect("JSON");
    drop((one, two));
    while world.ingest.connections() > 0 {
        tokio::task::yield_now().await;
    }
    assert_eq!(status(&world.raw(post("/in/open", "", "x").as_bytes()).await), 202);
}
