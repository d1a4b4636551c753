//! `openapi.json` is generated from the types of `api` and the table of routes, and compared here;
//! with `HOOKBOX_WRITE_DOCS=1` it is written.

use std::path::Path;

use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde_json::{Map, Value, json};

use super::route::{Op, ROUTES, Route};
use crate::api::bodies::{
    CheckBody, DeadLettersBody, EmptyBody, ExtendBody, IdsBody, LeaseBody, RejectBody, ReplayBody,
    RotateBody, SendEventBody, TestEndpointBody,
};
use crate::api::views::{
    CancelView, CheckView, DeletedView, DeliveryDetailView, DeliveryView, DiscardView,
    EndpointTestView, EndpointView, EventDetailView, EventSentView, EventView, ExplainView,
    ImportView, LeasesView, LogHeadView, LogStatView, ProblemView, ReplayStartView, ReplayView,
    RetryView, SettledView, SourceView, StatusView, TailView, VerifyLine,
};
use crate::api::{DeliveryFilter, EndpointSpec, EventFilter, SourceSpec};

const DESCRIPTION: &str = "HTTP/1.1 with JSON over a Unix socket: curl --unix-socket \
                           hookbox-data/admin.sock http://hookbox/v1/status. Callers are \
                           identified by SO_PEERCRED: root and the daemon's own user may do \
                           everything; members of the socket's group may read and operate, but \
                           not create, change or delete sources and endpoints, or rotate secrets \
                           (403).";

/// A page of a list.
#[derive(JsonSchema)]
#[expect(dead_code, reason = "only its schema is used")]
struct PageQuery {
    /// Rows, 50 by default; the newest first
    limit: Option<u64>,
    /// Continue after this one, the last of the page before
    after: Option<String>,
}

#[derive(JsonSchema)]
#[expect(dead_code, reason = "only its schema is used")]
struct SourceQuery {
    #[schemars(flatten)]
    page: PageQuery,
    /// Only sources of this scheme
    verify: Option<String>,
}

#[derive(JsonSchema)]
#[expect(dead_code, reason = "only its schema is used")]
struct DeleteSourceQuery {
    /// Refuse unless the source has this scheme
    verify: Option<String>,
}

#[derive(JsonSchema)]
#[expect(dead_code, reason = "only its schema is used")]
struct EndpointQuery {
    #[schemars(flatten)]
    page: PageQuery,
    /// active, held, failing, offline, parked or catching_up
    state: Option<String>,
}

#[derive(JsonSchema)]
#[expect(dead_code, reason = "only its schema is used")]
struct EventQuery {
    #[schemars(flatten)]
    filter: EventFilter,
    #[schemars(flatten)]
    page: PageQuery,
}

#[derive(JsonSchema)]
#[expect(dead_code, reason = "only its schema is used")]
struct DeliveryListQuery {
    #[schemars(flatten)]
    filter: DeliveryFilter,
    /// pending, in_flight, delivered, dead, held or cancelled
    state: Option<String>,
    #[schemars(flatten)]
    page: PageQuery,
}

#[derive(JsonSchema)]
#[expect(dead_code, reason = "only its schema is used")]
struct TailQuery {
    /// Continue with what happens from now on
    follow: Option<bool>,
    /// Only events of this source
    source: Option<String>,
    /// Only attempts at this endpoint
    endpoint: Option<String>,
    /// Lines of the past to begin with, 10 by default
    limit: Option<u64>,
}

#[derive(JsonSchema)]
#[expect(dead_code, reason = "only its schema is used")]
struct VerifyQuery {
    /// A head that was kept elsewhere: HASH or RECORD:HASH
    expect: Option<String>,
}

#[derive(JsonSchema)]
#[expect(dead_code, reason = "only its schema is used")]
struct ImportQuery {
    /// Import the events without their open deliveries
    history_only: Option<bool>,
    /// The number of the first line, for error messages
    first_line: Option<u64>,
}

/// A new source: its name and its settings.
#[derive(JsonSchema)]
#[expect(dead_code, reason = "only its schema is used")]
struct NewSource {
    /// A bin may leave it out
    name: Option<String>,
    #[schemars(flatten)]
    settings: SourceSpec,
}

/// A new endpoint: its name and its settings.
#[derive(JsonSchema)]
#[expect(dead_code, reason = "only its schema is used")]
struct NewEndpoint {
    name: String,
    #[schemars(flatten)]
    settings: EndpointSpec,
}

/// The description of a request.
struct Description {
    summary: &'static str,
    query: Option<Schema>,
    body: Option<Schema>,
    answer: Answered,
}

/// What a request is answered with.
enum Answered {
    Json(u16, Schema),
    Lines(Schema),
    Bytes(&'static str),
}

#[allow(clippy::too_many_lines, reason = "one arm for each operation")]
fn described(op: Op, g: &mut SchemaGenerator) -> Description {
    use Answered::{Bytes, Json, Lines};
    let (summary, answer) = match op {
        Op::Status => ("Show the status", Json(200, g.subschema_for::<StatusView>())),
        Op::SourceList => ("List sources", Lines(g.subschema_for::<SourceView>())),
        Op::SourceCreate => ("Create a source", Json(201, g.subschema_for::<SourceView>())),
        Op::SourceShow => ("Show a source", Json(200, g.subschema_for::<SourceView>())),
        Op::SourceUpdate => {
            ("Change the given settings of a source", Json(200, g.subschema_for::<SourceView>()))
        }
        Op::SourceDelete => {
            ("Delete a source; its events stay", Json(200, g.subschema_for::<DeletedView>()))
        }
        Op::SourceRotate => (
            "Rotate the secret of a source; the old one is valid for another 24 hours",
            Json(200, g.subschema_for::<SourceView>()),
        ),
        Op::SourceCheck => (
            "Show what would happen to a request, without logging it",
            Json(200, g.subschema_for::<CheckView>()),
        ),
        Op::EndpointList => ("List endpoints", Lines(g.subschema_for::<EndpointView>())),
        Op::EndpointCreate => ("Create an endpoint", Json(201, g.subschema_for::<EndpointView>())),
        Op::EndpointShow => ("Show an endpoint", Json(200, g.subschema_for::<EndpointView>())),
        Op::EndpointUpdate => (
            "Change the given settings of an endpoint",
            Json(200, g.subschema_for::<EndpointView>()),
        ),
        Op::EndpointDelete => (
            "Delete an endpoint; its waiting deliveries are cancelled",
            Json(200, g.subschema_for::<DeletedView>()),
        ),
        Op::EndpointRotate => (
            "Rotate the secret of an endpoint; the old one signs as well for another 24 hours",
            Json(200, g.subschema_for::<EndpointView>()),
        ),
        Op::EndpointHold => {
            ("Put an endpoint on hold", Json(200, g.subschema_for::<EndpointView>()))
        }
        Op::EndpointRelease => {
            ("Release an endpoint", Json(200, g.subschema_for::<EndpointView>()))
        }
        Op::EndpointTest => (
            "Show what would be sent to an endpoint, or send it once",
            Json(200, g.subschema_for::<EndpointTestView>()),
        ),
        Op::Lease => (
            "Lease deliveries of a pull endpoint: waits until there is one, or until the wait is \
             over",
            Json(200, g.subschema_for::<LeasesView>()),
        ),
        Op::LeaseAck => (
            "Acknowledge a leased delivery; 409 when the lease ran out",
            Json(200, g.subschema_for::<SettledView>()),
        ),
        Op::LeaseReject => (
            "Reject a leased delivery: it is retried later, or never; 409 when the lease ran out",
            Json(200, g.subschema_for::<SettledView>()),
        ),
        Op::LeaseExtend => (
            "Extend a lease, from now; 409 when it ran out",
            Json(200, g.subschema_for::<SettledView>()),
        ),
        Op::EventList => ("List events", Lines(g.subschema_for::<EventView>())),
        Op::EventSend => (
            "Send an event in as a source, without the proof that its senders need",
            Json(202, g.subschema_for::<EventSentView>()),
        ),
        Op::EventShow => {
            ("Show an event with headers and body", Json(200, g.subschema_for::<EventDetailView>()))
        }
        Op::DeliveryList => ("List deliveries", Lines(g.subschema_for::<DeliveryView>())),
        Op::DeliveryShow => (
            "Show a delivery with every attempt",
            Json(200, g.subschema_for::<DeliveryDetailView>()),
        ),
        Op::DeliveryExplain => (
            "Explain why a delivery waits, or how it ended",
            Json(200, g.subschema_for::<ExplainView>()),
        ),
        Op::DeliveryRetry => {
            ("Attempt deliveries again, now", Json(200, g.subschema_for::<RetryView>()))
        }
        Op::DeliveryCancel => ("Cancel deliveries", Json(200, g.subschema_for::<CancelView>())),
        Op::DlqList => ("List dead letters", Lines(g.subschema_for::<DeliveryView>())),
        Op::DlqShow => (
            "Show a dead letter with every attempt",
            Json(200, g.subschema_for::<DeliveryDetailView>()),
        ),
        Op::DlqRetry => ("Attempt dead letters again", Json(200, g.subschema_for::<RetryView>())),
        Op::DlqDiscard => ("Discard dead letters", Json(200, g.subschema_for::<DiscardView>())),
        Op::ReplayList => ("List the replays under way", Lines(g.subschema_for::<ReplayView>())),
        Op::ReplayStart => {
            ("Deliver old events again", Json(202, g.subschema_for::<ReplayStartView>()))
        }
        Op::Tail => ("Stream events and attempts", Lines(g.subschema_for::<TailView>())),
        Op::LogStat => {
            ("Show the segments of the log", Json(200, g.subschema_for::<LogStatView>()))
        }
        Op::LogVerify => (
            "Read the whole log and report inconsistencies",
            Lines(g.subschema_for::<VerifyLine>()),
        ),
        Op::LogHead => (
            "Show the end of the checksum chain, to be kept elsewhere",
            Json(200, g.subschema_for::<LogHeadView>()),
        ),
        Op::LogSegment => (
            "Copy one segment, secrets included: pieces of a kind (one byte), a length (u32, \
             big-endian) and bytes",
            Bytes("application/octet-stream"),
        ),
        Op::LogImport => (
            "Import exported events, one JSON object a line; those that are there are skipped",
            Json(200, g.subschema_for::<ImportView>()),
        ),
        Op::OpenApi => ("Show this document", Bytes("application/json")),
        Op::Metrics => ("Show metrics in the Prometheus text format", Bytes("text/plain")),
    };
    Description { summary, query: query_of(op, g), body: body_of(op, g), answer }
}

/// The schema of the parameters. They are listed one by one, so that they need no name.
fn query_of(op: Op, g: &mut SchemaGenerator) -> Option<Schema> {
    Some(match op {
        Op::SourceList => SourceQuery::json_schema(g),
        Op::SourceDelete => DeleteSourceQuery::json_schema(g),
        Op::EndpointList => EndpointQuery::json_schema(g),
        Op::EventList => EventQuery::json_schema(g),
        Op::DeliveryList | Op::DlqList => DeliveryListQuery::json_schema(g),
        Op::Tail => TailQuery::json_schema(g),
        Op::LogVerify => VerifyQuery::json_schema(g),
        Op::LogImport => ImportQuery::json_schema(g),
        _ => return None,
    })
}

fn body_of(op: Op, g: &mut SchemaGenerator) -> Option<Schema> {
    Some(match op {
        Op::SourceCreate => g.subschema_for::<NewSource>(),
        Op::SourceUpdate => g.subschema_for::<SourceSpec>(),
        Op::EndpointCreate => g.subschema_for::<NewEndpoint>(),
        Op::EndpointUpdate => g.subschema_for::<EndpointSpec>(),
        Op::SourceRotate | Op::EndpointRotate => g.subschema_for::<RotateBody>(),
        Op::SourceCheck => g.subschema_for::<CheckBody>(),
        Op::EndpointTest => g.subschema_for::<TestEndpointBody>(),
        Op::EventSend => g.subschema_for::<SendEventBody>(),
        Op::DeliveryRetry | Op::DeliveryCancel => g.subschema_for::<IdsBody>(),
        Op::DlqRetry | Op::DlqDiscard => g.subschema_for::<DeadLettersBody>(),
        Op::ReplayStart => g.subschema_for::<ReplayBody>(),
        Op::Lease => g.subschema_for::<LeaseBody>(),
        Op::LeaseAck => g.subschema_for::<EmptyBody>(),
        Op::LeaseReject => g.subschema_for::<RejectBody>(),
        Op::LeaseExtend => g.subschema_for::<ExtendBody>(),
        _ => return None,
    })
}

fn operation(route: &Route, g: &mut SchemaGenerator) -> Value {
    let described = described(route.op, g);
    let path =
        route.path.trim_start_matches("/v1").replace(['/', '-', '.'], "_").replace(['{', '}'], "");
    let id = format!("{}{path}", route.method.to_lowercase());
    let problem = g.subschema_for::<ProblemView>();

    let mut operation = json!({"summary": described.summary, "operationId": id});
    let parameters = parameters(route, described.query.as_ref());
    if !parameters.is_empty() {
        operation["parameters"] = json!(parameters);
    }
    if let Some(schema) = described.body {
        operation["requestBody"] = json!({"content": {"application/json": {"schema": schema}}});
    }
    if route.op == Op::LogImport {
        operation["requestBody"] =
            json!({"content": {"application/x-ndjson": {"schema": {"type": "string"}}}});
    }

    let (status, content) = match described.answer {
        Answered::Json(status, schema) => (status, json!({"application/json": {"schema": schema}})),
        Answered::Lines(schema) => (200, json!({"application/x-ndjson": {"schema": schema}})),
        Answered::Bytes(kind) => (200, json!({kind: {"schema": {"type": "string"}}})),
    };
    operation["responses"] = json!({
        status.to_string(): {"description": "Done", "content": content},
        "default": {"description": "Refused", "content": {"application/problem+json": {"schema": problem}}},
    });
    operation
}

fn parameters(route: &Route, query: Option<&Schema>) -> Vec<Value> {
    let mut parameters = Vec::new();
    for name in ["name", "id"].iter().filter(|name| route.path.contains(&format!("{{{name}}}"))) {
        parameters.push(
            json!({"name": name, "in": "path", "required": true, "schema": {"type": "string"}}),
        );
    }
    let properties = query.and_then(|schema| schema.get("properties")?.as_object());
    for (name, schema) in properties.into_iter().flatten() {
        let mut schema = schema.clone();
        let description =
            schema.as_object_mut().and_then(|schema| schema.shift_remove("description"));
        // Given or not: a parameter is never null.
        if let Some(types) = schema["type"].as_array() {
            schema["type"] = types[0].clone();
        }
        parameters.push(
            json!({"name": name, "in": "query", "description": description, "schema": schema}),
        );
    }
    parameters
}

fn document() -> Value {
    let settings = SchemaSettings::draft2020_12()
        .with(|settings| settings.definitions_path = "/components/schemas".into());
    let mut generator = settings.into_generator();

    let mut paths: Map<String, Value> = Map::new();
    for route in ROUTES {
        let operation = operation(route, &mut generator);
        let methods = paths.entry(route.path).or_insert_with(|| json!({}));
        methods[route.method.to_lowercase()] = operation;
    }
    let mut document = json!({
        "openapi": "3.1.0",
        "info": {
            "title": "hookbox admin socket",
            "version": "1",
            "license": {"name": "MIT OR Apache-2.0"},
            "description": DESCRIPTION,
        },
        "paths": paths,
        "components": {"schemas": generator.take_definitions(true)},
    });
    without_null_defaults(&mut document);
    document
}

/// A default of null says nothing: whatever may be absent is null then.
fn without_null_defaults(value: &mut Value) {
    match value {
        Value::Object(object) => {
            if object.get("default") == Some(&Value::Null) {
                object.shift_remove("default");
            }
            object.values_mut().for_each(without_null_defaults);
        }
        Value::Array(list) => list.iter_mut().for_each(without_null_defaults),
        _ => {}
    }
}

/// A line for each request and each type: the daemon holds the text, so that it is kept short.
fn text(document: &Value) -> String {
    let lines = |object: &Value, indent: &str| {
        let object = object.as_object().expect("an object");
        let lines = object.iter().map(|(key, value)| format!("{indent}{}: {value}", json!(key)));
        lines.collect::<Vec<_>>().join(",\n")
    };
    let paths =
        document["paths"].as_object().expect("paths").iter().map(|(path, methods)| {
            format!("  {}: {{\n{}\n  }}", json!(path), lines(methods, "   "))
        });
    format!(
        "{{\n \"openapi\": {},\n \"info\": {},\n \"paths\": {{\n{}\n }},\n \"components\": {{\n  \
         \"schemas\": {{\n{}\n  }}\n }}\n}}\n",
        document["openapi"],
        document["info"],
        paths.collect::<Vec<_>>().join(",\n"),
        lines(&document["components"]["schemas"], "   "),
    )
}

#[test]
fn the_document_is_fresh() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/admin/openapi.json");
    let fresh = text(&document());
    if std::env::var_os("HOOKBOX_WRITE_DOCS").is_some() {
        std::fs::write(&file, &fresh).expect("writable");
    }
    let there = std::fs::read_to_string(&file).expect("readable");
    assert!(there == fresh, "openapi.json is not what the types say: `just docs` writes it anew");
}
