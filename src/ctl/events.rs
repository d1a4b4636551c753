//! `event`, `replay` and `tail`: what came in, and deliveries made from it once more.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::answer::decoded_body;
use super::args::{EventCommand, PageArgs, ReplayArgs, SendArgs, TailArgs};
use super::client::{AdminClient, path, resource};
use super::error::CtlError;
use super::files::read_bytes;
use super::filters::{event_filter, whole_event};
use super::lists::{self, filter_params, list, page_params};
use super::output::Output;
use super::selection::only_selection;
use super::show;
use super::table::{clean, count, deliveries, local, local_ms, size, span, text};
use super::terminal::{can_ask, confirm};
use crate::api::text::Line;
use crate::api::views::{
    EventDetailView, EventSentView, NextStep, ReplayStartView, ReplayView, TailView, Tolerant,
};
use crate::api::{ReplayBody, SendEventBody};
use crate::model::limits;

pub(super) fn event(
    client: &AdminClient,
    out: &mut Output,
    command: &EventCommand,
) -> Result<(), CtlError> {
    match command {
        EventCommand::List { filter, event, page } => {
            let after = whole_event(client, page.after.as_ref())?;
            let page = &PageArgs { after, ..page.clone() };
            let event = vec![("event", whole_event(client, event.as_ref())?)];
            let params = [filter_params(filter), event, page_params(page)].concat();
            let target = path("/v1/events", &params);
            let rows = ("event list", page);
            lists::page(client, out, &target, lists::EVENTS, rows, "No events match.")
        }
        EventCommand::Show { id } => {
            // People read the beginning of a long body, and programs get all of it.
            let most = (!out.json).then(|| limits::BODY_SHOWN.to_string());
            let target = path(&resource("events", id, ""), &[("body_bytes", most)]);
            out.one(&client.get(&target)?, show::event)
        }

        EventCommand::Body { id } => {
            let found = client.get(&resource("events", id, ""))?;
            if out.json {
                return out.line(found.json());
            }
            let event: EventDetailView = found.view()?;
            let body = decoded_body(&event.body_base64)?;
            out.raw(&body)
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

    let body = SendEventBody {
        source: Some(Line(args.source.clone())),
        event_type: args.kind.clone().map(Line),
        id: args.id.clone().map(Line),
        data_base64: Some(STANDARD.encode(bytes)),
        content_type: args.content_type.clone().map(Line),
        ..SendEventBody::default()
    };
    let sent = client.post("/v1/events", &body)?;
    out.one(&sent, |sent: &EventSentView| match sent.duplicate {
        true => format!("{} (a duplicate of this earlier event)", sent.id),
        false => sent.id.to_string(),
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
    if let Some(number) = args.stop {
        let stopped = client.delete(&resource("replays", &number.to_string(), ""))?;
        return out.one(&stopped, |replay: &ReplayView| {
            format!(
                "Stopped replay {number}. It had come to record {} of {}; what it has queued stays \
                 queued.",
                replay.next, replay.end
            )
        });
    }

    let event = whole_event(client, args.event.as_ref())?;
    let filter = event_filter(&args.filter, event.as_ref())?;
    // Everything is replayed only when it is asked for by name.
    only_selection(
        "events",
        "--event, --source, --type, --since, --until",
        (false, !filter.is_empty(), args.all),
    )?;

    let to = args.to.clone().map(Line);
    let (rate, all, dry_run) = (args.rate.clone(), args.all, args.dry_run);
    let body = ReplayBody { filter, to, rate, all, dry_run };
    confirm_replay(client, out, args, &body)?;
    let done = client.post("/v1/replays", &body)?;
    out.one(&done, |done: &ReplayStartView| {
        let matched = count(done.matched, "event");
        match (done.would_queue.map(deliveries), &args.rate) {
            (Some(would), _) if done.dry_run => {
                format!("Matched: {matched}. Would queue: {would}. Nothing was queued (--dry-run).")
            }
            (Some(_), _) => format!("Matched: {matched}. There is nothing to queue."),
            (None, None) => format!("Matched: {matched}. Queued: {}.", deliveries(done.queued)),
            (None, Some(rate)) => format!(
                "Matched: {matched}. Queuing {} at {rate}: see `hookboxctl replay --list`.",
                deliveries(done.queued)
            ),
        }
    })
}

/// Asks before more than one event that is named is delivered again, with how many there are.
fn confirm_replay(
    client: &AdminClient,
    out: &Output,
    args: &ReplayArgs,
    body: &ReplayBody,
) -> Result<(), CtlError> {
    if args.yes || args.dry_run || args.event.is_some() || out.json || !can_ask() {
        return Ok(());
    }
    let counted = ReplayBody { dry_run: true, ..body.clone() };
    let found: ReplayStartView = client.post("/v1/replays", &counted)?.view()?;
    let (events, would) = (found.matched, found.would_queue.unwrap_or(0));
    if would == 0 {
        return Ok(());
    }

    let (events, what) = (count(events, "event"), deliveries(would));
    let to = match &args.to {
        Some(name) => format!(" to {}", clean(name)),
        None => String::new(),
    };
    confirm(false, &format!("This delivers {events} again: {what}{to}."))
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
    })?;

    match args.follow {
        true => Err(CtlError::Unreachable(
            "the daemon ended the stream, because it was stopped: run it again when it is back"
                .to_owned(),
        )),
        false => Ok(()),
    }
}

/// One event, duplicate or attempt, in one line.
pub(super) fn tail_line(line: &Tolerant<TailView>) -> String {
    let line = match line {
        Tolerant::Known(line) => line,
        Tolerant::Unknown(line) => return clean(&line.to_string()),
    };

    match line {
        TailView::Event { at, id, source, event_type, size: bytes, deliveries } => {
            let (time, source, kind) = (local_ms(at.0), clean(source), text(event_type));
            let (bytes, endpoints) = (size(*bytes as u64), count(*deliveries, "endpoint"));
            format!("{time}  in    {source}  {kind}  {bytes}  {id}  to {endpoints}")
        }
        TailView::Duplicate { at, id, source, event_seq } => {
            let first =
                id.as_ref().map_or_else(|| format!("record {event_seq}"), ToString::to_string);
            let source = source.as_deref().map(|source| format!("{}  ", clean(source)));
            let source = source.unwrap_or_default();
            format!("{}  in    {source}duplicate of {first}", local_ms(at.0))
        }
        TailView::Attempt {
            at,
            delivery,
            endpoint,
            number,
            duration_ms,
            outcome,
            status,
            error,
            next,
            next_at,
            next_by,
            ..
        } => {
            let (time, endpoint, outcome) = (local_ms(at.0), clean(endpoint), clean(outcome));
            let parts = [status.map(|status| status.to_string()), error.as_deref().map(clean)];
            let parts: Vec<String> = parts.into_iter().flatten().collect();
            let result = if parts.is_empty() { "-".to_owned() } else { parts.join(": ") };
            let took = span(*duration_ms);

            let attempt = format!("{outcome}  {result}  {took}  attempt {number}");
            let next = next_by
                .map(|at| format!("  next with a batch, by {}", local(at.0)))
                .or_else(|| next_at.map(|at| format!("  next at {}", local(at.0))))
                .or_else(|| next.as_ref().map(what_followed))
                .unwrap_or_default();
            format!("{time}  out   {endpoint}  {attempt}  {delivery}{next}")
        }
        TailView::Missed { lines } => {
            format!("- {lines} lines were skipped: the reader is too slow")
        }
    }
}

/// What followed from an attempt that is not repeated at a known time.
fn what_followed(next: &Tolerant<NextStep>) -> String {
    let words = match next {
        Tolerant::Known(NextStep::Delivered) => return String::new(),
        Tolerant::Known(NextStep::Dead) => "given up (dead)",
        Tolerant::Known(NextStep::Held) => "the endpoint is on hold",
        Tolerant::Known(NextStep::Parked) => "its lane is parked",
        Tolerant::Known(NextStep::Ended) => "it was cancelled",
        Tolerant::Known(NextStep::Retry) => "is tried again",
        Tolerant::Unknown(_) => return format!("  {}", clean(&next.to_string())),
    };
    format!("  {words}")
}
