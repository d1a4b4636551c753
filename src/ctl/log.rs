//! The log: its segments, whether all of it adds up, and what is done with the whole of it.

use std::cell::RefCell;
use std::fs::OpenOptions;
use std::io::{BufReader, BufWriter, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::CtlError;
use super::args::{BackupArgs, ExportArgs, ExportFormat, ImportArgs, LogCommand, SalvageArgs};
use super::client::{Client, path};
use super::lists;
use super::output::Output;
use super::show;
use super::table::{Table, count, size};
use crate::archive::{self, ArchiveError, Folder, Pieces, Wire};
use crate::model::time::{parse_duration_ms, parse_wall};

pub(super) fn log(client: &Client, out: &mut Output, command: &LogCommand) -> Result<(), CtlError> {
    match command {
        LogCommand::Stat => stat(client, out),
        LogCommand::Verify { expect, data } => verify(client, out, expect.as_deref(), data.as_deref()),
        LogCommand::Head { data } => head(client, out, data.as_deref()),
        LogCommand::Backup(args) => backup(client, out, args),
        LogCommand::Export(args) => export(client, args),
        LogCommand::Import(args) => import(client, out, args),
        LogCommand::Salvage(args) => salvage(client, args),
    }
}

fn stat(client: &Client, out: &mut Output) -> Result<(), CtlError> {
    let stat = client.get("/v1/log")?;
    if out.json {
        return out.one(&stat, Value::to_string);
    }
    let mut table = Table::new(lists::now_ms(), lists::SEGMENTS);
    for segment in stat["segments"].as_array().into_iter().flatten() {
        out.row(&mut table, segment)?;
    }
    out.end(&mut table, "The log has no segments.")?;
    let bytes = size(stat["bytes"].as_u64().unwrap_or(0));
    out.line(&format!("{} records, {} to {}, {bytes} on disk", stat["records"], stat["first"], stat["last"]))
}

fn head(client: &Client, out: &mut Output, data: Option<&Path>) -> Result<(), CtlError> {
    let head = match data {
        None => client.get("/v1/log/head")?,
        Some(data) => {
            let folder = Folder::open(data, lists::now_ms())?;
            let head = folder.head_view();
            folder.close()?;
            head
        }
    };
    out.one(&head, |head| format!("{}:{}", head["record"], head["hash"].as_str().unwrap_or_default()))
}

fn verify(client: &Client, out: &mut Output, expect: Option<&str>, data: Option<&Path>) -> Result<(), CtlError> {
    let expect = expect.map(|head| head.trim().to_owned());
    let mut report = Value::Null;
    match data {
        None => client.list(&path("/v1/log/verify", &[("expect", expect)]), &mut |line| {
            if line.get("progress").is_none() {
                report = line;
            }
            Ok(())
        })?,
        Some(data) => {
            let folder = Folder::open(data, lists::now_ms())?;
            report = folder.verify_view(expect.as_deref())?;
            folder.close()?;
        }
    }
    if report.is_null() {
        return Err(CtlError::Unreachable("the daemon broke off before its report: try again".into()));
    }
    out.one(&report, show::verified)?;
    if report["ok"] == json!(true) {
        return Ok(());
    }
    out.finish()?;
    Err(CtlError::NotOk)
}

fn backup(client: &Client, out: &mut Output, args: &BackupArgs) -> Result<(), CtlError> {
    let made = from(client, args.data.as_deref(), |source| archive::backup(source, &args.to))?;
    // It counts as one only once it has been read back.
    let folder = Folder::open(&args.to, lists::now_ms())?;
    let expected = format!("{}:{}", made.head.seq, archive::hex(&made.head.hash));
    let report = folder.verify_view(Some(&expected))?;
    folder.close()?;
    let done = json!({
        "ok": report["ok"], "to": args.to.display().to_string(), "records": report["records"],
        "segments": made.segments, "first": report["first"], "last": report["last"], "record": made.head.seq,
        "hash": archive::hex(&made.head.hash), "missing": made.missing, "problems": report["problems"],
    });
    out.one(&done, |done| {
        let records = count(&done["records"], "record");
        let to = done["to"].as_str().unwrap_or_default();
        let mut text = format!(
            "Copied to {to}: {records}, {} to {}, and read back.\nHead {expected}",
            done["first"], done["last"]
        );
        if done["ok"] != true {
            text = format!(
                "{text}\nWhat does not add up in the log does not in the copy either:\n{}",
                show::verified(&report)
            );
        }
        text
    })?;
    if report["ok"] == json!(true) {
        return Ok(());
    }
    out.finish()?;
    Err(CtlError::NotOk)
}

fn export(client: &Client, args: &ExportArgs) -> Result<(), CtlError> {
    let time = |name: &str, text: &Option<String>| text.as_ref().map(|text| time(name, text)).transpose();
    let filter = archive::Filter {
        from: args.from,
        to: args.to,
        since: time("--since", &args.filter.since)?,
        until: time("--until", &args.filter.until)?,
        source: args.filter.source.clone(),
        kind: args.filter.kind.clone(),
        event: args.event.as_ref().map(|id| id.parse()).transpose().map_err(|e| CtlError::Usage(format!("{e}")))?,
    };
    let format = match args.format {
        ExportFormat::Ndjson => archive::Format::Ndjson,
        ExportFormat::Cloudevents => archive::Format::CloudEvents,
    };
    let mut file = sink(args.output.as_deref())?;
    let done = from(client, args.data.as_deref(), |source| archive::export(source, &filter, format, &mut file))?;
    end(file, args.output.as_deref())?;
    done.missing.iter().for_each(|what| eprintln!("hookboxctl: not exported: {what}"));
    eprintln!("Exported: {}, as of record {}.", count(&json!(done.events), "event"), done.last);
    if done.missing.is_empty() { Ok(()) } else { Err(CtlError::NotOk) }
}

fn import(client: &Client, out: &mut Output, args: &ImportArgs) -> Result<(), CtlError> {
    let history_only = args.history_only.then(|| "true".to_owned());
    let (mut imported, mut skipped) = (0, 0);
    let refused = RefCell::new(None);
    let mut send = |slice: &str, begins: u64| {
        let params = [("history_only", history_only.clone()), ("first_line", Some(begins.to_string()))];
        let done = client.post_text(&path("/v1/log/import", &params), slice).map_err(|error| {
            let what = error.to_string();
            refused.replace(Some(error));
            ArchiveError::Garbled(what)
        })?;
        imported += done["imported"].as_u64().unwrap_or(0);
        skipped += done["skipped"].as_u64().unwrap_or(0);
        Ok(())
    };
    let mut lines: Box<dyn std::io::BufRead> = if args.from.is_dir() {
        let mut file = tempfile_of(&args.from)?;
        let folder = Folder::open(&args.from, lists::now_ms())?;
        archive::export(&folder, &archive::Filter::default(), archive::Format::Ndjson, &mut file)?;
        folder.close()?;
        Box::new(BufReader::new(rewound(file)?))
    } else if args.from == Path::new("-") {
        Box::new(BufReader::new(std::io::stdin()))
    } else {
        Box::new(BufReader::new(std::fs::File::open(&args.from).map_err(failed("cannot open", &args.from))?))
    };
    let others = archive::slices(&mut *lines, &mut send);
    // What came in before stays: the same import, mended, goes on behind it.
    let others = match (others, refused.take()) {
        (Ok(others), _) => others,
        (Err(_), Some(CtlError::Refused(what))) => return Err(broke_off(imported, &what)),
        (Err(_), Some(error)) => return Err(error),
        (Err(ArchiveError::Garbled(what)), None) => return Err(broke_off(imported, &what)),
        (Err(error), None) => return Err(error.into()),
    };
    if imported + skipped == 0 {
        return Err(CtlError::Refused(format!(
            "no events found in {}, {}: give it what `hookboxctl log export` or `log salvage` wrote",
            args.from.display(),
            count(&json!(others), "other line")
        )));
    }
    let done = json!({"imported": imported, "skipped": skipped, "other_lines": others});
    out.one(&done, |done| {
        format!("Imported: {}. Skipped, because they are here: {}.", count(&done["imported"], "event"), done["skipped"])
    })
}

fn broke_off(imported: u64, what: &str) -> CtlError {
    CtlError::Refused(match imported {
        0 => format!("nothing came in: {what}"),
        1 => format!("after 1 event, which stays: {what}"),
        more => format!("after {more} events, which stay: {what}"),
    })
}

fn salvage(client: &Client, args: &SalvageArgs) -> Result<(), CtlError> {
    let segments = if args.segments.is_empty() { known_damage(client, args)? } else { args.segments.clone() };
    if segments.is_empty() {
        eprintln!(
            "No segment was put aside, and none is known to be damaged. `hookboxctl log verify` reads all of them and tells."
        );
        return Ok(());
    }
    let mut file = sink(args.output.as_deref())?;
    let mut whole = true;
    for segment in &segments {
        let done = archive::salvage(segment, &mut file)?;
        let (records, events) = (count(&json!(done.records), "record"), count(&json!(done.events), "event"));
        eprintln!("{}: {records} read, {events} among them", segment.display());
        if let Some(why) = &done.unreadable {
            eprintln!("{}: {why}", segment.display());
        }
        for (first, last) in &done.missing {
            eprintln!("{}: records {first} to {last} are missing", segment.display());
        }
        whole &= done.missing.is_empty() && done.unreadable.is_none();
    }
    end(file, args.output.as_deref())?;
    if whole { Ok(()) } else { Err(CtlError::NotOk) }
}

/// The folders of segments that were put aside or are known to be damaged.
fn known_damage(client: &Client, args: &SalvageArgs) -> Result<Vec<PathBuf>, CtlError> {
    let (data, known) = match &args.data {
        Some(data) => {
            let report = match Folder::open(data, lists::now_ms()) {
                Ok(folder) => {
                    let report = folder.verify_view(None)?;
                    folder.close()?;
                    report["problems"].clone()
                }
                // With a daemon at it, only what was put aside is looked at.
                Err(ArchiveError::Log(_)) => Value::Null,
                Err(error) => return Err(error.into()),
            };
            (data.clone(), report)
        }
        None => {
            let status = client.get("/v1/status")?;
            (PathBuf::from(status["data"].as_str().unwrap_or_default()), status["log"]["damage"].clone())
        }
    };
    let mut segments = archive::damaged(&data)?;
    for problem in known.as_array().into_iter().flatten() {
        let folder = data.join("log").join(format!("seg-{:020}", problem["segment"].as_u64().unwrap_or(0)));
        if folder.is_dir() && !segments.contains(&folder) {
            segments.push(folder);
        }
    }
    Ok(segments)
}

/// Reads a folder's log, or else the daemon's.
fn from<T>(
    client: &Client,
    data: Option<&Path>,
    work: impl FnOnce(&dyn Pieces) -> archive::Done<T>,
) -> Result<T, CtlError> {
    let Some(data) = data else {
        let live = Live { client, failed: RefCell::new(None) };
        return work(&live).map_err(|error| live.failed.take().unwrap_or_else(|| error.into()));
    };
    let folder = Folder::open(data, lists::now_ms())?;
    let done = work(&folder)?;
    folder.close()?;
    Ok(done)
}

/// The log of a running daemon.
struct Live<'a> {
    client: &'a Client,
    /// What the daemon said, when that is why it failed.
    failed: RefCell<Option<CtlError>>,
}

impl Live<'_> {
    fn note<T>(&self, done: Result<T, CtlError>) -> archive::Done<T> {
        done.map_err(|error| {
            let what = error.to_string();
            self.failed.replace(Some(error));
            ArchiveError::Garbled(what)
        })
    }
}

impl Pieces for Live<'_> {
    fn segments(&self) -> archive::Done<Vec<u64>> {
        let stat = self.note(self.client.get("/v1/log"))?;
        let segments = stat["segments"].as_array().into_iter().flatten();
        Ok(segments.filter_map(|segment| segment["first"].as_u64()).collect())
    }

    fn pieces(
        &self,
        first: u64,
        take: &mut dyn FnMut(crate::archive::LogPiece) -> archive::Done<()>,
    ) -> archive::Done<bool> {
        let mut wire = Wire::default();
        let mut broke = None;
        let there = self.client.bytes(&format!("/v1/log/segments/{first}"), &mut |bytes| {
            if let Err(error) = wire.take(bytes, take) {
                let what = error.to_string();
                broke = Some(error);
                return Err(CtlError::Refused(what));
            }
            Ok(())
        });
        match (broke, there) {
            (Some(error), _) => Err(error),
            (None, Ok(true)) => wire.end().map(|()| true),
            (None, there) => self.note(there),
        }
    }
}

/// Where lines go.
fn sink(output: Option<&Path>) -> Result<Box<dyn Write>, CtlError> {
    let Some(output) = output else { return Ok(Box::new(BufWriter::new(std::io::stdout()))) };
    let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(output);
    Ok(Box::new(BufWriter::new(file.map_err(failed("cannot make", output))?)))
}

fn end(mut sink: Box<dyn Write>, output: Option<&Path>) -> Result<(), CtlError> {
    sink.flush().map_err(failed("cannot write", output.unwrap_or(Path::new("stdout"))))
}

/// A file that is gone when it is closed, beside the backup that is read.
fn tempfile_of(near: &Path) -> Result<std::fs::File, CtlError> {
    let name = near.join(format!(".import-{}", std::process::id()));
    let file = OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(&name);
    let file = file.map_err(failed("cannot make", &name))?;
    std::fs::remove_file(&name).map_err(failed("cannot remove", &name))?;
    Ok(file)
}

fn rewound(mut file: std::fs::File) -> Result<std::fs::File, CtlError> {
    use std::io::Seek;
    file.rewind().map_err(|error| CtlError::Io { what: "cannot read the export again".into(), error })?;
    Ok(file)
}

fn failed(what: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> CtlError {
    let what = format!("{what} {}", path.display());
    move |error| match error.kind() {
        std::io::ErrorKind::BrokenPipe => CtlError::NobodyReads,
        _ => CtlError::Io { what, error },
    }
}

/// A time as the daemon's lists take it.
fn time(option: &str, text: &str) -> Result<u64, CtlError> {
    let ago = || parse_duration_ms(text).ok().map(|ms| lists::now_ms().saturating_sub(ms));
    let day = || parse_wall(&format!("{text}T00:00:00Z"));
    parse_wall(text).or_else(ago).or_else(day).ok_or_else(|| {
        CtlError::Usage(format!(
            "{option}: '{text}' is not a time: write it as 2026-11-23T13:20:00Z, 2026-11-23, unix seconds, or 2h for two \
             hours ago"
        ))
    })
}

impl From<ArchiveError> for CtlError {
    fn from(error: ArchiveError) -> Self {
        match error {
            ArchiveError::NobodyReads => Self::NobodyReads,
            error => Self::Refused(error.to_string()),
        }
    }
}
