//! Attempts against receivers that behave and receivers that do not. Real sockets, loopback only;
//! where other addresses are at stake, a dialer that records them stands in for the network.

mod addresses;
mod authorities;
mod batches;
mod broken;
mod commands;
mod connections;
mod requests;
mod responses;
mod templates;
mod throughput;
mod tls;
mod transport;

use std::collections::HashMap;
use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::boxed::Boxed;
use super::http::connect::{Dial, SystemDialer};
use super::resolve::Resolve;
use super::{Outbound, OutboundPolicy, OutboundSettings};
use crate::model::{AttemptReport, Clock, DeliveryId, Endpoint, Event, EventId, Header, Now};

/// 2026-11-23T13:00:00Z
const WALL_MS: u64 = 1_795_438_800_000;
const OK: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

fn clock() -> Clock {
    let start = Instant::now();
    Arc::new(move || {
        let mono_ms = u64::try_from(start.elapsed().as_millis()).unwrap();
        Now { mono_ms, wall_ms: WALL_MS + mono_ms }
    })
}

/// A name server by script: each name's answers in turn, the last one for ever.
#[derive(Default)]
struct FakeResolver {
    answers: Mutex<HashMap<String, Vec<Vec<IpAddr>>>>,
    asked: Mutex<Vec<String>>,
}

impl FakeResolver {
    fn knows(self, name: &str, answers: &[&[&str]]) -> Self {
        let answers =
            answers.iter().map(|a| a.iter().map(|ip| ip.parse().unwrap()).collect()).collect();
        self.answers.lock().unwrap().insert(name.to_owned(), answers);
        self
    }
}

impl Resolve for FakeResolver {
    fn resolve<'a>(&'a self, name: &'a str) -> Boxed<'a, io::Result<Vec<IpAddr>>> {
        self.asked.lock().unwrap().push(name.to_owned());
        let mut answers = self.answers.lock().unwrap();
        let answer = match answers.get_mut(name) {
            None => Err(io::Error::other("no such host")),
            Some(turns) if turns.len() > 1 => Ok(turns.remove(0)),
            Some(turns) => Ok(turns[0].clone()),
        };
        Box::pin(async move { answer })
    }
}

/// Records what would be dialled, and connects to a receiver of the test's own instead, or to
/// nothing.
#[derive(Clone, Default)]
struct FakeDialer {
    dialled: Arc<Mutex<Vec<SocketAddr>>>,
    instead: Option<SocketAddr>,
}

impl Dial for FakeDialer {
    fn dial(&self, address: SocketAddr, bind: Option<IpAddr>) -> Boxed<'_, io::Result<TcpStream>> {
        self.dialled.lock().unwrap().push(address);
        match self.instead {
            Some(instead) => SystemDialer.dial(instead, bind),
            None => Box::pin(async { Err(io::ErrorKind::ConnectionRefused.into()) }),
        }
    }
}

fn outbound() -> Arc<Outbound> {
    let resolver = FakeResolver::default().knows("localhost", &[&["127.0.0.1"]]);
    Outbound::new(settings(resolver), clock()).unwrap()
}

fn settings(resolver: FakeResolver) -> OutboundSettings {
    OutboundSettings {
        extra_ca: None,
        user_agent: "hookbox/test".to_owned(),
        resolver: Arc::new(resolver),
        lookup: None,
        policy: OutboundPolicy::default(),
        random: Arc::new(|bytes| bytes.fill(7)),
        note_share: Arc::new(|_, _| ()),
        command_marks: command_marks(),
    }
}

/// No other test's commands have these.
fn command_marks() -> (String, String) {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    (format!("test-{}-{number}", std::process::id()), "1".to_owned())
}

fn endpoint(url: &str) -> Arc<Endpoint> {
    let mut endpoint = Endpoint::new("app", url);
    endpoint.id = 7;
    endpoint.allow_private = true;
    // No attempt of these tests fails because the system does not let them run for a while.
    endpoint.timeout_ms = 200_000;
    Arc::new(endpoint)
}

fn with(endpoint: &Arc<Endpoint>, change: impl FnOnce(&mut Endpoint)) -> Arc<Endpoint> {
    let mut endpoint = endpoint.as_ref().clone();
    change(&mut endpoint);
    Arc::new(endpoint)
}

pub(super) fn event() -> Event {
    Event {
        id: EventId { seq: 12, tag: 34 },
        source: 1,
        source_name: "github".to_owned(),
        kind: "push".to_owned(),
        received_at: WALL_MS,
        dedupe_key: None,
        request_line: "POST /in/github".to_owned(),
        remote: "127.0.0.1:5000".to_owned(),
        headers: vec![Header::new("content-type", "application/json")],
        body: br#"{"a":1}"#.as_slice().into(),
        from_provider: false,
        first_id: None,
    }
}

async fn attempt(outbound: &Outbound, endpoint: &Arc<Endpoint>) -> AttemptReport {
    send(outbound, endpoint, event()).await
}

async fn send(outbound: &Outbound, endpoint: &Arc<Endpoint>, event: Event) -> AttemptReport {
    outbound.attempt(DeliveryId { seq: 12, endpoint: 7 }, 3, endpoint, &Arc::new(event)).await
}

/// A request that a receiver read.
#[derive(Clone, Debug)]
struct Got {
    /// The number of the connection it came over, from 0.
    conn: usize,
    head: String,
    body: Vec<u8>,
}

impl Got {
    fn header(&self, name: &str) -> Option<&str> {
        let lines = self.head.lines().skip(1).filter_map(|l| l.split_once(": "));
        lines.into_iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, v)| v)
    }
}

/// Reads one request; `None` when the peer has closed.
async fn read_request(stream: &mut (impl AsyncRead + Unpin), conn: usize) -> Option<Got> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.ok()?);
    }
    let head = String::from_utf8_lossy(&head).into_owned();
    let mut got = Got { conn, head, body: Vec::new() };
    got.body = vec![0; got.header("content-length").unwrap_or("0").parse().ok()?];
    stream.read_exact(&mut got.body).await.ok()?;
    Some(got)
}

/// A receiver on a loopback port of its own.
struct ScriptedReceiver {
    address: SocketAddr,
    got: Arc<Mutex<Vec<Got>>>,
}

impl ScriptedReceiver {
    /// Calls `talk` for each connection, with its number.
    async fn new<F, T>(talk: F) -> Self
    where
        F: Fn(usize, TcpStream, Arc<Mutex<Vec<Got>>>) -> T + Send + 'static,
        T: Future<Output = ()> + Send + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let got = Arc::new(Mutex::new(Vec::new()));
        let log = got.clone();
        tokio::spawn(async move {
            for conn in 0.. {
                let Ok((stream, _)) = listener.accept().await else { return };
                tokio::spawn(talk(conn, stream, log.clone()));
            }
        });
        Self { address, got }
    }

    /// Answers the n-th request of every connection with the n-th answer, then closes.
    async fn answering(answers: &'static [&'static [u8]]) -> Self {
        Self::new(move |conn, mut stream, got| async move {
            for answer in answers {
                let Some(request) = read_request(&mut stream, conn).await else { return };
                got.lock().unwrap().push(request);
                if stream.write_all(answer).await.is_err() {
                    return;
                }
            }
        })
        .await
    }

    /// Answers everything alike, for as long as the peer wants.
    async fn always(answer: Vec<u8>) -> Self {
        Self::new(move |conn, mut stream, got| {
            let answer = answer.clone();
            async move {
                while let Some(request) = read_request(&mut stream, conn).await {
                    got.lock().unwrap().push(request);
                    if stream.write_all(&answer).await.is_err() {
                        return;
                    }
                }
            }
        })
        .await
    }

    fn endpoint(&self) -> Arc<Endpoint> {
        endpoint(&format!("http://{}/hook?x=1", self.address))
    }

    fn got(&self) -> Vec<Got> {
        self.got.lock().unwrap().clone()
    }
}
