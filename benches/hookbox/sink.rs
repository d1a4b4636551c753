//! A receiver that is as fast as one thread can be: it answers 200 and counts.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::load::head_and_length;
use super::support::payloads::number_of;

const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";

/// The number in a body, and when it came.
pub type Arrival = (u64, Instant);

/// A running receiver; it ends with the program.
#[derive(Clone)]
pub struct Sink {
    pub addr: SocketAddr,
    pub received: Arc<AtomicU64>,
    /// When the body with each number came, when that is asked for.
    arrivals: Option<Arc<Mutex<Vec<Arrival>>>>,
}

impl Sink {
    pub fn start(note_arrivals: bool) -> Self {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
        listener.set_nonblocking(true).expect("an option of every socket");
        let addr = listener.local_addr().expect("bound");
        let arrivals = note_arrivals.then(Arc::default);
        let sink = Self { addr, received: Arc::default(), arrivals };
        let for_thread = sink.clone();
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .expect("a runtime");
            runtime.block_on(async {
                let listener = tokio::net::TcpListener::from_std(listener).expect("a listener");
                while let Ok((stream, _)) = listener.accept().await {
                    tokio::spawn(for_thread.clone().answer(stream));
                }
            });
        });
        sink
    }

    pub fn url(&self) -> String {
        format!("http://{}/hook", self.addr)
    }

    pub fn count(&self) -> u64 {
        self.received.load(Ordering::Acquire)
    }

    pub fn take_arrivals(&self) -> Vec<Arrival> {
        self.arrivals
            .as_ref()
            .map(|a| std::mem::take(&mut *a.lock().expect("no panic")))
            .unwrap_or_default()
    }

    async fn answer(self, mut stream: TcpStream) {
        let _ = stream.set_nodelay(true);
        let mut buffer = Vec::with_capacity(16 << 10);

        loop {
            while let Some((head, length)) =
                head_and_length(&buffer).filter(|(h, l)| buffer.len() >= h + l)
            {
                if let Some(arrivals) = &self.arrivals {
                    let number = number_of(&buffer[head..head + length]);
                    arrivals.lock().expect("no panic").extend(number.map(|n| (n, Instant::now())));
                }
                buffer.drain(..head + length);
                self.received.fetch_add(1, Ordering::AcqRel);
                if stream.write_all(ANSWER).await.is_err() {
                    return;
                }
            }

            if !matches!(stream.read_buf(&mut buffer).await, Ok(1..)) {
                return;
            }
        }
    }
}
