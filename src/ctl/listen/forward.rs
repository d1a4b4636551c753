//! Forwards one event to an application: a request of its own each, as an endpoint sends it.

use std::future::Future;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::header::{HeaderMap, HeaderName, HeaderValue};
use hyper::{Method, Request, Uri};
use hyper_util::rt::TokioIo;
use serde::Serialize;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

use super::sign::ListenSecret;
use super::tls::ForwardTls;
use crate::api::views::LeaseView;
use crate::ctl::answer::decoded_body;
use crate::ctl::args::ListenArgs;
use crate::ctl::clock::now_ms;
use crate::ctl::error::CtlError;
use crate::ctl::files::read_secret;
use crate::ctl::ssh::random;
use crate::model::{
    HOPS, Header, REDACTED, TraceContext, canonical_header_name, hops_of, is_credential_name,
    is_hop_header,
};

/// The time for one request, and the bytes of an answer that are read.
const TIMEOUT: Duration = Duration::from_secs(30);
const ANSWER_BYTES: usize = 1 << 20;

/// Of the sender's fields those that describe its own connection, or are set here.
const NOT_FORWARDED: &[&str] = &[
    "accept-encoding",
    "connection",
    "content-length",
    "expect",
    "host",
    "keep-alive",
    "te",
    "trailer",
    "traceparent",
    "tracestate",
    "transfer-encoding",
    "upgrade",
    "user-agent",
];

/// What came of a request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Forwarded {
    pub status: Option<u16>,
    pub error: Option<String>,
    pub duration_ms: u64,
}

impl Forwarded {
    /// Why the event is due again; `None` when the application has taken it.
    pub(super) fn refusal(&self) -> Option<String> {
        match (self.status, &self.error) {
            (Some(200..=299), _) => None,
            (Some(status), _) => Some(format!("the application answered {status}")),
            (None, Some(error)) => Some(error.clone()),
            (None, None) => Some("no answer".to_owned()),
        }
    }
}

/// Sends events to one URL.
pub(super) struct Forwarder {
    url: String,
    uri: Uri,
    /// `host:port`.
    address: String,
    /// Of an https:// URL.
    tls: Option<ForwardTls>,
    secret: ListenSecret,
    is_new_secret: bool,
}

impl Forwarder {
    /// The one that the arguments ask for.
    pub(super) fn of(args: &ListenArgs) -> Result<Option<Self>, CtlError> {
        let Some(given) = &args.forward else { return Ok(None) };
        let url = match given.contains("://") {
            true => given.clone(),
            false => format!("http://{given}"),
        };
        let wrong = |why: &str| {
            CtlError::Usage(format!(
                "--forward {given}: {why}; write it as http://localhost:3000/hook"
            ))
        };

        let uri: Uri = url.parse().map_err(|_| wrong("is not a URL"))?;
        let is_https = match uri.scheme_str() {
            Some("http") => false,
            Some("https") => true,
            _ => {
                let why = "is not an http:// or https:// URL";
                return Err(wrong(why));
            }
        };

        if uri.authority().is_some_and(|authority| authority.as_str().contains('@')) {
            // It would be shown with each event, and is not sent.
            let what = "--forward: a URL with a user or a password is not accepted; write it as \
                        http://localhost:3000/hook";
            return Err(CtlError::Usage(what.to_owned()));
        }

        let host = uri.host().ok_or_else(|| wrong("names no host"))?;
        let port = uri.port_u16().unwrap_or(if is_https { 443 } else { 80 });
        let address = format!("{host}:{port}");
        let tls = is_https.then(|| ForwardTls::of(host)).transpose();
        let tls = tls.map_err(|why| CtlError::Usage(format!("--forward {given}: {why}")))?;

        let secret = match &args.secret_file {
            Some(file) => ListenSecret::parse(&read_secret(file)?)?,
            None => ListenSecret::generate()?,
        };
        let is_new_secret = args.secret_file.is_none();
        Ok(Some(Self { url, uri, address, tls, secret, is_new_secret }))
    }

    pub(super) fn url(&self) -> &str {
        &self.url
    }

    /// The secret that was made for this run.
    pub(super) fn new_secret(&self) -> Option<&str> {
        self.is_new_secret.then(|| self.secret.text())
    }

    /// Sends an event, once it is waited for. Whatever happens is in the result.
    pub(super) fn send(
        &self,
        lease: &LeaseView,
        body: &Bytes,
    ) -> Result<impl Future<Output = Forwarded> + use<>, CtlError> {
        let request = self.request(lease, body)?;
        let (address, tls) = (self.address.clone(), self.tls.clone());
        Ok(async move {
            let began = now_ms();
            let exchanged = exchange(&address, tls.as_ref(), request);
            let sent = match tokio::time::timeout(TIMEOUT, exchanged).await {
                Ok(sent) => sent,
                Err(_) => Err(format!("no answer within {} s", TIMEOUT.as_secs())),
            };

            let duration_ms = now_ms().saturating_sub(began);
            let (status, error) = match sent {
                Ok(status) => (Some(status), None),
                Err(why) => (None, Some(why)),
            };
            Forwarded { status, error, duration_ms }
        })
    }

    fn request(&self, lease: &LeaseView, body: &Bytes) -> Result<Request<Full<Bytes>>, CtlError> {
        let target = self.uri.path_and_query().map_or("/", |target| target.as_str());
        let mut request = Request::builder()
            .method(Method::POST)
            .uri(target)
            .body(Full::new(body.clone()))
            .map_err(|error| CtlError::Usage(format!("the request cannot be made: {error}")))?;
        *request.headers_mut() = self.headers(lease, body)?;
        Ok(request)
    }

    /// The sender's own headers, and those of an endpoint.
    fn headers(&self, lease: &LeaseView, body: &Bytes) -> Result<HeaderMap, CtlError> {
        let mut headers = HeaderMap::new();
        for (name, value) in lease.headers.iter().filter(|(name, value)| goes_on(name, value)) {
            set(&mut headers, name, value);
        }

        let (id, seconds) = (lease.event.to_string(), (now_ms() / 1000).to_string());
        let signature = self.secret.sign(&id, &seconds, body);
        let attempt = lease.attempt.to_string();
        // The application may post to a daemon, this one included: the count ends a loop.
        let came_with = fields(lease);
        let hops = hops_of(&came_with).saturating_add(1).to_string();
        let authority = self.uri.authority().map_or("localhost", |authority| authority.as_str());
        let own: [(&str, &str); 9] = [
            ("host", authority),
            ("user-agent", concat!("hookboxctl/", env!("CARGO_PKG_VERSION"))),
            ("webhook-id", &id),
            ("webhook-timestamp", &seconds),
            ("webhook-signature", &signature),
            ("hookbox-source", &lease.source),
            ("hookbox-type", &lease.event_type),
            ("hookbox-attempt", &attempt),
            (HOPS, &hops),
        ];
        own.iter().for_each(|(name, value)| set(&mut headers, name, value));

        if let Some(trace) = TraceContext::of_request(&came_with) {
            let span = data_encoding::HEXLOWER.encode(&random::<8>()?);
            set(&mut headers, "traceparent", &trace.with_span(&span));
            trace.state().into_iter().for_each(|state| set(&mut headers, "tracestate", state));
        }
        Ok(headers)
    }
}

/// The header fields that the event came with.
fn fields(lease: &LeaseView) -> Vec<Header> {
    let of = |(name, value): (&str, &str)| Header::new(name, value.to_owned());
    lease.headers.iter().map(of).collect()
}

/// Whether a field of the sender's own goes along.
fn goes_on(name: &str, value: &str) -> bool {
    let name = &*canonical_header_name(name);
    let is_ours = ["webhook-", "hookbox-", "svix-", "proxy-"].iter().any(|p| name.starts_with(p));
    !(is_ours
        || NOT_FORWARDED.contains(&name)
        || is_hop_header(name)
        || is_credential_name(name)
        || value.contains(REDACTED))
}

/// Sets a field, unless its value cannot stand in one.
fn set(headers: &mut HeaderMap, name: &str, value: &str) {
    let field = (HeaderName::try_from(name), HeaderValue::from_str(value));
    if let (Ok(name), Ok(value)) = field {
        headers.insert(name, value);
    }
}

/// Sends a request, and reads its answer to the end. Redirects are not followed.
async fn exchange(
    address: &str,
    tls: Option<&ForwardTls>,
    request: Request<Full<Bytes>>,
) -> Result<u16, String> {
    let connected = TcpStream::connect(address).await;
    let stream = connected.map_err(|error| format!("cannot connect to {address}: {error}"))?;
    match tls {
        None => speak(stream, request).await,
        Some(tls) => speak(tls.handshake(stream).await?, request).await,
    }
}

async fn speak(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    request: Request<Full<Bytes>>,
) -> Result<u16, String> {
    let broke = |error: hyper::Error| format!("the connection failed: {error}");
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(broke)?;
    let connection = tokio::spawn(connection);

    let mut response = sender.send_request(request).await.map_err(broke)?;
    let status = response.status().as_u16();
    let mut read = 0;
    while read < ANSWER_BYTES
        && let Some(Ok(frame)) = response.body_mut().frame().await
    {
        read += frame.data_ref().map_or(1, Bytes::len);
    }
    connection.abort();
    Ok(status)
}

/// The body of a leased event.
pub(super) fn body(lease: &LeaseView) -> Result<Bytes, CtlError> {
    decoded_body(&lease.body_base64).map(Bytes::from)
}
