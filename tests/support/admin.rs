//! The admin socket, asked without starting a program for each question.

use std::io::{self, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use serde_json::Value;

use super::http::{read_body, read_head};

/// A connection to a daemon's admin socket.
#[derive(Debug)]
pub struct Admin {
    stream: BufReader<UnixStream>,
}

impl Admin {
    pub fn connect(socket: &Path) -> io::Result<Self> {
        let stream = UnixStream::connect(socket)?;
        stream.set_read_timeout(Some(Duration::from_secs(60)))?;
        stream.set_write_timeout(Some(Duration::from_secs(60)))?;
        Ok(Self { stream: BufReader::new(stream) })
    }

    /// The status and what was answered; of several lines the last.
    pub fn get(&mut self, path: &str) -> io::Result<(u16, Value)> {
        self.ask(&format!("GET {path} HTTP/1.1\r\nHost: hookbox\r\n\r\n"))
    }

    pub fn post(&mut self, path: &str, body: &Value) -> io::Result<(u16, Value)> {
        let body = body.to_string();
        let length = body.len();
        self.ask(&format!("POST {path} HTTP/1.1\r\nHost: hookbox\r\nContent-Length: {length}\r\n\r\n{body}"))
    }

    fn ask(&mut self, request: &str) -> io::Result<(u16, Value)> {
        self.stream.get_mut().write_all(request.as_bytes())?;
        let head = read_head(&mut self.stream)?.ok_or(io::ErrorKind::UnexpectedEof)?;
        let status = head.first.split(' ').nth(1).and_then(|s| s.parse().ok()).unwrap_or(0);
        let body = read_body(&mut self.stream, &head, false)?;
        let text = String::from_utf8_lossy(&body);
        let last = text.lines().rfind(|line| !line.trim().is_empty()).unwrap_or("null");
        Ok((status, serde_json::from_str(last)?))
    }
}
