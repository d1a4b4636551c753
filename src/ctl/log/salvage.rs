//! `log salvage`.

use std::path::PathBuf;

use super::files::{create, flush};
use crate::api::views::StatusView;
use crate::archive::{self, ArchiveError, OfflineLog};
use crate::ctl::args::SalvageArgs;
use crate::ctl::client::AdminClient;
use crate::ctl::clock::now_ms;
use crate::ctl::error::CtlError;
use crate::ctl::table::{clean, count};
use crate::service::stdio;

pub(super) fn salvage(client: &AdminClient, args: &SalvageArgs) -> Result<(), CtlError> {
    let segments = match args.segments.is_empty() {
        true => known_damage(client, args)?,
        false => args.segments.clone(),
    };
    if segments.is_empty() {
        stdio::note(format_args!(
            "No segment is in quarantine, and none is known to be damaged. \
             `hookboxctl log verify` checks all of them."
        ));
        return Ok(());
    }

    let mut file = create(args.output.as_deref())?;
    let mut is_complete = true;
    for segment in &segments {
        let done = archive::salvage(segment, &mut file)?;
        let records = count(done.records, "record");
        let events = count(done.events, "event");

        let name = segment.display();
        stdio::note(format_args!("{name}: {records} read, {events} among them"));
        if let Some(why) = &done.unreadable {
            stdio::note(format_args!("{name}: {}", clean(why)));
        }
        for (first, last) in &done.missing {
            stdio::note(format_args!("{name}: records {first} to {last} are missing"));
        }
        is_complete &= done.missing.is_empty() && done.unreadable.is_none();
    }

    flush(file, args.output.as_deref())?;
    if is_complete { Ok(()) } else { Err(CtlError::NotOk) }
}

/// The folders of segments that are in quarantine or known to be damaged.
fn known_damage(client: &AdminClient, args: &SalvageArgs) -> Result<Vec<PathBuf>, CtlError> {
    let (data, problems) = match &args.data {
        Some(data) => {
            let problems = match OfflineLog::open(data, now_ms()) {
                Ok(log) => {
                    let report = log.verify_view(None)?;
                    log.close()?;
                    report.problems
                }
                // While a daemon uses the folder, only the quarantine is looked at.
                Err(ArchiveError::Log(_)) => Vec::new(),
                Err(error) => return Err(error.into()),
            };
            (data.clone(), problems)
        }
        None => {
            let status: StatusView = client.get("/v1/status")?.view()?;
            (PathBuf::from(status.data), status.log.damage)
        }
    };

    let mut segments = archive::damaged(&data)?;
    for problem in problems {
        // The segment that a problem names may be one of a scratch copy, which is cut off before
        // the damage and goes on in a new segment.
        for folder in archive::holding(&data, problem.first, problem.last)? {
            if !segments.contains(&folder) {
                segments.push(folder);
            }
        }
    }
    Ok(segments)
}
