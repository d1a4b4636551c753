//! The receiver: one HTTP server on a loopback port, whose paths fail by script.

use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{HeaderMap, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;

use super::environment::lock;
use crate::ctl::error::CtlError;

/// Bytes of a body.
const BODY: usize = 1 << 20;
/// The time that each request takes, so that a burst is still being delivered when the daemon is
/// killed.
const WORK: Duration = Duration::from_millis(5);

/// One request that arrived.
#[derive(Clone, Debug)]
pub(super) struct ReceivedRequest {
    pub(super) path: String,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
    pub(super) answered: u16,
}

impl ReceivedRequest {
    pub(super) fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    /// Whether its `webhook-signature` holds a `v1` made with `secret` (`whsec_…`), as any receiver
    /// would check it: HMAC-SHA256 over `id.timestamp.body` (Standard Webhooks 1.0).
    pub(super) fn is_signed_with(&self, secret: &str) -> bool {
        let Ok(key) = STANDARD.decode(secret.trim_start_matches("whsec_")) else { return false };
        let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, &key);
        let mut signed =
            format!("{}.{}.", self.header("webhook-id"), self.header("webhook-timestamp"))
                .into_bytes();
        signed.extend_from_slice(&self.body);
        self.header("webhook-signature").split(' ').filter_map(|s| s.strip_prefix("v1,")).any(
            |given| {
                STANDARD
                    .decode(given)
                    .is_ok_and(|given| ring::hmac::verify(&key, &signed, &given).is_ok())
            },
        )
    }
}

#[derive(Debug, Default)]
struct ReceiverState {
    /// How many more requests to a path are answered 503.
    fails: BTreeMap<String, u32>,
    seen: Vec<ReceivedRequest>,
}

#[derive(Clone, Debug)]
pub(super) struct DemoReceiver {
    pub(super) addr: SocketAddr,
    state: Arc<Mutex<ReceiverState>>,
}

impl DemoReceiver {
    /// Listens on a fresh loopback port until the runtime ends.
    pub(super) async fn start() -> Result<Self, CtlError> {
        let failed =
            |error| CtlError::Io { what: "the receiver cannot listen on 127.0.0.1".into(), error };
        let listener = TcpListener::bind("127.0.0.1:0").await.map_err(failed)?;
        let addr = listener.local_addr().map_err(failed)?;
        let state = Arc::<Mutex<ReceiverState>>::default();
        tokio::spawn(serve(listener, Arc::clone(&state)));
        Ok(Self { addr, state })
    }

    pub(super) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.addr)
    }

    /// The next `times` requests to `path` are answered 503; none with 0.
    pub(super) fn fail(&self, path: &str, times: u32) {
        lock(&self.state).fails.insert(path.to_owned(), times);
    }

    /// Every request that arrived at `path`.
    pub(super) fn seen(&self, path: &str) -> Vec<ReceivedRequest> {
        lock(&self.state).seen.iter().filter(|seen| seen.path == path).cloned().collect()
    }

    /// How many requests arrived with these ids, and which of the ids arrived at all.
    pub(super) fn arrived(&self, path: &str, ids: &BTreeSet<String>) -> (usize, BTreeSet<String>) {
        let state = lock(&self.state);
        let theirs = state.seen.iter().filter(|seen| seen.path == path && seen.answered == 200);
        let came: Vec<String> = theirs.map(|seen| seen.header("webhook-id").to_owned()).collect();
        let came: Vec<String> = came.into_iter().filter(|id| ids.contains(id)).collect();
        (came.len(), came.into_iter().collect())
    }
}

async fn serve(listener: TcpListener, state: Arc<Mutex<ReceiverState>>) {
    while let Ok((stream, _)) = listener.accept().await {
        let state = Arc::clone(&state);
        tokio::spawn(async move {
            let service = service_fn(move |request| answer(request, Arc::clone(&state)));
            // A killed daemon breaks its connections; that is part of the story.
            let _ = hyper::server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(stream), service)
                .await;
        });
    }
}

async fn answer(
    request: Request<Incoming>,
    state: Arc<Mutex<ReceiverState>>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let (head, body) = request.into_parts();
    let status = match Limited::new(body, BODY).collect().await {
        Ok(body) => {
            tokio::time::sleep(WORK).await;
            record(&state, head.uri.path(), head.headers, body.to_bytes())
        }
        Err(_) => StatusCode::BAD_REQUEST,
    };
    let mut response = Response::new(Full::new(Bytes::new()));
    *response.status_mut() = status;
    Ok(response)
}

fn record(state: &Mutex<ReceiverState>, path: &str, headers: HeaderMap, body: Bytes) -> StatusCode {
    let mut state = lock(state);
    let left = state.fails.get_mut(path).filter(|left| **left > 0);
    let status = match left {
        Some(left) => {
            *left -= 1;
            StatusCode::SERVICE_UNAVAILABLE
        }
        None => StatusCode::OK,
    };
    state.seen.push(ReceivedRequest {
        path: path.to_owned(),
        headers,
        body,
        answered: status.as_u16(),
    });
    status
}
