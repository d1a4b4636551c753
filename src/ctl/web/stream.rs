//! The daemon's tail as server-sent events: each line is an event with an id, and a browser that
//! was cut off goes on behind the last one that it saw.
//!
//! The daemon's tail has no positions. Whoever goes on gets the last [`PAST`] lines of the past
//! again, out of which those are left out that were seen already. When the last one that was seen
//! is not among them, the event `missed` says so, and the page reads its lists anew.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::body::{Body, Frame, Incoming};
use hyper::header::ACCEPT;
use hyper::http::request::Parts;
use tokio::sync::{OwnedSemaphorePermit, mpsc};

use crate::api::views::{TailView, Tolerant};
use crate::model::limits;

/// Lines of the past in which the last one seen is looked for.
const PAST: usize = limits::PAGE_MAX;
/// A comment is sent after so long without a line: whoever has gone is noticed.
const HEARTBEAT: Duration = Duration::from_secs(15);
/// The past comes in one piece. When nothing has come for so long, it is over.
const PAST_OVER: Duration = Duration::from_secs(1);
/// Events that may wait for a browser that is slow; behind them the daemon counts what it leaves
/// out.
const WAITING: usize = 64;
/// Bytes of one line.
const LINE: usize = 1 << 20;
/// How long a browser waits before it comes again.
const HELLO: &str = "retry: 2000\n\n";

/// A stream that a browser asks for.
pub(super) struct LiveRequest {
    /// What is asked of the daemon.
    pub(super) path: String,
    resume: Option<Resume>,
}

/// Where a stream goes on, and what of it is wanted.
struct Resume {
    last_seen: String,
    source: Option<String>,
    endpoint: Option<String>,
}

impl LiveRequest {
    /// Reads a request; `None` when it does not ask for a stream of events.
    pub(super) fn of(head: &Parts, path: &str) -> Option<Self> {
        let accepts = |value: &hyper::header::HeaderValue| {
            value.to_str().is_ok_and(|kinds| kinds.contains("text/event-stream"))
        };
        if path != "/v1/tail" || !head.headers.get(ACCEPT).is_some_and(accepts) {
            return None;
        }

        let query = head.uri.query().unwrap_or_default();
        let (own, passed): (Vec<&str>, Vec<&str>) = query
            .split('&')
            .filter(|part| !part.is_empty())
            .partition(|part| part.starts_with("last_event_id=") || part.starts_with("follow="));
        let by_query = own.iter().find_map(|part| part.strip_prefix("last_event_id="));
        // A browser that comes again says it in a header, and keeps the URL.
        let by_header = head.headers.get("last-event-id").and_then(|id| id.to_str().ok());
        let last_seen = by_header.or(by_query).filter(|id| !id.is_empty()).map(str::to_owned);

        let Some(last_seen) = last_seen else {
            let query: String = passed.iter().map(|part| format!("&{part}")).collect();
            return Some(Self { path: format!("/v1/tail?follow=true{query}"), resume: None });
        };
        let of = |name: &str| passed.iter().find_map(|part| part.strip_prefix(name)).map(decoded);
        let resume = Resume { last_seen, source: of("source="), endpoint: of("endpoint=") };
        // Everything, so that the past is short to read however rare is what is wanted.
        let path = format!("/v1/tail?follow=true&limit={PAST}");
        Some(Self { path, resume: Some(resume) })
    }
}

/// Names of sources and endpoints have no characters that a browser would encode, but for these.
fn decoded(text: &str) -> String {
    text.replace("%20", " ").replace('+', " ")
}

/// The body of an answer: what the task of [`relay`] sends.
pub(super) struct LiveBody(mpsc::Receiver<Bytes>);

impl Body for LiveBody {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        self.0.poll_recv(cx).map(|bytes| bytes.map(|bytes| Ok(Frame::data(bytes))))
    }
}

/// Turns the lines of a tail into events, until either side goes.
pub(super) fn relay(
    lines: Incoming,
    request: LiveRequest,
    permit: OwnedSemaphorePermit,
) -> LiveBody {
    let (sender, receiver) = mpsc::channel(WAITING);
    tokio::spawn(async move {
        let mut relay =
            Relay { sender, rest: Vec::new(), held: Vec::new(), resume: request.resume };
        // Whoever is slow or gone is noticed where something is sent.
        let _ = relay.run(lines).await;
        drop(permit);
    });
    LiveBody(receiver)
}

/// Whoever reads the events has gone.
struct ReaderGone;

struct Relay {
    sender: mpsc::Sender<Bytes>,
    /// The beginning of a line that is not complete.
    rest: Vec<u8>,
    /// Lines of the past, while the last one seen is looked for.
    held: Vec<TailLineJson>,
    /// Until that was found.
    resume: Option<Resume>,
}

/// A line with the id of its event.
struct TailLineJson {
    id: Option<String>,
    text: String,
    is_wanted: bool,
}

impl Relay {
    async fn run(&mut self, mut lines: Incoming) -> Result<(), ReaderGone> {
        self.send(HELLO.to_owned()).await?;
        loop {
            let is_holding = !self.held.is_empty();
            let patience = if is_holding { PAST_OVER } else { HEARTBEAT };
            let frame = tokio::select! {
                frame = tokio::time::timeout(patience, lines.frame()) => frame,
                () = self.sender.closed() => return Ok(()),
            };

            match frame {
                Err(_) if is_holding => self.give_up().await?,
                Err(_) => self.send(":\n\n".to_owned()).await?,
                Ok(Some(Ok(frame))) => {
                    let Ok(data) = frame.into_data() else { continue };
                    self.take(&data).await?;
                }
                // The daemon stops; the browser comes again.
                Ok(Some(Err(_)) | None) => return Ok(()),
            }
        }
    }

    async fn take(&mut self, data: &[u8]) -> Result<(), ReaderGone> {
        self.rest.extend_from_slice(data);
        while let Some(end) = self.rest.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = self.rest.drain(..=end).collect();
            if let Some(line) = TailLineJson::read(&line, self.resume.as_ref()) {
                self.line(line).await?;
            }
        }
        if self.rest.len() > LINE { Err(ReaderGone) } else { Ok(()) }
    }

    async fn line(&mut self, line: TailLineJson) -> Result<(), ReaderGone> {
        let Some(resume) = &self.resume else { return self.send(line.event()).await };
        let is_last_seen = line.id.as_ref() == Some(&resume.last_seen);
        if is_last_seen {
            // All of these were seen, and from here on nothing is held back.
            self.held.clear();
            self.resume = self.resume.take().and_then(Resume::filter_alone);
            return Ok(());
        }
        if resume.last_seen.is_empty() {
            return if line.is_wanted { self.send(line.event()).await } else { Ok(()) };
        }

        self.held.push(line);
        if self.held.len() >= PAST { self.give_up().await } else { Ok(()) }
    }

    /// The last one seen is not there any more: what there is, is sent with a word about it.
    async fn give_up(&mut self) -> Result<(), ReaderGone> {
        self.resume = self.resume.take().and_then(Resume::filter_alone);
        self.send("event: missed\ndata: {}\n\n".to_owned()).await?;
        for line in std::mem::take(&mut self.held) {
            if line.is_wanted {
                self.send(line.event()).await?;
            }
        }
        Ok(())
    }

    async fn send(&self, text: String) -> Result<(), ReaderGone> {
        self.sender.send(text.into()).await.map_err(|_| ReaderGone)
    }
}

impl Resume {
    /// What is left of it once its place was found: the filter, where there is one.
    fn filter_alone(self) -> Option<Self> {
        let filters = self.source.is_some() || self.endpoint.is_some();
        filters.then(|| Self { last_seen: String::new(), ..self })
    }

    /// As the daemon's tail has it: events of a source, attempts at an endpoint.
    fn wants(&self, line: &TailView) -> bool {
        match line {
            TailView::Event { source, .. } | TailView::Duplicate { source: Some(source), .. } => {
                self.endpoint.is_none()
                    && self.source.as_ref().is_none_or(|wanted| wanted == source)
            }
            TailView::Attempt { endpoint, .. } => match &self.endpoint {
                Some(wanted) => wanted == endpoint,
                None => self.source.is_none(),
            },
            TailView::Duplicate { .. } => self.endpoint.is_none() && self.source.is_none(),
            TailView::Missed { .. } => true,
        }
    }
}

impl TailLineJson {
    fn read(line: &[u8], resume: Option<&Resume>) -> Option<Self> {
        let text = std::str::from_utf8(line).ok()?.trim();
        if text.is_empty() {
            return None;
        }
        let view = serde_json::from_str::<Tolerant<TailView>>(text).ok()?;
        let (id, is_wanted) = match &view {
            Tolerant::Known(view) => (id_of(view), resume.is_none_or(|r| r.wants(view))),
            Tolerant::Unknown(_) => (None, true),
        };
        Some(Self { id, text: text.to_owned(), is_wanted })
    }

    /// As an event. JSON in one line has no line break in it, and ids are made of letters and
    /// digits.
    fn event(&self) -> String {
        match &self.id {
            Some(id) => format!("id: {id}\ndata: {}\n\n", self.text),
            None => format!("data: {}\n\n", self.text),
        }
    }
}

/// What a line is known by, the same in the past and live.
fn id_of(line: &TailView) -> Option<String> {
    match line {
        TailView::Event { id, .. } => Some(id.to_string()),
        TailView::Attempt { delivery, number, at, .. } => {
            Some(format!("{delivery}.{number}.{}", at.0))
        }
        TailView::Duplicate { event_seq, at, .. } => Some(format!("dup{event_seq}.{}", at.0)),
        TailView::Missed { .. } => None,
    }
}
