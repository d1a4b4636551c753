//! What stands between an endpoint and its receiver: a hold, the link, the clock, the breaker, a
//! pause.

use super::explainer::Explainer;
use crate::api::values::Time;
use crate::api::views::{ReasonFacts, ReasonView};
use crate::model::{HoldReason, WallMs};

pub fn hold(explainer: &Explainer, reason: &HoldReason, since: WallMs) -> ReasonView {
    let why = match reason {
        HoldReason::Operator => reason.words().to_owned(),
        HoldReason::Failing => "because there was no success for its hold_after".to_owned(),
        HoldReason::Gone | HoldReason::Receiver | HoldReason::Parked => {
            format!("because {}", reason.words())
        }
    };
    let text = format!(
        "endpoint {name} has been on hold since {} {why}: it waits and does not expire; release \
         the endpoint with `hookboxctl endpoint release {name}`",
        explainer.since(since),
        name = explainer.endpoint
    );
    ReasonView::new(text, &ReasonFacts::Hold { reason: reason.clone(), since: Time(since) })
}

pub fn offline(explainer: &Explainer, since: WallMs, probe_at: WallMs) -> ReasonView {
    let text = format!(
        "this machine has been offline since {}: attempts do not count, and the next probe is \
         sent {}",
        explainer.since(since),
        explainer.until(probe_at)
    );
    let facts = ReasonFacts::Offline { since: Time(since), probe_at: Time(probe_at) };
    ReasonView::new(text, &facts)
}

pub fn clock(explainer: &Explainer, until: WallMs) -> ReasonView {
    let text = format!(
        "the wall clock is not trusted, and signatures contain the time: signed deliveries wait \
         for a correct clock, and are sent {} at the latest",
        explainer.until(until)
    );
    ReasonView::new(text, &ReasonFacts::Clock { until: Time(until) })
}

pub fn breaker(
    explainer: &Explainer,
    since: WallMs,
    probe_at: WallMs,
    failures: u32,
) -> ReasonView {
    let text = format!(
        "the breaker of endpoint {name} has been open since {}, after {failures} failures in a \
         row: only one probe at a time goes out, the next {}, or at once with `hookboxctl endpoint \
         release {name}`",
        explainer.since(since),
        explainer.until(probe_at),
        name = explainer.endpoint
    );
    let facts = ReasonFacts::Breaker { since: Time(since), probe_at: Time(probe_at), failures };
    ReasonView::new(text, &facts)
}

pub fn paused(explainer: &Explainer, until: WallMs) -> ReasonView {
    let text = format!(
        "the receiver of {name} asked for a pause (Retry-After): attempts continue {}, or at once \
         with `hookboxctl endpoint release {name}`",
        explainer.until(until),
        name = explainer.endpoint
    );
    ReasonView::new(text, &ReasonFacts::Paused { until: Time(until) })
}
