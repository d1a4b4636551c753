//! What requests take: their parameters and their bodies.

use std::num::NonZeroU64;

use schemars::{JsonSchema, Schema, SchemaGenerator};

use crate::admin::serve::routes::Op;
use crate::api::bodies::{
    AcknowledgeBody, CheckBody, DeadLettersBody, EmptyBody, ExtendBody, GivenUpBody, IdsBody,
    LeaseBody, RejectBody, ReplayBody, RotateBody, SendEventBody, TestEndpointBody,
};
use crate::api::{ApplyBody, DeliveryFilter, EndpointSpec, EventFilter, SourceSpec};

/// A page of a list.
#[derive(JsonSchema)]
#[expect(dead_code, reason = "only its schema is used")]
struct PageQuery {
    /// Rows, 50 by default; the newest first
    limit: Option<NonZeroU64>,
    /// Continue after this one, the last of the page before, or what `more.after` says in the last
    /// line of a list that was answered before its end
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
struct RefusedQuery {
    #[schemars(flatten)]
    page: PageQuery,
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
    /// active, held, failing, offline, parked, lagging, catching_up, or troubled: all with which
    /// something is wrong
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
struct ShownEventQuery {
    /// Answer at most so many bytes of the body; `size` says how many it has
    body_bytes: Option<u64>,
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
    limit: Option<NonZeroU64>,
}

#[derive(JsonSchema)]
#[expect(dead_code, reason = "only its schema is used")]
struct ExportQuery {
    /// Only what was applied as this set
    set: Option<String>,
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

#[derive(JsonSchema)]
#[expect(dead_code, reason = "only its schema is used")]
struct HistoryQuery {
    /// From when on, 24h by default: a time, or how long ago
    since: Option<String>,
    /// Until when, now by default
    until: Option<String>,
    /// The length of a row, such as 10m; one that suits the time by default
    step: Option<String>,
    /// Only this endpoint, which has a history when it is one of the busiest
    endpoint: Option<String>,
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

/// The schema of the parameters. They are listed one by one, so that they need no name.
pub fn query_of(op: Op, g: &mut SchemaGenerator) -> Option<Schema> {
    Some(match op {
        Op::SourceList => SourceQuery::json_schema(g),
        Op::SourceRefused => RefusedQuery::json_schema(g),
        Op::SourceDelete => DeleteSourceQuery::json_schema(g),
        Op::EndpointList => EndpointQuery::json_schema(g),
        Op::EventList => EventQuery::json_schema(g),
        Op::EventShow => ShownEventQuery::json_schema(g),
        Op::DeliveryList | Op::DlqList => DeliveryListQuery::json_schema(g),
        Op::Tail => TailQuery::json_schema(g),
        Op::LogVerify => VerifyQuery::json_schema(g),
        Op::LogImport => ImportQuery::json_schema(g),
        Op::History => HistoryQuery::json_schema(g),
        Op::Export => ExportQuery::json_schema(g),
        _ => return None,
    })
}

/// The schema of the body.
pub fn body_of(op: Op, g: &mut SchemaGenerator) -> Option<Schema> {
    Some(match op {
        Op::SourceCreate => g.subschema_for::<NewSource>(),
        Op::SourceUpdate => g.subschema_for::<SourceSpec>(),
        Op::EndpointCreate => g.subschema_for::<NewEndpoint>(),
        Op::EndpointUpdate => g.subschema_for::<EndpointSpec>(),

        Op::SourceRotate | Op::EndpointRotate => g.subschema_for::<RotateBody>(),
        Op::SourceCheck => g.subschema_for::<CheckBody>(),
        Op::SourceGaveUp => g.subschema_for::<GivenUpBody>(),
        Op::EndpointTest => g.subschema_for::<TestEndpointBody>(),
        Op::EventSend => g.subschema_for::<SendEventBody>(),
        Op::DeliveryRetry | Op::DeliveryCancel => g.subschema_for::<IdsBody>(),
        Op::DlqRetry | Op::DlqDiscard => g.subschema_for::<DeadLettersBody>(),
        Op::ReplayStart => g.subschema_for::<ReplayBody>(),
        Op::Apply => g.subschema_for::<ApplyBody>(),
        Op::LogAcknowledge => g.subschema_for::<AcknowledgeBody>(),
        Op::Lease => g.subschema_for::<LeaseBody>(),
        Op::LeaseAck => g.subschema_for::<EmptyBody>(),
        Op::LeaseReject => g.subschema_for::<RejectBody>(),
        Op::LeaseExtend => g.subschema_for::<ExtendBody>(),
        _ => return None,
    })
}
