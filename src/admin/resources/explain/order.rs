//! Who goes first: other endpoints, its own batch, the deliveries before it.

use super::explainer::{Explainer, attempts_are, count};
use crate::api::values::Time;
use crate::api::views::{ReasonFacts, ReasonView};
use crate::model::WallMs;

pub fn slots(in_flight: usize, most: usize, on_probation: bool) -> ReasonView {
    let whose = match on_probation {
        true => "to endpoints that keep failing or have not succeeded yet",
        false => "over all endpoints",
    };
    let are = attempts_are(in_flight);
    let text = format!("{are} under way {whose}, and there are {most} slots for them");
    ReasonView::new(text, &ReasonFacts::Slots { in_flight, most, on_probation })
}

pub fn share(explainer: &Explainer, own: usize, left: usize) -> ReasonView {
    let (are, name) = (attempts_are(own), &explainer.endpoint);
    let text = format!("{are} under way to {name}; the {left} slots left are kept for others");
    ReasonView::new(text, &ReasonFacts::Share { own, left })
}

pub fn gathering(explainer: &Explainer, max_events: u32, closes_at: WallMs) -> ReasonView {
    let (when, events) = (explainer.until(closes_at), count(max_events as usize, "event"));
    let text = format!("its batch is open: it closes {when}, or at {events}");
    ReasonView::new(text, &ReasonFacts::Gathering { max_events, closes_at: Time(closes_at) })
}

pub fn in_line(explainer: &Explainer, before: usize) -> ReasonView {
    let (name, deliveries) = (&explainer.endpoint, count(before, "delivery"));
    let text = format!("endpoint {name} has {deliveries} before it, each for its first attempt");
    ReasonView::new(text, &ReasonFacts::InLine { before })
}

pub fn on_disk(before_at_most: u64) -> ReasonView {
    let text = match before_at_most {
        0 => "it is about to be read from the disk".to_owned(),
        n => format!("it waits on the disk behind its endpoint's backlog, at most {n} before it"),
    };
    ReasonView::new(text, &ReasonFacts::Backlog { before_at_most })
}

pub fn turn() -> ReasonView {
    ReasonView::new("nothing delays it: it is attempted at once".to_owned(), &ReasonFacts::Turn)
}
