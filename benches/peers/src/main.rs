//! What hookboxd is compared with: the same HTTP handler in front of other durable stores.
//!
//! `hookbox-peers STORE ADDRESS` listens on a free port of loopback, prints its address, and
//! answers 202 once the store says that the event is durable, 503 when it says anything else. What
//! is stored is what an outbox has: a number, the time, the headers and the body. Nothing is
//! verified, filtered or delivered.
#![allow(clippy::disallowed_methods, reason = "the time of an event is the wall clock's")]

mod nats;
mod postgres;
mod sqlite;

use std::convert::Infallible;
use std::error::Error;
use std::fmt::Write as _;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::SystemTime;

use http_body_util::{BodyExt as _, Full};
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper::{HeaderMap, Request, Response};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::sync::oneshot;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

type Failure = Box<dyn Error + Send + Sync>;

const USAGE: &str = "hookbox-peers postgres URL [CONNECTIONS]
hookbox-peers postgres-groups URL [CONNECTIONS]
hookbox-peers sqlite FILE
hookbox-peers nats URL";

/// Events that wait for a store which takes several at once.
const WAITING: usize = 4096;
/// Events of one transaction, where a store takes several at once.
const GROUP: usize = 512;

/// What is stored.
pub struct Event {
    received_at: SystemTime,
    /// A line for each.
    headers: String,
    body: Bytes,
}

/// One of the events that wait, and who waits for its number.
pub type Waiting = (Event, oneshot::Sender<i64>);

/// Where it is stored.
enum Store {
    /// One transaction for each event.
    Postgres(postgres::Pool),
    /// A task or a thread that stores all that wait in one transaction. The sender of an answer is
    /// dropped when that fails.
    Groups(tokio::sync::mpsc::Sender<Waiting>),
    Nats(nats::Stream),
}

impl Store {
    async fn open(kind: &str, address: &str, connections: usize) -> Result<Self, Failure> {
        Ok(match kind {
            "postgres" => Self::Postgres(postgres::Pool::open(address, connections).await?),
            "postgres-groups" => Self::Groups(postgres::groups(address, connections).await?),
            "sqlite" => Self::Groups(sqlite::open(address)?),
            "nats" => Self::Nats(nats::Stream::open(address).await?),
            other => return Err(format!("there is no store {other}\n{USAGE}").into()),
        })
    }

    /// Gives the number of the event once it is durable.
    async fn keep(&self, event: Event) -> Result<i64, Failure> {
        match self {
            Self::Postgres(pool) => pool.insert(&event).await,
            Self::Nats(stream) => stream.publish(event).await,
            Self::Groups(waiting) => {
                let (sender, number) = oneshot::channel();
                waiting.send((event, sender)).await.map_err(|_| "the store has ended")?;
                Ok(number.await.map_err(|_| "the transaction failed")?)
            }
        }
    }
}

/// What waits, with the first of it, up to a group.
fn group(first: Waiting, waiting: &mut tokio::sync::mpsc::Receiver<Waiting>) -> Vec<Waiting> {
    let mut group = vec![first];
    while group.len() < GROUP {
        let Ok(next) = waiting.try_recv() else { break };
        group.push(next);
    }
    group
}

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("{why}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), Failure> {
    let mut args = std::env::args().skip(1);
    let (Some(kind), Some(address)) = (args.next(), args.next()) else { return Err(USAGE.into()) };
    let connections = args.next().map_or(Ok(0), |n| n.parse())?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(serve(&kind, &address, connections))
}

async fn serve(kind: &str, address: &str, connections: usize) -> Result<(), Failure> {
    let store = Arc::new(Store::open(kind, address, connections).await?);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    println!("{}", listener.local_addr()?);

    loop {
        let Ok((stream, _)) = listener.accept().await else { continue };
        let _ = stream.set_nodelay(true);
        let store = store.clone();
        tokio::spawn(async move {
            let mut server = hyper::server::conn::http1::Builder::new();
            server.timer(TokioTimer::new());
            let answer = service_fn(move |request| answer(request, store.clone()));
            let _ = server.serve_connection(TokioIo::new(stream), answer).await;
        });
    }
}

async fn answer(
    request: Request<Incoming>,
    store: Arc<Store>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let headers = lines(request.headers());
    let (status, text) = match request.into_body().collect().await {
        Ok(body) => {
            let event = Event { received_at: SystemTime::now(), headers, body: body.to_bytes() };
            match store.keep(event).await {
                Ok(number) => (202, format!("{{\"id\":\"{number}\"}}")),
                Err(why) => (503, format!("{why}\n")),
            }
        }
        Err(why) => (400, format!("{why}\n")),
    };
    let response = Response::builder().status(status).header("content-type", "application/json");
    Ok(response.body(Full::new(Bytes::from(text))).expect("a constant head"))
}

fn lines(headers: &HeaderMap) -> String {
    let mut lines = String::with_capacity(128);
    for (name, value) in headers {
        let _ = writeln!(lines, "{name}: {}", String::from_utf8_lossy(value.as_bytes()));
    }
    lines
}
