//! A port that stays while the server behind it is killed and started anew, and that cuts.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// The proxy. Its thread ends with the process.
#[derive(Clone)]
pub struct Proxy {
    pub addr: SocketAddr,
    state: Arc<State>,
}

struct State {
    upstream: Mutex<Option<SocketAddr>>,
    /// Both ends of what is connected.
    open: Mutex<Vec<TcpStream>>,
    is_closed: AtomicBool,
    /// Bytes to the server after which everything is cut, once; negative for never.
    cut_after: AtomicI64,
}

impl Proxy {
    pub fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let addr = listener.local_addr().expect("it is bound");
        let state = Arc::new(State {
            upstream: Mutex::default(),
            open: Mutex::default(),
            is_closed: AtomicBool::new(false),
            cut_after: AtomicI64::new(-1),
        });
        let accepting = state.clone();
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let state = accepting.clone();
                std::thread::spawn(move || drop(state.serve(client)));
            }
        });
        Self { addr, state }
    }

    pub fn url(&self) -> String {
        format!("nats://{}", self.addr)
    }

    pub fn set_upstream(&self, addr: SocketAddr) {
        *lock(&self.state.upstream) = Some(addr);
    }

    /// Cuts everything that is connected.
    pub fn cut(&self) {
        for stream in lock(&self.state.open).drain(..) {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }

    /// Cuts when so many more bytes have gone to the server: in the middle of something.
    pub fn cut_after(&self, bytes: i64) {
        self.state.cut_after.store(bytes, Ordering::SeqCst);
    }

    /// The network is away, or back.
    pub fn set_closed(&self, closed: bool) {
        self.state.is_closed.store(closed, Ordering::SeqCst);
        if closed {
            self.cut();
        }
    }
}

impl State {
    fn serve(self: Arc<Self>, client: TcpStream) -> io::Result<()> {
        if self.is_closed.load(Ordering::SeqCst) {
            return Ok(());
        }
        let upstream = *lock(&self.upstream);
        let server = TcpStream::connect(upstream.ok_or(io::ErrorKind::NotConnected)?)?;
        client.set_nodelay(true)?;
        server.set_nodelay(true)?;
        lock(&self.open).extend([client.try_clone()?, server.try_clone()?]);

        let (back_from, back_to) = (server.try_clone()?, client.try_clone()?);
        let back = self.clone();
        std::thread::spawn(move || back.copy(back_from, back_to, false));
        self.copy(client, server, true);
        Ok(())
    }

    fn copy(&self, mut from: TcpStream, mut to: TcpStream, counts: bool) {
        let mut buffer = [0; 16 << 10];
        while let Ok(read @ 1..) = from.read(&mut buffer) {
            let mut part = &buffer[..read];
            let left = self.cut_after.load(Ordering::SeqCst);
            let is_last = counts && left >= 0 && left <= read as i64;
            if counts && left >= 0 {
                self.cut_after
                    .store(if is_last { -1 } else { left - read as i64 }, Ordering::SeqCst);
            }
            if is_last {
                part = &part[..usize::try_from(left).unwrap_or(0)];
            }
            if to.write_all(part).is_err() || is_last {
                break;
            }
        }
        let _ = from.shutdown(Shutdown::Both);
        let _ = to.shutdown(Shutdown::Both);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
