//! The server: connections within their limit, and what each request leads to.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::http::request::Parts;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;

use super::answer::{
    PageBody, Policy, guard, passed, ready, refused, to_page, unreachable, whole, wrong_method,
};
use super::assets;
use super::gate::{Asked, PageRefusal, check, is_loaded_ahead};
use super::proxy::{PATIENCE, PassedBody, read, upstream_path};
use super::session::PageSession;
use super::stream::{LiveRequest, relay};
use crate::ctl::client::{self, SocketRoute};
use crate::ctl::error::CtlError;
use crate::model::limits;

/// After a failed accept (no file descriptors left), before the next.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
const METHODS: &str = "GET, POST, PATCH, DELETE";

pub(super) struct PageServer {
    route: SocketRoute,
    session: PageSession,
    connections: Arc<Semaphore>,
    streams: Arc<Semaphore>,
    requests: Arc<Semaphore>,
}

impl PageServer {
    pub(super) fn new(route: SocketRoute, session: PageSession) -> Arc<Self> {
        Arc::new(Self {
            route,
            session,
            connections: Arc::new(Semaphore::new(limits::WEB_CONNECTIONS)),
            streams: Arc::new(Semaphore::new(limits::WEB_STREAMS)),
            requests: Arc::new(Semaphore::new(limits::WEB_REQUESTS)),
        })
    }

    /// Takes connections for as long as it is polled.
    pub(super) async fn serve(self: Arc<Self>, listener: TcpListener) {
        loop {
            let Ok((stream, _)) = listener.accept().await else {
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            };
            // Beyond the limit it is closed at once: a browser tries again.
            if let Ok(permit) = self.connections.clone().try_acquire_owned() {
                let server = self.clone();
                tokio::spawn(async move {
                    server.connection(stream).await;
                    drop(permit);
                });
            }
        }
    }

    async fn connection(self: Arc<Self>, stream: TcpStream) {
        let _ = stream.set_nodelay(true);
        let service = service_fn(move |request| {
            let server = self.clone();
            async move { Ok::<_, Infallible>(server.answer(request).await) }
        });
        // Who breaks off does so at any time: there is nobody to report it to.
        let _ = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(PATIENCE)
            .max_buf_size(limits::WEB_HEAD)
            .max_headers(limits::WEB_HEADERS)
            .serve_connection(TokioIo::new(stream), service)
            .await;
    }

    async fn answer(&self, request: Request<Incoming>) -> Response<PageBody> {
        let (head, body) = request.into_parts();
        let is_api = head.uri.path().starts_with("/api/");
        let policy = if is_api { Policy::Api } else { Policy::Page };
        let answered = match is_api {
            true => self.api(&head, body).await,
            false => self.page(&head),
        };
        let mut response = answered.unwrap_or_else(|why| refused(why, policy));
        guard(&mut response, policy);
        response
    }

    /// The page and its files, and the exchange of the token.
    fn page(&self, head: &Parts) -> Result<Response<PageBody>, PageRefusal> {
        let path = head.uri.path();
        check(head, if path == "/" { Asked::Shell } else { Asked::File })?;
        if !matches!(head.method, Method::GET | Method::HEAD) {
            return Ok(wrong_method(Policy::Page, "GET, HEAD"));
        }

        let query = head.uri.query().unwrap_or_default();
        let token = query.split('&').find_map(|part| part.strip_prefix("token="));
        if let Some(token) = token.filter(|_| path == "/") {
            return self.enter(head, token);
        }
        let file = assets::find(path).ok_or(PageRefusal::Nothing)?;
        Ok(ready(StatusCode::OK, file.kind, file.contents()))
    }

    fn enter(&self, head: &Parts, token: &str) -> Result<Response<PageBody>, PageRefusal> {
        if is_loaded_ahead(&head.headers) || head.method != Method::GET {
            return Err(PageRefusal::LoadedAhead);
        }
        // Who comes back to the URL and is in already need not know that it is used up.
        if self.session.has_entered(&head.headers) {
            return Ok(to_page(None));
        }
        match self.session.exchange(token) {
            Some(entry) => Ok(to_page(Some(entry))),
            None => Err(PageRefusal::WrongToken),
        }
    }

    async fn api(&self, head: &Parts, body: Incoming) -> Result<Response<PageBody>, PageRefusal> {
        check(head, Asked::Api)?;
        if !self.session.has_entered(&head.headers) {
            return Err(PageRefusal::NoSession);
        }
        if !self.session.has_key(&head.headers) {
            return Err(PageRefusal::NoKey);
        }
        let path = upstream_path(head.uri.path()).ok_or(PageRefusal::Nothing)?;
        if !METHODS.split(", ").any(|method| head.method.as_str() == method) {
            return Ok(wrong_method(Policy::Api, METHODS));
        }

        if let Some(live) = LiveRequest::of(head, path) {
            return self.live(live).await;
        }
        let body = read(body).await?;
        let target = match head.uri.query() {
            Some(query) => format!("{path}?{query}"),
            None => path.to_owned(),
        };
        self.ask(head.method.clone(), &target, body).await
    }

    async fn request(
        &self,
        method: Method,
        target: &str,
        body: Bytes,
    ) -> Result<Response<Incoming>, CtlError> {
        client::request(self.route.ready().await?, method, target, body).await
    }

    /// Asks the daemon, and passes on what it answers.
    async fn ask(
        &self,
        method: Method,
        target: &str,
        body: Bytes,
    ) -> Result<Response<PageBody>, PageRefusal> {
        // The semaphore is never closed.
        let permit = self.requests.clone().acquire_owned().await;
        let permit = permit.map_err(|_| PageRefusal::TooSlow)?;
        let answered = self.request(method, target, body).await;

        Ok(match answered {
            Ok(answer) => {
                let (head, body) = answer.into_parts();
                let body = PassedBody::new(body, permit).boxed_unsync();
                passed(&Response::from_parts(head, ()), body)
            }
            Err(error) => unreachable(&error),
        })
    }

    /// Follows what happens.
    async fn live(&self, live: LiveRequest) -> Result<Response<PageBody>, PageRefusal> {
        let permit = self.streams.clone().try_acquire_owned();
        let permit = permit.map_err(|_| PageRefusal::TooManyStreams)?;
        let asked = self.request(Method::GET, &live.path, Bytes::new());
        let answer = match asked.await {
            Ok(answer) => answer,
            Err(error) => return Ok(unreachable(&error)),
        };
        if answer.status() != StatusCode::OK {
            let (head, body) = answer.into_parts();
            let body = PassedBody::new(body, permit).boxed_unsync();
            return Ok(passed(&Response::from_parts(head, ()), body));
        }

        let mut response = Response::new(whole(Bytes::new()));
        let body = relay(answer.into_body(), live, permit);
        *response.body_mut() = body.boxed_unsync();
        let kind = HeaderValue::from_static("text/event-stream");
        response.headers_mut().insert(CONTENT_TYPE, kind);
        Ok(response)
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;
    use std::sync::Arc;

    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::{TcpListener, TcpStream};

    use super::{PageServer, limits};
    use crate::ctl::web::session::PageSession;

    /// What is answered on a new connection; nothing where it is closed.
    async fn first_line(address: std::net::SocketAddr) -> String {
        let mut stream = TcpStream::connect(address).await.expect("it listens");
        let request = b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
        let _ = stream.write_all(request).await;
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer).await;
        String::from_utf8_lossy(&answer).lines().next().unwrap_or_default().to_owned()
    }

    #[tokio::test]
    async fn a_connection_too_many_is_closed_and_one_that_goes_makes_room() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("bound");
        let (session, _) = PageSession::open().expect("random numbers");
        let server = PageServer::new(PathBuf::from("/nowhere").into(), session);
        let all = u32::try_from(limits::WEB_CONNECTIONS).expect("few");
        let held = server.connections.clone().try_acquire_many_owned(all).expect("all of them");
        tokio::spawn(Arc::clone(&server).serve(listener));

        assert_eq!(first_line(address).await, "");
        drop(held);
        assert_eq!(first_line(address).await, "HTTP/1.1 200 OK");
    }
}
