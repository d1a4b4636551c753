//! The log itself: its segments, and whether they are consistent.

use std::sync::Arc;

use data_encoding::{HEXLOWER, HEXLOWER_PERMISSIVE};

use super::damage;
use crate::admin::context::Admin;
use crate::admin::http::problem::Problem;
use crate::admin::http::request::ApiRequest;
use crate::admin::http::response::ApiResponse;
use crate::admin::scan::walk;
use crate::api::values::Time;
use crate::api::views::{
    LogHeadView, LogStatView, ProgressView, SegmentView, VerifyLine, VerifyView,
};
use crate::log::{Expect, Report, SegmentInfo};
use crate::queue::{AcknowledgedDamage, StatusQuery};

pub async fn stat(admin: &Arc<Admin>, mut request: ApiRequest) -> Result<ApiResponse, Problem> {
    request.params.done()?;
    walk::value(admin, |scan| {
        let segments = scan.log().segments();
        Ok(ApiResponse::ok(LogStatView {
            records: segments.iter().map(|s| s.records).sum(),
            bytes: segments.iter().map(|s| s.disk_bytes).sum(),
            payload_bytes: segments.iter().map(|s| s.payload_bytes).sum(),
            quota_bytes: scan.admin.handle.health().disk.space().quota,
            first: scan.log().first(),
            last: scan.log().durable(),
            segments: segments.iter().map(segment_view).collect(),
        }))
    })
    .await
}

/// The chain's head, to be kept elsewhere.
pub async fn head(admin: &Arc<Admin>, mut request: ApiRequest) -> Result<ApiResponse, Problem> {
    request.params.done()?;
    walk::value(admin, |scan| {
        let head = scan.log().head();
        Ok(ApiResponse::ok(LogHeadView { record: head.seq, hash: HEXLOWER.encode(&head.hash) }))
    })
    .await
}

/// One segment as it is copied: header, checkpoint and frames up to what is durable (see
/// `log::Piece`).
pub fn segment(admin: &Arc<Admin>, mut request: ApiRequest) -> Result<ApiResponse, Problem> {
    request.params.done()?;
    let first = request
        .arg
        .parse()
        .map_err(|_| Problem::bad(format!("'{}' is not a segment's number", request.arg)))?;
    if !admin.log.segments().iter().any(|segment| segment.first == first) {
        return Err(Problem::new(
            hyper::StatusCode::NOT_FOUND,
            format!("there is no segment that begins with {first}"),
        ));
    }
    Ok(walk::raw(admin, move |scan| {
        Ok(scan.log().pieces(first, &mut |wire| scan.send_raw(wire))?)
    }))
}

/// Lines of progress (`{"progress":{…}}`), then the report. Ends early only by the client going
/// away.
pub fn verify(admin: &Arc<Admin>, mut request: ApiRequest) -> Result<ApiResponse, Problem> {
    let expect = request.params.take("expect").map(|text| expectation(&text)).transpose()?;
    request.params.done()?;
    Ok(walk::stream(admin, move |scan| {
        let is_wanted = || scan.still_wanted().is_ok();
        let report = scan.log().verify(expect, &is_wanted, &mut |progress| {
            // A client that does not read would hold up a segment that is open meanwhile.
            scan.try_send(&VerifyLine::Progress {
                progress: ProgressView {
                    segment: progress.segment,
                    segments: progress.segments,
                    records: progress.records,
                },
            });
        });
        let report = report.ok_or_else(Problem::gone)?;
        scan.send(&report_view(report, &scan.ask(&StatusQuery)?.acknowledged))
    }))
}

/// `HASH`, or `RECORD:HASH`, as `log head` gave it.
fn expectation(text: &str) -> Result<Expect, Problem> {
    let bad = || {
        Problem::bad(
            "'expect' is a head as `hookboxctl log head` prints it: 64 hex digits, or RECORD:HASH",
        )
    };
    let (seq, hash) = match text.split_once(':') {
        Some((seq, hash)) => (Some(seq.parse().map_err(|_| bad())?), hash),
        None => (None, text),
    };
    let bytes = HEXLOWER_PERMISSIVE.decode(hash.as_bytes()).map_err(|_| bad())?;
    Ok(Expect { seq, head: bytes.try_into().map_err(|_| bad())? })
}

fn segment_view(segment: &SegmentInfo) -> SegmentView {
    SegmentView {
        number: segment.number,
        first: segment.first,
        last: segment.last,
        records: segment.records,
        payload_bytes: segment.payload_bytes,
        bytes: segment.disk_bytes,
        created_at: Time(segment.created_at),
        sealed_at: segment.sealed_at.map(Time),
        head: HEXLOWER.encode(&segment.head),
        lost: segment.lost,
    }
}

fn report_view(report: Report, acknowledged: &AcknowledgedDamage) -> VerifyView {
    VerifyView {
        ok: report.ok,
        records: report.records,
        segments: report.segments,
        first: report.first,
        last: report.last,
        head: HEXLOWER.encode(&report.head),
        expected_at: report.expected_at,
        problems: report.problems.iter().map(|p| damage::view(p, acknowledged)).collect(),
    }
}
