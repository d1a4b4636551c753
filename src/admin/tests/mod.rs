//! The admin API over a real socket, with a scripted scheduler behind it and a log in memory.

mod connections;
mod dead_letters;
mod deliveries;
mod events;
mod long_lists;
mod looking;
mod refusals;
mod scripted;
mod settings;
mod sharing;
mod status;

use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::{Method, Request, Response};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::UnixStream;
use tokio::sync::watch;

use scripted::{Script, schedule};

use super::callers::peer::{Caller, Permission};
use super::memory_log::MemoryLog;
use super::{
    Adapters, Admin, AdminInfo, CallerContext, LogSource, RefusalCount, SocketAccess, bind,
};
use crate::api::views::CheckView;
use crate::model::{
    AttemptReport, Clock, DeliveryId, DeliveryState, Event, EventId, Header, Now, Outcome,
    RequestHead, ResponseHead, Seq,
};
use crate::record::{AttemptFinished, Consequence, Record};
use crate::scheduler::{Handle, ShareCounts, TailLine, channel};

const NOW: Now = Now { mono_ms: 65_000, wall_ms: 1_800_000_000_000 };

struct AdminWorld {
    admin: Arc<Admin>,
    socket: PathBuf,
    script: Arc<Mutex<Script>>,
    log: Arc<MemoryLog>,
    tail: tokio::sync::broadcast::Sender<Arc<TailLine>>,
    shares: Arc<ShareCounts>,
    stop: watch::Sender<bool>,
    served: tokio::task::JoinHandle<()>,
    _folder: tempfile::TempDir,
}

impl AdminWorld {
    fn new() -> Self {
        Self::with(MemoryLog::starting_at(1))
    }

    fn with(log: MemoryLog) -> Self {
        Self::with_adapters(log, |_| {})
    }

    /// With other functions of other modules than those that answer at once.
    fn with_adapters(log: MemoryLog, change: impl FnOnce(&mut Adapters)) -> Self {
        Self::with_admin(log, |admin| change(&mut admin.adapters))
    }

    /// With a clock that goes on by so many milliseconds whenever it is read.
    fn with_fast_clock(step_ms: u64) -> Self {
        let read = AtomicU64::new(0);
        let clock: Clock = Arc::new(move || {
            let mono_ms = NOW.mono_ms + read.fetch_add(step_ms, Ordering::AcqRel);
            Now { mono_ms, ..NOW }
        });
        Self::with_admin(MemoryLog::starting_at(1), |admin| admin.clock = clock)
    }

    fn with_admin(log: MemoryLog, change: impl FnOnce(&mut Admin)) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let socket = folder.path().join("admin.sock");
        let listener = bind(&socket, SocketAccess::default()).expect("bound");
        let (handle, channels) = channel();

        let script = Script::with_one_source_and_two_endpoints();
        channels.directory.send_replace(script.directory());
        channels.health.accepting.store(true, Ordering::Release);
        let tail = channels.tail.clone();
        let shares = handle.shares().clone();
        let clock: Clock = Arc::new(|| NOW);
        shares.read_time_from(&clock);
        let script = Arc::new(Mutex::new(script));
        schedule(channels, script.clone());

        let log = Arc::new(log);
        let mut admin = admin(handle, log.clone());
        change(&mut admin);
        let admin = Arc::new(admin);
        let (stop, stopped) = watch::channel(false);
        let served = tokio::spawn(admin.clone().serve(listener, stopped));
        Self { admin, socket, script, log, tail, shares, stop, served, _folder: folder }
    }

    /// A connection of a member of the group, and what ends when it has ended for the daemon.
    fn connect_as(&self, uid: u32) -> (UnixStream, tokio::task::JoinHandle<()>) {
        let (ours, theirs) = UnixStream::pair().expect("a pair of sockets");
        let caller = Caller { uid, gid: 990, pid: None, may: Permission::Operate };
        let stop = self.stop.subscribe();
        (ours, tokio::spawn(self.admin.for_caller(caller).connection(theirs, stop)))
    }

    async fn send(
        &self,
        method: &str,
        path: &str,
        body: impl Into<Bytes>,
    ) -> Response<hyper::body::Incoming> {
        let stream = UnixStream::connect(&self.socket).await.expect("connected");
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.expect("shaken");
        tokio::spawn(connection);
        let method = Method::from_bytes(method.as_bytes()).expect("a method");
        let request = Request::builder().method(method).uri(path).header("host", "x");
        sender
            .send_request(request.body(Full::new(body.into())).expect("a request"))
            .await
            .expect("answered")
    }

    async fn text(&self, method: &str, path: &str, body: impl Into<Bytes>) -> (u16, String) {
        let response = self.send(method, path, body).await;
        let status = response.status().as_u16();
        let bytes = response.into_body().collect().await.expect("a whole body").to_bytes();
        (status, String::from_utf8(bytes.to_vec()).expect("text"))
    }

    async fn json(&self, method: &str, path: &str, body: Value) -> (u16, Value) {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let (status, text) = self.text(method, path, body).await;
        (
            status,
            serde_json::from_str(&text).unwrap_or_else(|e| panic!("{method} {path}: {e}: {text}")),
        )
    }

    async fn rows(&self, path: &str) -> Vec<Value> {
        let (status, text) = self.text("GET", path, "").await;
        assert_eq!(status, 200, "{path}: {text}");
        text.lines().map(|l| serde_json::from_str(l).expect("JSON")).collect()
    }

    async fn ids(&self, path: &str) -> Vec<String> {
        self.rows(path)
            .await
            .iter()
            .map(|r| r["id"].as_str().unwrap_or_else(|| panic!("{r}")).to_owned())
            .collect()
    }

    fn script(&self) -> std::sync::MutexGuard<'_, Script> {
        self.script.lock().expect("not poisoned")
    }

    fn event(&self, kind: &str, fan_out: &[u32]) -> EventId {
        let id = EventId { seq: self.log.durable() + 1, tag: 5 };
        let event = event(id, kind);
        self.log.push(Record::EventAccepted {
            event: event.into(),
            dedupe: None,
            fan_out: fan_out.to_vec(),
            beside: Default::default(),
            ran_ms: 0,
        });
        id
    }

    fn attempt(&self, delivery: DeliveryId, number: u32, next: Consequence) -> Seq {
        let (status, outcome) = match next {
            Consequence::Delivered => (200, Outcome::Delivered),
            _ => (503, Outcome::Retryable { after_ms: None }),
        };

        self.reported(delivery, number, next, report(status, outcome))
    }

    fn reported(
        &self,
        delivery: DeliveryId,
        number: u32,
        next: Consequence,
        report: AttemptReport,
    ) -> Seq {
        self.log.push(Record::AttemptFinished(Box::new(AttemptFinished {
            delivery,
            event: delivery.seq,
            number,
            report,
            next,
            prev: 0,
            position: None,
            low: 0,
            key: None,
            uncounted: false,
            failing_ms: 0,
            born: 0,
            ran_ms: 0,
            restraint: None,
            source: 0,
        })))
    }

    fn set(&self, id: DeliveryId, state: DeliveryState) {
        self.script().states.insert(id, (state, None));
    }

    /// A delivery that died; its dead letter number is remembered.
    fn dead(&self, kind: &str, endpoint: u32) -> DeliveryId {
        let id = DeliveryId { seq: self.event(kind, &[endpoint]).seq, endpoint };
        let dead_letter_seq =
            self.attempt(id, 3, Consequence::Dead { reason: "3 attempts failed".into() });
        self.set(id, DeliveryState::Dead);
        self.script().dead_letter_seqs.push(dead_letter_seq);
        id
    }
}

/// The API over a scripted scheduler, with functions of other modules that answer at once.
fn admin(handle: Handle, log: Arc<MemoryLog>) -> Admin {
    Admin {
        handle,
        log,
        clock: Arc::new(|| NOW),
        random: Arc::new(|bytes| bytes.fill(0x41)),
        refusals: Arc::new(|| {
            vec![RefusalCount { source: "github".into(), kind: "mismatch".into(), count: 2 }]
        }),
        info: AdminInfo {
            version: "0.1.0".into(),
            listen: vec!["127.0.0.1:8420".into()],
            ..AdminInfo::default()
        },

        adapters: Adapters {
            check: Arc::new(|source, request, at| CheckView {
                accepted: true,
                reason: format!("{} {} {at}", source.name, request.body.len()),
                ..(Adapters::default().check)(source, request, at)
            }),
            check_source: Arc::new(|s| {
                if s.verify == "no-such" { Err("no such scheme".into()) } else { Ok(()) }
            }),
            ..Adapters::default()
        },
        context: CallerContext::default(),
    }
}

fn report(status: u16, outcome: Outcome) -> AttemptReport {
    AttemptReport {
        started_at: NOW.wall_ms - 1000,
        duration_ms: 12,
        connect_ms: None,
        outcome,
        request: RequestHead { method: "POST".into(), url: "http://a/".into(), headers: vec![] },
        response: Some(ResponseHead { status, headers: vec![], body: Bytes::from_static(b"no") }),
        error: None,
        fault: None,
        command: None,
    }
}

fn event(id: EventId, kind: &str) -> Event {
    Event {
        id,
        source: 3,
        source_name: "github".into(),
        kind: kind.into(),
        received_at: NOW.wall_ms - 60_000 + id.seq,
        dedupe_key: Some("k".into()),
        request_line: "POST /in/github".into(),
        remote: "127.0.0.1:1".into(),
        headers: vec![Header::new("content-type", "application/json")],
        body: Bytes::from_static(b"{}"),
        from_provider: false,
        first_id: None,
    }
}
