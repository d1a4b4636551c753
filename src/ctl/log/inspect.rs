//! `log stat`, `log head` and `log verify`.

use std::path::Path;

use crate::api::bodies::AcknowledgeBody;
use crate::api::views::{LogHeadView, LogStatView, VerifyLine, VerifyView};
use crate::archive::{OfflineLog, is_head};
use crate::ctl::answer::Answer;
use crate::ctl::client::{AdminClient, path};
use crate::ctl::clock::now_ms;
use crate::ctl::error::CtlError;
use crate::ctl::output::Output;
use crate::ctl::table::{Table, count, size};
use crate::ctl::{lists, show};

pub(super) fn stat(client: &AdminClient, out: &mut Output) -> Result<(), CtlError> {
    let answer = client.get("/v1/log")?;
    if out.json {
        return out.line(answer.json());
    }

    let stat: LogStatView = answer.view()?;
    let mut table = Table::new(now_ms(), lists::SEGMENTS);
    for segment in &stat.segments {
        out.row_of(&mut table, segment)?;
    }
    out.end(&mut table, "The log has no segments.")?;

    let LogStatView { records, first, last, bytes, .. } = stat;
    let records = count(records, "record");
    out.line(&format!("{records}, {first} to {last}, {} on disk", size(bytes)))
}

pub(super) fn head(
    client: &AdminClient,
    out: &mut Output,
    data: Option<&Path>,
) -> Result<(), CtlError> {
    let head = match data {
        None => client.get("/v1/log/head")?,
        Some(data) => {
            let log = open(data)?;
            let head = log.head_view();
            log.close()?;
            Answer::of(&head)?
        }
    };
    out.one(&head, |head: &LogHeadView| format!("{}:{}", head.record, head.hash))
}

pub(super) fn verify(
    client: &AdminClient,
    out: &mut Output,
    expect: Option<&str>,
    data: Option<&Path>,
) -> Result<(), CtlError> {
    let expect = expect.map(|head| head.trim().to_owned());
    if let Some(head) = expect.as_deref().filter(|head| !is_head(head)) {
        let what = "a head is 64 hex digits, or RECORD:HASH, as `hookboxctl log head` prints it";
        return Err(CtlError::Usage(format!("--expect '{head}': {what}")));
    }
    let report = match data {
        None => reported(client, expect)?,
        Some(data) => {
            let log = open(data)?;
            let report = log.verify_view(expect.as_deref())?;
            log.close()?;
            Answer::of(&report)?
        }
    };

    out.one(&report, show::verified)?;
    if report.view::<VerifyView>()?.ok {
        return Ok(());
    }
    out.finish()?;
    Err(CtlError::NotOk)
}

/// `log acknowledge`.
pub(super) fn acknowledge(
    client: &AdminClient,
    out: &mut Output,
    segments: &[u64],
) -> Result<(), CtlError> {
    let body = AcknowledgeBody { segments: Some(segments.to_vec()).filter(|of| !of.is_empty()) };
    let done = client.post("/v1/log/acknowledge", &body)?;
    out.one(&done, show::acknowledged)
}

/// A log without its daemon. Where there is one, it answers as well.
fn open(data: &Path) -> Result<OfflineLog, CtlError> {
    OfflineLog::open(data, now_ms()).map_err(|error| match error.is_in_use() {
        true => CtlError::Refused(format!("{error}, or leave out --data to ask the daemon")),
        false => error.into(),
    })
}

/// The daemon's report: it sends its progress line by line, and the report last.
fn reported(client: &AdminClient, expect: Option<String>) -> Result<Answer, CtlError> {
    let mut report = None;
    client.list(&path("/v1/log/verify", &[("expect", expect)]), &mut |line| {
        if let VerifyLine::Report(_) = line.view()? {
            report = Some(line);
        }
        Ok(())
    })?;

    let what = "the daemon closed the connection before its report: try again";
    report.ok_or_else(|| CtlError::Unreachable(what.into()))
}
