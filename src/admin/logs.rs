//! The log itself: its segments, and whether all of it adds up.

use std::sync::Arc;

use data_encoding::HEXLOWER;
use serde_json::{Value, json};

use super::Admin;
use super::http::{Answer, Call, Problem};
use super::logview::{Report, SegmentInfo};
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

/// Lines of progress (`{"progress":{…}}`), then the report. Ends early only by the client going away.
pub(super) fn verify(admin: &Arc<Admin>, mut call: Call) -> Result<Answer, Problem> {
    call.params.done()?;
    Ok(walk::stream(admin, |walker| {
        let report = walker.log().verify(&mut |progress| {
            // A client that left is noticed at the report; verifying to the end harms nobody.
            let _ = walker.send(&json!({"progress": {
                "segment": progress.segment, "segments": progress.segments, "records": progress.records,
            }}));
        });
        walker.send(&report_view(&report))
    }))
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
    })
}

fn report_view(report: &Report) -> Value {
    let problem =
        |p: &super::logview::Problem| json!({"segment": p.segment, "first": p.first, "last": p.last, "what": p.what});
    json!({
        "ok": report.ok,
        "records": report.records,
        "segments": report.segments,
        "first": report.first,
        "last": report.last,
        "head": HEXLOWER.encode(&report.head),
        "problems": report.problems.iter().map(problem).collect::<Vec<_>>(),
    })
}
