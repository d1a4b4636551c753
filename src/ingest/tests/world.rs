//! The world of these tests: a server on a fresh port and a scheduler thread that takes notes.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant, SystemTime};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::ingest::{Ingest, IngestLimits, Listener};
use crate::model::share::Share;
use crate::model::{EventId, Now, Rate, Source, TimedSecret};
use crate::queue::{Accept, Accepted, NewEvent};
use crate::scheduler::{Channels, Directory, Handle, channel};

pub const SALT: u64 = 0x5a17;
/// No exchange of these tests takes longer, however busy the machine is.
pub const PATIENCE: Duration = Duration::from_secs(200);

#[derive(Default)]
struct Notes {
    events: Mutex<Vec<NewEvent>>,
    held: AtomicBool,
    /// Envelopes that were taken while it is held.
    taken: AtomicU64,
    go_on: Condvar,
    gate: Mutex<()>,
}

pub struct IngestWorld {
    pub address: String,
    pub ingest: Arc<Ingest>,
    pub handle: Handle,
    notes: Arc<Notes>,
    stop: watch::Sender<bool>,
    served: JoinHandle<()>,
}

impl IngestWorld {
    pub async fn new() -> Self {
        Self::listening("127.0.0.1:0", IngestLimits::default()).await
    }

    pub async fn with(limits: IngestLimits) -> Self {
        Self::listening("127.0.0.1:0", limits).await
    }

    #[expect(clippy::unused_async, reason = "a listener needs the runtime around it")]
    pub async fn listening(address: &str, limits: IngestLimits) -> Self {
        let (handle, channels) = channel();
        channels.health.accepting.store(true, Ordering::Release);
        channels.directory.send_replace(Arc::new(directory()));
        let notes = Arc::new(Notes::default());
        let of_thread = notes.clone();
        std::thread::spawn(move || scheduler(&channels, &of_thread));
        let start = Instant::now();
        let clock = move || {
            let wall =
                SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("after 1970");
            Now { mono_ms: ms(start.elapsed()), wall_ms: ms(wall) }
        };
        let ingest = Arc::new(Ingest::new(handle.clone(), Arc::new(clock), limits));
        let listener = Listener::bind(address).expect("a listener");
        let address = listener.address();
        let (stop, stopped) = watch::channel(false);
        let served = tokio::spawn(ingest.clone().serve(listener, stopped));
        Self { address, ingest, handle, notes, stop, served }
    }

    /// Sends these bytes on a connection of their own and reads all that comes back, until the
    /// server closes.
    pub async fn raw(&self, bytes: &[u8]) -> String {
        exchange(self.connect().await, bytes).await
    }

    pub async fn connect(&self) -> TcpStream {
        TcpStream::connect(&self.address).await.expect("connected")
    }

    /// From another address of this machine: on Linux all of 127.0.0.0/8 are.
    pub async fn connect_from(&self, ip: &str) -> TcpStream {
        let socket = tokio::net::TcpSocket::new_v4().expect("a socket");
        socket.bind(format!("{ip}:0").parse().expect("an address")).expect("bound");
        socket.connect(self.address.parse().expect("an address")).await.expect("connected")
    }

    pub fn accepted(&self) -> Vec<NewEvent> {
        self.notes.events.lock().expect("notes").clone()
    }

    pub fn not_accepting(&self, reason: &str) {
        *self.handle.health().reason.lock().expect("a reason") = reason.to_owned();
        self.handle.health().accepting.store(false, Ordering::Release);
    }

    /// From now on the scheduler takes envelopes but does nothing with them.
    pub fn hold(&self) {
        self.notes.held.store(true, Ordering::Release);
    }

    pub async fn wait_for_held(&self, envelopes: u64) {
        while self.notes.taken.load(Ordering::Acquire) < envelopes {
            tokio::task::yield_now().await;
        }
    }

    pub fn go_on(&self) {
        let _gate = self.notes.gate.lock().expect("a gate");
        self.notes.held.store(false, Ordering::Release);
        self.notes.go_on.notify_all();
    }

    /// Who found this share full.
    pub fn full(&self, share: Share) -> Vec<String> {
        let all = self.handle.shares().seen().lately(Now::default());
        all.into_iter().filter(|full| full.share == share).map(|full| full.of.to_string()).collect()
    }

    pub fn tell_to_stop(&self) {
        self.stop.send_replace(true);
    }

    pub async fn stop(self) {
        self.tell_to_stop();
        tokio::time::timeout(PATIENCE, self.served).await.expect("it ends").expect("no panic");
    }
}

fn ms(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).expect("a short time")
}

fn directory() -> Directory {
    let mut small = Source::new("small", "none");
    small.max_body = 1000;
    let mut hidden = Source::new("hidden", "none");
    hidden.token = Some("tok3n".to_owned());
    let mut away = Source::new("away", "none");
    away.allow = vec!["192.0.2.0/24".parse().expect("a net")];
    let mut gone = Source::new("gone", "none");
    gone.expires_at = Some(1000);
    let mut keyed = Source::new("keyed", "apikey");
    keyed.secrets = vec![TimedSecret::current("hunter2")];
    keyed.params.insert("in".into(), "header".into());
    keyed.params.insert("name".into(), "X-Key".into());
    keyed.rate = Some(Rate { count: 5, per_ms: 3_600_000 });
    let odd = Source::new("odd", "no-such-scheme");

    let mut typed = Source::new("typed", "none");
    (typed.type_field, typed.max_body) = (Some("/type".to_owned()), 4 << 20);

    let open = Source::new("open", "none");
    let unused = Source::new("unused", "none");
    let sources = [open, small, hidden, away, gone, odd, keyed, unused, typed];

    let mut directory = Directory { salt: SALT, ..Directory::default() };
    for (id, mut source) in (1..).zip(sources) {
        source.id = id;
        let source = Arc::new(source);
        let path = source.token.clone().unwrap_or_else(|| source.name.clone());
        directory.sources_by_path.insert(path, source.clone());
        directory.sources_by_name.insert(source.name.clone(), source);
    }
    directory
}

fn scheduler(channels: &Channels, notes: &Notes) {
    let mut seq = 0;
    let mut seen = HashMap::new();

    while let Ok(envelope) = channels.requests.recv() {
        let mut gate = notes.gate.lock().expect("a gate");
        while notes.held.load(Ordering::Acquire) {
            notes.taken.fetch_add(1, Ordering::AcqRel);
            gate = notes.go_on.wait(gate).expect("a gate");
        }
        drop(gate);

        let mut events: Vec<NewEvent> = Vec::new();
        let mut accept = |event: &NewEvent| {
            let id = EventId { seq: seq + 1, tag: 7 };
            let first = event.dedupe.map_or(id, |dedupe| *seen.entry(dedupe).or_insert(id));
            seq += u64::from(first == id);
            Accepted { id: first, duplicate: first != id, conflicts_with: None }
        };

        let _other_request = envelope.answer(|Accept(matched)| {
            events.extend(matched.into_iter().map(|matched| matched.event));
            let accepted = events.iter().map(&mut accept).collect();
            notes.events.lock().expect("notes").append(&mut events);
            Ok(accepted)
        });
    }
}

/// Sends the bytes and reads until the other side closes; what a reset cuts off is not there.
pub async fn exchange(mut stream: impl AsyncRead + AsyncWrite + Unpin, bytes: &[u8]) -> String {
    let both = async {
        let _ = stream.write_all(bytes).await;
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer).await;
        answer
    };
    let answer =
        tokio::time::timeout(PATIENCE, both).await.expect("the server closes the connection");
    String::from_utf8_lossy(&answer).into_owned()
}

/// A well-formed request that ends its connection. `headers` are whole lines.
pub fn post(path: &str, headers: &str, body: &str) -> String {
    let length = body.len();
    format!(
        "POST {path} HTTP/1.1\r\nHost: h\r\nConnection: close\r\n{headers}Content-Length: \
         {length}\r\n\r\n{body}"
    )
}

pub fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
}

/// The status of the first response; 0 when there is none.
pub fn status(answer: &str) -> u16 {
    answer
        .strip_prefix("HTTP/1.1 ")
        .and_then(|rest| rest.get(..3))
        .and_then(|code| code.parse().ok())
        .unwrap_or(0)
}
