//! What holds an endpoint back: no consumer, a rate, a pace, its window, its retries.

use super::explainer::{Explainer, attempts_are};
use crate::api::values::{Text, Time};
use crate::api::views::{ReasonFacts, ReasonView};
use crate::model::{CatchUpMode, Rate, WallMs};

pub fn no_consumer(explainer: &Explainer) -> ReasonView {
    let name = &explainer.endpoint;
    let text = format!(
        "no consumer of {name} waits for deliveries now: start one with `hookboxctl consume \
         {name}`"
    );
    ReasonView::new(text, &ReasonFacts::NoConsumer)
}

pub fn rate(explainer: &Explainer, rate: Rate, next_at: WallMs) -> ReasonView {
    let text = format!(
        "endpoint {} has a rate of {rate}: the next attempt may start {}",
        explainer.endpoint,
        explainer.until(next_at)
    );
    ReasonView::new(text, &ReasonFacts::Rate { rate: Text(rate), next_at: Time(next_at) })
}

pub fn catching_up(explainer: &Explainer, mode: CatchUpMode, next_at: WallMs) -> ReasonView {
    let order = match mode {
        CatchUpMode::Oldest => "oldest first",
        CatchUpMode::Newest => "newest first",
        CatchUpMode::Latest => "only the latest of each key",
    };
    let text = format!(
        "endpoint {} catches up, {order}, at a limited rate: the next attempt may start {}",
        explainer.endpoint,
        explainer.until(next_at)
    );
    ReasonView::new(text, &ReasonFacts::CatchingUp { mode, next_at: Time(next_at) })
}

pub fn window(explainer: &Explainer, in_flight: usize, width: usize, most: u32) -> ReasonView {
    let text = format!(
        "{} in flight to {}, and its window allows {width} (it grows with success, up to {most})",
        attempts_are(in_flight),
        explainer.endpoint
    );
    ReasonView::new(text, &ReasonFacts::Window { in_flight, width, concurrency: most })
}

pub fn retries(explainer: &Explainer, waiting: usize, most: usize) -> ReasonView {
    let text = format!(
        "{waiting} deliveries of {} wait for a retry, and above {most} of them first attempts are \
         made only in turn with these",
        explainer.endpoint
    );
    ReasonView::new(text, &ReasonFacts::Retries { waiting, most })
}

pub fn source_retries(explainer: &Explainer, waiting: usize) -> ReasonView {
    let text = format!(
        "{waiting} deliveries of its source wait for a retry at {}, which is the source's share: \
         first attempts go on once some of these have ended",
        explainer.endpoint
    );
    ReasonView::new(text, &ReasonFacts::SourceRetries { waiting })
}

#[cfg(test)]
mod tests {
    use super::{Explainer, catching_up, rate};
    use crate::admin::resources::explain::order::in_line;
    use crate::model::{CatchUpMode, Rate};

    #[test]
    fn no_reason_begins_with_a_name() {
        // Whoever shows a reason as a sentence begins it with a capital.
        let explainer = Explainer { now: 0, endpoint: "app".to_owned() };
        let limit = Rate { count: 1, per_ms: 1000 };
        for reason in [
            rate(&explainer, limit, 5),
            catching_up(&explainer, CatchUpMode::Oldest, 5),
            in_line(&explainer, 2),
        ] {
            assert!(reason.text.starts_with("endpoint app "), "{}", reason.text);
        }
    }
}
