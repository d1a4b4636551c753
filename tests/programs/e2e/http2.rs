//! HTTP/2 with prior knowledge, and those who abuse it.

use http_body_util::{BodyExt as _, Full};
use hyper::body::Bytes;
use hyper::client::conn::http2::{SendRequest, handshake};
use hyper_util::rt::{TokioExecutor, TokioIo};

use super::open_source;
use super::support::{Daemon, Home, Receiver, SOON, sha256};

async fn connect(daemon: &Daemon) -> SendRequest<Full<Bytes>> {
    let stream = tokio::net::TcpStream::connect(daemon.addr).await.expect("a connection");
    let (sender, connection) =
        handshake(TokioExecutor::new(), TokioIo::new(stream)).await.expect("HTTP/2");
    tokio::spawn(connection);
    sender
}

fn post(path: &str, body: Vec<u8>) -> hyper::Request<Full<Bytes>> {
    let uri = format!("http://hookbox.test{path}");
    hyper::Request::post(uri).body(Full::new(Bytes::from(body))).expect("a request")
}

fn run<T>(work: impl Future<Output = T>) -> T {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async { tokio::time::timeout(SOON, work).await.expect("in time") })
}

#[test]
fn events_come_in_side_by_side_on_one_connection() {
    let home = Home::new();
    let daemon = home.start();
    let receiver = Receiver::start();
    open_source(&daemon, "in");
    super::quick_endpoint(&daemon, "app", &receiver.url("/"), &[]);

    run(async {
        let sender = connect(&daemon).await;
        let mut under_way = Vec::new();
        for n in 0..64_usize {
            let mut sender = sender.clone();
            under_way.push(tokio::spawn(async move {
                let answer = sender
                    .send_request(post("/in/in", vec![b'a'; n * 1000]))
                    .await
                    .expect("an answer");
                let status = answer.status();
                let body = answer.into_body().collect().await.expect("a body").to_bytes();
                (status.as_u16(), serde_json::from_slice::<serde_json::Value>(&body).expect("JSON"))
            }));
        }

        for task in under_way {
            let (status, body) = task.await.expect("no panic");
            assert_eq!((status, body["id"].is_string()), (202, true));
        }
    });

    let seen = receiver.wait("/", 64, SOON);
    for n in 0..64 {
        let wanted = sha256(&vec![b'a'; n * 1000]);
        assert!(seen.iter().any(|s| s.sha256 == wanted), "the body of {n} KB");
    }
}

#[test]
fn errors_have_their_status_there_too() {
    let home = Home::new();
    let daemon = home.start();
    daemon.json(&["source", "create", "small", "--verify", "none", "--max-body", "10"]);
    run(async {
        let mut sender = connect(&daemon).await;
        for (path, body, wanted) in
            [("/in/nobody", 1, 404), ("/in/small", 11, 413), ("/in/small", 10, 202)]
        {
            let answer =
                sender.send_request(post(path, vec![b'a'; body])).await.expect("an answer");
            assert_eq!(answer.status().as_u16(), wanted, "{path} with {body} bytes");
        }
    });
}

#[test]
fn rapid_resets_leave_honest_clients_served() {
    let home = Home::new();
    let daemon = home.start();
    open_source(&daemon, "in");

    run(async {
        let mut attackers = Vec::new();
        for _ in 0..8 {
            let mut sender = connect(&daemon).await;
            attackers.push(tokio::spawn(async move {
                for _ in 0..2000 {
                    if sender.ready().await.is_err() {
                        return;
                    }
                    // Dropped as soon as it is on its way: a RST_STREAM behind its HEADERS.
                    let request = sender.send_request(post("/in/in", vec![b'a'; 100]));
                    let _ = tokio::time::timeout(std::time::Duration::ZERO, request).await;
                }
            }));
        }

        for _ in 0..50 {
            let mut honest = connect(&daemon).await;
            let answer =
                honest.send_request(post("/in/in", b"honest".to_vec())).await.expect("an answer");
            assert!(matches!(answer.status().as_u16(), 202 | 503), "{}", answer.status());
        }

        for attacker in attackers {
            let _ = attacker.await;
        }
    });
    daemon.accept("/in/in", &[], b"after it");
}
