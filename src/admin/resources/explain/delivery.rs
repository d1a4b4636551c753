//! A delivery's own attempts, its batch and its lane. `event` is that of the delivery at the head
//! of the lane.

use super::explainer::{Explainer, count};
use crate::api::values::{Text, Time};
use crate::api::views::{ReasonFacts, ReasonView};
use crate::model::time::format_duration_ms;
use crate::model::{BatchId, DeliveryId, WallMs};

pub fn in_flight(number: u32, batch: Option<BatchId>, members: usize) -> ReasonView {
    let text = match batch {
        Some(batch) => {
            let with = count(members, "delivery");
            format!("attempt {number} of batch {batch} is under way, with {with}")
        }
        None if members > 1 => format!("a batch of {members} is being put together"),
        None => format!("attempt {number} is under way"),
    };
    let members = (batch.is_some() || members > 1).then_some(members);
    ReasonView::new(text, &ReasonFacts::InFlight { number, batch: batch.map(Text), members })
}

pub fn parked(head: DeliveryId, event: &str, itself: bool, attempts: u32) -> ReasonView {
    let fix = format!(
        "fix its receiver and use `hookboxctl delivery retry {head}`, or `hookboxctl delivery \
         cancel {head}`"
    );
    let text = match itself {
        true => format!(
            "its lane is parked, and it is the head of it, after {attempts} failed attempts: {fix}"
        ),
        false => format!(
            "its lane is parked behind {event} ({head}), which failed {attempts} times: {fix}"
        ),
    };

    let event = event.to_owned();
    ReasonView::new(text, &ReasonFacts::Parked { head: Text(head), event, itself, attempts })
}

pub fn behind(
    explainer: &Explainer,
    head: DeliveryId,
    event: &str,
    (in_flight, attempts): (bool, u32),
    due_at: Option<WallMs>,
) -> ReasonView {
    let next = attempts + 1;
    let state = match (in_flight, due_at) {
        (true, _) => format!("attempt {next} is under way"),
        (_, Some(due_at)) => format!("attempt {next} is due {}", explainer.until(due_at)),
        (_, None) => "it waits, too".to_owned(),
    };
    let text = format!("its lane waits for {event} ({head}) to end: {state}");

    let (head, event, due_at) = (Text(head), event.to_owned(), due_at.map(Time));
    ReasonView::new(text, &ReasonFacts::Lane { head, event, in_flight, attempts, due_at })
}

pub fn retry(
    explainer: &Explainer,
    number: u32,
    due_at: WallMs,
    max_attempts: Option<u32>,
    gives_up_in_ms: u64,
) -> ReasonView {
    let of = max_attempts.map(|most| format!(" of {most}")).unwrap_or_default();
    let text = format!(
        "attempt {number}{of} is due {}; by the policy of {} it is given up {} from now at the \
         latest",
        explainer.until(due_at),
        explainer.endpoint,
        format_duration_ms(gives_up_in_ms)
    );
    let due_at = Time(due_at);
    ReasonView::new(text, &ReasonFacts::Retry { number, max_attempts, due_at, gives_up_in_ms })
}

pub fn in_batch(
    explainer: &Explainer,
    batch: BatchId,
    members: usize,
    number: u32,
    due_at: Option<WallMs>,
) -> ReasonView {
    let when = due_at.map_or_else(|| "later".to_owned(), |at| explainer.until(at));
    let text =
        format!("it is one of {members} in batch {batch}, whose attempt {number} is due {when}");
    let (batch, due_at) = (Text(batch), due_at.map(Time));
    ReasonView::new(text, &ReasonFacts::Batch { batch, members, number, due_at })
}
