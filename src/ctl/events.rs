//! `event`, `replay` and `tail`: what came in, and deliveries made from it once more.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};

use super::args::{DeliveryFilterArgs, EventCommand, ReplayArgs, SendArgs, TailArgs};
use super::client::{AdminClient, path, resource};
use super::deliveries::filter_body;
use super::error::CtlError;
use super::files::read_bytes;
use super::lists::{self, filter_params, list, page_params};
use super::output::Output;
use super::settings::put;
use super::show;
use super::table::{Show, cell, clean, count, deliveries, size, span};

pub(super) fn event(
    client: &AdminClient,
    out: &mut Output,
    command: &EventCommand,
) -> Result<(), CtlError> {
    match command {
        EventCommand::List { filter, page } => {
            let target = path("/v1/events", &[filter_params(filter), page_params(page)].concat());
            list(client, out, &target, lists::EVENTS, "No events match.")
        }
        EventCommand::Show { id } => {
            let found = client.get(&resource("events", id, ""))?;
            out.one(&found, show::event)
        }
        EventCommand::Send(args) => send(client, out, args),
    }
}

fn send(client: &AdminClient, out: &mut Output, args: &SendArgs) -> Result<(), CtlError> {
    let bytes = match (&args.body.data, &args.body.file) {
        (Some(data), _) => data.clone().into_bytes(),
        (None, Some(file)) => read_bytes(file)?,
        (None, None) => read_bytes(std::path::Path::new("-"))?,
    };

    let mut body = Map::new();
    body.insert("source".into(), json!(args.source));
    body.insert("data_base64".into(), json!(STANDARD.encode(bytes)));
    put(&mut body, "type", args.kind.as_ref());
    put(&mut body, "id", args.id.as_ref());
    put(&mut body, "content_type", args.content_type.as_ref());

    let sent = client.post("/v1/events", &Value::Object(body))?;
    out.one(&sent, |sent| {
        let id = sent["id"].as_str().unwrap_or("-");
        match sent["duplicate"] == json!(true) {
            true => format!("{id} (a duplicate of this earlier event)"),
            false => id.to_owned(),
        }
    })
}

pub(super) fn replay(
    client: &AdminClient,
    out: &mut Output,
    args: &ReplayArgs,
) -> Result<(), CtlError> {
    if args.list {
        return list(client, out, "/v1/replays", lists::REPLAYS, "No replay is in progress.");
    }

    let filter = DeliveryFilterArgs {
        filter: args.filter.clone(),
        endpoint: None,
        event: args.event.clone(),
    };
    let mut body = filter_body(&filter);
    // Everything is replayed only when it is asked for by name.
    match (body.is_empty(), args.all) {
        (true, false) => {
            let what = "no events selected: give --event, --source, --type, --since or --until, \
                 or --all for every stored event";
            return Err(CtlError::Usage(what.into()));
        }
        (false, true) => {
            let what = "a filter and --all exclude each other: give only one of them";
            return Err(CtlError::Usage(what.into()));
        }
        _ => {}
    }
    put(&mut body, "to", args.to.as_ref());
    put(&mut body, "rate", args.rate.as_ref());
    body.insert("all".into(), json!(args.all));
    body.insert("dry_run".into(), json!(args.dry_run));

    let done = client.post("/v1/replays", &Value::Object(body))?;
    out.one(&done, |done| {
        let matched = count(&done["matched"], "event");
        match done.get("would_queue") {
            Some(would) => {
                let would = deliveries(would);
                format!("Matched: {matched}. Would queue: {would}. Nothing was queued (--dry-run).")
            }
            None => format!("Matched: {matched}. Queued: {}.", deliveries(&done["queued"])),
        }
    })
}

pub(super) fn tail(
    client: &AdminClient,
    out: &mut Output,
    args: &TailArgs,
) -> Result<(), CtlError> {
    let target = path(
        "/v1/tail",
        &[
            ("follow", args.follow.then(|| "true".into())),
            ("source", args.source.clone()),
            ("endpoint", args.endpoint.clone()),
            ("limit", Some(args.limit.to_string())),
        ],
    );
    client.list(&target, &mut |row| {
        out.one(&row, tail_line)?;
        // Each line is seen at once, even through a pipe.
        out.finish()
    })
}

/// One event, duplicate or attempt, in one line.
pub(super) fn tail_line(row: &Value) -> String {
    let text = |field: &str| row[field].as_str().map_or_else(|| row[field].to_string(), clean);
    let time = row["at"].as_str().and_then(|t| t.get(11..23)).unwrap_or("-");

    match row["what"].as_str() {
        Some("event") => {
            let kind = row["type"].as_str().filter(|t| !t.is_empty()).map_or("-".into(), clean);
            let bytes = size(row["size"].as_u64().unwrap_or(0));
            let (source, id) = (text("source"), text("id"));
            let endpoints = count(&row["deliveries"], "endpoint");
            format!("{time}  in    {source}  {kind}  {bytes}  {id}  to {endpoints}")
        }
        Some("duplicate") => {
            format!("{time}  in    duplicate of the event in record {}", row["event_seq"])
        }
        Some("attempt") => {
            let status = row["status"].as_u64().map(|s| s.to_string());
            let result = status.or_else(|| row["error"].as_str().map(clean)).unwrap_or("-".into());
            let took = span(row["duration_ms"].as_u64().unwrap_or(0));
            let next = row["next_at"].as_str().and_then(|t| t.get(11..19));
            let next = next.map(|t| format!("  next at {t}")).unwrap_or_default();
            let (endpoint, outcome, id) = (text("endpoint"), text("outcome"), text("delivery"));
            let number = &row["number"];
            let attempt = format!("{outcome}  {result}  {took}  attempt {number}");
            format!("{time}  out   {endpoint}  {attempt}  {id}{next}")
        }
        Some("missed") => {
            format!("-             {} lines were skipped: the reader is too slow", row["lines"])
        }
        _ => cell(row, Show::Text, 0),
    }
}
