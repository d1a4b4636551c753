//! The stream between the socket and hyper. What is received passes [`super::framing`], which finds
//! what hyper lets pass though no request may hold it.
//!
//! Where it finds a violation in a head, all that follows is replaced by bytes that no head may
//! hold, so that hyper refuses the request with 400 and closes. In a chunked body the stream ends
//! there, which is an incomplete body and is refused with 400 as well. A head that took too long,
//! or that there is no memory for, is ended like a violation. What is sent passes
//! [`super::hyper_refusal`], which gives hyper's own refusals a body.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::budget::Claim;
use super::framing::{Framing, FramingError};
use super::hyper_refusal;
use super::pulse::{HeadCut, Pulse};
use crate::model::limits;
use crate::model::share::Share;
use crate::scheduler::ShareCounts;

/// NUL is not allowed in a head; the empty line makes hyper parse what it has.
const INVALID_HEAD: &[u8] = b"\0\r\n\r\n";

/// A stream that is checked as it is received.
#[derive(Debug)]
pub(super) struct GuardedStream<I> {
    io: I,
    pulse: Arc<Pulse>,
    framing: Framing,
    /// The most that its heads took: hyper's buffer does not shrink.
    claim: Claim,
    /// Where it is recorded that a share of memory was full.
    shares: Arc<ShareCounts>,
    /// After a violation: the last bytes that hyper gets.
    ending: Option<&'static [u8]>,
    /// What is sent instead of hyper's own refusal.
    replacement: Vec<u8>,
}

impl<I> GuardedStream<I> {
    pub fn new(io: I, pulse: Arc<Pulse>, claim: Claim, shares: Arc<ShareCounts>) -> Self {
        Self {
            io,
            pulse,
            framing: Framing::new(),
            claim,
            shares,
            ending: None,
            replacement: Vec::new(),
        }
    }

    /// Claims the memory of a head that is not complete. False when there is none.
    fn claim_head(&mut self) -> bool {
        let counted = 2 * self.framing.in_head().saturating_sub(limits::HEAD_FREE);
        let more = counted.saturating_sub(self.claim.bytes());
        let fits = more == 0 || self.claim.grow(more.next_multiple_of(limits::READ_BYTES));
        if let Some(of) = self.claim.take_full() {
            self.shares.note(Share::BytesBeingRead, of);
        }
        fits
    }
}

impl<I: AsyncRead + Unpin> GuardedStream<I> {
    /// Reads less at once than would make hyper enlarge its buffer for the next time.
    fn poll_some(&mut self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if buf.remaining() < limits::READ_BYTES {
            return Pin::new(&mut self.io).poll_read(cx, buf);
        }

        let mut some = ReadBuf::new(buf.initialize_unfilled_to(limits::READ_BYTES - 1));
        ready!(Pin::new(&mut self.io).poll_read(cx, &mut some))?;

        let length = some.filled().len();
        buf.advance(length);
        Poll::Ready(Ok(()))
    }
}

impl<I: AsyncRead + Unpin> AsyncRead for GuardedStream<I> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.ending.is_none() && this.pulse.head_cut().is_some() {
            this.ending = Some(INVALID_HEAD);
        }

        if this.ending.is_none() {
            let before = buf.filled().len();
            ready!(this.poll_some(cx, buf))?;
            let result = this.framing.look(&buf.filled()[before..]);
            this.pulse.set_in_head(this.framing.in_head() > 0);

            this.ending = match result {
                Ok(()) if this.claim_head() => return Poll::Ready(Ok(())),
                Ok(()) => {
                    this.pulse.cut_head(HeadCut::NoMemory);
                    Some(INVALID_HEAD)
                }
                Err(FramingError { good, in_head }) => {
                    buf.set_filled(before + good);
                    Some(if in_head { INVALID_HEAD } else { b"" })
                }
            };
        }

        // The buffer may be too small for all of it.
        if let Some(rest) = &mut this.ending {
            let (now, later) = rest.split_at(rest.len().min(buf.remaining()));
            buf.put_slice(now);
            *rest = later;
        }
        Poll::Ready(Ok(()))
    }
}

impl<I: AsyncWrite + Unpin> GuardedStream<I> {
    /// Sends the whole replacement of a refusal.
    fn poll_replacement(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.replacement.is_empty() {
            let sent = ready!(Pin::new(&mut self.io).poll_write(cx, &self.replacement))?;
            if sent == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.replacement.drain(..sent);
        }
        Poll::Ready(Ok(()))
    }

    /// Replaces hyper's own refusal, which is flushed next. Returns its length.
    fn replace_refusal(&mut self, bytes: &[u8]) -> Option<usize> {
        self.replacement = hyper_refusal::with_body(bytes, self.pulse.head_cut())?;
        Some(bytes.len())
    }
}

impl<I: AsyncWrite + Unpin> AsyncWrite for GuardedStream<I> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        ready!(this.poll_replacement(cx))?;
        match this.replace_refusal(bytes) {
            Some(length) => Poll::Ready(Ok(length)),
            None => Pin::new(&mut this.io).poll_write(cx, bytes),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        ready!(this.poll_replacement(cx))?;
        match bytes.first().and_then(|first| this.replace_refusal(first)) {
            Some(length) => Poll::Ready(Ok(length)),
            None => Pin::new(&mut this.io).poll_write_vectored(cx, bytes),
        }
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(this.poll_replacement(cx))?;
        Pin::new(&mut this.io).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(this.poll_replacement(cx))?;
        Pin::new(&mut this.io).poll_shutdown(cx)
    }
}
