//! The client: HTTP/1.1 over the Unix socket, one request at a time.

use std::cell::OnceCell;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use serde::Serialize;
use tokio::net::UnixStream;
use tokio::runtime::Runtime;

use super::answer::{Answer, detail};
use super::error::CtlError;
use super::server_identity;
use super::ssh::{SshTarget, SshTunnel};
use crate::api::views::{MoreView, ProblemView, TOTAL_HEADER};
use crate::config::layers::{LOCAL_SOCKET, SYSTEM_SOCKET};
use crate::model::limits;

/// Bytes of one line of a list, and of one answer.
const LINE_BYTES: usize = 128 << 20;

/// How a list ended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct ListEnd {
    /// The rows that it has in all, where the daemon knows it.
    pub(super) total: Option<u64>,
    /// How it goes on, when it was answered before its end.
    pub(super) more: Option<MoreView>,
}

pub(super) struct AdminClient {
    /// As it was named.
    socket: PathBuf,
    /// The machine that it is on, when that is another one, and the way there once it is open.
    remote: Option<SshTarget>,
    tunnel: OnceCell<Arc<SshTunnel>>,
    runtime: Runtime,
}

impl AdminClient {
    pub(super) fn new(socket: Option<&Path>) -> Result<Self, CtlError> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime =
            runtime.map_err(|error| CtlError::Io { what: "cannot start".into(), error })?;
        let variable = std::env::var_os("HOOKBOX_SOCKET").map(PathBuf::from);
        let socket = find_socket(socket, variable, Path::new(SYSTEM_SOCKET));
        let remote = SshTarget::parse(&socket)?;
        Ok(Self { socket, remote, tunnel: OnceCell::new(), runtime })
    }

    /// Whether the daemon is on another machine.
    pub(super) fn is_remote(&self) -> bool {
        self.remote.is_some()
    }

    /// How the socket is reached. The way to another machine is opened when it is first needed.
    pub(super) fn route(&self) -> Result<SocketRoute, CtlError> {
        let Some(remote) = &self.remote else {
            return Ok(SocketRoute { local: self.socket.clone(), tunnel: None });
        };
        if self.tunnel.get().is_none() {
            let opened = Arc::new(remote.open()?);
            let _ = self.tunnel.set(opened);
        }
        let tunnel = self.tunnel.get().cloned();
        let local = tunnel.as_ref().map_or(&*self.socket, |tunnel| tunnel.socket()).to_owned();
        Ok(SocketRoute { local, tunnel })
    }

    /// Waits for something that is no request.
    pub(super) fn wait_for<T>(&self, work: impl Future<Output = T>) -> T {
        self.runtime.block_on(work)
    }

    /// Waits for `work`, unless `stop` comes first: then it is given up.
    pub(super) fn until<T>(
        &self,
        work: impl Future<Output = T>,
        stop: impl Future<Output = ()>,
    ) -> Option<T> {
        self.runtime.block_on(async {
            tokio::select! {
                done = work => Some(done),
                () = stop => None,
            }
        })
    }

    /// A POST that is sent once it is waited for.
    pub(super) fn post_later(
        &self,
        path: &str,
        body: &impl Serialize,
    ) -> Result<impl Future<Output = Result<Answer, CtlError>>, CtlError> {
        let (path, body) = (path.to_owned(), as_json(body)?);
        Ok(async move {
            let mut answer = None;
            let mut keep = |line| {
                answer = Some(line);
                Ok(())
            };
            self.exchange_later(Method::POST, &path, body, &mut keep).await?;
            answer.ok_or_else(nothing)
        })
    }

    pub(super) fn get(&self, path: &str) -> Result<Answer, CtlError> {
        self.answered(Method::GET, path, Bytes::new())
    }

    pub(super) fn post(&self, path: &str, body: &impl Serialize) -> Result<Answer, CtlError> {
        self.answered(Method::POST, path, as_json(body)?)
    }

    pub(super) fn patch(&self, path: &str, body: &impl Serialize) -> Result<Answer, CtlError> {
        self.answered(Method::PATCH, path, as_json(body)?)
    }

    pub(super) fn delete(&self, path: &str) -> Result<Answer, CtlError> {
        self.answered(Method::DELETE, path, Bytes::new())
    }

    /// Passes on the rows of a list as they arrive, to its end.
    pub(super) fn list(
        &self,
        path: &str,
        row: &mut dyn FnMut(Answer) -> Result<(), CtlError>,
    ) -> Result<(), CtlError> {
        let (mut part, mut rows) = (path.to_owned(), 0);
        loop {
            let ended = self.list_part(&part, &mut |answer| {
                rows += 1;
                row(answer)
            })?;
            let Some(more) = ended.more else { return Ok(()) };
            part = continued(path, rows, &more.after);
        }
    }

    /// The same until the daemon answers, which it does before the end when it finds nothing for a
    /// while.
    pub(super) fn list_part(
        &self,
        path: &str,
        row: &mut dyn FnMut(Answer) -> Result<(), CtlError>,
    ) -> Result<ListEnd, CtlError> {
        let mut more = None;
        let total =
            self.exchange(Method::GET, path, Bytes::new(), &mut |answer| match answer.more() {
                Some(found) => {
                    more = Some(found);
                    Ok(())
                }
                None => row(answer),
            })?;
        Ok(ListEnd { total, more })
    }

    /// Sends text as it is.
    pub(super) fn post_text(&self, path: &str, text: &str) -> Result<Answer, CtlError> {
        let answer = self.answered(Method::POST, path, Bytes::copy_from_slice(text.as_bytes()));
        // What is wrong is in the file, not in the options.
        answer.map_err(|error| match error {
            CtlError::Usage(detail) => CtlError::Refused(detail),
            error => error,
        })
    }

    /// Hands on an answer's bytes as they come. `false` when there is nothing of that name.
    pub(super) fn bytes(
        &self,
        path: &str,
        take: &mut dyn FnMut(&[u8]) -> Result<(), CtlError>,
    ) -> Result<bool, CtlError> {
        let route = self.route()?;
        self.runtime.block_on(async {
            let mut response =
                request(route.ready().await?, Method::GET, path, Bytes::new()).await?;
            if response.status() == hyper::StatusCode::NOT_FOUND {
                return Ok(false);
            }
            refusal(&mut response).await?;
            while let Some(part) = next(&mut response).await? {
                take(&part)?;
            }
            Ok(true)
        })
    }

    /// The answer to a request that has one.
    fn answered(&self, method: Method, path: &str, body: Bytes) -> Result<Answer, CtlError> {
        let mut answer = None;
        self.exchange(method, path, body, &mut |line| {
            answer = Some(line);
            Ok(())
        })?;

        answer.ok_or_else(nothing)
    }

    /// Passes on the lines of an answer; gives how many rows there are in all, where it says so.
    fn exchange(
        &self,
        method: Method,
        path: &str,
        body: Bytes,
        row: &mut dyn FnMut(Answer) -> Result<(), CtlError>,
    ) -> Result<Option<u64>, CtlError> {
        self.runtime.block_on(self.exchange_later(method, path, body, row))
    }

    async fn exchange_later(
        &self,
        method: Method,
        path: &str,
        body: Bytes,
        row: &mut dyn FnMut(Answer) -> Result<(), CtlError>,
    ) -> Result<Option<u64>, CtlError> {
        let route = self.route()?;
        let asked = request(route.ready().await?, method, path, body).await;
        let mut response = asked.map_err(|error| match (&self.remote, error) {
            // All that is seen here of a socket that is not there is a connection that ends.
            (Some(remote), CtlError::Unreachable(_)) => remote.nobody_answers(),
            (_, error) => error,
        })?;
        refusal(&mut response).await?;
        let total = response.headers().get(TOTAL_HEADER).and_then(|total| total.to_str().ok());
        let total = total.and_then(|total| total.parse().ok());

        // Complete lines are passed on at once; what is left is the beginning of the next one.
        let mut rest: Vec<u8> = Vec::new();
        while let Some(part) = next(&mut response).await? {
            rest.extend_from_slice(&part);
            let mut done = 0;
            while let Some(end) = rest[done..].iter().position(|b| *b == b'\n') {
                one(&rest[done..done + end], row)?;
                done += end + 1;
            }
            rest.drain(..done);
            check_size(&rest)?;
        }

        one(&rest, row).map(|()| total)
    }
}

/// How the admin socket is reached from here.
#[derive(Clone, Debug)]
pub(super) struct SocketRoute {
    local: PathBuf,
    tunnel: Option<Arc<SshTunnel>>,
}

impl SocketRoute {
    /// The socket here. A way to another machine that has ended is opened anew.
    pub(super) async fn ready(&self) -> Result<&Path, CtlError> {
        if let Some(tunnel) = self.tunnel.clone() {
            let opened = tokio::task::spawn_blocking(move || tunnel.keep_open()).await;
            opened.map_err(|error| CtlError::Unreachable(error.to_string()))??;
        }
        Ok(&self.local)
    }
}

impl From<PathBuf> for SocketRoute {
    fn from(local: PathBuf) -> Self {
        Self { local, tunnel: None }
    }
}

/// Sends one request on a connection of its own; gives the head of the answer, whose body is yet to
/// be read.
pub(super) async fn request(
    socket: &Path,
    method: Method,
    path: &str,
    body: Bytes,
) -> Result<Response<Incoming>, CtlError> {
    let stream = UnixStream::connect(socket).await.map_err(|error| unreachable(socket, &error))?;
    // Before a byte is sent: a request may hold secrets.
    server_identity::check(socket, &stream)?;

    let broke = |error: hyper::Error| {
        // When all connections are taken, the daemon closes a new one before it answers.
        CtlError::Unreachable(match error.is_incomplete_message() {
            // One that ended takes no other one.
            _ if std::os::unix::net::UnixStream::connect(socket).is_err() => {
                "the daemon ended while it was asked: see its log, and try again when it is back"
                    .to_owned()
            }
            true => format!("the daemon closed the connection: {error}: try again"),
            false => no_connection_left(&error.to_string()),
        })
    };
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(broke)?;
    tokio::spawn(connection);

    let request = Request::builder()
        .method(method)
        .uri(path)
        .header("host", "hookbox")
        .header("content-type", "application/json")
        .body(Full::new(body))
        .map_err(|error| CtlError::Usage(format!("the request cannot be made: {error}")))?;
    sender.send_request(request).await.map_err(broke)
}

fn unreachable(socket: &Path, error: &io::Error) -> CtlError {
    let path = socket.display();
    CtlError::Unreachable(match error.kind() {
        io::ErrorKind::NotFound => {
            format!(
                "no daemon at {path}: start `hookboxd`, or name its socket with --socket or \
                 HOOKBOX_SOCKET"
            )
        }
        io::ErrorKind::ConnectionRefused => {
            format!("no daemon answers at {path}: start `hookboxd`")
        }
        io::ErrorKind::PermissionDenied => {
            format!("this user may not use {path}: join its group, or use sudo")
        }
        _ => format!("cannot connect to {path}: {error}: is it the daemon's admin socket?"),
    })
}

/// The daemon has answered nothing at all.
fn nothing() -> CtlError {
    let what = "the daemon's answer is empty: is this its admin socket, and of this version?";
    CtlError::Refused(what.into())
}

/// The body of a request: a type of `api`.
fn as_json(body: &impl Serialize) -> Result<Bytes, CtlError> {
    serde_json::to_vec(body).map(Bytes::from).map_err(|error| {
        CtlError::Refused(format!("the request cannot be written as JSON: {error}"))
    })
}

/// The error that a refusal of the daemon is.
async fn refusal(response: &mut Response<Incoming>) -> Result<(), CtlError> {
    let status = response.status();
    if status.is_success() {
        return Ok(());
    }

    let mut text = Vec::new();
    loop {
        match next(response).await {
            Ok(Some(part)) => text.extend_from_slice(&part),
            // When all connections are taken, the daemon closes this one at once, and the end of
            // its answer may be lost.
            Err(_) if status == StatusCode::SERVICE_UNAVAILABLE => break,
            Ok(None) => break,
            Err(error) => return Err(error),
        }
        check_size(&text)?;
    }

    let problem = serde_json::from_slice::<ProblemView>(&text).ok();
    let busy = status == StatusCode::SERVICE_UNAVAILABLE;
    Err(match problem.and_then(detail) {
        Some(detail) if busy => CtlError::Busy(detail),
        // What was asked for cannot be, whoever finds that out.
        Some(detail) if status == StatusCode::BAD_REQUEST => CtlError::Usage(detail),
        Some(detail) => CtlError::Refused(detail),
        None if busy => CtlError::Unreachable(no_connection_left(&status.to_string())),
        None => CtlError::Refused(format!("the daemon answered {status}")),
    })
}

/// The message for a connection that the daemon closed without an answer.
fn no_connection_left(what: &str) -> String {
    format!(
        "the daemon closed the connection ({what}): this user's share of the {} admin connections \
         may be used up: stop a `tail -f` or a consumer, or try again",
        limits::ADMIN_CONNECTIONS
    )
}

/// The next bytes of the body.
async fn next(response: &mut Response<Incoming>) -> Result<Option<Bytes>, CtlError> {
    loop {
        match response.body_mut().frame().await {
            None => return Ok(None),
            Some(Ok(frame)) => {
                if let Ok(data) = frame.into_data() {
                    return Ok(Some(data));
                }
            }
            Some(Err(error)) => {
                return Err(CtlError::Unreachable(format!(
                    "the daemon's answer ended early: {error}: try again"
                )));
            }
        }
    }
}

fn check_size(bytes: &[u8]) -> Result<(), CtlError> {
    if bytes.len() <= LINE_BYTES {
        return Ok(());
    }
    Err(CtlError::Refused(format!(
        "the answer is larger than {LINE_BYTES} bytes: is this the daemon's admin socket?"
    )))
}

/// One line: a row, or the problem that ended the list.
fn one(line: &[u8], row: &mut dyn FnMut(Answer) -> Result<(), CtlError>) -> Result<(), CtlError> {
    if line.iter().all(u8::is_ascii_whitespace) {
        return Ok(());
    }
    let answer = Answer::read(line)?;
    match answer.problem() {
        Some(why) => Err(CtlError::Refused(why)),
        None => row(answer),
    }
}

/// `--socket`, else the variable, else the system's one if it is there, else the local one: what
/// lies in the folder one happens to be in comes last.
pub(super) fn find_socket(
    option: Option<&Path>,
    variable: Option<PathBuf>,
    system: &Path,
) -> PathBuf {
    if let Some(path) = option {
        return path.to_owned();
    }
    if let Some(path) = variable.filter(|p| !p.as_os_str().is_empty()) {
        return path;
    }
    if system.exists() { system.to_owned() } else { PathBuf::from(LOCAL_SOCKET) }
}

/// The path of a source, an endpoint, a delivery …, or of a `verb` on it: `/hold`.
pub(super) fn resource(nouns: &str, name: &str, verb: &str) -> String {
    format!("/v1/{nouns}/{}{verb}", encode(name))
}

/// A path with query parameters; what is `None` is left out.
pub(super) fn path(base: &str, params: &[(&str, Option<String>)]) -> String {
    let given = params.iter().filter_map(|(k, v)| Some(format!("{k}={}", encode(v.as_ref()?))));
    let query: Vec<String> = given.collect();
    if query.is_empty() { base.to_owned() } else { format!("{base}?{}", query.join("&")) }
}

/// The same list behind what it was answered with: so many rows, and where it goes on.
fn continued(target: &str, rows: u64, after: &str) -> String {
    let (base, query) = target.split_once('?').unwrap_or((target, ""));
    let given = query.split('&').filter(|pair| !pair.is_empty() && !pair.starts_with("after="));
    let mut query: Vec<String> = given
        .map(|pair| match pair.strip_prefix("limit=").and_then(|limit| limit.parse::<u64>().ok()) {
            Some(limit) => format!("limit={}", limit.saturating_sub(rows).max(1)),
            None => pair.to_owned(),
        })
        .collect();
    query.push(format!("after={}", encode(after)));
    format!("{base}?{}", query.join("&"))
}

/// Percent-encodes everything but unreserved characters (RFC 3986 section 2.3).
pub(super) fn encode(text: &str) -> String {
    use std::fmt::Write;
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            encoded.push(char::from(byte));
        } else {
            let _ = write!(encoded, "%{byte:02X}");
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::continued;

    #[test]
    fn a_list_goes_on_with_its_filter_and_the_rows_that_are_left() {
        let first = "/v1/deliveries?state=pending&limit=50&after=dlv_1";
        assert_eq!(continued(first, 8, "77"), "/v1/deliveries?state=pending&limit=42&after=77");
        assert_eq!(continued("/v1/events", 0, "7"), "/v1/events?after=7");
    }
}
