//! `log backup` and `log export`.

use serde::{Deserialize, Serialize};

use super::files::{create, flush, time};
use super::live::read;
use crate::api::views::DamageView;
use crate::archive::{self, ExportFilter, ExportSummary, LineFormat, OfflineLog};
use crate::ctl::answer::Answer;
use crate::ctl::args::{BackupArgs, ExportArgs, ExportFormat};
use crate::ctl::client::AdminClient;
use crate::ctl::clock::now_ms;
use crate::ctl::error::CtlError;
use crate::ctl::filters::whole_event;
use crate::ctl::output::Output;
use crate::ctl::show;
use crate::ctl::table::{clean, count};
use crate::model::EventFilter;
use crate::model::time::Moment;
use crate::service::stdio;

/// A copy of the log, read back.
#[derive(Serialize, Deserialize)]
struct BackupReport {
    ok: bool,
    to: String,
    records: u64,
    segments: usize,
    first: u64,
    last: u64,
    /// The head of the hash chain: its record, and its hash in hex.
    record: u64,
    hash: String,
    /// Records that could not be read, in words.
    missing: Vec<String>,
    problems: Vec<DamageView>,
}

pub(super) fn backup(
    client: &AdminClient,
    out: &mut Output,
    args: &BackupArgs,
) -> Result<(), CtlError> {
    let copied =
        read(client, args.data.folder.as_deref(), |source| archive::backup(source, &args.to))?;

    // It counts as a backup only once it has been read back.
    let hash = archive::hex(&copied.head.hash);
    let expected = format!("{}:{hash}", copied.head.seq);
    let copy = OfflineLog::open(&args.to, now_ms())?;
    let report = copy.verify_view(Some(&expected))?;
    copy.close()?;

    let done = BackupReport {
        ok: report.ok,
        to: args.to.display().to_string(),
        records: report.records,
        segments: copied.segments,
        first: report.first,
        last: report.last,
        record: copied.head.seq,
        hash,
        missing: copied.missing,
        problems: report.problems.clone(),
    };
    out.one(&Answer::of(&done)?, |done: &BackupReport| {
        let (records, to) = (count(done.records, "record"), &done.to);
        let (first, last) = (done.first, done.last);
        let text =
            format!("Copied to {to} and verified: {records}, {first} to {last}.\nHead {expected}");
        match done.ok {
            true => text,
            false => format!(
                "{text}\nThe copy has the inconsistencies of the log:\n{}",
                show::verified(&report)
            ),
        }
    })?;

    if report.ok {
        return Ok(());
    }
    out.finish()?;
    Err(CtlError::NotOk)
}

pub(super) fn export(client: &AdminClient, args: &ExportArgs) -> Result<(), CtlError> {
    if let (Some(from), Some(to)) = (args.from, args.to)
        && from > to
    {
        let what = format!("--from {from} is behind --to {to}: no record lies between them");
        return Err(CtlError::Usage(what));
    }

    let folder = args.data.folder.as_deref();
    let event = match folder {
        Some(_) => args.event.clone(),
        None => whole_event(client, args.event.as_ref())?,
    };
    let event = event.map(|id| id.parse()).transpose();

    let filter = ExportFilter {
        from: args.from,
        to: args.to,
        events: EventFilter {
            since: time("--since", args.filter.since.as_deref())?.map(Moment::At),
            until: time("--until", args.filter.until.as_deref())?.map(Moment::At),
            source: args.filter.source.clone(),
            kind: args.filter.kind.clone(),
            event: event.map_err(|error| CtlError::Usage(format!("--event: {error}")))?,
        },
    };
    let format = match args.format {
        ExportFormat::Ndjson => LineFormat::Ndjson,
        ExportFormat::Cloudevents => LineFormat::CloudEvents,
    };

    let mut file = create(args.output.as_deref())?;
    let done = read(client, folder, |source| archive::export(source, &filter, format, &mut file))?;
    flush(file, args.output.as_deref())?;
    report(&done);

    match done.unknown {
        Some(what) => {
            // It holds nothing, and would be in the way of the next try.
            if let Some(output) = &args.output {
                let _ = std::fs::remove_file(output);
            }
            Err(CtlError::Refused(what))
        }
        None if done.missing.is_empty() => Ok(()),
        None => Err(CtlError::NotOk),
    }
}

/// What came of it, beside the events.
fn report(done: &ExportSummary) {
    for what in &done.missing {
        stdio::note(format_args!("hookboxctl: not exported: {}", clean(what)));
    }
    if let Some(last) = done.dropped_to {
        stdio::note(format_args!(
            "Retention dropped records up to {last} meanwhile. Of their events those are exported \
             that were still needed."
        ));
    }
    if done.unknown.is_none() {
        let (events, last) = (count(done.events, "event"), done.last);
        stdio::note(format_args!("Exported: {events}, as of record {last}."));
    }
}
