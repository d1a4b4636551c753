//! The sender: posts as GitHub does, one by one and as a burst.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use data_encoding::HEXLOWER;
use http_body_util::{BodyExt, Full, Limited};
use hyper::Request;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use serde::Deserialize;
use tokio::net::TcpStream;
use tokio::sync::Notify;

use super::environment::lock;
use crate::ctl::error::CtlError;

/// One answer may take this long.
const ANSWER: Duration = Duration::from_secs(10);
/// Bytes of an answer.
const BODY: usize = 64 << 10;
/// Connections of a burst.
const CONNECTIONS: usize = 8;

/// A webhook to send.
#[derive(Clone, Debug)]
pub(super) struct SignedWebhook {
    pub(super) event: &'static str,
    /// GitHub's id of the delivery (`X-GitHub-Delivery`): the same when it is sent again.
    pub(super) guid: String,
    pub(super) body: Bytes,
    /// `X-Hub-Signature-256`.
    pub(super) signature: String,
}

impl SignedWebhook {
    /// Signed with `secret` as GitHub signs; `number` makes its id.
    pub(super) fn new(
        event: &'static str,
        number: usize,
        body: &'static [u8],
        secret: &str,
    ) -> Self {
        let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, secret.as_bytes());
        let signature =
            format!("sha256={}", HEXLOWER.encode(ring::hmac::sign(&key, body).as_ref()));
        let guid = format!("72d3162e-cc78-11e3-81ab-{number:012}");
        Self { event, guid, body: Bytes::from_static(body), signature }
    }
}

/// The response to a webhook.
#[derive(Clone, Debug)]
pub(super) struct DemoResponse {
    pub(super) status: u16,
    pub(super) body: String,
}

/// What the body of a 202 says.
#[derive(Deserialize)]
struct AcceptedBody {
    id: String,
    #[serde(default)]
    duplicate: bool,
}

impl DemoResponse {
    fn accepted(&self) -> Option<AcceptedBody> {
        serde_json::from_str(&self.body).ok()
    }

    /// The event's id.
    pub(super) fn id(&self) -> Option<String> {
        self.accepted().map(|body| body.id)
    }

    pub(super) fn is_duplicate(&self) -> bool {
        self.accepted().is_some_and(|body| body.duplicate)
    }
}

/// One post on a connection of its own.
pub(super) async fn post(to: SocketAddr, hook: &SignedWebhook) -> Result<DemoResponse, CtlError> {
    let mut connection = connect(to).await?;
    send(&mut connection, hook).await
}

async fn connect(to: SocketAddr) -> Result<SendRequest<Full<Bytes>>, CtlError> {
    let stream = TcpStream::connect(to).await;
    let stream =
        stream.map_err(|error| CtlError::Io { what: format!("cannot connect to {to}"), error })?;
    let (sender, connection) = handshake(TokioIo::new(stream)).await.map_err(broke)?;
    tokio::spawn(connection);
    Ok(sender)
}

async fn send(
    connection: &mut SendRequest<Full<Bytes>>,
    hook: &SignedWebhook,
) -> Result<DemoResponse, CtlError> {
    let request = Request::post("/in/github")
        .header("host", "hooks.example.com")
        .header("content-type", "application/json")
        .header("user-agent", "GitHub-Hookshot/044aadd")
        .header("x-github-event", hook.event)
        .header("x-github-delivery", &hook.guid)
        .header("x-hub-signature-256", &hook.signature)
        .body(Full::new(hook.body.clone()))
        .map_err(|error| CtlError::Refused(format!("the request cannot be made: {error}")))?;

    let answered = tokio::time::timeout(ANSWER, async {
        connection.ready().await.map_err(broke)?;
        let response = connection.send_request(request).await.map_err(broke)?;
        let status = response.status().as_u16();
        let body = Limited::new(response.into_body(), BODY).collect().await;
        let body =
            body.map_err(|error| CtlError::Refused(format!("the answer broke off: {error}")))?;
        Ok(DemoResponse { status, body: String::from_utf8_lossy(&body.to_bytes()).into_owned() })
    });
    answered.await.unwrap_or_else(|_| {
        Err(CtlError::Refused(format!("no answer within {} s", ANSWER.as_secs())))
    })
}

fn broke(error: hyper::Error) -> CtlError {
    CtlError::Refused(format!("the connection broke: {error}"))
}

/// Many hooks over several connections, until all are answered or the connections break.
#[derive(Debug, Default)]
pub(super) struct Burst {
    /// By the hook's number; what was sent without an answer is `None`.
    pub(super) answers: Mutex<BTreeMap<usize, Option<DemoResponse>>>,
    /// Notified when `enough` of them are answered.
    half_way: Notify,
    enough: usize,
}

impl Burst {
    pub(super) fn new(enough: usize) -> Arc<Self> {
        Arc::new(Self { enough, ..Self::default() })
    }

    /// Begins to send; ends by itself.
    pub(super) fn send(
        self: &Arc<Self>,
        runtime: &tokio::runtime::Runtime,
        to: SocketAddr,
        hooks: Vec<(usize, SignedWebhook)>,
    ) -> tokio::task::JoinSet<()> {
        let left = Arc::new(Mutex::new(hooks.into_iter()));
        let mut senders = tokio::task::JoinSet::new();
        for _ in 0..CONNECTIONS {
            let (burst, left) = (Arc::clone(self), Arc::clone(&left));
            let sender = async move {
                let Ok(mut connection) = connect(to).await else { return };
                loop {
                    let Some((number, hook)) = lock(&left).next() else { return };
                    lock(&burst.answers).insert(number, None);
                    let Ok(answer) = send(&mut connection, &hook).await else { return };
                    burst.answered(number, answer);
                }
            };
            senders.spawn_on(sender, runtime.handle());
        }
        senders
    }

    fn answered(&self, number: usize, answer: DemoResponse) {
        let mut answers = lock(&self.answers);
        answers.insert(number, Some(answer));
        if answers.values().filter(|answer| answer.is_some()).count() == self.enough {
            self.half_way.notify_one();
        }
    }

    /// Waits until enough are answered.
    pub(super) async fn half_way(&self) {
        self.half_way.notified().await;
    }
}
