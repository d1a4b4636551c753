//! The load generator: many keep-alive connections on one thread, with requests made beforehand.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::support::payloads;
use crate::support::rng::Rng;

/// What a load came to.
#[derive(Debug, Default)]
pub struct Measured {
    /// Answered 202.
    pub accepted: u64,
    /// Answered something else.
    pub refused: u64,
    pub elapsed: Duration,
    /// Of the accepted ones, sorted, in microseconds.
    pub latencies_us: Vec<u32>,
}

impl Measured {
    pub fn per_second(&self) -> f64 {
        crate::report::number(self.accepted) / self.elapsed.as_secs_f64()
    }
}

/// Where a load ends: at a time or a count, whichever comes first.
#[derive(Clone, Copy, Debug)]
pub struct Bound {
    pub seconds: f64,
    pub events: u64,
}

/// Distinct 1 KiB requests; enough of them that no commit holds the same one twice.
pub fn small_requests() -> Arc<Vec<Bytes>> {
    let mut rng = Rng::new(1);
    Arc::new((0..4096).map(|n| request(&payloads::json_of(1024, n, &mut rng))).collect())
}

/// The real GitHub mix.
pub fn github_requests() -> Arc<Vec<Bytes>> {
    Arc::new(payloads::github().iter().map(|p| request(&p.body)).collect())
}

/// A whole request, as it stands on the wire.
pub fn request(body: &[u8]) -> Bytes {
    with_headers("", body)
}

/// The same, with a header that says its type.
pub fn request_of_type(kind: &str, body: &[u8]) -> Bytes {
    with_headers(&format!("X-Type: {kind}\r\n"), body)
}

fn with_headers(more: &str, body: &[u8]) -> Bytes {
    let length = body.len();
    let head = format!(
        "POST /in/bench HTTP/1.1\r\nHost: bench\r\nContent-Type: \
         application/json\r\n{more}Content-Length: {length}\r\n\r\n"
    );
    Bytes::from([head.as_bytes(), body].concat())
}

/// 1 KiB requests that are numbered, so that their arrivals can be distinguished.
pub fn numbered_requests(count: u64) -> Vec<Bytes> {
    let mut rng = Rng::new(2);
    (0..count).map(|n| request(&payloads::json_of(1024, n, &mut rng))).collect()
}

/// Each connection sends its next request when the last one is answered.
pub fn closed_loop(
    addr: SocketAddr,
    requests: &Arc<Vec<Bytes>>,
    connections: usize,
    bound: Bound,
) -> Measured {
    on_one_thread(async {
        let started = Instant::now();
        let until = started + Duration::from_secs_f64(bound.seconds);
        let taken = Arc::new(AtomicU64::new(0));
        let one = |_| {
            tokio::spawn(connection(addr, requests.clone(), taken.clone(), until, bound.events))
        };
        let tasks: Vec<_> = (0..connections).map(one).collect();
        let mut all = Measured::default();
        for task in tasks {
            all.add(task.await.expect("a connection does not panic"));
        }
        all.elapsed = started.elapsed();
        all.latencies_us.sort_unstable();
        all
    })
}

/// One request every `1 / per_second`, whether the last one is answered or not; latencies count
/// from the moment a request should have left. Gives those moments, too.
pub fn paced(
    addr: SocketAddr,
    per_second: u64,
    connections: usize,
    requests: Vec<Bytes>,
) -> (Measured, Vec<Instant>) {
    let (senders, receivers): (Vec<_>, Vec<_>) =
        (0..connections).map(|_| tokio::sync::mpsc::channel(1024)).unzip();
    let clock = std::thread::spawn(move || keep_pace(&senders, per_second, requests));
    let (mut measured, ended) = on_one_thread(async {
        let tasks: Vec<_> =
            receivers.into_iter().map(|work| tokio::spawn(follow(addr, work))).collect();
        let mut all = Measured::default();
        for task in tasks {
            all.add(task.await.expect("a connection does not panic"));
        }
        (all, Instant::now())
    });
    measured.latencies_us.sort_unstable();
    let left = clock.join().expect("the clock does not panic");
    let first = left.first().copied().unwrap_or(ended);
    measured.elapsed = ended.saturating_duration_since(first);
    (measured, left)
}

/// Hands out requests on time, from a thread of its own: the runtime's timers are only good to a
/// millisecond.
fn keep_pace(
    senders: &[tokio::sync::mpsc::Sender<(Bytes, Instant)>],
    per_second: u64,
    requests: Vec<Bytes>,
) -> Vec<Instant> {
    let started = Instant::now() + Duration::from_millis(50);
    let mut left = Vec::new();
    for ((n, request), sender) in (0_u64..).zip(requests).zip(senders.iter().cycle()) {
        let due = started + Duration::from_nanos(n * 1_000_000_000 / per_second);
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
        left.push(due);
        sender.blocking_send((request, due)).expect("the connection lives");
    }
    left
}

fn on_one_thread<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime")
        .block_on(work)
}

impl Measured {
    fn add(&mut self, other: Self) {
        self.accepted += other.accepted;
        self.refused += other.refused;
        self.latencies_us.extend(other.latencies_us);
    }

    fn count(&mut self, status: u16, since: Instant) {
        if status == 202 {
            self.accepted += 1;
            self.latencies_us.push(u32::try_from(since.elapsed().as_micros()).unwrap_or(u32::MAX));
        } else {
            self.refused += 1;
        }
    }
}

async fn connection(
    addr: SocketAddr,
    requests: Arc<Vec<Bytes>>,
    taken: Arc<AtomicU64>,
    until: Instant,
    events: u64,
) -> Measured {
    let mut line = Line::connect(addr).await;
    let mut measured = Measured::default();
    while Instant::now() < until {
        let n = taken.fetch_add(1, Ordering::Relaxed);
        if n >= events {
            break;
        }
        let turn = usize::try_from(n).unwrap_or(0) % requests.len();
        let started = Instant::now();
        let status = line.ask(&requests[turn]).await;
        measured.count(status, started);
        if status != 202 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
    measured
}

async fn follow(
    addr: SocketAddr,
    mut work: tokio::sync::mpsc::Receiver<(Bytes, Instant)>,
) -> Measured {
    let mut line = Line::connect(addr).await;
    let mut measured = Measured::default();
    while let Some((request, due)) = work.recv().await {
        let status = line.ask(&request).await;
        measured.count(status, due);
    }
    measured
}

/// One connection.
struct Line {
    stream: TcpStream,
    buffer: Vec<u8>,
}

impl Line {
    async fn connect(addr: SocketAddr) -> Self {
        let stream = TcpStream::connect(addr).await.expect("the server takes connections");
        stream.set_nodelay(true).expect("an option of every socket");
        Self { stream, buffer: Vec::with_capacity(4096) }
    }

    /// Sends one request and gives the status of its answer.
    async fn ask(&mut self, request: &[u8]) -> u16 {
        self.stream.write_all(request).await.expect("the connection stands");
        loop {
            if let Some((status, whole)) = parse(&self.buffer) {
                self.buffer.drain(..whole);
                return status;
            }
            let read = self.stream.read_buf(&mut self.buffer).await.expect("the connection stands");
            assert!(read > 0, "the server closed a connection in use");
        }
    }
}

/// The status and the length of the first message, when it is there whole.
fn parse(buffer: &[u8]) -> Option<(u16, usize)> {
    let (head, length) = head_and_length(buffer)?;
    let status = std::str::from_utf8(buffer.get(9..12)?).ok()?.parse().ok()?;
    (buffer.len() >= head + length).then_some((status, head + length))
}

/// The length of the head, and the `Content-Length`, 0 when there is none.
pub fn head_and_length(buffer: &[u8]) -> Option<(usize, usize)> {
    let head = buffer.windows(4).position(|w| w == b"\r\n\r\n")? + 4;
    let length = buffer[..head].split(|b| *b == b'\n').find_map(|line| {
        let (name, value) = line.split_at_checked(15)?;
        if !name.eq_ignore_ascii_case(b"content-length:") {
            return None;
        }
        std::str::from_utf8(value).ok()?.trim().parse::<usize>().ok()
    });
    Some((head, length.unwrap_or(0)))
}
