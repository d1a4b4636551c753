//! `[metrics] listen`: a TCP listener that serves `GET /metrics` and nothing else, for Prometheus,
//! which reads no Unix sockets.
//!
//! Whoever reaches it is a stranger. So there are few connections, each for one request and for a
//! short time, and the page is made at most once in `limits::METRICS_PAGE_MS`, however many ask.

use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::{ALLOW, CONTENT_TYPE, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Mutex, Semaphore, watch};

use super::metrics_page::CONTENT_TYPE as TEXT_FORMAT;
use crate::model::{Clock, limits};

/// After a failed accept (no file descriptors left), before the next.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
const PATIENCE: Duration = Duration::from_millis(limits::METRICS_TIMEOUT_MS);

/// Makes the page; `None` while that cannot be done.
pub type MakePage =
    Arc<dyn Fn() -> Pin<Box<dyn Future<Output = Option<String>> + Send>> + Send + Sync>;

/// The page, and when it was made.
struct KeptPage {
    make: MakePage,
    clock: Clock,
    kept: Mutex<Option<(u64, Bytes)>>,
}

impl KeptPage {
    /// The page; made anew when it is too old. Those who ask meanwhile wait for the one.
    async fn get(&self) -> Option<Bytes> {
        let mut kept = self.kept.lock().await;
        let now = (self.clock)().mono_ms;
        if let Some((made_at, page)) = &*kept
            && now < made_at + limits::METRICS_PAGE_MS
        {
            return Some(page.clone());
        }
        let page = Bytes::from((self.make)().await?);
        *kept = Some((now, page.clone()));
        Some(page)
    }
}

/// Serves the page on `listener` until `stop` turns true (or its sender is gone).
pub async fn serve(
    listener: TcpListener,
    make: MakePage,
    clock: Clock,
    mut stop: watch::Receiver<bool>,
) {
    let permits = Arc::new(Semaphore::new(limits::METRICS_CONNECTIONS));
    let page = Arc::new(KeptPage { make, clock, kept: Mutex::default() });
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = stop.wait_for(|stop| *stop) => return,
        };
        let Ok((stream, _)) = accepted else {
            tokio::time::sleep(ACCEPT_PAUSE).await;
            continue;
        };

        // One more than there may be is closed at once.
        let Ok(permit) = permits.clone().try_acquire_owned() else { continue };
        let connection = connection(page.clone(), stream);
        tokio::spawn(async move {
            let _ = tokio::time::timeout(PATIENCE, connection).await;
            drop(permit);
        });
    }
}

/// Listens there. The address that it has now, which has a port also where none was named.
///
/// # Errors
/// When that cannot be listened on.
pub fn bind(address: SocketAddr) -> io::Result<(TcpListener, SocketAddr)> {
    let listener = std::net::TcpListener::bind(address)?;
    listener.set_nonblocking(true)?;
    let listener = TcpListener::from_std(listener)?;

    if !address.ip().is_loopback() {
        tracing::warn!(%address, "anybody who can reach this address can read the metrics");
    }
    let address = listener.local_addr().unwrap_or(address);
    tracing::info!(%address, "metrics are served at /metrics");
    Ok((listener, address))
}

async fn connection(page: Arc<KeptPage>, stream: TcpStream) {
    let service = service_fn(move |request: Request<Incoming>| {
        let page = page.clone();
        async move { Ok::<_, Infallible>(answer(&page, &request).await) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(PATIENCE)
        .max_buf_size(limits::HEAD_BYTES)
        .keep_alive(false)
        .serve_connection(TokioIo::new(stream), service);
    if let Err(error) = connection.await {
        tracing::debug!(%error, "a connection to the metrics ended early");
    }
}

async fn answer(page: &KeptPage, request: &Request<Incoming>) -> Response<Full<Bytes>> {
    if request.uri().path() != "/metrics" {
        return plain(StatusCode::NOT_FOUND, "only /metrics is here\n");
    }
    if request.method() != Method::GET {
        let mut refused = plain(StatusCode::METHOD_NOT_ALLOWED, "use GET\n");
        refused.headers_mut().insert(ALLOW, HeaderValue::from_static("GET"));
        return refused;
    }

    match page.get().await {
        Some(page) => {
            let mut found = Response::new(Full::new(page));
            let kind = HeaderValue::from_static(TEXT_FORMAT);
            found.headers_mut().insert(CONTENT_TYPE, kind);
            found
        }
        None => plain(StatusCode::SERVICE_UNAVAILABLE, "too busy: try again in a moment\n"),
    }
}

fn plain(status: StatusCode, text: &'static str) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from_static(text.as_bytes())));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain"));
    response
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::{Arc, MakePage, TcpListener, TcpStream, limits, serve, watch};
    use crate::model::{Clock, Now};

    /// A listener whose pages are numbers, with the time that it takes for the present one.
    struct Served {
        at: std::net::SocketAddr,
        time: Arc<AtomicU64>,
        _stop: watch::Sender<bool>,
    }

    impl Served {
        async fn new() -> Self {
            let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
            let at = listener.local_addr().expect("an address");
            let (time, made) = (Arc::new(AtomicU64::new(5_000)), Arc::new(AtomicU64::new(0)));
            let make: MakePage = Arc::new(move || {
                let number = made.fetch_add(1, Ordering::Relaxed);
                Box::pin(async move { Some(format!("page {number}")) })
            });
            let now = time.clone();
            let clock: Clock =
                Arc::new(move || Now { mono_ms: now.load(Ordering::Relaxed), wall_ms: 0 });
            let (stop, stopped) = watch::channel(false);
            tokio::spawn(serve(listener, make, clock, stopped));
            Self { at, time, _stop: stop }
        }

        /// Empty where it is refused.
        async fn page(&self) -> String {
            let mut stream = TcpStream::connect(self.at).await.expect("connected");
            let _ = stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n").await;
            let mut answer = String::new();
            let _ = stream.read_to_string(&mut answer).await;
            answer.rsplit("\r\n").next().unwrap_or_default().to_owned()
        }
    }

    #[tokio::test]
    async fn a_page_is_made_once_a_second_however_many_ask() {
        let served = Served::new().await;
        for _ in 0..3 {
            assert_eq!(served.page().await, "page 0");
        }
        served.time.fetch_add(limits::METRICS_PAGE_MS - 1, Ordering::Relaxed);
        assert_eq!(served.page().await, "page 0");
        served.time.fetch_add(1, Ordering::Relaxed);
        assert_eq!(served.page().await, "page 1");
    }

    #[tokio::test]
    async fn a_connection_too_many_is_closed_at_once() {
        let served = Served::new().await;
        let mut held = Vec::new();
        for _ in 0..limits::METRICS_CONNECTIONS {
            held.push(TcpStream::connect(served.at).await.expect("connected"));
        }
        let mut more = TcpStream::connect(served.at).await.expect("connected");
        assert_eq!(more.read(&mut [0]).await.unwrap_or(0), 0, "it was answered or kept");

        drop(held);
        while served.page().await.is_empty() {
            tokio::task::yield_now().await;
        }
    }
}
