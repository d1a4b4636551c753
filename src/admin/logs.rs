//! The log itself: its segments, and whether all of it adds up.

use std::sync::Arc;

use data_encoding::{HEXLOWER, HEXLOWER_PERMISSIVE};
use serde_json::{Value, json};

use super::Admin;
use super::http::{Answer, Call, Problem};
use super::logview::{Expect, Report, SegmentInfo};
use super::walk;
use crate::model::time::rfc3339;

pub(super) async fn stat(admin: &Arc<Admin>, mut call: Call) -> Result<Answer, Problem> {
    call.params.done()?;
    walk::value(admin, |walker| {
        let segments = walker.log().segments();
        Ok(Answer::ok(json!({
            "records": segments.iter().map(|s| s.records).sum::<u64>(),
            "bytes": segments.iter().map(|s| s.disk_bytes).sum::<u64>(),
            "payload_bytes": segments.iter().map(|s| s.payload_bytes).sum::<u64>(),
            "quota_bytes": walker.admin.handle.health().room.room().quota,
            "first": walker.log().first(),
            "last": walker.log().durable(),
            "segments": segments.iter().map(segment_view).collect::<Vec<_>>(),
        })))
    })
    .await
}

/// The chain's head, to be kept elsewhere.
pub(super) async fn head(admin: &Arc<Admin>, mut call: Call) -> Result<Answer, Problem> {
    call.params.done()?;
    walk::value(admin, |walker| {
        let (record, hash) = walker.log().head();
        Ok(Answer::ok(json!({"record": record, "hash": HEXLOWER.encode(&hash)})))
    })
    .await
}

/// One segment as it is copied: header, checkpoint and frames up to what is durable (see `log::Piece`).
pub(super) fn segment(admin: &Arc<Admin>, mut call: Call) -> Result<Answer, Problem> {
    call.params.done()?;
    let first = call.arg.parse().map_err(|_| Problem::bad(format!("'{}' is not a segment's number", call.arg)))?;
    if !admin.log.segments().iter().any(|segment| segment.first == first) {
        return Err(Problem::new(
            hyper::StatusCode::NOT_FOUND,
            format!("there is no segment that begins with {first}"),
        ));
    }
    Ok(walk::raw(admin, move |walker| Ok(walker.log().pieces(first, &mut |wire| walker.send_raw(wire))?)))
}

/// Lines of progress (`{"progress":{…}}`), then the report. Ends early only by the client going away.
pub(super) fn verify(admin: &Arc<Admin>, mut call: Call) -> Result<Answer, Problem> {
    let expect = call.params.take("expect").map(|text| expectation(&text)).transpose()?;
    call.params.done()?;
    Ok(walk::stream(admin, move |walker| {
        let report = walker.log().verify(expect, &mut |progress| {
            // A client that left is noticed at the report; verifying to the end harms nobody.
            let _ = walker.send(&json!({"progress": {
                "segment": progress.segment, "segments": progress.segments, "records": progress.records,
            }}));
        });
        walker.send(&report_view(&report))
    }))
}

/// `HASH`, or `RECORD:HASH`, as `log head` gave it.
fn expectation(text: &str) -> Result<Expect, Problem> {
    let bad = || Problem::bad("'expect' is a head as `hookboxctl log head` prints it: 64 hex digits, or RECORD:HASH");
    let (seq, hash) = match text.split_once(':') {
        Some((seq, hash)) => (Some(seq.parse().map_err(|_| bad())?), hash),
        None => (None, text),
    };
    let bytes = HEXLOWER_PERMISSIVE.decode(hash.as_bytes()).map_err(|_| bad())?;
    Ok(Expect { seq, head: bytes.try_into().map_err(|_| bad())? })
}

fn segment_view(segment: &SegmentInfo) -> Value {
    json!({
        "number": segment.number,
        "first": segment.first,
        "last": segment.last,
        "records": segment.records,
        "payload_bytes": segment.payload_bytes,
        "bytes": segment.disk_bytes,
        "created_at": rfc3339(segment.created_at),
        "sealed_at": segment.sealed_at.map(rfc3339),
        "head": HEXLOWER.encode(&segment.head),
        "lost": segment.lost,
    })
}

fn report_view(report: &Report) -> Value {
    json!({
        "ok": report.ok,
        "records": report.records,
        "segments": report.segments,
        "first": report.first,
        "last": report.last,
        "head": HEXLOWER.encode(&report.head),
        "expected_at": report.expected_at,
        "problems": report.problems.iter().map(problem_view).collect::<Vec<_>>(),
    })
}

pub(super) fn problem_view(p: &super::logview::Problem) -> Value {
    json!({"segment": p.segment, "first": p.first, "last": p.last, "what": p.what})
}
