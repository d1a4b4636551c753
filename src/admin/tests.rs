//! The door over a real socket, with a scripted scheduler behind it and a log in memory.

use std::collections::{HashMap, HashSet};
use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::{Method, Request, Response};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::sync::watch;

use super::logview::MemoryLog;
use super::{Admin, AdminInfo, LogView, ROUTES, RefusalCount, Seams, bind};
use crate::model::{
    AttemptReport, DeliveryId, DeliveryState, Endpoint, Event, EventId, HoldReason, Now, Outcome, RequestHead,
    ResponseHead, Seq, Source, limits,
};
use crate::queue::{
    Accepted, Command, DeliveryView, EndpointView, EventView, Input, Query, Refusal, Reply, RetryView, Status,
};
use crate::record::{AttemptFinished, DeadLetter, Next, Record};
use crate::scheduler::handle::door;
use crate::scheduler::{Directory, Door, TailLine};

const NOW: Now = Now { mono_ms: 65_000, wall_ms: 1_800_000_000_000 };

/// What the scripted scheduler knows and was told.
#[derive(Default)]
struct Script {
    sources: Vec<Arc<Source>>,
    endpoints: Vec<Arc<Endpoint>>,
    held: HashSet<String>,
    states: HashMap<DeliveryId, (DeliveryState, Option<RetryView>)>,
    graves: Vec<Seq>,
    stands: HashMap<Seq, Seq>,
    duplicates: HashMap<Seq, u32>,
    commands: Vec<Command>,
    accepted: Vec<Input>,
}

impl Script {
    fn directory(&self) -> Arc<Directory> {
        let by = |key: fn(&Source) -> String| self.sources.iter().map(|s| (key(s), s.clone())).collect();
        Arc::new(Directory {
            sources_by_path: by(|s| s.path().trim_start_matches("/in/").to_owned()),
            sources_by_name: by(|s| s.name.clone()),
            former_endpoints: std::collections::HashMap::new(),
            endpoints: self.endpoints.clone(),
            salt: 7,
        })
    }

    fn command(&mut self, command: Command) -> Reply {
        self.commands.push(command.clone());
        let missing = |what, name: &str| Reply::Refused(Refusal::NotFound { what, name: name.to_owned() });
        match command {
            Command::CreateSource(source) if self.sources.iter().any(|s| s.name == source.name) => {
                Reply::Refused(Refusal::Exists { what: "source", name: source.name })
            }
            Command::CreateSource(source) | Command::UpdateSource(source) => {
                self.sources.retain(|s| s.name != source.name);
                let source = Arc::new(*source);
                self.sources.push(source.clone());
                Reply::Source(source)
            }
            Command::DeleteSource { name } => {
                self.sources.retain(|s| s.name != name);
                Reply::Done { count: 1 }
            }
            Command::CreateEndpoint(endpoint) | Command::UpdateEndpoint(endpoint) => {
                self.endpoints.retain(|e| e.name != endpoint.name);
                let endpoint = Arc::new(*endpoint);
                self.endpoints.push(endpoint.clone());
                Reply::Endpoint(endpoint)
            }
            Command::DeleteEndpoint { name } | Command::HoldEndpoint { name } | Command::ReleaseEndpoint { name }
                if !self.endpoints.iter().any(|e| e.name == name) =>
            {
                missing("endpoint", &name)
            }
            Command::DeleteEndpoint { name } => {
                self.endpoints.retain(|e| e.name != name);
                Reply::Done { count: 3 }
            }
            Command::HoldEndpoint { name } => {
                self.held.insert(name);
                Reply::Done { count: 1 }
            }
            Command::ReleaseEndpoint { name } => {
                self.held.remove(&name);
                Reply::Done { count: 1 }
            }
            Command::Cancel { deliveries } => Reply::Done { count: deliveries.len() },
            Command::Retry { deliveries } | Command::Discard { deliveries } => {
                self.graves.retain(|g| !deliveries.iter().any(|d| d.grave == Some(*g)));
                Reply::Done { count: deliveries.len() }
            }
            Command::Import { events } => Reply::Done { count: events.len() },
            Command::StartReplay { filter, rate, next, end } => {
                Reply::Replay(crate::record::Replay { id: 1, filter, next, end, rate, started_at: 0 })
            }
        }
    }

    fn ask(&self, query: Query) -> Reply {
        match query {
            Query::Status => Reply::Status(Box::new(Status { events: 3, pending: 2, dead: 1, ..Status::default() })),
            Query::Endpoints => Reply::Endpoints(self.endpoints.iter().map(|e| self.view(e)).collect()),
            Query::Deliveries(ids) => {
                let view = |id: DeliveryId| {
                    let (state, retry) = self.states.get(&id).copied().unwrap_or((DeliveryState::Pending, None));
                    DeliveryView { delivery: id, state, retry }
                };
                Reply::Deliveries(ids.into_iter().map(view).collect())
            }
            Query::Graves { before, limit } => {
                let mut graves: Vec<Seq> = self.graves.iter().copied().filter(|g| *g < before).collect();
                graves.sort_unstable_by_key(|g| std::cmp::Reverse(*g));
                graves.truncate(limit);
                Reply::Graves(graves)
            }
            Query::Events(seqs) => {
                let view = |seq: Seq| EventView {
                    seq,
                    duplicates: self.duplicates.get(&seq).copied().unwrap_or(0),
                    stands_at: self.stands.get(&seq).copied().unwrap_or(seq),
                };
                Reply::Events(seqs.into_iter().map(view).collect())
            }
            Query::Replays => Reply::Replays(vec![]),
            Query::Imported(_) => Reply::Imported(None),
            Query::Retrying { .. }
            | Query::Alive { .. }
            | Query::Explain { .. }
            | Query::OldestGraves { .. }
            | Query::Lives { .. } => Reply::Refused(Refusal::Busy),
        }
    }

    fn view(&self, endpoint: &Arc<Endpoint>) -> EndpointView {
        EndpointView {
            endpoint: endpoint.clone(),
            hold: self.held.contains(&endpoint.name).then_some((HoldReason::Operator, 5)),
            waiting: 2,
            in_flight: 0,
            retrying: 1,
            delivered: 4,
            dead: 1,
            last_error: Some("connection refused".into()),
            last_success_at: None,
            flow: crate::queue::FlowView::default(),
        }
    }
}

/// Answers until every handle is gone.
fn schedule(door: Door, script: Arc<Mutex<Script>>) {
    std::thread::spawn(move || {
        while let Ok(envelope) = door.inputs.recv() {
            let mut script = script.lock().expect("not poisoned");
            let reply = match *envelope.input {
                Input::Command(command) => script.command(command),
                Input::Ask(query) => script.ask(query),
                accept @ Input::Accept(_) => {
                    script.accepted.push(accept);
                    Reply::Accepted(vec![Accepted { id: EventId { seq: 99, tag: 1 }, duplicate: false }])
                }
                other => panic!("the door only commands, asks and accepts: {other:?}"),
            };
            door.directory.send_replace(script.directory());
            drop(script);
            drop(envelope.permit);
            if let Some(sender) = envelope.reply {
                let _ = sender.send(reply);
            }
        }
    });
}

struct World {
    socket: PathBuf,
    script: Arc<Mutex<Script>>,
    log: Arc<MemoryLog>,
    tail: tokio::sync::broadcast::Sender<Arc<TailLine>>,
    stop: watch::Sender<bool>,
    served: tokio::task::JoinHandle<()>,
    _folder: tempfile::TempDir,
}

impl World {
    fn new() -> Self {
        Self::with(MemoryLog::starting_at(1))
    }

    fn with(log: MemoryLog) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let socket = folder.path().join("admin.sock");
        let listener = bind(&socket).expect("bound");
        let (handle, door) = door();
        let mut source = Source::new("github", "github");
        source.id = 3;
        let mut endpoints = [Endpoint::new("app", "http://a/"), Endpoint::new("crm", "http://b/")];
        endpoints[0].id = 1;
        endpoints[1].id = 2;
        let script = Script {
            sources: vec![Arc::new(source)],
            endpoints: endpoints.into_iter().map(Arc::new).collect(),
            ..Script::default()
        };
        door.directory.send_replace(script.directory());
        door.health.accepting.store(true, Ordering::Release);
        let tail = door.tail.clone();
        let script = Arc::new(Mutex::new(script));
        schedule(door, script.clone());
        let log = Arc::new(log);
        let admin = Arc::new(Admin {
            handle,
            log: log.clone(),
            clock: Arc::new(|| NOW),
            random: Arc::new(|bytes| bytes.fill(0x41)),
            refusals: Arc::new(|| vec![RefusalCount { source: "github".into(), kind: "mismatch".into(), count: 2 }]),
            info: AdminInfo { version: "0.1.0".into(), listen: vec!["127.0.0.1:8420".into()], ..AdminInfo::default() },
            seams: Seams {
                check: Arc::new(
                    |source, request, at| json!({"accepted": true, "reason": format!("{} {} {at}", source.name, request.body.len())}),
                ),
                check_source: Arc::new(|s| if s.verify == "no-such" { Err("no such scheme".into()) } else { Ok(()) }),
                ..Seams::default()
            },
        });
        let (stop, stopped) = watch::channel(false);
        let served = tokio::spawn(admin.serve(listener, stopped));
        Self { socket, script, log, tail, stop, served, _folder: folder }
    }

    async fn send(&self, method: &str, path: &str, body: impl Into<Bytes>) -> Response<hyper::body::Incoming> {
        let stream = UnixStream::connect(&self.socket).await.expect("connected");
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.expect("shaken");
        tokio::spawn(connection);
        let method = Method::from_bytes(method.as_bytes()).expect("a method");
        let request = Request::builder().method(method).uri(path).header("host", "x");
        sender.send_request(request.body(Full::new(body.into())).expect("a request")).await.expect("answered")
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
        (status, serde_json::from_str(&text).unwrap_or_else(|e| panic!("{method} {path}: {e}: {text}")))
    }

    async fn rows(&self, path: &str) -> Vec<Value> {
        let (status, text) = self.text("GET", path, "").await;
        assert_eq!(status, 200, "{path}: {text}");
        text.lines().map(|l| serde_json::from_str(l).expect("JSON")).collect()
    }

    async fn ids(&self, path: &str) -> Vec<String> {
        self.rows(path).await.iter().map(|r| r["id"].as_str().unwrap_or_else(|| panic!("{r}")).to_owned()).collect()
    }

    fn script(&self) -> std::sync::MutexGuard<'_, Script> {
        self.script.lock().expect("not poisoned")
    }

    fn event(&self, kind: &str, fan_out: &[u32]) -> EventId {
        let id = EventId { seq: self.log.durable() + 1, tag: 5 };
        let event = event(id, kind);
        self.log.push(Record::EventAccepted { event: event.into(), dedupe: None, fan_out: fan_out.to_vec() });
        id
    }

    fn attempt(&self, delivery: DeliveryId, number: u32, next: Next) -> Seq {
        let status = if next == Next::Delivered { 200 } else { 503 };
        let outcome = if next == Next::Delivered { Outcome::Delivered } else { Outcome::Retryable { after_ms: None } };
        self.log.push(Record::AttemptFinished(Box::new(AttemptFinished {
            delivery,
            event: delivery.seq,
            number,
            report: AttemptReport {
                started_at: NOW.wall_ms - 1000,
                duration_ms: 12,
                connect_ms: None,
                outcome,
                request: RequestHead { method: "POST".into(), url: "http://a/".into(), headers: vec![] },
                response: Some(ResponseHead { status, headers: vec![], body: Bytes::from_static(b"no") }),
                error: None,
                fault: None,
                command: None,
            },
            next,
            prev: 0,
            position: None,
            low: 0,
            key: None,
            spared: false,
            failing_ms: 0,
        })))
    }

    fn set(&self, id: DeliveryId, state: DeliveryState) {
        self.script().states.insert(id, (state, None));
    }

    /// A delivery that died; its grave is remembered.
    fn dead(&self, kind: &str, endpoint: u32) -> DeliveryId {
        let id = DeliveryId { seq: self.event(kind, &[endpoint]).seq, endpoint };
        let grave = self.attempt(id, 3, Next::Dead { reason: "3 attempts failed".into() });
        self.set(id, DeliveryState::Dead);
        self.script().graves.push(grave);
        id
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
        headers: vec![crate::model::Header::new("content-type", "application/json")],
        body: Bytes::from_static(b"{}"),
        from_provider: false,
        first_id: None,
    }
}

#[tokio::test]
async fn status_metrics_and_the_document_answer() {
    let world = World::new();
    let (status, body) = world.json("GET", "/v1/status", Value::Null).await;
    assert_eq!(status, 200);
    assert_eq!(body["deliveries"]["pending"], 2);
    assert_eq!((body["uptime_s"].as_u64(), body["refused"]["mismatch"].as_u64()), (Some(65), Some(2)));
    assert_eq!(body["log"]["bytes"], 2000);
    let (_, metrics) = world.text("GET", "/metrics", "").await;
    for line in [
        "hookbox_events_total 3",
        "hookbox_deliveries{state=\"dead\"} 1",
        "hookbox_endpoint_waiting{endpoint=\"app\"} 2",
        "hookbox_refused_total{source=\"github\",reason=\"mismatch\"} 2",
    ] {
        assert!(metrics.lines().any(|l| l == line), "{line} in {metrics}");
    }
    let (_, document) = world.json("GET", "/v1/openapi.json", Value::Null).await;
    for route in ROUTES {
        let operation = &document["paths"][route.path][route.method.to_lowercase()];
        assert!(operation["responses"].is_object(), "{} {} is not in openapi.json", route.method, route.path);
    }
    let told: usize =
        document["paths"].as_object().expect("paths").values().map(|p| p.as_object().map_or(0, |o| o.len())).sum();
    assert_eq!(told, ROUTES.len(), "openapi.json tells of routes that are not there");
}

#[tokio::test]
async fn sources_are_made_changed_and_deleted_and_secrets_shown_once() {
    let world = World::new();
    let body = json!({"name": "shop", "verify": "apikey", "generate_secret": true, "token": true, "params": {"in": "header", "admin_token": "x"},
        "allow": ["192.0.2.0/24"], "dedupe_window_ms": "1h", "type_header": "X-Kind"});
    let (status, made) = world.json("POST", "/v1/sources", body).await;
    assert_eq!(status, 201, "{made}");
    let secret = made["secret"].as_str().expect("shown once").to_owned();
    assert!(secret.starts_with("whsec_") && made["path"].as_str().is_some_and(|p| p.len() > 30), "{made}");
    assert_eq!(made["dedupe_window_ms"], 3_600_000);
    assert_eq!(
        (made["type_header"].as_str(), made["params"]["admin_token"].as_str()),
        (Some("x-kind"), Some("(hidden)"))
    );
    for path in ["/v1/sources", "/v1/sources/shop"] {
        let (_, text) = world.text("GET", path, "").await;
        assert!(!text.contains(&secret) && text.contains("shop"), "{path}: {text}");
    }
    let (status, again) = world.json("POST", "/v1/sources", json!({"name": "shop"})).await;
    assert_eq!((status, again["detail"].as_str().is_some_and(|d| d.contains("exists already"))), (409, true));
    let (_, changed) = world.json("PATCH", "/v1/sources/shop", json!({"max_body": 10, "allow": null})).await;
    assert_eq!(
        (&changed["max_body"], &changed["allow"], &changed["verify"]),
        (&json!(10), &json!([]), &json!("apikey"))
    );
    let (_, rotated) = world.json("POST", "/v1/sources/shop/rotate-secret", json!({"secret": "mine"})).await;
    assert!(rotated.get("secret").is_none(), "a given secret is not told again: {rotated}");
    let secrets = world.script().sources.iter().find(|s| s.name == "shop").expect("there").secrets.clone();
    assert_eq!((secrets[0].secret.0.as_str(), secrets[0].expires_at), ("mine", None));
    assert_eq!(secrets[1].expires_at, Some(NOW.wall_ms + limits::ROTATION_MS));
    let (_, rotated) = world.json("POST", "/v1/sources/shop/rotate-secret", json!({"now": true})).await;
    assert_eq!(rotated["secrets"].as_array().map(Vec::len), Some(1));
    let (status, _) = world.json("DELETE", "/v1/sources/shop?verify=bin", Value::Null).await;
    assert_eq!(status, 400);
    assert_eq!(world.json("DELETE", "/v1/sources/shop", Value::Null).await.0, 200);
    assert_eq!(world.json("GET", "/v1/sources/shop", Value::Null).await.0, 404);
}

#[tokio::test]
async fn a_bin_gets_a_name_a_token_and_an_end() {
    let world = World::new();
    let (status, bin) =
        world.json("POST", "/v1/sources", json!({"verify": "bin", "token": true, "ttl_ms": "1h"})).await;
    assert_eq!(status, 201, "{bin}");
    assert!(bin["name"].as_str().is_some_and(|n| n.starts_with("bin-")) && bin["path"] != json!("/in/bin-x"));
    assert_eq!(bin["expires_at"], crate::model::time::rfc3339(NOW.wall_ms + 3_600_000));
    assert_eq!(world.rows("/v1/sources?verify=bin").await.len(), 1);
    assert_eq!(world.rows("/v1/sources").await.len(), 2);
}

#[tokio::test]
async fn endpoints_are_made_changed_held_and_deleted() {
    let world = World::new();
    let body = json!({"name": "ci", "url": "http://127.0.0.1:1/", "types": ["push*"], "retry_base_ms": "2s", "rate": "10/s", "order": "strict"});
    let (status, made) = world.json("POST", "/v1/endpoints", body).await;
    assert_eq!(status, 201, "{made}");
    assert!(made["secret"].as_str().is_some_and(|s| s.starts_with("whsec_")), "one is made by default: {made}");
    assert_eq!(
        (&made["retry_base_ms"], &made["rate"], &made["state"]),
        (&json!(2000), &json!("10/s"), &json!("active"))
    );
    let (_, changed) = world.json("PATCH", "/v1/endpoints/ci", json!({"rate": null, "jitter": 0.5})).await;
    assert_eq!(
        (&changed["rate"], &changed["jitter"], &changed["order"]),
        (&Value::Null, &json!(0.5), &json!("strict"))
    );
    let (_, held) = world.json("POST", "/v1/endpoints/ci/hold", Value::Null).await;
    assert_eq!((&held["state"], &held["held_reason"]), (&json!("held"), &json!("operator")));
    assert_eq!(world.rows("/v1/endpoints?state=held").await.len(), 1);
    let (_, released) = world.json("POST", "/v1/endpoints/ci/release", Value::Null).await;
    assert_eq!(released["state"], "active");
    assert_eq!(world.json("POST", "/v1/endpoints/ci/test", Value::Null).await.0, 501);
    let (_, rotated) = world.json("POST", "/v1/endpoints/ci/rotate-secret", Value::Null).await;
    assert!(rotated["secret"].is_string() && rotated["secrets"].as_array().is_some_and(|s| s.len() == 2), "{rotated}");
    assert_eq!(world.json("DELETE", "/v1/endpoints/ci", Value::Null).await.1["cancelled"], 3);
    for (method, path) in
        [("POST", "/v1/endpoints/ci/hold"), ("GET", "/v1/endpoints/ci"), ("DELETE", "/v1/endpoints/ci")]
    {
        assert_eq!(world.json(method, path, Value::Null).await.0, 404, "{method} {path}");
    }
}

#[tokio::test]
async fn what_is_wrong_is_refused_in_words() {
    let world = World::new();
    for (path, body, expected) in [
        ("/v1/sources", json!({"name": "a b"}), "cannot be a name"),
        ("/v1/sources", json!({}), "'name' is missing"),
        ("/v1/sources", json!({"name": "a", "colour": 1}), "unknown field 'colour'"),
        ("/v1/sources", json!({"name": "a", "allow": ["10/99"]}), "not a network"),
        ("/v1/sources", json!({"name": "a", "max_body": 1_u64 << 40}), "'max_body': is from 1"),
        ("/v1/sources", json!({"name": "a", "dedupe_window_ms": "soon"}), "not a duration"),
        ("/v1/sources", json!({"name": "a", "secret": "x", "generate_secret": true}), "not both"),
        ("/v1/sources", json!({"name": "a", "verify": "no-such"}), "no such scheme"),
        ("/v1/sources", json!({"name": "a", "public_url": "x"}), "not a URL"),
        ("/v1/endpoints", json!({"name": "a", "url": "gopher://x/"}), "not a URL"),
        ("/v1/endpoints", json!({"name": "a", "url": "http://x/", "jitter": 2}), "from 0 to 1"),
        ("/v1/endpoints", json!({"name": "a", "url": "http://x/", "retry_factor": 0.5}), "from 1 to 100"),
        ("/v1/endpoints", json!({"name": "a", "url": "http://x/", "concurrency": 1000}), "from 1 to 256"),
        ("/v1/endpoints", json!({"name": "a", "url": "http://x/", "timeout_ms": "1h"}), "from 1ms to 5m"),
        ("/v1/endpoints", json!({"name": "a", "url": "http://x/", "retry_max_ms": 5, "retry_base_ms": 9}), "less than"),
        ("/v1/events", json!({"source": "github"}), "'data' is missing"),
        ("/v1/events", json!({"source": "github", "data_base64": "%"}), "not base64"),
        ("/v1/dlq/retry", json!({}), "which dead letters"),
        ("/v1/dlq/discard", json!({"ids": ["x"]}), "looks like dlv_"),
        ("/v1/replays", json!({}), "which events"),
        ("/v1/replays", json!({"source": "x", "rate": "1/h"}), "at least"),
        ("/v1/deliveries/retry", json!({"ids": []}), "is empty"),
    ] {
        let (status, problem) = world.json("POST", path, body.clone()).await;
        let detail = problem["detail"].as_str().unwrap_or_default();
        assert!(status == 400 && detail.contains(expected), "{path} {body}: {status} {problem}");
    }
    for path in [
        "/v1/events?limit=0",
        "/v1/events?colour=1",
        "/v1/events?since=tea",
        "/v1/events?after=x",
        "/v1/events?source=a&source=b",
        "/v1/events/nonsense",
        "/v1/deliveries?state=lost",
        "/v1/dlq?state=held",
        "/v1/tail?follow=perhaps",
        "/v1/sources/%ff",
    ] {
        assert_eq!(world.json("GET", path, Value::Null).await.0, 400, "{path}");
    }
    assert!(world.script().commands.is_empty(), "nothing reached the queue");
}

#[tokio::test]
async fn malformed_oversized_and_unknown_requests_are_bounded() {
    let world = World::new();
    let (status, problem) = world.text("POST", "/v1/sources", "{not json").await;
    assert!(status == 400 && problem.contains("the body is not as asked for"), "{problem}");
    assert_eq!(world.json("GET", "/v2/x", Value::Null).await.0, 404);
    let response = world.send("PUT", "/v1/status", "").await;
    assert_eq!(response.status(), 405);
    assert_eq!(response.headers()["allow"], "GET");
    let kind = response.headers()["content-type"].clone();
    assert_eq!(kind, "application/problem+json");

    let mut stream = UnixStream::connect(&world.socket).await.expect("connected");
    stream.write_all(b"\x00\x01garbage\r\n\r\n").await.expect("sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.expect("closed");
    assert!(answer.starts_with("HTTP/1.1 400"), "{answer}");

    let mut stream = UnixStream::connect(&world.socket).await.expect("connected");
    let head =
        |path: &str, length: usize| format!("POST {path} HTTP/1.1\r\nhost: x\r\ncontent-length: {length}\r\n\r\n");
    stream.write_all(head("/v1/events", limits::ADMIN_BODY + 1).as_bytes()).await.expect("sent");
    let mut answer = vec![0; 12];
    stream.read_exact(&mut answer).await.expect("answered before the body");
    assert_eq!(answer, b"HTTP/1.1 413");

    let settings = vec![b' '; (1 << 20) + 1];
    assert_eq!(world.send("POST", "/v1/sources", settings).await.status(), 413, "settings are small");
    let large = json!({"source": "none", "data": "x".repeat(2 << 20)});
    assert_eq!(world.json("POST", "/v1/events", large).await.0, 404, "events may be large");
}

#[tokio::test]
async fn one_connection_too_many_is_told_so() {
    let world = World::new();
    let mut held = Vec::new();
    for _ in 0..limits::ADMIN_CONNECTIONS {
        let mut stream = UnixStream::connect(&world.socket).await.expect("connected");
        // Answered, so that its place is taken before the next one comes.
        stream.write_all(b"GET /v1/replays HTTP/1.1\r\nhost: x\r\n\r\n").await.expect("sent");
        stream.read_exact(&mut [0; 12]).await.expect("answered");
        held.push(stream);
    }
    let mut last = UnixStream::connect(&world.socket).await.expect("connected");
    let mut answer = String::new();
    last.read_to_string(&mut answer).await.expect("closed");
    assert!(answer.starts_with("HTTP/1.1 503") && answer.contains("too many"), "{answer}");
}

#[tokio::test]
async fn events_are_listed_newest_first_filtered_and_paged() {
    let world = World::new();
    let ids: Vec<EventId> =
        ["push", "ping", "push", "issue.opened"].iter().map(|kind| world.event(kind, &[1])).collect();
    world.script().duplicates.insert(1, 4);
    let shown = |picked: &[usize]| picked.iter().map(|i| ids[*i].to_string()).collect::<Vec<_>>();
    assert_eq!(world.ids("/v1/events").await, shown(&[3, 2, 1, 0]));
    assert_eq!(world.ids("/v1/events?limit=2").await, shown(&[3, 2]));
    assert_eq!(world.ids(&format!("/v1/events?limit=2&after={}", ids[2])).await, shown(&[1, 0]));
    assert_eq!(world.ids("/v1/events?type=push").await, shown(&[2, 0]));
    assert_eq!(world.ids("/v1/events?type=issue.*&source=github").await, shown(&[3]));
    assert_eq!(world.ids("/v1/events?source=other").await, shown(&[]));
    let since = crate::model::time::rfc3339(NOW.wall_ms - 60_000 + 3);
    assert_eq!(world.ids(&format!("/v1/events?since={since}")).await, shown(&[3, 2]));
    assert_eq!(world.ids(&format!("/v1/events?until={since}")).await, shown(&[1, 0]));
    assert_eq!(world.rows("/v1/events").await[3]["duplicates"], 4);
    let (_, one) = world.json("GET", &format!("/v1/events/{}", ids[0]), Value::Null).await;
    assert_eq!((&one["body_base64"], &one["headers"]["content-type"]), (&json!("e30="), &json!("application/json")));
    assert_eq!(one["deliveries"][0]["endpoint"], "app");
    let forged = EventId { tag: 6, ..ids[0] };
    assert_eq!(world.json("GET", &format!("/v1/events/{forged}"), Value::Null).await.0, 404);
}

#[tokio::test]
async fn carried_events_are_listed_once_where_they_stand() {
    let world = World::with(MemoryLog::starting_at(10));
    let old = EventId { seq: 2, tag: 5 };
    let delivery = DeliveryId { seq: 2, endpoint: 1 };
    let carried = || Record::EventCarried { seq: 2, event: event(old, "old").into(), fan_out: vec![1] };
    world.log.push(carried());
    world.log.push(carried());
    world.script().stands.insert(2, 11);
    let new = world.event("new", &[1]);
    assert_eq!(world.ids("/v1/events").await, [new.to_string(), old.to_string()]);
    assert_eq!(world.ids(&format!("/v1/events?after={new}")).await, [old.to_string()]);
    assert_eq!(world.ids(&format!("/v1/events?after={old}")).await, [""; 0]);
    assert_eq!(world.json("GET", &format!("/v1/events/{old}"), Value::Null).await.0, 200);
    let rows = world.rows("/v1/deliveries").await;
    assert_eq!((rows.len(), &rows[1]["id"]), (2, &json!(delivery.to_string())));
    assert_eq!(world.json("GET", &format!("/v1/deliveries/{delivery}"), Value::Null).await.0, 200);
}

#[tokio::test]
async fn deliveries_are_classified_counted_and_paged() {
    let world = World::new();
    let first = world.event("push", &[1, 2]).seq;
    let second = world.event("ping", &[1]).seq;
    let (a, b, c) = (
        DeliveryId { seq: first, endpoint: 1 },
        DeliveryId { seq: first, endpoint: 2 },
        DeliveryId { seq: second, endpoint: 1 },
    );
    world.attempt(a, 1, Next::Retry { due_at: 5, delay_ms: 5000, age_ms: 0 });
    world.attempt(a, 2, Next::Delivered);
    let last = world.attempt(b, 1, Next::Retry { due_at: NOW.wall_ms + 5000, delay_ms: 5000, age_ms: 0 });
    let replayed = world.log.push(Record::Replayed { event: first, endpoint: 2, at: NOW.wall_ms });
    let d = DeliveryId { seq: replayed, endpoint: 2 };
    world.set(a, DeliveryState::Delivered);
    let retry = RetryView { attempts: 1, due_at: NOW.wall_ms + 5000, last, event: first };
    world.script().states.insert(b, (DeliveryState::Pending, Some(retry)));
    world.set(c, DeliveryState::Held);
    let shown = |ids: &[DeliveryId]| ids.iter().map(ToString::to_string).collect::<Vec<_>>();
    assert_eq!(world.ids("/v1/deliveries").await, shown(&[d, c, a, b]));
    assert_eq!(world.ids(&format!("/v1/deliveries?after={a}")).await, shown(&[b]));
    assert_eq!(world.ids(&format!("/v1/deliveries?limit=1&after={d}")).await, shown(&[c]));
    assert_eq!(world.ids("/v1/deliveries?endpoint=crm").await, shown(&[d, b]));
    assert_eq!(world.ids("/v1/deliveries?type=ping").await, shown(&[c]));
    assert_eq!(world.ids("/v1/deliveries?state=held").await, shown(&[c]));
    let event = EventId { seq: first, tag: 5 };
    assert_eq!(world.ids(&format!("/v1/deliveries?event={event}")).await, shown(&[d, a, b]));
    let rows = world.rows("/v1/deliveries").await;
    assert_eq!(
        (&rows[2]["attempts"], &rows[2]["due_at"], &rows[2]["state"]),
        (&json!(2), &Value::Null, &json!("delivered"))
    );
    assert_eq!((&rows[3]["attempts"], rows[3]["due_at"].is_string()), (&json!(1), true));
    assert_eq!(rows[0]["event"], event.to_string());
    let (_, one) = world.json("GET", &format!("/v1/deliveries/{a}"), Value::Null).await;
    let history = one["history"].as_array().expect("attempts");
    assert_eq!((history.len(), &history[0]["next"], &history[1]["status"]), (2, &json!("retry"), &json!(200)));
    let stranger = DeliveryId { seq: first, endpoint: 9 };
    assert_eq!(world.json("GET", &format!("/v1/deliveries/{stranger}"), Value::Null).await.0, 404);

    let (status, refused) = world.json("POST", "/v1/deliveries/retry", json!({"ids": [a.to_string()]})).await;
    assert!(status == 409 && refused["detail"].as_str().is_some_and(|d| d.contains("replay")), "{refused}");
    let (_, done) = world.json("POST", "/v1/deliveries/retry", json!({"ids": [b.to_string()]})).await;
    assert_eq!(done, json!({"matched": 1, "queued": 1, "dry_run": false}));
    let told = world.script().commands.pop();
    let Some(Command::Retry { deliveries }) = told else { panic!("{told:?}") };
    assert_eq!((deliveries[0].attempts, deliveries[0].last, deliveries[0].grave), (1, last, None));
    let (_, done) = world.json("POST", "/v1/deliveries/cancel", json!({"ids": [b.to_string(), c.to_string()]})).await;
    assert_eq!(done["cancelled"], 2);
}

#[tokio::test]
async fn dead_letters_are_listed_retried_and_discarded() {
    let world = World::new();
    let dead: Vec<DeliveryId> = (0..3).map(|i| world.dead(if i == 1 { "ping" } else { "push" }, 1 + i % 2)).collect();
    let gone = DeliveryId { seq: world.event("push", &[1]).seq, endpoint: 1 };
    let letter =
        DeadLetter { delivery: gone, event: gone.seq, attempts: 9, died_at: 5, reason: "old age".into(), last: 0 };
    let grave = world.log.push(Record::DeadCarried { dead: letter, grave: 1 });
    world.script().graves.push(grave);
    world.set(gone, DeliveryState::Dead);
    let shown = |ids: &[DeliveryId]| ids.iter().map(ToString::to_string).collect::<Vec<_>>();
    assert_eq!(world.ids("/v1/dlq").await, shown(&[gone, dead[2], dead[1], dead[0]]));
    assert_eq!(world.ids("/v1/deliveries?state=dead").await, shown(&[gone, dead[2], dead[1], dead[0]]));
    assert_eq!(world.ids("/v1/dlq?endpoint=crm").await, shown(&[dead[1]]));
    assert_eq!(world.ids("/v1/dlq?type=ping").await, shown(&[dead[1]]));
    assert_eq!(world.ids(&format!("/v1/dlq?limit=1&after={}", dead[2])).await, shown(&[dead[1]]));
    assert_eq!(world.rows("/v1/dlq").await[0]["reason"], "old age");
    let (_, one) = world.json("GET", &format!("/v1/dlq/{}", dead[0]), Value::Null).await;
    assert_eq!((&one["reason"], one["history"].as_array().map(Vec::len)), (&json!("3 attempts failed"), Some(1)));
    assert_eq!(
        world.rows("/v1/deliveries").await.iter().map(|r| r["attempts"].as_u64()).collect::<Vec<_>>(),
        [Some(9), Some(3), Some(3), Some(3)]
    );

    let (_, dry) = world.json("POST", "/v1/dlq/retry", json!({"all": true, "dry_run": true})).await;
    assert_eq!(dry, json!({"matched": 4, "dry_run": true, "queued": 0}));
    assert!(world.script().commands.is_empty());
    let (_, done) = world.json("POST", "/v1/dlq/retry", json!({"type": "ping"})).await;
    assert_eq!(done, json!({"matched": 1, "dry_run": false, "queued": 1}));
    let absent = DeliveryId { seq: 1, endpoint: 2 }.to_string();
    let both = json!({"ids": [dead[0].to_string(), absent]});
    assert_eq!(world.json("POST", "/v1/dlq/discard", both).await.0, 404);
    let (_, done) = world.json("POST", "/v1/dlq/discard", json!({"ids": [dead[0].to_string()]})).await;
    assert_eq!(done["discarded"], 1);
    assert_eq!(world.ids("/v1/dlq").await, shown(&[gone, dead[2]]));
}

#[tokio::test]
async fn a_delivery_that_died_twice_tells_all_its_attempts() {
    let world = World::new();
    let id = world.dead("push", 1);
    let first_grave = world.script().graves.pop().expect("a grave");
    world.log.push(Record::DeliveryRetried {
        delivery: id,
        at: NOW.wall_ms,
        grave: Some(first_grave),
        event: id.seq,
        attempts: 3,
        last: first_grave,
        in_stream: false,
    });
    let grave = world.attempt(id, 4, Next::Dead { reason: "once more".into() });
    world.script().graves.push(grave);
    assert_eq!(world.rows("/v1/deliveries").await[0]["attempts"], 4);
    let (_, one) = world.json("GET", &format!("/v1/deliveries/{id}"), Value::Null).await;
    assert_eq!((one["history"].as_array().map(Vec::len), &one["operator"][0]["what"]), (Some(2), &json!("retried")));
    assert_eq!(world.rows("/v1/dlq").await[0]["reason"], "once more");
}

#[tokio::test]
async fn mass_operations_go_in_slices() {
    let world = World::new();
    let event = world.event("push", &[1]).seq;
    for endpoint in 0..u32::try_from(limits::SLICE).expect("small") + 10 {
        // Carried graves stand side by side, so that a slice's end is seen to lose none.
        let delivery = DeliveryId { seq: event, endpoint };
        let dead = DeadLetter { delivery, event, attempts: 1, died_at: 5, reason: "x".into(), last: 0 };
        let grave = world.log.push(Record::DeadCarried { dead, grave: 0 });
        world.script().graves.push(grave);
    }
    let (_, done) = world.json("POST", "/v1/dlq/discard", json!({"all": true})).await;
    assert_eq!(done["discarded"], limits::SLICE + 10);
    assert_eq!(world.script().commands.len(), 2);
    assert!(world.script().graves.is_empty());
}

#[tokio::test]
async fn replays_are_counted_before_they_start() {
    let world = World::new();
    let first = world.event("push", &[1, 2]);
    world.event("ping", &[1]);
    let third = world.event("push", &[1, 77]);
    let (_, dry) = world.json("POST", "/v1/replays", json!({"type": "push", "dry_run": true})).await;
    assert_eq!(dry, json!({"matched": 2, "queued": 0, "dry_run": true, "would_queue": 3}));
    let (status, done) = world.json("POST", "/v1/replays", json!({"type": "push", "to": "crm", "rate": "5/s"})).await;
    assert_eq!((status, &done["matched"], &done["queued"]), (202, &json!(2), &json!(2)));
    let told = world.script().commands.pop();
    let Some(Command::StartReplay { rate, next, end, filter }) = told else { panic!("{told:?}") };
    assert_eq!((rate, next, end, filter.to.as_deref()), (Some(5), first.seq, third.seq, Some("crm")));
    let (_, one) = world.json("POST", "/v1/replays", json!({"event": first.to_string()})).await;
    assert_eq!((&one["matched"], &one["queued"]), (&json!(1), &json!(2)));
    let unknown = EventId { seq: 1, tag: 9 }.to_string();
    assert_eq!(world.json("POST", "/v1/replays", json!({"event": unknown})).await.0, 404);
    assert_eq!(world.json("POST", "/v1/replays", json!({"type": "x", "to": "nowhere"})).await.0, 404);
    assert!(world.rows("/v1/replays").await.is_empty());
}

#[tokio::test]
async fn an_event_is_sent_in_with_its_dedupe_key() {
    let world = World::new();
    let body = json!({"source": "github", "type": "push", "id": "order-1", "data": "{\"a\":1}"});
    let (status, sent) = world.json("POST", "/v1/events", body).await;
    assert_eq!((status, &sent["duplicate"]), (202, &json!(false)));
    let accepted = world.script().accepted.pop();
    let Some(Input::Accept(events)) = accepted else { panic!("{accepted:?}") };
    assert_eq!(events[0].dedupe, Some(super::events::fingerprint(7, 3, "order-1")));
    assert_eq!((events[0].kind.as_str(), &events[0].body[..]), ("push", &b"{\"a\":1}"[..]));
    assert_eq!(events[0].headers[0].text(), "application/json");
    world.json("POST", "/v1/events", json!({"source": "github", "data_base64": "/w=="})).await;
    let accepted = world.script().accepted.pop();
    let Some(Input::Accept(events)) = accepted else { panic!("{accepted:?}") };
    assert_eq!((events[0].headers[0].text().as_str(), events[0].dedupe), ("application/octet-stream", None));
    assert_eq!(world.json("POST", "/v1/events", json!({"source": "none", "data": "x"})).await.0, 404);
}

#[tokio::test]
async fn a_request_is_checked_by_the_borrowed_function() {
    let world = World::new();
    let body =
        json!({"method": "POST", "url": "http://x/in/github", "headers": {"A": "b"}, "body_base64": "aGk=", "at": 9});
    let (status, answer) = world.json("POST", "/v1/sources/github/check", body).await;
    assert_eq!((status, &answer["reason"]), (200, &json!("github 2 9")));
    let (status, _) = world.json("POST", "/v1/sources/github/check", json!({"method": "POST"})).await;
    assert_eq!(status, 400);
}

#[tokio::test]
async fn tail_tells_the_past_then_what_passes() {
    let world = World::new();
    let event = world.event("push", &[1]);
    let delivery = DeliveryId { seq: event.seq, endpoint: 1 };
    world.attempt(delivery, 1, Next::Delivered);
    let past = world.rows("/v1/tail").await;
    assert_eq!(
        (&past[0]["what"], &past[1]["what"], &past[1]["status"]),
        (&json!("event"), &json!("attempt"), &json!(200))
    );
    assert_eq!(world.rows("/v1/tail?endpoint=crm").await.len(), 0);
    assert_eq!(world.rows("/v1/tail?source=github&limit=5").await.len(), 1);

    let mut body = world.send("GET", "/v1/tail?follow&limit=1", "").await.into_body();
    let mut next = async || -> Value {
        let frame = body.frame().await.expect("a line").expect("no failure").into_data().expect("data");
        serde_json::from_slice(&frame).expect("JSON")
    };
    assert_eq!(next().await["what"], "attempt");
    let tell = |number| {
        world.tail.send(Arc::new(TailLine::Attempt {
            delivery,
            event: event.seq,
            endpoint: "app".into(),
            number,
            at: 0,
            duration_ms: 1,
            outcome: "delivered",
            status: None,
            error: None,
            next_at: None,
        }))
    };
    tell(1).expect("heard");
    tell(2).expect("heard");
    assert_eq!(next().await["number"], 2, "the first was told already");
    world.stop.send_replace(true);
    assert!(body.frame().await.is_none(), "the stream ends when the daemon stops");
    world.served.await.expect("ended");
}

#[tokio::test]
async fn the_log_tells_its_segments_and_is_verified() {
    let world = World::new();
    world.event("push", &[1]);
    let (_, stat) = world.json("GET", "/v1/log", Value::Null).await;
    assert_eq!((&stat["records"], &stat["segments"][0]["number"]), (&json!(1), &json!(1)));
    let lines = world.rows("/v1/log/verify").await;
    assert!(lines[0]["progress"].is_object() && lines[1]["ok"] == true && lines[1]["last"] == 1, "{lines:?}");
}

#[test]
fn members_of_the_group_operate_but_do_not_configure() {
    let operator = super::Caller { uid: 1000, gid: 990, pid: None, may: super::Permission::Operate };
    let owner = super::Caller { uid: 0, may: super::Permission::Own, ..operator };
    let refused: Vec<String> = ROUTES
        .iter()
        .filter(|route| super::server::permit(&operator, route).is_err())
        .map(|route| format!("{} {}", route.method, route.path))
        .collect();
    assert_eq!(
        refused,
        [
            "POST /v1/sources",
            "PATCH /v1/sources/{name}",
            "DELETE /v1/sources/{name}",
            "POST /v1/sources/{name}/rotate-secret",
            "POST /v1/endpoints",
            "PATCH /v1/endpoints/{name}",
            "DELETE /v1/endpoints/{name}",
            "POST /v1/endpoints/{name}/rotate-secret",
            "GET /v1/log/segments/{id}",
            "POST /v1/log/import",
        ]
    );
    assert!(ROUTES.iter().all(|route| super::server::permit(&owner, route).is_ok()));
    let problem = super::server::permit(&operator, &ROUTES[2]).expect_err("refused");
    assert!(problem.status.as_u16() == 403 && problem.detail.contains("sudo"), "{}", problem.detail);
}

#[tokio::test]
async fn a_stopping_scheduler_is_503() {
    let world = World::new();
    let problem = super::http::Problem::from(Refusal::Stopping).into_response();
    assert_eq!((problem.status().as_u16(), problem.headers()["retry-after"].as_bytes()), (503, &b"1"[..]));
    // Its thread dies with the request in its hands: the answer is a refusal, not a wait.
    let script = world.script.clone();
    std::thread::spawn(move || {
        let _held = script.lock().expect("not poisoned yet");
        panic!("the lock is poisoned on purpose, so that the scripted scheduler falls over");
    })
    .join()
    .expect_err("it panicked");
    assert_eq!(world.json("GET", "/v1/status", Value::Null).await.0, 503);
}

#[tokio::test]
async fn a_walk_ends_when_its_client_goes() {
    let world = World::new();
    for _ in 0..5000 {
        world.event("push", &[1]);
    }
    let path = "/v1/events?limit=5000";
    let mut body = world.send("GET", path, "").await.into_body();
    body.frame().await.expect("a row").expect("no failure");
    drop(body);
    // All places are free again: the walk does not hold its connection.
    for _ in 0..limits::ADMIN_CONNECTIONS + 1 {
        assert_eq!(world.rows("/v1/events?limit=1").await.len(), 1);
    }
    assert_eq!(world.rows(path).await.len(), 5000);
}
