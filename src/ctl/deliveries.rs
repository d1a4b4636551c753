//! `delivery` and `dlq`: what became of each event at each endpoint.

use super::args::{DeadLetterArgs, DeliveryCommand, DlqCommand};
use super::client::{AdminClient, path, resource};
use super::error::CtlError;
use super::filters::{delivery_filter, delivery_ids};
use super::lists::{self, delivery_params, list, page_params};
use super::output::Output;
use super::show;
use super::table::{count, deliveries, text};
use crate::api::views::{CancelView, DiscardView, LeftOutView, RetryView};
use crate::api::{DeadLettersBody, IdsBody};

pub(super) fn delivery(
    client: &AdminClient,
    out: &mut Output,
    command: &DeliveryCommand,
) -> Result<(), CtlError> {
    match command {
        DeliveryCommand::List { state, rows } => {
            let state = vec![("state", state.clone())];
            let params = [delivery_params(&rows.filter), state, page_params(&rows.page)].concat();
            let target = path("/v1/deliveries", &params);
            list(client, out, &target, lists::DELIVERIES, "No deliveries match.")
        }
        DeliveryCommand::Show { id } => {
            let found = client.get(&resource("deliveries", id, ""))?;
            out.one(&found, show::delivery)
        }
        DeliveryCommand::Explain { id } => {
            let found = client.get(&resource("deliveries", id, "/explain"))?;
            out.one(&found, show::explained)
        }

        DeliveryCommand::Retry { ids } => {
            let body = IdsBody { ids: Some(delivery_ids(ids)?) };
            let done = client.post("/v1/deliveries/retry", &body)?;
            out.one(&done, |done: &RetryView| {
                let sum = format!("Retried: {} of {}.", done.queued, deliveries(done.matched));
                sum + &left_out(&done.left_out)
            })
        }
        DeliveryCommand::Cancel { ids } => {
            let body = IdsBody { ids: Some(delivery_ids(ids)?) };
            let done = client.post("/v1/deliveries/cancel", &body)?;
            out.one(&done, |done: &CancelView| {
                let (cancelled, matched) = (done.cancelled, deliveries(done.matched));
                format!("Cancelled: {cancelled} of {matched}.") + &left_out(&done.left_out)
            })
        }
    }
}

pub(super) fn dlq(
    client: &AdminClient,
    out: &mut Output,
    command: &DlqCommand,
) -> Result<(), CtlError> {
    match command {
        DlqCommand::List { rows } => {
            let params = [delivery_params(&rows.filter), page_params(&rows.page)].concat();
            let target = path("/v1/dlq", &params);
            list(client, out, &target, lists::DEAD, "No dead letters.")
        }
        DlqCommand::Show { id } => {
            let found = client.get(&resource("dlq", id, ""))?;
            out.one(&found, show::delivery)
        }

        DlqCommand::Retry(args) => {
            let done = client.post("/v1/dlq/retry", &selection(args)?)?;
            out.one(&done, |done: &RetryView| {
                summary("Retried", done.queued, done.matched, done.dry_run)
                    + &left_out(&done.left_out)
            })
        }
        DlqCommand::Discard(args) => {
            let done = client.post("/v1/dlq/discard", &selection(args)?)?;
            out.one(&done, |done: &DiscardView| {
                summary("Discarded", done.discarded, done.matched, done.dry_run)
                    + &left_out(&done.left_out)
            })
        }
    }
}

fn summary(verb: &str, done: usize, matched: usize, dry_run: bool) -> String {
    let matched = count(matched, "dead letter");
    match dry_run {
        true => format!("Matched: {matched}. Nothing was changed (--dry-run)."),
        false => format!("{verb}: {done} of {matched}."),
    }
}

/// Why some were left out, a line for each reason.
fn left_out(left_out: &[LeftOutView]) -> String {
    let line = |left: &LeftOutView| format!("\nLeft out, {}: {}.", left.count, text(&left.why));
    left_out.iter().map(line).collect()
}

/// Which dead letters: ids, a filter, or all; never by accident.
fn selection(args: &DeadLetterArgs) -> Result<DeadLettersBody, CtlError> {
    let filter = delivery_filter(&args.filter)?;
    let given = [!args.ids.is_empty(), !filter.is_empty(), args.all];
    match given.iter().filter(|is_given| **is_given).count() {
        0 => {
            let what = "no dead letters selected: give ids, a filter (--endpoint, --source, \
                 --type, --event, --since, --until), or --all";
            return Err(CtlError::Usage(what.into()));
        }
        1 => {}
        _ => {
            let what = "ids, a filter and --all exclude each other: give only one of them";
            return Err(CtlError::Usage(what.into()));
        }
    }

    let ids = Some(delivery_ids(&args.ids)?).filter(|ids| !ids.is_empty());
    Ok(DeadLettersBody { ids, filter, all: args.all, dry_run: args.dry_run })
}
