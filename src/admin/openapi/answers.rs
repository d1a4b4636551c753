//! What requests do, and what they are answered with.

use schemars::{JsonSchema, Schema, SchemaGenerator};

use crate::admin::serve::routes::Op;
use crate::api::views::{
    AcknowledgedView, ApplyView, CancelView, CheckView, DeletedView, DeliveryDetailView,
    DeliveryView, DiscardView, EndpointTestView, EndpointView, EventDetailView, EventSentView,
    EventView, ExplainView, ExportView, GivenUpView, HistoryView, ImportView, LeasesView,
    LogHeadView, LogStatView, RefusedRequestView, ReplayStartView, ReplayView, RetryView,
    SettledView, SourceView, StatusView, TailView, VerifyLine, VersionView,
};

/// What a request is answered with.
pub enum Answered {
    Json(u16, Schema),
    Lines(Schema),
    Bytes(&'static str),
}

type DescribeAnswer = fn(&mut SchemaGenerator) -> Answered;

const ANSWERS: &[(Op, &str, DescribeAnswer)] = &[
    (Op::Status, "Show the status", json::<StatusView>),
    (Op::SourceList, "List sources", lines::<SourceView>),
    (Op::SourceCreate, "Create a source", created::<SourceView>),
    (Op::SourceShow, "Show a source", json::<SourceView>),
    (Op::SourceUpdate, "Change the given settings of a source", json::<SourceView>),
    (Op::SourceDelete, "Delete a source; its events stay", json::<DeletedView>),
    (
        Op::SourceRotate,
        "Rotate the secret of a source; the old one is valid for another 24 hours, or `overlap`",
        json::<SourceView>,
    ),
    (Op::SourceCheck, "Show what would happen to a request, without logging it", json::<CheckView>),
    (
        Op::SourceRefused,
        "List the last requests that a source refused for their proof and keeps (`keep_refused`)",
        lines::<RefusedRequestView>,
    ),
    (
        Op::SourceGaveUp,
        "Report an event that a source refused and that whoever had it gave up: a notice",
        accepted::<GivenUpView>,
    ),
    (Op::EndpointList, "List endpoints", lines::<EndpointView>),
    (Op::EndpointCreate, "Create an endpoint", created::<EndpointView>),
    (Op::EndpointShow, "Show an endpoint", json::<EndpointView>),
    (Op::EndpointUpdate, "Change the given settings of an endpoint", json::<EndpointView>),
    (
        Op::EndpointDelete,
        "Delete an endpoint; its waiting deliveries are cancelled",
        json::<DeletedView>,
    ),
    (
        Op::EndpointRotate,
        "Rotate the secret of an endpoint; the old one signs as well for another 24 hours, or \
         `overlap`",
        json::<EndpointView>,
    ),
    (Op::EndpointHold, "Put an endpoint on hold", json::<EndpointView>),
    (Op::EndpointRelease, "Release an endpoint", json::<EndpointView>),
    (
        Op::EndpointTest,
        "Show what would be sent to an endpoint, or send it once",
        json::<EndpointTestView>,
    ),
    (
        Op::Apply,
        "Apply a set of files to sources and endpoints in one step, or show what would change",
        json::<ApplyView>,
    ),
    (Op::Export, "Export sources and endpoints as a file, without secrets", json::<ExportView>),
    (
        Op::Lease,
        "Lease deliveries of a pull endpoint: waits until there is one, or until the wait is over",
        json::<LeasesView>,
    ),
    (
        Op::LeaseAck,
        "Acknowledge a leased delivery; 409 when the lease ran out",
        json::<SettledView>,
    ),
    (
        Op::LeaseReject,
        "Reject a leased delivery: it is retried later, or never; 409 when the lease ran out",
        json::<SettledView>,
    ),
    (Op::LeaseExtend, "Extend a lease, from now; 409 when it ran out", json::<SettledView>),
    (Op::EventList, "List events", lines::<EventView>),
    (
        Op::EventSend,
        "Create an event for a source without a signed request",
        accepted::<EventSentView>,
    ),
    (Op::EventShow, "Show an event with headers and body", json::<EventDetailView>),
    (Op::DeliveryList, "List deliveries", lines::<DeliveryView>),
    (Op::DeliveryShow, "Show a delivery with every attempt", json::<DeliveryDetailView>),
    (Op::DeliveryExplain, "Explain why a delivery waits, or how it ended", json::<ExplainView>),
    (Op::DeliveryRetry, "Attempt deliveries again, now", json::<RetryView>),
    (Op::DeliveryCancel, "Cancel deliveries", json::<CancelView>),
    (Op::DlqList, "List dead letters", lines::<DeliveryView>),
    (Op::DlqShow, "Show a dead letter with every attempt", json::<DeliveryDetailView>),
    (Op::DlqRetry, "Attempt dead letters again", json::<RetryView>),
    (Op::DlqDiscard, "Discard dead letters", json::<DiscardView>),
    (Op::ReplayList, "List the replays under way", lines::<ReplayView>),
    (Op::ReplayStart, "Deliver old events again", accepted::<ReplayStartView>),
    (
        Op::ReplayStop,
        "Stop a replay; what it has queued stays queued. The answer says how far it got",
        json::<ReplayView>,
    ),
    (Op::Tail, "Stream events and attempts", lines::<TailView>),
    (Op::LogStat, "Show the segments of the log", json::<LogStatView>),
    (Op::LogVerify, "Read the whole log and report inconsistencies", lines::<VerifyLine>),
    (Op::LogHead, "Show the end of the checksum chain, to be kept elsewhere", json::<LogHeadView>),
    (
        Op::LogAcknowledge,
        "Acknowledge known damage of the log, which asks for nobody any more then",
        json::<AcknowledgedView>,
    ),
    (
        Op::LogSegment,
        "Copy one segment, secrets included: pieces of a kind (one byte), a length (u32, \
         big-endian) and bytes",
        octets,
    ),
    (
        Op::LogImport,
        "Import exported events, one JSON object a line; existing ones are skipped",
        json::<ImportView>,
    ),
    (Op::OpenApi, "Show this document", document),
    (Op::Version, "Show the version of the daemon", json::<VersionView>),
    (
        Op::History,
        "Show the daemon's history: the last 24 hours, or since `since`",
        json::<HistoryView>,
    ),
    (Op::Metrics, "Show metrics in the Prometheus text format", text),
];

/// The summary of a request, and its answer.
pub fn answer_of(op: Op, g: &mut SchemaGenerator) -> (&'static str, Answered) {
    let found = ANSWERS.iter().find(|(of, _, _)| *of == op);
    let (_, summary, answer) = found.unwrap_or_else(|| panic!("{op:?} has no line in ANSWERS"));
    (summary, answer(g))
}

fn json<T: JsonSchema>(g: &mut SchemaGenerator) -> Answered {
    Answered::Json(200, g.subschema_for::<T>())
}

fn created<T: JsonSchema>(g: &mut SchemaGenerator) -> Answered {
    Answered::Json(201, g.subschema_for::<T>())
}

fn accepted<T: JsonSchema>(g: &mut SchemaGenerator) -> Answered {
    Answered::Json(202, g.subschema_for::<T>())
}

fn lines<T: JsonSchema>(g: &mut SchemaGenerator) -> Answered {
    Answered::Lines(g.subschema_for::<T>())
}

fn octets(_: &mut SchemaGenerator) -> Answered {
    Answered::Bytes("application/octet-stream")
}

fn document(_: &mut SchemaGenerator) -> Answered {
    Answered::Bytes("application/json")
}

fn text(_: &mut SchemaGenerator) -> Answered {
    Answered::Bytes("text/plain")
}
