//! How a delivery ended, out of the log.

use crate::api::values::Time;
use crate::api::views::{DeliveryDetailView, ReasonFacts, ReasonView};
use crate::model::time::rfc3339;
use crate::model::{DeliveryId, DeliveryState};

/// What may be wrong with the secret, and until when the one before it is valid, which stands in
/// the text as well.
#[derive(Clone, Debug, Default)]
pub struct SecretHint {
    pub text: String,
    pub old_secret_until: Option<Time>,
}

/// How it ended, in a sentence; `is_deleted` says whether its endpoint is gone.
pub fn ended(
    id: DeliveryId,
    state: DeliveryState,
    shown: &DeliveryDetailView,
    (hint, is_deleted): (&SecretHint, bool),
) -> ReasonView {
    match state {
        DeliveryState::Delivered => delivered(shown),
        DeliveryState::Dead => {
            let again = match is_deleted {
                false => format!("attempt it again with `hookboxctl dlq retry {id}`"),
                true => format!(
                    "its endpoint was deleted: deliver the event to another one with `hookboxctl \
                     replay --event {} --to ENDPOINT`",
                    shown.delivery.event
                ),
            };
            dead(id, shown, hint, &again)
        }
        _ => cancelled(state, shown),
    }
}

fn delivered(shown: &DeliveryDetailView) -> ReasonView {
    let last = shown.history.last();
    let text = match last {
        Some(last) => {
            let (number, at) = (last.number, rfc3339(last.started_at.0));
            format!("it was delivered at attempt {number}, made at {at}")
        }
        None => "it was delivered; its history is not in the log any more".to_owned(),
    };
    let (number, at) = (last.map(|last| last.number), last.map(|last| last.started_at));
    ReasonView::new(text, &ReasonFacts::Delivered { number, at })
}

fn dead(id: DeliveryId, shown: &DeliveryDetailView, hint: &SecretHint, again: &str) -> ReasonView {
    let SecretHint { text: hint, old_secret_until } = hint;
    let old_secret_until = *old_secret_until;
    let Some(reason) = shown.delivery.reason.clone() else {
        let facts = ReasonFacts::Dead { at: None, reason: None, old_secret_until: None };
        return ReasonView::new("it is a dead letter".to_owned(), &facts);
    };
    let at = shown.delivery.died_at;
    let when = at.map_or_else(|| "?".to_owned(), |Time(at)| rfc3339(at));
    let answer = shown.history.last().and_then(|last| last.answer.as_ref());
    let words = answer.map(|words| format!(": {words}")).unwrap_or_default();
    let text = format!(
        "it was given up at {when}: {reason}{words}{hint}; {again}, or drop it with `hookboxctl \
         dlq discard {id}`"
    );
    ReasonView::new(text, &ReasonFacts::Dead { at, reason: Some(reason), old_secret_until })
}

fn cancelled(state: DeliveryState, shown: &DeliveryDetailView) -> ReasonView {
    let action = shown.operator.last().filter(|_| state == DeliveryState::Cancelled);
    let text = match action {
        Some(action) => format!("it was {} at {}", action.what, rfc3339(action.at.0)),
        None => "it was cancelled when its endpoint was deleted".to_owned(),
    };
    ReasonView::new(text, &ReasonFacts::Cancelled { at: action.map(|action| action.at) })
}
