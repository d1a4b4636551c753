//! A connection's bytes: TCP, TLS or a Unix socket, with a meter that bounds what a peer may make us read.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::client::TlsStream;

/// How many bytes may still be read. The connection and its user share it; both run in one task at a time.
#[derive(Debug, Default)]
pub(super) struct Meter {
    left: AtomicUsize,
}

impl Meter {
    /// Allows so many bytes from now on.
    pub(super) fn allow(&self, bytes: usize) {
        self.left.store(bytes, Ordering::Relaxed);
    }

    pub(super) fn left(&self) -> usize {
        self.left.load(Ordering::Relaxed)
    }

    /// Whether reading was stopped because the allowance was used up.
    pub(super) fn overrun(&self) -> bool {
        self.left() == 0
    }
}

/// What carries the bytes.
#[derive(Debug)]
pub(super) enum Wire {
    Tcp(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
    Unix(UnixStream),
}

/// A metered wire.
#[derive(Debug)]
pub(super) struct Stream {
    wire: Wire,
    meter: Arc<Meter>,
}

impl Stream {
    pub(super) fn new(wire: Wire, meter: Arc<Meter>) -> Self {
        Self { wire, meter }
    }
}

/// Calls the same method on whichever wire it is.
macro_rules! on_wire {
    ($self:ident, $wire:ident => $call:expr) => {
        match &mut $self.get_mut().wire {
            Wire::Tcp($wire) => $call,
            Wire::Tls($wire) => $call,
            Wire::Unix($wire) => $call,
        }
    };
}

impl AsyncRead for Stream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let meter = self.meter.clone();
        let left = meter.left();
        if left == 0 {
            return Poll::Ready(Err(io::Error::other("the peer sends more than is read")));
        }
        let before = buf.filled().len();
        let read = on_wire!(self, wire => Pin::new(wire).poll_read(cx, buf));
        meter.allow(left.saturating_sub(buf.filled().len() - before));
        read
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        on_wire!(self, wire => Pin::new(wire).poll_write(cx, buf))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        on_wire!(self, wire => Pin::new(wire).poll_flush(cx))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        on_wire!(self, wire => Pin::new(wire).poll_shutdown(cx))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        on_wire!(self, wire => Pin::new(wire).poll_write_vectored(cx, bufs))
    }

    fn is_write_vectored(&self) -> bool {
        match &self.wire {
            Wire::Tcp(wire) => wire.is_write_vectored(),
            Wire::Tls(wire) => wire.is_write_vectored(),
            Wire::Unix(wire) => wire.is_write_vectored(),
        }
    }
}
