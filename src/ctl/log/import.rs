//! `log import`.

use std::cell::RefCell;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::files::{failed, rewound, unnamed};
use crate::api::views::ImportView;
use crate::archive::{self, ArchiveError, ExportFilter, LineFormat, OfflineLog};
use crate::ctl::answer::Answer;
use crate::ctl::args::ImportArgs;
use crate::ctl::client::{AdminClient, path};
use crate::ctl::clock::now_ms;
use crate::ctl::error::CtlError;
use crate::ctl::output::Output;
use crate::ctl::table::count;

/// What came of all slices of a file.
#[derive(Serialize, Deserialize)]
struct ImportReport {
    imported: usize,
    skipped: usize,
    other_lines: u64,
}

pub(super) fn import(
    client: &AdminClient,
    out: &mut Output,
    args: &ImportArgs,
) -> Result<(), CtlError> {
    let history_only = args.history_only.then(|| "true".to_owned());
    let (mut imported, mut skipped) = (0, 0);
    let refused = RefCell::new(None);
    let mut send = |slice: &str, first_line: u64| {
        let first_line = Some(first_line.to_string());
        let params = [("history_only", history_only.clone()), ("first_line", first_line)];
        let done = client.post_text(&path("/v1/log/import", &params), slice);
        let done = done.and_then(|answer| answer.view::<ImportView>()).map_err(|error| {
            let what = error.to_string();
            refused.replace(Some(error));
            ArchiveError::Garbled(what)
        })?;

        imported += done.imported;
        skipped += done.skipped;
        Ok(())
    };
    let others = archive::slices(&mut *lines_of(&args.from)?, &mut send);

    // What was imported before an error stays: the same import, corrected, continues behind it.
    let others = match (others, refused.take()) {
        (Ok(others), _) => others,
        (Err(_), Some(CtlError::Refused(what))) => return Err(stopped(imported, &what)),
        // The daemon went away.
        (Err(_), Some(CtlError::Unreachable(what))) => {
            return Err(CtlError::Unreachable(so_far(imported, &what)));
        }
        (Err(_), Some(error)) => return Err(error),
        (Err(ArchiveError::Garbled(what)), None) => return Err(stopped(imported, &what)),
        (Err(error), None) => return Err(error.into()),
    };
    if imported + skipped == 0 {
        let (from, others) = (args.from.display(), count(others, "other line"));
        return Err(CtlError::Refused(format!(
            "no events found in {from}, {others}: give a file that `hookboxctl log export` or \
             `log salvage` wrote"
        )));
    }

    let done = ImportReport { imported, skipped, other_lines: others };
    out.one(&Answer::of(&done)?, |done: &ImportReport| {
        let (imported, skipped) = (count(done.imported, "event"), done.skipped);
        format!("Imported: {imported}. Skipped, because they exist already: {skipped}.")
    })
}

/// The lines of an export; those of a backup are made first.
fn lines_of(from: &Path) -> Result<Box<dyn BufRead>, CtlError> {
    if from == Path::new("-") {
        return Ok(Box::new(BufReader::new(std::io::stdin())));
    }
    if !from.is_dir() {
        let file = File::open(from).map_err(failed("cannot open", from))?;
        return Ok(Box::new(BufReader::new(file)));
    }

    let mut file = unnamed(from)?;
    let log = OfflineLog::open(from, now_ms())?;
    archive::export(&log, &ExportFilter::default(), LineFormat::Ndjson, &mut file)?;
    log.close()?;
    Ok(Box::new(BufReader::new(rewound(file)?)))
}

fn stopped(imported: usize, what: &str) -> CtlError {
    CtlError::Refused(so_far(imported, what))
}

fn so_far(imported: usize, what: &str) -> String {
    match imported {
        0 => format!("nothing was imported: {what}"),
        1 => format!("stopped after 1 event, which was imported: {what}"),
        more => format!("stopped after {more} events, which were imported: {what}"),
    }
}
