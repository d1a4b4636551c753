//! A receiver that behaves by script: per path a queue of steps, then a standing one. It remembers
//! every request.

use std::collections::{HashMap, VecDeque};
use std::io::{BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::http::{read_body, read_head};

/// What the receiver does with one request.
#[derive(Clone, Debug)]
pub enum Step {
    /// Answers with this status and a short body.
    Status(u16),
    /// Answers with a status, headers and a body.
    Reply(u16, Vec<(String, String)>, Vec<u8>),
    /// Answers 200 after a while.
    Slow(Duration),
    /// Reads the request and never answers; the sender's deadline ends it.
    Hang,
    /// Reads the request and closes the connection.
    Close,
    /// Answers 200 with a body that never ends.
    Endless,
    /// Waits until [`Receiver::open_gate`], then does what is scripted by then, or answers 200. So
    /// that a test can send first and choose the answer by what it sent.
    Gate,
}

/// One request that came.
#[derive(Clone, Debug)]
pub struct Seen {
    pub at: Instant,
    pub method: String,
    pub path: String,
    pub headers: Vec<(String, String)>,
    /// Empty when the receiver was asked to forget bodies.
    pub body: Vec<u8>,
    pub sha256: [u8; 32],
    pub answered: u16,
}

impl Seen {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, v)| v.as_str())
    }

    /// The event's id.
    pub fn id(&self) -> &str {
        self.header("webhook-id").unwrap_or_default()
    }
}

#[derive(Debug, Default)]
struct State {
    scripts: HashMap<String, VecDeque<Step>>,
    standing: HashMap<String, Step>,
    seen: Vec<Seen>,
    gate_open: bool,
}

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
    stopped: AtomicBool,
    forget_bodies: AtomicBool,
    forget_requests: AtomicBool,
    connections: AtomicUsize,
    busy: AtomicUsize,
    busiest: AtomicUsize,
}

/// A receiver on a fresh loopback port or a Unix socket.
#[derive(Debug)]
pub struct Receiver {
    shared: Arc<Shared>,
    pub addr: SocketAddr,
}

impl Receiver {
    pub fn start() -> Self {
        Self::on(TcpListener::bind("127.0.0.1:0").expect("a free port"))
    }

    /// Takes a socket that was bound elsewhere, such as in another network.
    pub fn on(listener: TcpListener) -> Self {
        let addr = listener.local_addr().expect("it is bound");
        let shared = Arc::new(Shared::default());
        let for_thread = shared.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                if for_thread.stopped.load(Ordering::Acquire) {
                    return;
                }
                let Some((reader, stream)) = both_halves(stream, TcpStream::try_clone) else {
                    continue;
                };
                let _ = stream.set_nodelay(true);
                serve(&for_thread, reader, stream);
            }
        });
        Self { shared, addr }
    }

    /// Listens on a Unix socket.
    pub fn start_unix(path: &Path) -> Self {
        let listener = UnixListener::bind(path).expect("a free path");
        let shared = Arc::new(Shared::default());
        let for_thread = shared.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let Some((reader, stream)) = both_halves(stream, UnixStream::try_clone) else {
                    continue;
                };
                serve(&for_thread, reader, stream);
            }
        });
        Self { shared, addr: SocketAddr::from(([127, 0, 0, 1], 0)) }
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.addr)
    }

    /// Keeps only the hash of bodies from now on.
    pub fn forget_bodies(&self) {
        self.shared.forget_bodies.store(true, Ordering::Release);
    }

    /// Keeps nothing of what comes from now on: for what runs for long.
    pub fn forget_requests(&self) {
        self.shared.forget_requests.store(true, Ordering::Release);
    }

    /// What is done with the next requests to `path`, one step each.
    pub fn script(&self, path: &str, steps: impl IntoIterator<Item = Step>) {
        self.shared.lock().scripts.entry(path.to_owned()).or_default().extend(steps);
    }

    /// What is done with requests to `path` when its script has run out (else 200).
    pub fn always(&self, path: &str, step: Step) {
        self.shared.lock().standing.insert(path.to_owned(), step);
    }

    /// Lets everything go that waits at a [`Step::Gate`], now and later.
    pub fn open_gate(&self) {
        self.shared.lock().gate_open = true;
        self.shared.changed.notify_all();
    }

    /// What comes to a [`Step::Gate`] from now on waits again.
    pub fn close_gate(&self) {
        self.shared.lock().gate_open = false;
    }

    /// Everything that came to `path`.
    pub fn seen(&self, path: &str) -> Vec<Seen> {
        self.shared.lock().seen.iter().filter(|s| s.path == path).cloned().collect()
    }

    /// Everything that came, to any path.
    pub fn all(&self) -> Vec<Seen> {
        self.shared.lock().seen.clone()
    }

    pub fn count(&self, path: &str) -> usize {
        self.shared.lock().seen.iter().filter(|s| s.path == path).count()
    }

    /// Connections that were ever made to it.
    pub fn connections(&self) -> usize {
        self.shared.connections.load(Ordering::Acquire)
    }

    /// The most requests that were under way at a time.
    pub fn busiest(&self) -> usize {
        self.shared.busiest.load(Ordering::Acquire)
    }

    /// Waits until `count` requests have come to `path`, and gives them.
    #[track_caller]
    pub fn wait(&self, path: &str, count: usize, within: Duration) -> Vec<Seen> {
        let until = Instant::now() + within;
        let mut state = self.shared.lock();
        loop {
            let found: Vec<Seen> = state.seen.iter().filter(|s| s.path == path).cloned().collect();
            if found.len() >= count {
                return found;
            }
            let left = until.saturating_duration_since(Instant::now());
            assert!(
                !left.is_zero(),
                "{} of {count} requests came to {path} within {within:?}",
                found.len()
            );
            let result =
                self.shared.changed.wait_timeout(state, left.min(Duration::from_millis(200)));
            state = result.unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.shared.stopped.store(true, Ordering::Release);
        self.open_gate();
        // Another network is not dialled from this one: its receiver's thread ends with the test.
        if self.addr.port() != 0 && self.addr.ip().is_loopback() {
            let _ = TcpStream::connect(self.addr);
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn next_step(&self, path: &str) -> Step {
        let mut state = self.lock();
        let scripted = state.scripts.get_mut(path).and_then(VecDeque::pop_front);
        scripted.or_else(|| state.standing.get(path).cloned()).unwrap_or(Step::Status(200))
    }

    fn remember(&self, seen: Seen) {
        if !self.forget_requests.load(Ordering::Acquire) {
            self.lock().seen.push(seen);
        }
        self.changed.notify_all();
    }

    /// Waits for the gate; what is to be done behind it.
    fn pass_gate(&self, path: &str) -> Step {
        let mut state = self.lock();
        while !state.gate_open {
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        drop(state);
        self.next_step(path)
    }
}

/// A connection to read from and to write to. None when descriptors are scarce in this process for
/// a moment: whoever dialled tries again.
fn both_halves<S>(
    stream: std::io::Result<S>,
    again: fn(&S) -> std::io::Result<S>,
) -> Option<(S, S)> {
    let both = stream.and_then(|stream| Ok((again(&stream)?, stream)));
    if both.is_err() {
        std::thread::sleep(Duration::from_millis(10));
    }
    both.ok()
}

fn serve(
    shared: &Arc<Shared>,
    reader: impl Read + Send + 'static,
    mut writer: impl Write + Send + 'static,
) {
    let shared = shared.clone();
    shared.connections.fetch_add(1, Ordering::AcqRel);
    std::thread::spawn(move || {
        let mut reader = BufReader::new(reader);
        while let Ok(true) = serve_one(&shared, &mut reader, &mut writer) {}
    });
}

/// One request; whether the connection goes on.
fn serve_one(
    shared: &Shared,
    reader: &mut BufReader<impl Read>,
    writer: &mut impl Write,
) -> std::io::Result<bool> {
    let Some(head) = read_head(reader)? else { return Ok(false) };
    let body = read_body(reader, &head, false)?;
    let mut words = head.first.split(' ');
    let (method, path) =
        (words.next().unwrap_or_default().to_owned(), words.next().unwrap_or_default().to_owned());

    let busy = shared.busy.fetch_add(1, Ordering::AcqRel) + 1;
    shared.busiest.fetch_max(busy, Ordering::AcqRel);
    let step = shared.next_step(&path);
    let sha256 = super::sha256(&body);
    let keep = !shared.forget_bodies.load(Ordering::Acquire);
    let body = if keep { body } else { Vec::new() };

    let answered = match &step {
        Step::Status(status) | Step::Reply(status, ..) => *status,
        // What waits at the gate is not answered yet.
        Step::Hang | Step::Close | Step::Gate => 0,
        Step::Slow(_) | Step::Endless => 200,
    };
    shared.remember(Seen {
        at: Instant::now(),
        method,
        path: path.clone(),
        headers: head.headers,
        body,
        sha256,
        answered,
    });

    let step = if matches!(step, Step::Gate) { shared.pass_gate(&path) } else { step };
    let result = perform(&step, reader, writer);
    shared.busy.fetch_sub(1, Ordering::AcqRel);
    result
}

fn perform(
    step: &Step,
    reader: &mut BufReader<impl Read>,
    writer: &mut impl Write,
) -> std::io::Result<bool> {
    match step {
        Step::Status(status) => reply(writer, *status, &[], b"as the script says"),
        Step::Reply(status, headers, body) => reply(writer, *status, headers, body),
        Step::Slow(pause) => {
            std::thread::sleep(*pause);
            reply(writer, 200, &[], b"slowly")
        }
        Step::Gate => reply(writer, 200, &[], b"after the gate"),

        Step::Close => Ok(false),
        Step::Hang => {
            // Ends when the sender gives up and closes.
            let _ = reader.read(&mut [0; 1]);
            Ok(false)
        }
        Step::Endless => {
            writer.write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")?;
            loop {
                writer.write_all(b"10\r\n0123456789abcdef\r\n")?;
            }
        }
    }
}

fn reply(
    writer: &mut impl Write,
    status: u16,
    headers: &[(String, String)],
    body: &[u8],
) -> std::io::Result<bool> {
    let mut text = format!("HTTP/1.1 {status} Scripted\r\nContent-Length: {}\r\n", body.len());
    for (name, value) in headers {
        text.push_str(&format!("{name}: {value}\r\n"));
    }
    text.push_str("\r\n");
    let mut bytes = text.into_bytes();
    bytes.extend_from_slice(body);
    writer.write_all(&bytes)?;
    writer.flush()?;
    Ok(true)
}
