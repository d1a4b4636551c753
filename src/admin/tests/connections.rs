//! Connections, callers and malformed requests.

use http_body_util::BodyExt;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;

use super::{AdminWorld, NOW};
use crate::admin::callers::peer::{Caller, Permission, own_uid};
use crate::admin::http::problem::Problem;
use crate::admin::serve::answer::permit;
use crate::admin::serve::routes::ROUTES;
use crate::model::limits;
use crate::queue::Refusal;

#[tokio::test]
async fn malformed_oversized_and_unknown_requests_are_bounded() {
    let world = AdminWorld::new();
    let (status, problem) = world.text("POST", "/v1/sources", "{not json").await;
    assert!(
        status == 400 && problem.contains("the body does not have the expected form"),
        "{problem}"
    );
    assert_eq!(world.json("GET", "/v2/x", Value::Null).await.0, 404);
    let response = world.send("PUT", "/v1/status", "").await;
    assert_eq!(response.status(), 405);
    assert_eq!(response.headers()["allow"], "GET");
    let kind = response.headers()["content-type"].clone();
    assert_eq!(kind, "application/problem+json");

    let mut stream = UnixStream::connect(&world.socket).await.expect("connected");
    stream.write_all(b"\x00\x01garbage\r\n\r\n").await.expect("sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.expect("closed");
    assert!(answer.starts_with("HTTP/1.1 400"), "{answer}");

    let mut stream = UnixStream::connect(&world.socket).await.expect("connected");
    let head = |path: &str, length: usize| {
        format!("POST {path} HTTP/1.1\r\nhost: x\r\ncontent-length: {length}\r\n\r\n")
    };
    stream.write_all(head("/v1/events", limits::ADMIN_BODY + 1).as_bytes()).await.expect("sent");
    let mut answer = vec![0; 12];
    stream.read_exact(&mut answer).await.expect("answered before the body");
    assert_eq!(answer, b"HTTP/1.1 413");

    let settings = vec![b' '; (1 << 20) + 1];
    assert_eq!(
        world.send("POST", "/v1/sources", settings).await.status(),
        413,
        "settings are small"
    );
    let large = json!({"source": "none", "data": "x".repeat(2 << 20)});
    assert_eq!(world.json("POST", "/v1/events", large).await.0, 404, "events may be large");
}

#[tokio::test]
async fn one_connection_too_many_is_refused() {
    let world = AdminWorld::new();
    let mut held = Vec::new();
    for _ in 0..limits::ADMIN_CONNECTIONS {
        let mut stream = UnixStream::connect(&world.socket).await.expect("connected");
        // Answered, so that its permit is taken before the next one comes.
        stream.write_all(b"GET /v1/replays HTTP/1.1\r\nhost: x\r\n\r\n").await.expect("sent");
        stream.read_exact(&mut [0; 12]).await.expect("answered");
        held.push(stream);
    }

    let mut last = UnixStream::connect(&world.socket).await.expect("connected");
    let mut answer = String::new();
    last.read_to_string(&mut answer).await.expect("closed");
    assert!(answer.starts_with("HTTP/1.1 503") && answer.contains("too many"), "{answer}");
}

#[test]
fn members_of_the_group_operate_but_do_not_configure() {
    let operator = Caller { uid: 1000, gid: 990, pid: None, may: Permission::Operate };
    let owner = Caller { uid: 0, may: Permission::Own, ..operator };

    let refused: Vec<String> = ROUTES
        .iter()
        .filter(|route| permit(&operator, route).is_err())
        .map(|route| format!("{} {}", route.method, route.path))
        .collect();
    assert_eq!(
        refused,
        [
            "POST /v1/sources",
            "PATCH /v1/sources/{name}",
            "DELETE /v1/sources/{name}",
            "POST /v1/sources/{name}/rotate-secret",
            "POST /v1/endpoints",
            "PATCH /v1/endpoints/{name}",
            "DELETE /v1/endpoints/{name}",
            "POST /v1/endpoints/{name}/rotate-secret",
            "POST /v1/apply",
            "GET /v1/export",
            "GET /v1/log/segments/{id}",
            "POST /v1/log/import",
        ]
    );

    assert!(ROUTES.iter().all(|route| permit(&owner, route).is_ok()));
    let problem = permit(&operator, &ROUTES[2]).expect_err("refused");
    assert!(
        problem.status.as_u16() == 403 && problem.detail.contains("sudo"),
        "{}",
        problem.detail
    );
}

#[tokio::test]
async fn a_stopping_scheduler_is_503() {
    let world = AdminWorld::new();
    let problem = Problem::from(Refusal::Stopping).into_response();
    assert_eq!(
        (problem.status().as_u16(), problem.headers()["retry-after"].as_bytes()),
        (503, &b"1"[..])
    );
    // Its thread dies with the request in its hands: the answer is a refusal, not a wait.
    let script = world.script.clone();
    std::thread::spawn(move || {
        let _held = script.lock().expect("not poisoned yet");
        panic!("the lock is poisoned on purpose, so that the scripted scheduler falls over");
    })
    .join()
    .expect_err("it panicked");
    assert_eq!(world.json("GET", "/v1/status", Value::Null).await.0, 503);
}

#[tokio::test]
async fn a_scan_ends_when_its_client_goes() {
    let world = AdminWorld::new();
    for _ in 0..5000 {
        world.event("push", &[1]);
    }
    let path = "/v1/events?limit=5000";
    let mut body = world.send("GET", path, "").await.into_body();
    body.frame().await.expect("a row").expect("no failure");
    drop(body);
    // All permits are free again: the scan does not hold its connection.
    for _ in 0..limits::ADMIN_CONNECTIONS + 1 {
        assert_eq!(world.rows("/v1/events?limit=1").await.len(), 1);
    }
    assert_eq!(world.rows(path).await.len(), 5000);
}

#[tokio::test]
async fn a_user_with_all_the_connections_that_it_may_have_is_named() {
    use crate::model::share::Share;
    let world = AdminWorld::new();
    let mut held = Vec::new();
    for _ in 0..crate::model::limits::ADMIN_CONNECTIONS {
        held.push(UnixStream::connect(&world.socket).await.expect("connected"));
    }
    // Those before it have been taken in by then.
    let mut one_more = UnixStream::connect(&world.socket).await.expect("connected");
    let mut answer = String::new();
    tokio::io::AsyncReadExt::read_to_string(&mut one_more, &mut answer).await.expect("answered");
    assert!(answer.starts_with("HTTP/1.1 503"), "{answer}");

    let full = world.shares.seen().lately(NOW);
    let uid = own_uid();
    assert_eq!(
        (full[0].share, full[0].of.to_string()),
        (Share::AdminConnections, format!("user {uid}"))
    );
    drop(held);
}
