//! `delivery` and `dlq`: what became of each event at each endpoint.

use serde::Deserialize;

use super::args::{DeadLetterArgs, DeliveryCommand, DlqCommand, PageArgs};
use super::bulk::{self, BulkVerb};
use super::client::{AdminClient, path, resource};
use super::error::CtlError;
use super::filters::{delivery_filter, delivery_ids, whole_filter};
use super::lists::{self, delivery_params, page_params};
use super::output::Output;
use super::selection::only_selection;
use super::show;
use super::table::{count, deliveries, text};
use super::terminal::{can_ask, confirm};
use crate::api::DeadLettersBody;
use crate::api::views::{CancelView, DiscardView, LeftOutView, RetryView};

const RETRY: &str = "/v1/dlq/retry";
const DISCARD: &str = "/v1/dlq/discard";

pub(super) fn delivery(
    client: &AdminClient,
    out: &mut Output,
    command: &DeliveryCommand,
) -> Result<(), CtlError> {
    match command {
        DeliveryCommand::List { state, rows } => {
            let state = vec![("state", state.clone())];
            let filter = whole_filter(client, &rows.filter)?;
            let page = whole_page(client, &rows.page)?;
            let params = [delivery_params(&filter), state, page_params(&page)].concat();
            let target = path("/v1/deliveries", &params);
            let shown = ("delivery list", &page);
            lists::page(client, out, &target, lists::DELIVERIES, shown, "No deliveries match.")
        }
        DeliveryCommand::Show { id } => {
            let found = client.get(&resource("deliveries", id, ""))?;
            let terminal = out.terminal;
            out.one(&found, |delivery| show::delivery(delivery, terminal))
        }
        DeliveryCommand::Explain { id } => {
            let found = client.get(&resource("deliveries", id, "/explain"))?;
            out.one(&found, show::explained)
        }

        DeliveryCommand::Retry(args) => {
            let done = bulk::perform(client, out, BulkVerb::Retry, args)?;
            out.one(&done, |done: &RetryView| {
                let matched = deliveries(done.matched);
                match done.dry_run {
                    true => would("retry", &matched, done.matched, &done.left_out),
                    false => summary("Retried", done.queued, &matched, &done.left_out),
                }
            })
        }
        DeliveryCommand::Cancel(args) => {
            let done = bulk::perform(client, out, BulkVerb::Cancel, args)?;
            out.one(&done, |done: &CancelView| {
                let matched = deliveries(done.matched);
                match done.dry_run {
                    true => would("cancel", &matched, done.matched, &done.left_out),
                    false => summary("Cancelled", done.cancelled, &matched, &done.left_out),
                }
            })
        }
    }
}

/// A page with the whole id that it continues after.
fn whole_page(client: &AdminClient, page: &PageArgs) -> Result<PageArgs, CtlError> {
    // A list that was answered before its end goes on after a record.
    let is_record = |after: &String| after.bytes().all(|byte| byte.is_ascii_digit());
    let after = match &page.after {
        Some(after) if is_record(after) => return Ok(page.clone()),
        Some(id) => delivery_ids(client, std::slice::from_ref(id))?.pop(),
        None => None,
    };
    Ok(PageArgs { after: after.map(|id| id.to_string()), ..page.clone() })
}

pub(super) fn dlq(
    client: &AdminClient,
    out: &mut Output,
    command: &DlqCommand,
) -> Result<(), CtlError> {
    match command {
        DlqCommand::List { rows } => {
            let filter = whole_filter(client, &rows.filter)?;
            let page = whole_page(client, &rows.page)?;
            let params = [delivery_params(&filter), page_params(&page)].concat();
            let target = path("/v1/dlq", &params);
            let shown = ("dlq list", &page);
            let has_filter = !delivery_filter(&filter)?.is_empty();
            let empty = match has_filter || rows.page.after.is_some() {
                true => "No dead letters match.",
                false => "No dead letters.",
            };
            lists::page(client, out, &target, lists::DEAD, shown, empty)
        }
        DlqCommand::Show { id } => {
            let found = client.get(&resource("dlq", id, ""))?;
            let terminal = out.terminal;
            out.one(&found, |delivery| show::delivery(delivery, terminal))
        }

        DlqCommand::Retry(args) => {
            let body = selection(client, args)?;
            let asks = |many: String| format!("This retries {many}.");
            confirm_many(client, out, args, (RETRY, &body), asks)?;
            let done = bulk::dead_letters(client, BulkVerb::RetryDead, &body)?;
            out.one(&done, |done: &RetryView| {
                let matched = count(done.matched, "dead letter");
                match done.dry_run {
                    true => would("retry", &matched, done.matched, &done.left_out),
                    false => summary("Retried", done.queued, &matched, &done.left_out),
                }
            })?;
            let RetryView { dry_run, matched, queued, .. } = done.view()?;
            out.finish().and(unless_all_left_out(dry_run, matched, queued))
        }

        DlqCommand::Discard(args) => {
            let body = selection(client, args)?;
            let asks = |many: String| format!("This discards {many} for good.");
            confirm_many(client, out, args, (DISCARD, &body), asks)?;
            let done = bulk::dead_letters(client, BulkVerb::Discard, &body)?;
            out.one(&done, |done: &DiscardView| {
                let matched = count(done.matched, "dead letter");
                match done.dry_run {
                    true => would("discard", &matched, done.matched, &done.left_out),
                    false => summary("Discarded", done.discarded, &matched, &done.left_out),
                }
            })
        }
    }
}

fn summary(verb: &str, done: usize, matched: &str, left_out: &[LeftOutView]) -> String {
    format!("{verb}: {done} of {matched}.{}", left_out_lines(left_out))
}

/// The same for what would be done without `--dry-run`.
fn would(verb: &str, matched: &str, count: usize, left_out: &[LeftOutView]) -> String {
    let out: usize = left_out.iter().map(|left| left.count).sum();
    format!(
        "Matched: {matched}. Would {verb}: {}. Nothing was changed (--dry-run).{}",
        count.saturating_sub(out),
        left_out_lines(left_out)
    )
}

/// What a dry run answers.
#[derive(Deserialize)]
struct CountedLetters {
    matched: usize,
    #[serde(default)]
    left_out: Vec<LeftOutView>,
}

/// Asks before something is done to all dead letters that pass a filter, with their number.
fn confirm_many(
    client: &AdminClient,
    out: &Output,
    args: &DeadLetterArgs,
    (target, body): (&str, &DeadLettersBody),
    asks: impl FnOnce(String) -> String,
) -> Result<(), CtlError> {
    if args.yes || args.dry_run || !args.ids.is_empty() || !out.is_for_eyes() || !can_ask() {
        return Ok(());
    }
    let counted = DeadLettersBody { dry_run: true, ..body.clone() };
    let CountedLetters { matched, left_out } = client.post(target, &counted)?.view()?;
    let left_out: usize = left_out.iter().map(|left| left.count).sum();
    match matched.saturating_sub(left_out) {
        0 => Ok(()),
        many => confirm(false, &asks(count(many, "dead letter"))),
    }
}

/// A command that was to change something, and could change none of it, is refused.
fn unless_all_left_out(dry_run: bool, matched: usize, changed: usize) -> Result<(), CtlError> {
    match matched > 0 && changed == 0 && !dry_run {
        true => Err(CtlError::Refused("nothing was changed: all were left out".to_owned())),
        false => Ok(()),
    }
}

/// Why some were left out, a line for each reason.
fn left_out_lines(left_out: &[LeftOutView]) -> String {
    let line = |left: &LeftOutView| format!("\nLeft out, {}: {}.", left.count, text(&left.why));
    left_out.iter().map(line).collect()
}

/// Which dead letters: ids, a filter, or all.
fn selection(client: &AdminClient, args: &DeadLetterArgs) -> Result<DeadLettersBody, CtlError> {
    let filter = delivery_filter(&whole_filter(client, &args.filter)?)?;
    only_selection(
        "dead letters",
        "--endpoint, --source, --type, --event, --since, --until",
        (!args.ids.is_empty(), !filter.is_empty(), args.all),
    )?;

    let ids = Some(delivery_ids(client, &args.ids)?).filter(|ids| !ids.is_empty());
    Ok(DeadLettersBody { ids, filter, all: args.all, dry_run: args.dry_run })
}
