//! What no HTTP/1 head may hold, though a lenient parser lets it pass: line ends without CR, Content-Length
//! beside Transfer-Encoding, Content-Length twice. A sender and a proxy that disagree on these disagree on where
//! a request ends (request smuggling).
//!
//! It looks at bytes on their way from the socket to hyper, heads only: bodies are skipped by their length. Where
//! it finds such a thing it puts the end of a head that is none in the place of all that follows, and hyper refuses
//! the request with 400 and closes. The same ends a head that took too long. On the way out hyper's own refusals get
//! their body ([`super::bare`]).
//!
//! Limits: 64 bytes of a line are kept, which is enough to know the two fields. Behind a chunked body it waits
//! until the request is answered; a request pipelined into the same read passes with hyper's own checks.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::bare;
use super::connection::Pulse;

const LINE_KEPT: usize = 64;
/// NUL stands in no head; the empty line lets hyper look at what it has.
const SPOILT: &[u8] = b"\0\r\n\r\n";

/// Where in the stream it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Head,
    /// So many bytes of a body are still to come.
    Body(u64),
    /// In a chunked body, until the requests served are other than these.
    Chunked(u32),
    /// HTTP/2, or a head that hyper refuses.
    Off,
}

/// Follows one connection's bytes.
#[derive(Debug)]
pub(super) struct Guard {
    pulse: Arc<Pulse>,
    place: Place,
    line: [u8; LINE_KEPT],
    /// Bytes of the line so far, and the last of them.
    length: usize,
    last: u8,
    /// The request line has been seen.
    begun: bool,
    body: Option<u64>,
    chunked: bool,
}

impl Guard {
    pub fn new(pulse: Arc<Pulse>) -> Self {
        Self {
            pulse,
            place: Place::Head,
            line: [0; LINE_KEPT],
            length: 0,
            last: 0,
            begun: false,
            body: None,
            chunked: false,
        }
    }

    /// Looks at the bytes that just came. Says how many of them are good, when a head is not.
    fn look(&mut self, fresh: &[u8]) -> Option<usize> {
        if let Place::Chunked(beats) = self.place
            && self.pulse.beats() != beats
            && !self.pulse.is_busy()
        {
            self.place = Place::Head;
        }
        let mut at = 0;
        while at < fresh.len() {
            match self.place {
                Place::Off | Place::Chunked(_) => break,
                Place::Body(left) => at += self.skip(left, fresh.len() - at),
                Place::Head => match self.line(&fresh[at..]) {
                    Ok(used) => at += used,
                    Err(good) => return Some(at + good),
                },
            }
        }
        self.pulse.set_in_head(self.place == Place::Head && (self.begun || self.length > 0));
        None
    }

    /// Takes bytes of a body. Returns how many.
    fn skip(&mut self, left: u64, here: usize) -> usize {
        let used = usize::try_from(left).map_or(here, |left| left.min(here));
        let left = left - used as u64;
        self.place = if left == 0 { Place::Head } else { Place::Body(left) };
        used
    }

    /// Takes bytes of a head up to a line's end. Returns how many, or how many are good.
    fn line(&mut self, fresh: &[u8]) -> Result<usize, usize> {
        let end = fresh.iter().position(|byte| *byte == b'\n');
        let piece = &fresh[..end.unwrap_or(fresh.len())];
        if self.length < LINE_KEPT {
            let kept = piece.len().min(LINE_KEPT - self.length);
            self.line[self.length..self.length + kept].copy_from_slice(&piece[..kept]);
        }
        self.length += piece.len();
        self.last = piece.last().copied().unwrap_or(self.last);
        let Some(end) = end else { return Ok(fresh.len()) };
        let whole = self.length > 0 && self.last == b'\r';
        if !whole || !self.end_of_line() {
            self.place = Place::Off;
            return Err(end);
        }
        (self.length, self.last) = (0, 0);
        Ok(end + 1)
    }

    /// A line is complete. False when the head must be refused.
    fn end_of_line(&mut self) -> bool {
        let length = self.length - 1; // without CR
        if length == 0 {
            self.end_of_head();
            return true;
        }
        let line = &self.line[..length.min(LINE_KEPT)];
        if !self.begun {
            self.begun = true;
            if line == b"PRI * HTTP/2.0" {
                self.place = Place::Off;
            }
            return true;
        }
        let Some(colon) = line.iter().position(|byte| *byte == b':') else { return true };
        let (name, value) = (&line[..colon], &line[colon + 1..]);
        if name.eq_ignore_ascii_case(b"content-length") {
            let again = self.body.is_some();
            // A length that is not a number is hyper's to refuse; one that does not fit the kept line is ours.
            self.body = Some(number(value).unwrap_or(0));
            return !again && !self.chunked && length <= LINE_KEPT;
        }
        if name.eq_ignore_ascii_case(b"transfer-encoding") {
            // Only `chunked`, and only once: any other chain of codings is read differently by different servers.
            let again = std::mem::replace(&mut self.chunked, true);
            return !again && self.body.is_none() && value.trim_ascii().eq_ignore_ascii_case(b"chunked");
        }
        true
    }

    /// An empty line: the head is complete, or has not begun (RFC 9112 section 2.2 lets one stand before it).
    fn end_of_head(&mut self) {
        if !self.begun {
            return;
        }
        self.place = match self.body {
            _ if self.chunked => Place::Chunked(self.pulse.beats()),
            Some(length) if length > 0 => Place::Body(length),
            _ => Place::Head,
        };
        (self.begun, self.body, self.chunked) = (false, None, false);
    }
}

/// A length in decimal digits; hyper refuses what is none.
fn number(value: &[u8]) -> Option<u64> {
    std::str::from_utf8(value.trim_ascii()).ok()?.parse().ok()
}

/// A stream whose bytes are looked at as they come in.
#[derive(Debug)]
pub(super) struct Guarded<I> {
    io: I,
    guard: Guard,
    /// What hyper still gets, and nothing after it.
    spoilt: Option<&'static [u8]>,
    /// What goes out in the place of hyper's own refusal.
    told: Vec<u8>,
}

impl<I> Guarded<I> {
    pub fn new(io: I, guard: Guard) -> Self {
        Self { io, guard, spoilt: None, told: Vec::new() }
    }
}

impl<I: AsyncRead + Unpin> AsyncRead for Guarded<I> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.spoilt.is_none() && this.guard.pulse.is_too_slow() {
            this.spoilt = Some(SPOILT);
        }
        if this.spoilt.is_none() {
            let before = buf.filled().len();
            ready!(Pin::new(&mut this.io).poll_read(cx, buf))?;
            let Some(good) = this.guard.look(&buf.filled()[before..]) else { return Poll::Ready(Ok(())) };
            buf.set_filled(before + good);
            this.spoilt = Some(SPOILT);
        }
        if let Some(rest) = &mut this.spoilt {
            let (now, later) = rest.split_at(rest.len().min(buf.remaining()));
            buf.put_slice(now);
            *rest = later;
        }
        Poll::Ready(Ok(()))
    }
}

impl<I: AsyncWrite + Unpin> Guarded<I> {
    /// Sends what stands in the place of a refusal, to its end.
    fn poll_told(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.told.is_empty() {
            let sent = ready!(Pin::new(&mut self.io).poll_write(cx, &self.told))?;
            if sent == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.told.drain(..sent);
        }
        Poll::Ready(Ok(()))
    }

    /// Takes up hyper's own refusal, which is flushed next. Returns its length.
    fn take_up(&mut self, bytes: &[u8]) -> Option<usize> {
        self.told = bare::with_body(bytes, self.guard.pulse.is_too_slow())?;
        Some(bytes.len())
    }
}

impl<I: AsyncWrite + Unpin> AsyncWrite for Guarded<I> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        ready!(this.poll_told(cx))?;
        match this.take_up(bytes) {
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
        ready!(this.poll_told(cx))?;
        match bytes.first().and_then(|first| this.take_up(first)) {
            Some(length) => Poll::Ready(Ok(length)),
            None => Pin::new(&mut this.io).poll_write_vectored(cx, bytes),
        }
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(this.poll_told(cx))?;
        Pin::new(&mut this.io).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(this.poll_told(cx))?;
        Pin::new(&mut this.io).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::{Guard, Place};

    /// Whether it passes when it is fed in pieces of that size, and where it ended.
    fn passes(text: &str, piece: usize) -> (bool, Place) {
        let mut guard = Guard::new(Arc::default());
        let good = text.as_bytes().chunks(piece).all(|piece| guard.look(piece).is_none());
        (good, guard.place)
    }

    #[test]
    fn what_is_well_formed_passes_however_it_is_cut() {
        let body = "a\nb\r\n\r\ncontent-length: 1\n";
        let one = format!("\r\nPOST /in/a HTTP/1.1\r\nHost: h\r\nContent-Length: {}\r\n\r\n{body}", body.len());
        let requests = format!("{one}GET /healthz HTTP/1.1\r\nHost: h\r\n\r\n{one}");
        for piece in [1, 2, 3, 7, 64, 1000] {
            assert_eq!(passes(&requests, piece), (true, Place::Head), "{piece}");
        }
    }

    #[test]
    fn what_no_head_may_hold_is_found_however_it_is_cut() {
        let long = "x".repeat(200);
        for lines in [
            "POST /in/a HTTP/1.1\n",
            "POST /in/a HTTP/1.1\r\nHost: h\n\r\n",
            "POST /in/a HTTP/1.1\r\nHost: h\r\n\n",
            "POST /in/a HTTP/1.1\r\nContent-Length: 1\r\nCONTENT-LENGTH: 1\r\n\r\n",
            "POST /in/a HTTP/1.1\r\ncontent-length: 1\r\ntransfer-encoding: chunked\r\n\r\n",
            "POST /in/a HTTP/1.1\r\nTransfer-Encoding: chunked\r\nContent-Length:1\r\n\r\n",
            &format!("POST /in/a HTTP/1.1\r\nx: {long}\n\r\n"),
            &format!("POST /in/a HTTP/1.1\r\nContent-Length: {}12\r\n\r\n", " ".repeat(60)),
            "GET / HTTP/1.1\r\nHost: h\r\n\r\nPOST /in/a HTTP/1.1\n",
            "POST / HTTP/1.1\r\nContent-Length: 2\r\n\r\nabPOST /in/a HTTP/1.1\n",
        ] {
            for piece in [1, 2, 3, 7, 64, 1000] {
                assert_eq!(passes(lines, piece), (false, Place::Off), "{lines:?} in pieces of {piece}");
            }
        }
    }

    #[test]
    fn http2_is_left_alone() {
        let preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\n\n\n";
        assert_eq!(passes(preface, 5), (true, Place::Off));
    }
}
