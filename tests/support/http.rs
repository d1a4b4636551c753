//! A small HTTP/1.1 client over TCP, and the message reader it shares with the receiver.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use super::SOON;

/// One answer.
#[derive(Clone, Debug)]
pub struct Response {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Response {
    /// The first header of that name, in any case.
    pub fn header(&self, name: &str) -> Option<&str> {
        find(&self.headers, name)
    }

    /// The body as JSON.
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|e| panic!("not JSON ({e}): {}", String::from_utf8_lossy(&self.body)))
    }
}

/// Between two requests; after more the server may be about to close the connection, and there is a
/// new one.
pub const KEPT: Duration = Duration::from_secs(5);

/// A connection from another address of this machine: on Linux all of 127.0.0.0/8 are.
pub fn connect_from(ip: &str, to: SocketAddr) -> io::Result<TcpStream> {
    use rustix::net::{AddressFamily, SocketType, bind, connect, socket};
    let from: SocketAddr = format!("{ip}:0").parse().map_err(io::Error::other)?;
    let socket = socket(AddressFamily::INET, SocketType::STREAM, None)?;
    bind(&socket, &from)?;
    connect(&socket, &to)?;
    let stream = TcpStream::from(socket);
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// A connection that is kept alive.
#[derive(Debug)]
pub struct Client {
    stream: BufReader<TcpStream>,
    addr: SocketAddr,
    used: Instant,
    /// There was a request on it before.
    is_kept: bool,
}

impl Client {
    pub fn connect(addr: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect_timeout(&addr, SOON)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(SOON))?;
        stream.set_write_timeout(Some(SOON))?;
        Ok(Self { stream: BufReader::new(stream), addr, used: Instant::now(), is_kept: false })
    }

    pub fn set_timeout(&self, timeout: Duration) -> io::Result<()> {
        self.stream.get_ref().set_read_timeout(Some(timeout))
    }

    pub fn post(
        &mut self,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> io::Result<Response> {
        self.request("POST", path, headers, body)
    }

    pub fn get(&mut self, path: &str) -> io::Result<Response> {
        self.request("GET", path, &[], b"")
    }

    pub fn request(
        &mut self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> io::Result<Response> {
        if self.used.elapsed() > KEPT {
            *self = Self::connect(self.addr)?;
        }

        let mut message = format!("{method} {path} HTTP/1.1\r\nHost: {}\r\n", self.addr);
        for (name, value) in headers {
            message.push_str(&format!("{name}: {value}\r\n"));
        }
        if method != "GET" || !body.is_empty() {
            message.push_str(&format!("Content-Length: {}\r\n", body.len()));
        }
        message.push_str("\r\n");
        let mut bytes = message.into_bytes();
        bytes.extend_from_slice(body);
        let mut answer = self.exchange(&bytes);

        // A daemon that was stopped for a while closes what was idle for so long by its clock,
        // whatever has come by then. One that is gone takes no new connection.
        if self.is_kept && answer.as_ref().is_err_and(is_closed) {
            *self = Self::connect(self.addr)?;
            answer = self.exchange(&bytes);
        }

        (self.used, self.is_kept) = (Instant::now(), true);
        answer
    }

    fn exchange(&mut self, bytes: &[u8]) -> io::Result<Response> {
        self.send_raw(bytes)?;
        self.read_response()
    }

    /// Sends bytes as they are, also such as are not HTTP.
    pub fn send_raw(&mut self, bytes: &[u8]) -> io::Result<()> {
        let stream = self.stream.get_mut();
        stream.write_all(bytes)?;
        stream.flush()
    }

    pub fn read_response(&mut self) -> io::Result<Response> {
        loop {
            let head = read_head(&mut self.stream)?.ok_or(io::ErrorKind::UnexpectedEof)?;
            let status = head
                .first
                .split(' ')
                .nth(1)
                .and_then(|s| s.parse().ok())
                .ok_or_else(|| bad(&head.first))?;
            if (100..200).contains(&status) {
                continue;
            }
            let body = if status == 204 || status == 304 {
                Vec::new()
            } else {
                read_body(&mut self.stream, &head, true)?
            };
            return Ok(Response { status, headers: head.headers, body });
        }
    }

    /// Everything until the other side closes; what is not text is replaced.
    pub fn read_all(&mut self, into: &mut String) {
        let mut rest = Vec::new();
        let _ = self.stream.read_to_end(&mut rest);
        into.push_str(&String::from_utf8_lossy(&rest));
    }

    /// Whether the other side has closed the connection; waits for it up to the read timeout.
    pub fn closed(&mut self) -> bool {
        let mut rest = Vec::new();
        match self.stream.read_to_end(&mut rest) {
            Ok(_) => true,
            Err(e) => e.kind() == io::ErrorKind::ConnectionReset,
        }
    }
}

fn is_closed(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe
    )
}

/// The first line and the headers of a message.
#[derive(Clone, Debug)]
pub struct Head {
    pub first: String,
    pub headers: Vec<(String, String)>,
}

impl Head {
    pub fn header(&self, name: &str) -> Option<&str> {
        find(&self.headers, name)
    }
}

/// Reads a head; `None` when the stream ended before it.
pub fn read_head(stream: &mut impl BufRead) -> io::Result<Option<Head>> {
    let mut first = String::new();
    if stream.read_line(&mut first)? == 0 {
        return Ok(None);
    }
    let mut headers = Vec::new();
    loop {
        let mut line = Vec::new();
        if stream.read_until(b'\n', &mut line)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let line = String::from_utf8_lossy(&line).trim_end().to_owned();
        if line.is_empty() {
            return Ok(Some(Head { first: first.trim_end().to_owned(), headers }));
        }
        let (name, value) = line.split_once(':').ok_or_else(|| bad(&line))?;
        headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
    }
}

/// Reads a body by its `Content-Length` or chunk by chunk; `to_end` when neither is there and it is
/// a response.
pub fn read_body(stream: &mut impl BufRead, head: &Head, to_end: bool) -> io::Result<Vec<u8>> {
    let mut body = Vec::new();
    if head.header("transfer-encoding").is_some_and(|v| v.eq_ignore_ascii_case("chunked")) {
        while let Some(chunk) = read_chunk(stream)? {
            body.extend_from_slice(&chunk);
        }
    } else if let Some(length) = head.header("content-length") {
        let length: usize = length.parse().map_err(|_| bad(length))?;
        body.resize(length, 0);
        stream.read_exact(&mut body)?;
    } else if to_end {
        stream.read_to_end(&mut body)?;
    }
    Ok(body)
}

fn read_chunk(stream: &mut impl BufRead) -> io::Result<Option<Vec<u8>>> {
    let mut line = String::new();
    stream.read_line(&mut line)?;
    let size = usize::from_str_radix(line.trim(), 16).map_err(|_| bad(&line))?;
    let mut chunk = vec![0; size + 2];
    stream.read_exact(&mut chunk)?;
    chunk.truncate(size);
    Ok((size > 0).then_some(chunk))
}

fn find<'a>(headers: &'a [(String, String)], name: &str) -> Option<&'a str> {
    headers.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, v)| v.as_str())
}

fn bad(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("not HTTP: '{what}'"))
}
