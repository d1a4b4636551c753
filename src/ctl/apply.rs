//! `apply`, `diff` and `export`: sources and endpoints as files.

mod read;

use std::fmt::Write;

use serde_json::Value;

use super::answer::Answer;
use super::args::{ApplyArgs, DiffArgs, SetArgs, SetExportArgs};
use super::client::{AdminClient, path};
use super::error::CtlError;
use super::output::Output;
use super::table::{clean, deliveries, text};
use crate::api::ApplyBody;
use crate::api::apply::{FileFormat, toml_text};
use crate::api::views::{
    ApplyAction, ApplyView, ChangeView, ExportView, FieldChangeView, Tolerant,
};

/// Characters of a value that are shown.
const SHOWN: usize = 120;

/// Makes sources and endpoints as files say.
pub(super) fn apply(
    client: &AdminClient,
    out: &mut Output,
    args: &ApplyArgs,
) -> Result<(), CtlError> {
    let answer = post(client, &args.set, args.dry_run)?;
    out.one(&answer, screen)
}

/// Says what `apply` would change; 1 when that is anything, 2 when it cannot be found out.
pub(super) fn diff(
    client: &AdminClient,
    out: &mut Output,
    args: &DiffArgs,
) -> Result<(), CtlError> {
    let failed = |error: CtlError| CtlError::NotCompared(Box::new(error));
    let mut compared = || -> Result<bool, CtlError> {
        let answer = post(client, &args.set, true)?;
        let is_same = answer.view::<ApplyView>()?.changes.is_empty();
        if out.json || !is_same {
            let shown = out.one(&answer, |view: &ApplyView| changes(view) + &totals(view));
            // Also for somebody who reads only the beginning.
            match shown.and_then(|()| out.finish()) {
                Err(CtlError::OutputClosed) => {}
                shown => shown?,
            }
        }
        Ok(is_same)
    };

    if compared().map_err(failed)? { Ok(()) } else { Err(CtlError::NotOk) }
}

/// Writes what is configured as a file has it.
pub(super) fn export(
    client: &AdminClient,
    out: &mut Output,
    args: &SetExportArgs,
) -> Result<(), CtlError> {
    let set = args.set.as_ref().map(|set| set.0.clone());
    let answer = client.get(&path("/v1/export", &[("set", set)]))?;
    if out.json {
        return out.line(answer.json());
    }

    let export: ExportView = answer.view()?;
    let written = match args.format {
        Some(FileFormat::Json) => serde_json::to_string_pretty(&export)
            .map_err(|error| CtlError::Refused(format!("it cannot be written: {error}")))?,
        Some(FileFormat::Toml) | None => toml_text(&export).map_err(CtlError::Refused)?,
    };
    out.line(written.trim_end_matches('\n'))
}

/// Asks the daemon. What it refuses is said with the file and the line where it stands.
fn post(client: &AdminClient, args: &SetArgs, dry_run: bool) -> Result<Answer, CtlError> {
    let files = args.files.iter().chain(&args.file);
    let wanted = read::set(files, args.format)?;
    let (set, prune, force) = (args.set.clone(), args.prune, args.force);
    let body = ApplyBody { set, prune, force, dry_run, ..read::body(&wanted) };

    client.post("/v1/apply", &body).map_err(|error| match error {
        CtlError::Usage(why) => CtlError::Usage(wanted.located(&why)),
        CtlError::Refused(why) => CtlError::Refused(wanted.located(&why)),
        other => other,
    })
}

/// What was changed, or would be.
fn screen(view: &ApplyView) -> String {
    let mut screen = changes(view) + &totals(view);
    if view.dry_run {
        screen.push_str("Nothing was changed: this was a dry run.\n");
    }
    screen
}

fn changes(view: &ApplyView) -> String {
    let mut lines = String::new();
    for change in &view.changes {
        let (kind, name) = (text(&change.kind), text(&change.name));
        let previous = change.previous_name.as_ref();
        let was = previous.map(|was| format!(" (was {})", text(was))).unwrap_or_default();
        let _ = writeln!(lines, "{} {kind} {name}{was}", change.action);
        details(change, &mut lines);
    }
    lines
}

fn details(change: &ChangeView, lines: &mut String) {
    let width = change.fields.iter().map(|field| field.field.len()).max().unwrap_or(0);
    for field in &change.fields {
        let name = clean(&field.field);
        let _ = writeln!(lines, "    {name:<width$}  {}", difference(change, field));
    }
    if let Some(secret) = &change.secret {
        let _ = writeln!(lines, "    the secret, shown only once: {}", secret.0.0);
    }
    for warning in &change.warnings {
        let _ = writeln!(lines, "    warning: {}", text(warning));
    }
}

fn difference(change: &ChangeView, field: &FieldChangeView) -> String {
    let is_new = change.action == Tolerant::Known(ApplyAction::Create);
    match (field.secret, is_new) {
        (true, true) => "set (not shown)".to_owned(),
        (true, false) => "changed (not shown)".to_owned(),
        (false, true) => value(&field.to),
        (false, false) => format!("{} -> {}", value(&field.from), value(&field.to)),
    }
}

/// A value in one line.
fn value(value: &Value) -> String {
    let whole = match value {
        Value::Null => "(default)".to_owned(),
        Value::String(text) => clean(text),
        other => clean(&other.to_string()),
    };
    match whole.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}…", &whole[..end]),
        None => whole,
    }
}

fn totals(view: &ApplyView) -> String {
    let of = |wanted: ApplyAction| {
        view.changes.iter().filter(|change| change.action == Tolerant::Known(wanted)).count()
    };
    let counts = [
        (of(ApplyAction::Create), "created"),
        (of(ApplyAction::Change), "changed"),
        (of(ApplyAction::Rename), "renamed"),
        (of(ApplyAction::Delete), "deleted"),
        (view.unchanged, "unchanged"),
    ];
    let shown: Vec<String> = counts
        .iter()
        .filter(|(number, what)| *number > 0 || *what == "unchanged")
        .map(|(number, what)| format!("{number} {what}"))
        .collect();

    let mut line = shown.join(", ");
    if view.cancelled > 0 {
        let _ = write!(line, "; {} cancelled", deliveries(view.cancelled));
    }
    line + "\n"
}
