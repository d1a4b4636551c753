//! Where a request of HTTP/1 begins and ends, read strictly and byte by byte (RFC 9112). Pure.
//!
//! A proxy and a server that disagree on this also disagree on whose request the following bytes
//! are (request smuggling), so whatever two readers could read differently is refused, though hyper
//! would let it pass:
//!
//! * a line that ends without CR or has one in it, and one that continues the line before it
//!   (obsolete folding), in heads, in the lines of chunks and in trailers;
//! * `Transfer-Encoding` other than `chunked` alone, or twice (in HTTP/1.0 hyper refuses it);
//! * `Content-Length` twice, beside `Transfer-Encoding`, or other than digits;
//! * a space before the colon of a field;
//! * `CONNECT`: what follows it is a tunnel's to some, and the next request to others.
//!
//! Every request of a connection is read, also pipelined ones. After the first error nothing more
//! is read.
//!
//! Limits: 64 bytes of a line are kept, which is enough for the fields that define where a body
//! ends; these may not be longer.

const LINE_KEPT: usize = 64;
/// Digits of a chunk's size.
const SIZE_DIGITS: u8 = 16;

/// The position in the stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum StreamState {
    Head,
    /// So many bytes of a body are still to come.
    Body(u64),
    Chunked(Chunk),
    /// HTTP/2, or behind an error.
    Off,
}

/// The position in a chunked body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Chunk {
    Size {
        digits: u8,
        size: u64,
    },
    /// Behind the size: blanks, and an extension after a semicolon.
    Blank {
        size: u64,
    },
    Extension {
        size: u64,
    },
    SizeLf {
        size: u64,
    },
    Data(u64),
    DataCr,
    DataLf,
    Trailers,
}

/// A violation, and how many of the bytes before it are good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FramingError {
    pub good: usize,
    /// In a head; else in a body.
    pub in_head: bool,
}

/// Follows one connection's bytes.
#[derive(Debug)]
pub(super) struct Framing {
    state: StreamState,
    line: [u8; LINE_KEPT],
    /// Bytes of the line so far, and the last of them.
    length: usize,
    last: u8,
    /// Bytes of the head so far.
    head: usize,
    /// The request line is complete.
    begun: bool,
    body: Option<u64>,
    chunked: bool,
}

impl Framing {
    pub fn new() -> Self {
        Self {
            state: StreamState::Head,
            line: [0; LINE_KEPT],
            length: 0,
            last: 0,
            head: 0,
            begun: false,
            body: None,
            chunked: false,
        }
    }

    /// Bytes of a head that has begun and is not complete.
    pub fn in_head(&self) -> usize {
        if self.state == StreamState::Head { self.head } else { 0 }
    }

    /// Reads the bytes that were just received.
    pub fn look(&mut self, fresh: &[u8]) -> Result<(), FramingError> {
        let mut at = 0;
        while at < fresh.len() {
            let rest = &fresh[at..];
            let (used, in_head) = match self.state {
                StreamState::Off => return Ok(()),
                StreamState::Body(left) => (Ok(self.skip(left, rest.len())), false),
                StreamState::Head => (self.head(rest), true),
                StreamState::Chunked(Chunk::Data(left)) => (Ok(self.data(left, rest.len())), false),
                StreamState::Chunked(Chunk::Trailers) => (self.trailer(rest), false),
                StreamState::Chunked(chunk) => (self.chunk(chunk, rest[0]), false),
            };

            match used {
                Ok(used) => at += used,
                Err(good) => {
                    self.state = StreamState::Off;
                    return Err(FramingError { good: at + good, in_head });
                }
            }
        }
        Ok(())
    }

    /// Takes bytes of a body. Returns how many.
    fn skip(&mut self, left: u64, here: usize) -> usize {
        let (used, left) = take(left, here);
        self.state = if left == 0 { StreamState::Head } else { StreamState::Body(left) };
        used
    }

    /// Takes bytes of a head up to a line's end. Returns how many, or how many are good.
    fn head(&mut self, fresh: &[u8]) -> Result<usize, usize> {
        let Some((used, good)) = self.line(fresh)? else {
            self.head += fresh.len();
            return Ok(fresh.len());
        };
        self.head += used;

        let is_good = if self.length == 1 {
            self.end_of_head();
            true
        } else {
            self.end_of_line()
        };

        (self.length, self.last) = (0, 0);
        if is_good { Ok(used) } else { Err(good) }
    }

    /// Takes bytes of trailers up to a line's end; their values are not used.
    fn trailer(&mut self, fresh: &[u8]) -> Result<usize, usize> {
        let Some((used, good)) = self.line(fresh)? else { return Ok(fresh.len()) };
        let continues = matches!(self.line[0], b' ' | b'\t');
        if self.length == 1 {
            self.state = StreamState::Head;
        }
        (self.length, self.last) = (0, 0);
        if continues { Err(good) } else { Ok(used) }
    }

    /// Takes bytes up to a line's end, CR and LF. Returns how many, and how many of them are good
    /// before it; `None` when the line goes on. Fails when it ends with LF alone, or has a CR
    /// before its end.
    fn line(&mut self, fresh: &[u8]) -> Result<Option<(usize, usize)>, usize> {
        let end = fresh.iter().position(|byte| *byte == b'\n');
        let piece = &fresh[..end.unwrap_or(fresh.len())];
        if self.last == b'\r' && !piece.is_empty() {
            return Err(0);
        }

        let before_last = &piece[..piece.len().saturating_sub(1)];
        if let Some(bare) = before_last.iter().position(|byte| *byte == b'\r') {
            return Err(bare + 1);
        }

        if self.length < LINE_KEPT {
            let kept = piece.len().min(LINE_KEPT - self.length);
            self.line[self.length..self.length + kept].copy_from_slice(&piece[..kept]);
        }
        self.length += piece.len();
        self.last = piece.last().copied().unwrap_or(self.last);

        match end {
            None => Ok(None),
            Some(end) if self.length > 0 && self.last == b'\r' => Ok(Some((end + 1, end))),
            Some(end) => Err(end),
        }
    }

    /// A line of a head is complete. False when the head must be refused.
    fn end_of_line(&mut self) -> bool {
        // Without its CR.
        let length = self.length - 1;
        let line = &self.line[..length.min(LINE_KEPT)];

        if !self.begun {
            self.begun = true;
            if line == b"PRI * HTTP/2.0" {
                self.state = StreamState::Off;
            }
            return !line.starts_with(b"CONNECT ");
        }

        // Obsolete folding: the line continues the one before it.
        if matches!(line[0], b' ' | b'\t') {
            return false;
        }

        let Some(colon) = line.iter().position(|byte| *byte == b':') else { return true };
        let (name, value) = (&line[..colon], blank_trimmed(&line[colon + 1..]));
        if matches!(name.last(), Some(b' ' | b'\t')) {
            return false;
        }

        if name.eq_ignore_ascii_case(b"content-length") {
            let again = self.body.is_some();
            self.body = number(value);
            return !again && !self.chunked && self.body.is_some() && length <= LINE_KEPT;
        }

        if name.eq_ignore_ascii_case(b"transfer-encoding") {
            // Only `chunked`, and only once: any other chain of codings is read differently by
            // different servers.
            let again = std::mem::replace(&mut self.chunked, true);
            let is_plain = value.eq_ignore_ascii_case(b"chunked") && length <= LINE_KEPT;
            return is_plain && !again && self.body.is_none();
        }
        true
    }

    /// An empty line: the head is complete, or has not begun (RFC 9112 section 2.2 allows one
    /// before it).
    fn end_of_head(&mut self) {
        self.head = 0;
        if !self.begun {
            return;
        }

        self.state = match self.body {
            _ if self.chunked => StreamState::Chunked(Chunk::Size { digits: 0, size: 0 }),
            Some(length) if length > 0 => StreamState::Body(length),
            _ => StreamState::Head,
        };
        (self.begun, self.body, self.chunked) = (false, None, false);
    }

    /// Takes bytes of a chunk. Returns how many.
    fn data(&mut self, left: u64, here: usize) -> usize {
        let (used, left) = take(left, here);
        self.state =
            StreamState::Chunked(if left == 0 { Chunk::DataCr } else { Chunk::Data(left) });
        used
    }

    /// Takes a byte between the data of chunks.
    fn chunk(&mut self, chunk: Chunk, byte: u8) -> Result<usize, usize> {
        let next = match (chunk, byte) {
            (Chunk::Size { digits, size }, _)
                if byte.is_ascii_hexdigit() && digits < SIZE_DIGITS =>
            {
                let digit = char::from(byte).to_digit(16).unwrap_or_default();
                Chunk::Size { digits: digits + 1, size: size << 4 | u64::from(digit) }
            }
            (Chunk::Size { digits: 0, .. }, _) => return Err(0),

            (Chunk::Size { size, .. } | Chunk::Blank { size }, b' ' | b'\t') => {
                Chunk::Blank { size }
            }
            (Chunk::Size { size, .. } | Chunk::Blank { size }, b';') => Chunk::Extension { size },
            (
                Chunk::Size { size, .. } | Chunk::Blank { size } | Chunk::Extension { size },
                b'\r',
            ) => Chunk::SizeLf { size },
            (Chunk::Extension { size }, _) if byte == b'\t' || !byte.is_ascii_control() => {
                Chunk::Extension { size }
            }

            (Chunk::SizeLf { size: 0 }, b'\n') => Chunk::Trailers,
            (Chunk::SizeLf { size }, b'\n') => Chunk::Data(size),

            (Chunk::DataCr, b'\r') => Chunk::DataLf,
            (Chunk::DataLf, b'\n') => Chunk::Size { digits: 0, size: 0 },
            _ => return Err(0),
        };

        self.state = StreamState::Chunked(next);
        Ok(1)
    }
}

/// How many of `here` bytes belong to a part that has `left` to come, and how many are left then.
fn take(left: u64, here: usize) -> (usize, u64) {
    let used = usize::try_from(left).map_or(here, |left| left.min(here));
    (used, left - used as u64)
}

/// Without the blanks that may surround a value. `trim_ascii` would remove more than these.
fn blank_trimmed(value: &[u8]) -> &[u8] {
    let is_text = |byte: &u8| !matches!(byte, b' ' | b'\t');
    let begin = value.iter().position(is_text).unwrap_or(value.len());
    let end = value.iter().rposition(is_text).map_or(begin, |last| last + 1);
    &value[begin..end]
}

/// A length: digits, and nothing else.
fn number(value: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(value)
        .ok()
        .filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()))?;
    // hyper uses the largest values for other purposes.
    text.parse().ok().filter(|length| *length < u64::MAX - 2)
}

#[cfg(test)]
mod tests {
    use super::{Framing, StreamState};

    const PIECES: [usize; 6] = [1, 2, 3, 7, 64, 1000];

    /// Whether it passes when it is fed in pieces of that size, and where it ended.
    fn passes(text: &str, piece: usize) -> (bool, StreamState) {
        let mut framing = Framing::new();
        let good = text.as_bytes().chunks(piece).all(|piece| framing.look(piece).is_ok());
        (good, framing.state)
    }

    fn wrong(text: &str) {
        for piece in PIECES {
            assert_eq!(
                passes(text, piece),
                (false, StreamState::Off),
                "{text:?} in pieces of {piece}"
            );
        }
    }

    #[test]
    fn what_is_well_formed_passes_however_it_is_cut() {
        let body = "a\nb\r\n\r\ncontent-length: 1\n";
        let one = format!(
            "\r\nPOST /in/a HTTP/1.1\r\nHost: h\r\nContent-Length: \t{} \r\n\r\n{body}",
            body.len()
        );
        let chunks = "5\r\na\nb\r\n\r\n00A;x=\"y\"\r\n0123456789\r\n1  \r\nx\r\n0\r\nT: \
                      1\r\nContent-Length: 7\r\n\r\n";
        let chunked = format!("POST /in/a HTTP/1.1\r\ntransfer-encoding:Chunked \r\n\r\n{chunks}");
        let empty = "POST /in/a HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n";
        let long = format!("GET / HTTP/1.1\r\nX: {}\r\n\r\n", "x".repeat(500));
        let requests =
            format!("{one}GET /healthz HTTP/1.1\r\nHost: h\r\n\r\n{chunked}{empty}{long}{one}");
        for piece in PIECES {
            assert_eq!(passes(&requests, piece), (true, StreamState::Head), "{piece}");
        }
    }

    #[test]
    fn what_no_head_may_hold_is_found_however_it_is_cut() {
        let long = "x".repeat(200);
        // The coding that is kept of the line would be `chunked`.
        let padded = format!("Transfer-Encoding:{}chunked,gzip,chunked", " ".repeat(64 - 18 - 7));
        for field in [
            "Host: h\n",
            "X-A: 1\r\n 2\r\n",
            "X-A: 1\r\n\t2\r\n",
            " X-A: 1\r\n",
            "Content-Length : 1\r\n",
            "X-A\t: 1\r\n",
            "Content-Length: 1\r\nCONTENT-LENGTH: 1\r\n",
            "content-length: 1\r\ntransfer-encoding: chunked\r\n",
            "Transfer-Encoding: chunked\r\nContent-Length:1\r\n",
            "Content-Length: 1, 1\r\n",
            "Content-Length: +1\r\n",
            "Content-Length:\r\n",
            "Content-Length: 18446744073709551616\r\n",
            "Content-Length: 18446744073709551615\r\n",
            "Content-Length: 5,5\r\n",
            "Content-Length: 5 5\r\n",
            "Content-Length: \x0b5\r\n",
            "Content-Length: \"5\"\r\n",
            "X: 1\r\r\n",
            "\r\r\n",
            "X: 1\rTransfer-Encoding: chunked\r\n",
            "X\r: 1\r\n",
            "Transfer-Encoding: xchunked\r\n",
            "Transfer-Encoding: chunked;\r\n",
            "Transfer-Encoding: chunked, identity\r\n",
            "Transfer-Encoding: \r\n\tchunked\r\n",
            &format!("x: {long}\n"),
            &format!("Content-Length: {}12\r\n", " ".repeat(60)),
            &format!("{padded}\r\n"),
            &format!("Transfer-Encoding:{}chunked\r\n", " ".repeat(60)),
            "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
            "Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n",
            "Transfer-Encoding: gzip, chunked\r\n",
            "Transfer-Encoding: chunked, \r\n",
            "Transfer-Encoding: ,chunked\r\n",
            "Transfer-Encoding: chunked;q=1\r\n",
            "Transfer-Encoding: \x0bchunked\r\n",
            "Transfer-Encoding: chunked\r, x\r\n",
            "Transfer-Encoding: \"chunked\"\r\n",
            "Transfer-Encoding: identity\r\n",
            "Transfer-Encoding:\r\n",
            "Transfer-Encoding:\r\n chunked\r\n",
        ] {
            wrong(&format!("POST /in/a HTTP/1.1\r\n{field}\r\n"));
        }

        wrong("POST /in/a HTTP/1.1\n");
        wrong("POST /in/a\r HTTP/1.1\r\n\r\n");
        wrong("CONNECT a:80 HTTP/1.1\r\nHost: a\r\n\r\n");
        wrong("\nPOST /in/a HTTP/1.1\r\n");
        wrong("POST /in/a HTTP/1.1\r\nHost: h\r\n\n");
    }

    #[test]
    fn what_no_chunk_may_hold_is_found_however_it_is_cut() {
        let bad = [
            "3\nabc\r\n0\r\n\r\n",
            "3\r\nabc\n0\r\n\r\n",
            "3\r\nabcd\r\n0\r\n\r\n",
            "3\r\nabc0\r\n\r\n",
            "3;a\nb\r\nabc\r\n0\r\n\r\n",
            "3;a\rb\r\nabc\r\n0\r\n\r\n",
            "3;\0\r\nabc\r\n0\r\n\r\n",
            "0x3\r\nabc\r\n0\r\n\r\n",
            "+3\r\nabc\r\n0\r\n\r\n",
            " 3\r\nabc\r\n0\r\n\r\n",
            "3 4\r\nabc\r\n0\r\n\r\n",
            "\r\n0\r\n\r\n",
            ";\r\n0\r\n\r\n",
            "00000000000000003\r\nabc\r\n0\r\n\r\n",
            "0\n\r\n",
            "0\r\n\n",
            "0\r\nT: 1\n\r\n",
            "0\r\nT: 1\n\nPOST / HTTP/1.1\r\n\r\n",
            "0\r\nT: 1\r\n 2\r\n\r\n",
            "0\r\nT: 1\rX: 2\r\n\r\n",
            "5_\r\nhello\r\n0\r\n\r\n",
            "-1\r\nhello\r\n0\r\n\r\n",
            "10000000000000005\r\nhello\r\n0\r\n\r\n",
        ];

        for chunks in bad {
            wrong(&format!("POST /in/a HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n{chunks}"));
        }
    }

    #[test]
    fn every_request_of_a_connection_is_read() {
        for first in [
            "GET / HTTP/1.1\r\nHost: h\r\n\r\n",
            "POST / HTTP/1.1\r\nContent-Length: 2\r\n\r\nab",
            "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n",
            "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nT: 1\r\n\r\n",
        ] {
            wrong(&format!("{first}POST /in/a HTTP/1.1\n"));
            wrong(&format!("{first}POST /in/a HTTP/1.1\r\nTransfer-Encoding: x\r\n\r\n"));
        }
    }

    #[test]
    fn http2_is_left_alone() {
        let preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\n\n\n";
        assert_eq!(passes(preface, 5), (true, StreamState::Off));
    }

    #[test]
    fn an_unfinished_head_is_counted() {
        let mut framing = Framing::new();
        assert!(framing.look(b"POST / HTTP/1.1\r\nX: abc").is_ok());
        assert_eq!(framing.in_head(), 23);
        assert!(framing.look(b"\r\n\r\n").is_ok());
        assert_eq!(framing.in_head(), 0);
    }
}
