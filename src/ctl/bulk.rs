//! `delivery retry` and `delivery cancel`: by id, or all that pass a filter. Those of a filter are
//! listed first, so that they are counted before anything is done, and then named slice by slice.
//! `dlq retry` and `dlq discard` with more ids than a request takes, likewise.

use std::collections::{BTreeMap, HashSet};

use serde::Deserialize;

use super::answer::Answer;
use super::args::BulkArgs;
use super::client::{AdminClient, path};
use super::error::CtlError;
use super::filters::{delivery_filter, delivery_ids, whole_filter};
use super::lists::delivery_params;
use super::output::Output;
use super::selection::{Selection, only_selection};
use super::table::deliveries;
use super::terminal::{can_ask, confirm};
use crate::api::values::Text;
use crate::api::views::{CancelView, DiscardView, LeftOutView, RetryView};
use crate::api::{DeadLettersBody, IdsBody};
use crate::model::{DeliveryId, limits};

/// Deliveries that one command takes: 32 MB of ids.
const MOST: usize = 1_000_000;

/// What is done to deliveries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BulkVerb {
    Retry,
    Cancel,
    /// Of dead letters.
    RetryDead,
    Discard,
}

impl BulkVerb {
    fn target(self) -> &'static str {
        match self {
            Self::Retry => "/v1/deliveries/retry",
            Self::Cancel => "/v1/deliveries/cancel",
            Self::RetryDead => "/v1/dlq/retry",
            Self::Discard => "/v1/dlq/discard",
        }
    }

    /// Which deliveries a filter means that names no state.
    fn states(self) -> &'static [&'static str] {
        match self {
            Self::Retry => &["pending"],
            Self::Cancel => &["pending", "in_flight", "held"],
            Self::RetryDead | Self::Discard => &["dead"],
        }
    }

    fn asks(self, count: usize) -> String {
        let what = deliveries(count);
        match self {
            Self::Retry | Self::RetryDead => format!("This attempts {what} again now."),
            Self::Cancel => format!("This cancels {what}: they are not delivered any more."),
            Self::Discard => format!("This discards {what} for good."),
        }
    }
}

/// What came of it.
#[derive(Debug, Default)]
struct BulkTotals {
    matched: usize,
    changed: usize,
    left_out: BTreeMap<String, usize>,
}

impl BulkTotals {
    fn add(&mut self, changed: usize, left_out: Vec<LeftOutView>) {
        self.changed += changed;
        for left in left_out {
            *self.left_out.entry(left.why).or_default() += left.count;
        }
    }

    fn answer(self, verb: BulkVerb, dry_run: bool) -> Result<Answer, CtlError> {
        let Self { matched, changed, left_out } = self;
        let view = |(why, count)| LeftOutView { why, count };
        let left_out = left_out.into_iter().map(view).collect();
        match verb {
            BulkVerb::Retry | BulkVerb::RetryDead => {
                Answer::of(&RetryView { matched, queued: changed, dry_run, left_out })
            }
            BulkVerb::Cancel => {
                Answer::of(&CancelView { matched, cancelled: changed, dry_run, left_out })
            }
            BulkVerb::Discard => {
                Answer::of(&DiscardView { matched, discarded: changed, dry_run, left_out })
            }
        }
    }
}

/// Does it; gives the answer that one request would have had.
pub(super) fn perform(
    client: &AdminClient,
    out: &Output,
    verb: BulkVerb,
    args: &BulkArgs,
) -> Result<Answer, CtlError> {
    let args = &BulkArgs { filter: whole_filter(client, &args.filter)?, ..args.clone() };
    let by_filter = is_by_filter(args)?;
    let ids = match by_filter {
        true => listed(client, verb, args)?,
        false => delivery_ids(client, &args.ids)?,
    };

    let asks = by_filter && !args.dry_run && !args.yes && !out.json && can_ask();
    if asks {
        // What matches is not what can be done: some are under way, or their endpoint is gone.
        let mut counted = BulkTotals { matched: ids.len(), ..BulkTotals::default() };
        in_slices(client, verb, &ids, true, &mut counted)?;
        let left_out: usize = counted.left_out.values().sum();
        match counted.matched.saturating_sub(left_out) {
            0 => {}
            count => confirm(false, &verb.asks(count))?,
        }
    }

    let mut totals = BulkTotals { matched: ids.len(), ..BulkTotals::default() };
    in_slices(client, verb, &ids, args.dry_run, &mut totals)?;
    totals.answer(verb, args.dry_run)
}

/// Attempts dead letters again or discards them; gives the answer that one request would have had.
/// A filter is one request, and so are ids that fit into one.
pub(super) fn dead_letters(
    client: &AdminClient,
    verb: BulkVerb,
    body: &DeadLettersBody,
) -> Result<Answer, CtlError> {
    let Some(ids) = body.ids.as_deref().filter(|ids| ids.len() > limits::IDS) else {
        return client.post(verb.target(), body);
    };
    let mut distinct = HashSet::new();
    let mut ids: Vec<_> = ids.iter().filter(|id| distinct.insert(id.0)).cloned().collect();
    ids.sort_unstable_by_key(|id| id.0);

    let mut totals = BulkTotals { matched: ids.len(), ..BulkTotals::default() };
    in_slices(client, verb, &ids, body.dry_run, &mut totals)?;
    totals.answer(verb, body.dry_run)
}

/// Does it with these, slice by slice.
fn in_slices(
    client: &AdminClient,
    verb: BulkVerb,
    ids: &[Text<DeliveryId>],
    dry_run: bool,
    totals: &mut BulkTotals,
) -> Result<(), CtlError> {
    for slice in ids.chunks(slice_of(ids.len())) {
        let answer = match verb {
            BulkVerb::Retry | BulkVerb::Cancel => {
                client.post(verb.target(), &IdsBody { ids: Some(slice.to_vec()), dry_run })
            }
            BulkVerb::RetryDead | BulkVerb::Discard => {
                let ids = Some(slice.to_vec());
                let body = DeadLettersBody { ids, dry_run, ..DeadLettersBody::default() };
                client.post(verb.target(), &body)
            }
        };
        let answer = answer.map_err(|error| interrupted(error, totals))?;

        match verb {
            BulkVerb::Retry | BulkVerb::RetryDead => {
                let done: RetryView = answer.view()?;
                totals.add(done.queued, done.left_out);
            }
            BulkVerb::Cancel => {
                let done: CancelView = answer.view()?;
                totals.add(done.cancelled, done.left_out);
            }
            BulkVerb::Discard => {
                let done: DiscardView = answer.view()?;
                totals.add(done.discarded, done.left_out);
            }
        }
    }
    Ok(())
}

/// How many of so many deliveries one request names: always about the same number, because one that
/// is alone is refused when it cannot be done, where of several those are counted.
pub(super) fn slice_of(count: usize) -> usize {
    count.div_ceil(count.div_ceil(limits::IDS).max(1)).max(1)
}

/// What went wrong, with what was done before.
fn interrupted(error: CtlError, totals: &BulkTotals) -> CtlError {
    match totals.changed {
        0 => error,
        done => {
            let (done, of) = (deliveries(done), totals.matched);
            CtlError::Refused(format!("{error} (done before that: {done} of {of})"))
        }
    }
}

/// Whether a filter selects them, or all are taken.
fn is_by_filter(args: &BulkArgs) -> Result<bool, CtlError> {
    let has_filter = !delivery_filter(&args.filter)?.is_empty() || args.state.is_some();
    let selection = only_selection(
        "deliveries",
        "--endpoint, --state, --source, --type, --event, --since, --until",
        (!args.ids.is_empty(), has_filter, args.all),
    )?;
    Ok(selection != Selection::Ids)
}

/// The id of a listed delivery.
#[derive(Deserialize)]
struct ListedDelivery {
    id: Text<DeliveryId>,
}

/// All that pass the filter.
fn listed(
    client: &AdminClient,
    verb: BulkVerb,
    args: &BulkArgs,
) -> Result<Vec<Text<DeliveryId>>, CtlError> {
    let states: Vec<&str> = match &args.state {
        Some(state) => vec![state],
        None => verb.states().to_vec(),
    };

    let mut ids = Vec::new();
    for state in states {
        let mut params = delivery_params(&args.filter);
        params.push(("state", Some(state.to_owned())));
        params.push(("limit", Some((MOST + 1).to_string())));
        client.list(&path("/v1/deliveries", &params), &mut |row| {
            let ListedDelivery { id } = row.view()?;
            ids.push(id);
            if ids.len() <= MOST {
                return Ok(());
            }
            let what = format!("more than {MOST} deliveries match: narrow the filter");
            Err(CtlError::Refused(what))
        })?;
    }
    // One that changed its state meanwhile was listed twice.
    let mut listed = HashSet::new();
    ids.retain(|id| listed.insert(id.0));
    Ok(ids)
}

#[cfg(test)]
mod tests {
    use super::slice_of;
    use crate::model::limits;

    #[test]
    fn no_request_names_one_of_many_alone() {
        for count in 2..2_000 {
            let slice = slice_of(count);
            assert!(slice <= limits::IDS && (count % slice != 1 || slice == 1), "{count}: {slice}");
            assert!(slice > 1, "{count}");
        }
        assert_eq!((slice_of(0), slice_of(1)), (1, 1));
    }
}
