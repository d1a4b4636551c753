//! The bytes of a connection: TCP, TLS or a Unix socket, with a meter that bounds what a peer may
//! make us read.
//!
//! A write that fails is no reason to stop reading: a receiver may answer before it has read
//! everything, and close. So what is written after a failure is thrown away, and the failure is
//! reported when there is nothing left to read.
//!
//! A TCP connection that is dropped in the middle of an exchange is reset: what the kernel has not
//! sent by then is never sent. It would arrive late otherwise, perhaps after another attempt, and
//! out of its order. The kernel is asked for that when the exchange begins, so that it holds for a
//! daemon that is killed, too.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use rustix::net::sockopt::set_socket_linger;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::client::TlsStream;

use super::tls::ALPN_HTTP2;

/// How many bytes may still be read, and what became of those that were to be written. The
/// connection and its user share it; both run in one task at a time.
#[derive(Debug, Default)]
pub struct Meter {
    left: AtomicUsize,
    /// Bytes of this exchange's request that were written.
    written: AtomicUsize,
    /// All that was written of it was flushed.
    flushed: AtomicBool,
    /// A write failed.
    broken: AtomicBool,
    /// An exchange has begun and not ended.
    exchanging: AtomicBool,
    /// The response has come and accepts the request: the exchange ends as soon as the request is
    /// written.
    accepted: AtomicBool,
}

impl Meter {
    /// Allows so many bytes from now on.
    pub fn allow(&self, bytes: usize) {
        self.left.store(bytes, Ordering::Relaxed);
    }

    pub fn left(&self) -> usize {
        self.left.load(Ordering::Relaxed)
    }

    /// Whether reading was stopped because the allowance was used up.
    pub fn overrun(&self) -> bool {
        self.left() == 0
    }

    /// A request is about to be written.
    pub fn begin(&self) {
        self.written.store(0, Ordering::Relaxed);
        self.flushed.store(false, Ordering::Relaxed);
        self.accepted.store(false, Ordering::Relaxed);
        self.exchanging.store(true, Ordering::Relaxed);
    }

    /// The response accepts the request: what is left of it is written, and the
    /// connection is then closed like any other, by whoever drops it first.
    pub fn request_was_accepted(&self) {
        self.accepted.store(true, Ordering::Relaxed);
    }

    /// The request was written and its answer read: from now on the connection may be closed like
    /// any other.
    pub fn end(&self) {
        self.exchanging.store(false, Ordering::Relaxed);
    }

    pub fn written(&self) -> usize {
        self.written.load(Ordering::Relaxed)
    }

    /// Whether the whole request was written.
    pub fn is_flushed(&self) -> bool {
        self.flushed.load(Ordering::Relaxed) && !self.is_broken()
    }

    /// Whether a write failed.
    pub fn is_broken(&self) -> bool {
        self.broken.load(Ordering::Relaxed)
    }

    fn is_exchanging(&self) -> bool {
        let is_over = self.accepted.load(Ordering::Relaxed) && self.is_flushed();
        self.exchanging.load(Ordering::Relaxed) && !is_over
    }

    fn wrote(&self, bytes: usize) {
        self.written.fetch_add(bytes, Ordering::Relaxed);
        self.flushed.store(false, Ordering::Relaxed);
    }
}

/// The stream below HTTP.
#[derive(Debug)]
pub enum RawStream {
    Tcp(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
    Unix(UnixStream),
}

impl RawStream {
    /// Whether HTTP/2 was agreed on.
    pub fn negotiated_http2(&self) -> bool {
        matches!(self, Self::Tls(tls) if tls.get_ref().1.alpn_protocol() == Some(ALPN_HTTP2))
    }

    /// The socket below, where what was written may not have been sent yet.
    fn tcp(&self) -> Option<&TcpStream> {
        match self {
            Self::Tcp(tcp) => Some(tcp),
            Self::Tls(tls) => Some(tls.get_ref().0),
            Self::Unix(_) => None,
        }
    }
}

/// A stream with a meter.
#[derive(Debug)]
pub struct MeteredStream {
    raw: RawStream,
    meter: Arc<Meter>,
    /// The first failure to write.
    failed: Option<io::Error>,
    /// Whether the kernel resets the connection when it is closed.
    resets: bool,
}

impl MeteredStream {
    pub fn new(raw: RawStream, meter: Arc<Meter>) -> Self {
        Self { raw, meter, failed: None, resets: false }
    }

    /// Tells the kernel how this connection is to be closed, if that has changed.
    fn prepare_close(&mut self) {
        let resets = self.meter.is_exchanging();
        if self.resets != resets
            && let Some(tcp) = self.raw.tcp()
        {
            // It can only fail on what is not a socket any more.
            let _ = set_socket_linger(tcp, resets.then_some(Duration::ZERO));
            self.resets = resets;
        }
    }

    /// Takes note of a failed write.
    fn fail(&mut self, error: io::Error) {
        self.meter.broken.store(true, Ordering::Relaxed);
        self.failed = Some(error);
    }
}

impl Drop for MeteredStream {
    fn drop(&mut self) {
        self.prepare_close();
    }
}

/// Calls the same method on whichever stream it is.
macro_rules! on_stream {
    ($self:ident, $stream:ident => $call:expr) => {
        match &mut $self.raw {
            RawStream::Tcp($stream) => $call,
            RawStream::Tls($stream) => $call,
            RawStream::Unix($stream) => $call,
        }
    };
}

impl AsyncRead for MeteredStream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        this.prepare_close();
        let left = this.meter.left();
        if left == 0 {
            return Poll::Ready(Err(io::Error::other("the peer sends more than is read")));
        }

        let before = buf.filled().len();
        let read = on_stream!(this, stream => Pin::new(stream).poll_read(cx, buf));
        let came = buf.filled().len() - before;
        this.meter.allow(left.saturating_sub(came));

        match (&read, &this.failed) {
            (Poll::Ready(Ok(())), Some(failed)) if came == 0 => {
                Poll::Ready(Err(failed.kind().into()))
            }
            _ => read,
        }
    }
}

impl AsyncWrite for MeteredStream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[io::IoSlice::new(buf)])
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.failed.is_some() {
            return Poll::Ready(Ok(()));
        }

        let flushed = on_stream!(this, stream => Pin::new(stream).poll_flush(cx));

        match flushed {
            Poll::Ready(Ok(())) => {
                this.meter.flushed.store(this.meter.written() > 0, Ordering::Relaxed)
            }
            Poll::Ready(Err(error)) => this.fail(error),
            Poll::Pending => return Poll::Pending,
        }
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.failed.is_some() {
            return Poll::Ready(Ok(()));
        }
        on_stream!(this, stream => Pin::new(stream).poll_shutdown(cx))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let all = bufs.iter().map(|buf| buf.len()).sum();
        if this.failed.is_some() {
            return Poll::Ready(Ok(all));
        }

        this.prepare_close();
        let written = on_stream!(this, stream => Pin::new(stream).poll_write_vectored(cx, bufs));
        match written {
            Poll::Ready(Ok(bytes)) => {
                this.meter.wrote(bytes);
                Poll::Ready(Ok(bytes))
            }
            Poll::Ready(Err(error)) => {
                this.fail(error);
                Poll::Ready(Ok(all))
            }
            Poll::Pending => Poll::Pending,
        }
    }

    fn is_write_vectored(&self) -> bool {
        match &self.raw {
            RawStream::Tcp(stream) => stream.is_write_vectored(),
            RawStream::Tls(stream) => stream.is_write_vectored(),
            RawStream::Unix(stream) => stream.is_write_vectored(),
        }
    }
}
