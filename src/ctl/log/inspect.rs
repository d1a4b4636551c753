//! `log stat`, `log head` and `log verify`.

use std::path::Path;

use serde_json::{Value, json};

use crate::archive::OfflineLog;
use crate::ctl::client::{AdminClient, path};
use crate::ctl::clock::now_ms;
use crate::ctl::error::CtlError;
use crate::ctl::output::Output;
use crate::ctl::table::{Table, size};
use crate::ctl::{lists, show};

pub(super) fn stat(client: &AdminClient, out: &mut Output) -> Result<(), CtlError> {
    let stat = client.get("/v1/log")?;
    if out.json {
        return out.one(&stat, Value::to_string);
    }

    let mut table = Table::new(now_ms(), lists::SEGMENTS);
    for segment in stat["segments"].as_array().into_iter().flatten() {
        out.row(&mut table, segment)?;
    }
    out.end(&mut table, "The log has no segments.")?;

    let (records, first, last) = (&stat["records"], &stat["first"], &stat["last"]);
    let bytes = size(stat["bytes"].as_u64().unwrap_or(0));
    out.line(&format!("{records} records, {first} to {last}, {bytes} on disk"))
}

pub(super) fn head(
    client: &AdminClient,
    out: &mut Output,
    data: Option<&Path>,
) -> Result<(), CtlError> {
    let head = match data {
        None => client.get("/v1/log/head")?,
        Some(data) => {
            let log = OfflineLog::open(data, now_ms())?;
            let head = log.head_view();
            log.close()?;
            head
        }
    };
    out.one(&head, |head| {
        format!("{}:{}", head["record"], head["hash"].as_str().unwrap_or_default())
    })
}

pub(super) fn verify(
    client: &AdminClient,
    out: &mut Output,
    expect: Option<&str>,
    data: Option<&Path>,
) -> Result<(), CtlError> {
    let expect = expect.map(|head| head.trim().to_owned());
    let mut report = Value::Null;
    match data {
        // The daemon sends its progress line by line, and the report last.
        None => client.list(&path("/v1/log/verify", &[("expect", expect)]), &mut |line| {
            if line.get("progress").is_none() {
                report = line;
            }
            Ok(())
        })?,
        Some(data) => {
            let log = OfflineLog::open(data, now_ms())?;
            report = log.verify_view(expect.as_deref())?;
            log.close()?;
        }
    }
    if report.is_null() {
        let what = "the daemon closed the connection before its report: try again";
        return Err(CtlError::Unreachable(what.into()));
    }

    out.one(&report, show::verified)?;
    if report["ok"] == json!(true) {
        return Ok(());
    }
    out.finish()?;
    Err(CtlError::NotOk)
}
