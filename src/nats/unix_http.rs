//! HTTP/1.1 over a Unix socket of the daemon, on connections that are kept.
//!
//! Limits: `limits::NATS_CONNECTIONS` at a time, each with one request on it; who comes later
//! waits. An answer has at most `limits::NATS_ANSWER_BYTES`, and its time.
//!
//! A connection that the daemon has closed meanwhile is replaced by a new one, once: the request
//! that found it so may have been read. So a request is one that may be made twice, or whose
//! second answer says that the first one counted.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::{self, SendRequest};
use hyper::header::{CONTENT_TYPE, HOST, HeaderName, HeaderValue, RETRY_AFTER};
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::UnixStream;
use tokio::sync::Semaphore;

use crate::ctl::server_identity;
use crate::model::limits;

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SocketError {
    #[error("no daemon answers at {}: {why}", path.display())]
    Unreachable { path: PathBuf, why: String },
    #[error("{0}")]
    Untrusted(String),
    #[error("the daemon broke off: {0}")]
    Broken(String),
    #[error("the daemon did not answer within {0} ms")]
    Late(u64),
}

/// An answer, read to its end.
#[derive(Clone, Debug)]
pub struct SocketAnswer {
    pub status: StatusCode,
    /// Seconds.
    pub retry_after: Option<u64>,
    pub body: Bytes,
}

/// A request with its headers.
#[derive(Clone, Debug)]
pub struct SocketRequest {
    pub method: Method,
    pub path: String,
    pub content_type: Option<String>,
    pub headers: Vec<(HeaderName, HeaderValue)>,
    pub body: Bytes,
}

impl SocketRequest {
    pub fn get(path: impl Into<String>) -> Self {
        Self {
            method: Method::GET,
            path: path.into(),
            content_type: None,
            headers: Vec::new(),
            body: Bytes::new(),
        }
    }

    pub fn post(path: impl Into<String>, content_type: &str, body: Bytes) -> Self {
        Self {
            method: Method::POST,
            content_type: Some(content_type.to_owned()),
            body,
            ..Self::get(path)
        }
    }

    fn made(&self) -> Result<Request<Full<Bytes>>, SocketError> {
        let request = Request::builder()
            .method(self.method.clone())
            .uri(&self.path)
            .header(HOST, "hookbox")
            .body(Full::new(self.body.clone()));
        let broken = |error: hyper::http::Error| SocketError::Broken(error.to_string());
        let mut request = request.map_err(broken)?;

        let headers = request.headers_mut();
        let kind = self.content_type.as_deref().map(HeaderValue::from_str);
        if let Some(Ok(kind)) = kind {
            headers.insert(CONTENT_TYPE, kind);
        }
        headers.extend(self.headers.iter().cloned());
        Ok(request)
    }
}

/// A socket of the daemon, and the connections to it that are idle.
pub struct UnixHttp {
    path: PathBuf,
    permits: Semaphore,
    idle: Mutex<Vec<SendRequest<Full<Bytes>>>>,
}

impl UnixHttp {
    pub fn new(path: &Path) -> Self {
        let permits = Semaphore::new(limits::NATS_CONNECTIONS);
        Self { path: path.to_owned(), permits, idle: Mutex::default() }
    }

    /// Sends a request and reads its answer. `within` counts from when it is its turn.
    ///
    /// # Errors
    /// When there is no whole answer.
    pub async fn send(
        &self,
        request: &SocketRequest,
        within: Duration,
    ) -> Result<SocketAnswer, SocketError> {
        let _permit = self.permits.acquire().await.map_err(|_| SocketError::Late(0))?;
        let late = SocketError::Late(u64::try_from(within.as_millis()).unwrap_or(u64::MAX));
        tokio::time::timeout(within, self.exchange(request)).await.unwrap_or(Err(late))
    }

    async fn exchange(&self, request: &SocketRequest) -> Result<SocketAnswer, SocketError> {
        while let Some(mut kept) = self.take_idle() {
            if kept.ready().await.is_err() {
                continue;
            }
            match kept.send_request(request.made()?).await {
                Ok(response) => return self.finish(kept, response).await,
                // It was closed a moment ago; a new one says whether the daemon lives.
                Err(_) => break,
            }
        }

        let mut new = self.connect().await?;
        let response = new.send_request(request.made()?).await.map_err(broken)?;
        self.finish(new, response).await
    }

    fn take_idle(&self) -> Option<SendRequest<Full<Bytes>>> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        idle.retain(|connection| !connection.is_closed());
        idle.pop()
    }

    async fn connect(&self) -> Result<SendRequest<Full<Bytes>>, SocketError> {
        let unreachable = |error: std::io::Error| SocketError::Unreachable {
            path: self.path.clone(),
            why: error.to_string(),
        };
        let stream = UnixStream::connect(&self.path).await.map_err(unreachable)?;
        server_identity::check(&self.path, &stream)
            .map_err(|error| SocketError::Untrusted(error.to_string()))?;
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(broken)?;
        tokio::spawn(async move {
            let _ = connection.await;
        });
        Ok(sender)
    }

    /// Reads the answer to its end; then the connection is free for the next.
    async fn finish(
        &self,
        connection: SendRequest<Full<Bytes>>,
        mut response: Response<hyper::body::Incoming>,
    ) -> Result<SocketAnswer, SocketError> {
        let mut body = BytesMut::new();
        while let Some(frame) = response.body_mut().frame().await {
            if let Ok(data) = frame.map_err(broken)?.into_data() {
                body.extend_from_slice(&data);
            }
            if body.len() > limits::NATS_ANSWER_BYTES {
                return Err(SocketError::Broken("its answer is too large".to_owned()));
            }
        }

        let retry_after = response.headers().get(RETRY_AFTER);
        let retry_after = retry_after.and_then(|value| value.to_str().ok()?.parse().ok());
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(connection);
        Ok(SocketAnswer { status: response.status(), retry_after, body: body.freeze() })
    }
}

fn broken(error: impl std::fmt::Display) -> SocketError {
    SocketError::Broken(error.to_string())
}
