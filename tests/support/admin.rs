//! The admin socket, asked without starting a program for each question.

use std::io::{self, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Instant;

use serde_json::Value;

use super::SOON;
use super::http::{KEPT, read_body, read_head};

/// A connection to a daemon's admin socket.
#[derive(Debug)]
pub struct Admin {
    stream: BufReader<UnixStream>,
    socket: PathBuf,
    used: Instant,
}

impl Admin {
    pub fn connect(socket: &Path) -> io::Result<Self> {
        let stream = UnixStream::connect(socket)?;
        stream.set_read_timeout(Some(SOON))?;
        stream.set_write_timeout(Some(SOON))?;
        Ok(Self { stream: BufReader::new(stream), socket: socket.to_owned(), used: Instant::now() })
    }

    /// The status and what was answered; of several lines the last.
    pub fn get(&mut self, path: &str) -> io::Result<(u16, Value)> {
        self.ask(&format!("GET {path} HTTP/1.1\r\nHost: hookbox\r\n\r\n"))
    }

    pub fn post(&mut self, path: &str, body: &Value) -> io::Result<(u16, Value)> {
        self.send("POST", path, body)
    }

    pub fn patch(&mut self, path: &str, body: &Value) -> io::Result<(u16, Value)> {
        self.send("PATCH", path, body)
    }

    fn send(&mut self, method: &str, path: &str, body: &Value) -> io::Result<(u16, Value)> {
        let body = body.to_string();
        let length = body.len();
        self.ask(&format!(
            "{method} {path} HTTP/1.1\r\nHost: hookbox\r\nContent-Length: {length}\r\n\r\n{body}"
        ))
    }

    /// All lines of a list. The last one may say that something could not be read on the way.
    pub fn lines(&mut self, path: &str) -> io::Result<Vec<Value>> {
        let (_, text) = self.text(&format!("GET {path} HTTP/1.1\r\nHost: hookbox\r\n\r\n"))?;
        let lines = text.lines().filter(|line| !line.trim().is_empty());
        Ok(lines.map(serde_json::from_str).collect::<Result<_, _>>()?)
    }

    fn ask(&mut self, request: &str) -> io::Result<(u16, Value)> {
        let (status, text) = self.text(request)?;
        let last = text.lines().rfind(|line| !line.trim().is_empty()).unwrap_or("null");
        Ok((status, serde_json::from_str(last)?))
    }

    fn text(&mut self, request: &str) -> io::Result<(u16, String)> {
        if self.used.elapsed() > KEPT {
            *self = Self::connect(&self.socket)?;
        }
        self.stream.get_mut().write_all(request.as_bytes())?;
        let head = read_head(&mut self.stream)?.ok_or(io::ErrorKind::UnexpectedEof)?;
        let status = head.first.split(' ').nth(1).and_then(|s| s.parse().ok()).unwrap_or(0);
        let body = read_body(&mut self.stream, &head, false)?;
        self.used = Instant::now();
        Ok((status, String::from_utf8_lossy(&body).into_owned()))
    }
}
