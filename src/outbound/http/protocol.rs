//! The protocol of a connection: HTTP/1.1, or HTTP/2 with a receiver that offers it in the TLS
//! handshake (ALPN).
//!
//! In both there is one request at a time, and whoever waits for its response drives the
//! connection. HTTP/2 has tasks of its own beside that, which end with the connection: nothing of a
//! request that was given up is sent after that.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use hyper::header::HOST;
use hyper::http::uri::Scheme;
use hyper::rt::Executor;
use hyper::{Request, Response, Uri};
use hyper_util::rt::TokioIo;
use tokio::task::JoinSet;

use crate::model::limits;

use super::stream::MeteredStream;

/// The future that moves a connection on.
pub type Driver = Pin<Box<dyn Future<Output = hyper::Result<()>> + Send>>;

/// The side of a connection that takes requests.
pub enum RequestSender {
    Http1(http1::SendRequest<Full<Bytes>>),
    Http2 {
        sender: http2::SendRequest<Full<Bytes>>,
        /// They go on for as long as this is there, also when the driver has nothing more to do.
        _tasks: Tasks,
    },
}

impl RequestSender {
    /// Begins to speak HTTP/1.1.
    pub async fn http1(stream: MeteredStream) -> hyper::Result<(Self, Driver)> {
        let (sender, driver) = http1::Builder::new()
            .max_buf_size(limits::RESPONSE_HEAD)
            .max_headers(limits::RESPONSE_FIELDS_READ)
            // Recipients have to make do with these (RFC 9112 sections 5.1 and 5.2).
            .allow_obsolete_multiline_headers_in_responses(true)
            .allow_spaces_after_header_name_in_responses(true)
            .handshake(TokioIo::new(stream))
            .await?;

        Ok((Self::Http1(sender), Box::pin(driver)))
    }

    /// Begins to speak HTTP/2.
    pub async fn http2(stream: MeteredStream) -> hyper::Result<(Self, Driver)> {
        let tasks = Tasks::default();
        let (sender, driver) = http2::Builder::new(tasks.clone())
            .initial_stream_window_size(limits::RESPONSE_WINDOW)
            .initial_connection_window_size(limits::RESPONSE_WINDOW)
            .max_header_list_size(u32::try_from(limits::RESPONSE_HEAD).unwrap_or(u32::MAX))
            .handshake(TokioIo::new(stream))
            .await?;

        Ok((Self::Http2 { sender, _tasks: tasks }, Box::pin(driver)))
    }

    pub fn is_http2(&self) -> bool {
        matches!(self, Self::Http2 { .. })
    }

    pub fn is_ready(&self) -> bool {
        match self {
            Self::Http1(sender) => sender.is_ready(),
            Self::Http2 { sender, .. } => sender.is_ready(),
        }
    }

    /// Sends a request.
    pub fn send(
        &mut self,
        request: Request<Full<Bytes>>,
    ) -> Pin<Box<dyn Future<Output = hyper::Result<Response<Incoming>>> + Send>> {
        match self {
            Self::Http1(sender) => Box::pin(sender.send_request(request)),
            Self::Http2 { sender, .. } => Box::pin(sender.send_request(as_http2(request))),
        }
    }
}

/// Where HTTP/1.1 has a `Host` field, HTTP/2 has the whole address (RFC 9113 section 8.3.1).
fn as_http2(mut request: Request<Full<Bytes>>) -> Request<Full<Bytes>> {
    let Some(host) = request.headers_mut().remove(HOST) else { return request };
    let path = request.uri().path_and_query().cloned();

    let uri = Uri::builder().scheme(Scheme::HTTPS).authority(host.as_bytes());
    let uri = match path {
        Some(path) => uri.path_and_query(path),
        None => uri.path_and_query("/"),
    };
    if let Ok(uri) = uri.build() {
        *request.uri_mut() = uri;
    }
    request
}

/// The tasks of one connection; they end with it.
#[derive(Clone, Default)]
pub struct Tasks(Arc<Mutex<JoinSet<()>>>);

impl<F> Executor<F> for Tasks
where
    F: Future<Output = ()> + Send + 'static,
{
    fn execute(&self, task: F) {
        let mut tasks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // Those that have ended are not kept.
        while tasks.try_join_next().is_some() {}
        tasks.spawn(task);
    }
}
