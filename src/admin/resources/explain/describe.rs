//! Each reason why a delivery waits, as a sentence with its facts.

use super::explainer::Explainer;
use super::{delivery, endpoint, limits, order};
use crate::api::views::ReasonView;
use crate::queue::WaitReason;

/// Describes a reason. `head` is the event of the delivery that the lane waits for.
pub fn describe(explainer: &Explainer, reason: &WaitReason, head: &str) -> ReasonView {
    match *reason {
        WaitReason::Hold { ref reason, since } => endpoint::hold(explainer, reason, since),
        WaitReason::Offline { since, probe_at } => endpoint::offline(explainer, since, probe_at),
        WaitReason::Clock { until } => endpoint::clock(explainer, until),
        WaitReason::Breaker { since, probe_at, failures } => {
            endpoint::breaker(explainer, since, probe_at, failures)
        }
        WaitReason::Paused { until } => endpoint::paused(explainer, until),

        WaitReason::UnderWay { number, batch, members } => {
            delivery::in_flight(number, batch, members)
        }
        WaitReason::Parked { head: id, itself, attempts, .. } => {
            delivery::parked(id, head, itself, attempts)
        }
        WaitReason::Behind { head: id, under_way, attempts, due_at } => {
            delivery::behind(explainer, id, head, (under_way, attempts), due_at)
        }
        WaitReason::Retry { number, due_at, most, gives_up_in_ms } => {
            delivery::retry(explainer, number, due_at, most, gives_up_in_ms)
        }
        WaitReason::InBatch { batch, members, number, due_at } => {
            delivery::in_batch(explainer, batch, members, number, due_at)
        }

        WaitReason::NoConsumer => limits::no_consumer(explainer),
        WaitReason::Rate { rate, next_at } => limits::rate(explainer, rate, next_at),
        WaitReason::CatchingUp { mode, next_at } => limits::catching_up(explainer, mode, next_at),
        WaitReason::Window { in_flight, width, most } => {
            limits::window(explainer, in_flight, width, most)
        }
        WaitReason::Retries { waiting, most } => limits::retries(explainer, waiting, most),
        WaitReason::SourceRetries { waiting } => limits::source_retries(explainer, waiting),

        WaitReason::Slots { in_flight, most, on_probation } => {
            order::slots(in_flight, most, on_probation)
        }
        WaitReason::Share { own, left } => order::share(explainer, own, left),
        WaitReason::Gathering { max_events, closes_at } => {
            order::gathering(explainer, max_events, closes_at)
        }
        WaitReason::InLine { before } => order::in_line(explainer, before),
        WaitReason::OnDisk { before_at_most } => order::on_disk(before_at_most),
        WaitReason::Turn => order::turn(),
    }
}

#[cfg(test)]
mod tests;
