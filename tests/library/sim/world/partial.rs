//! A receiver that takes only a part of a batch, and says so in lists that are long, cut, or not in
//! the form that was asked for. They are read by the code that reads them in the daemon.

use std::collections::BTreeSet;
use std::sync::Arc;

use hookbox::model::{Event, EventId, Outcome};
use hookbox::outbound::failed_events;
use rand::Rng;
use serde_json::json;

use super::World;
use super::receivers::Answer;

/// A body of an answer, and how it came.
struct Body {
    text: String,
    is_whole: bool,
    coding: Option<&'static [u8]>,
}

impl World {
    pub(super) fn take_a_part(&mut self, events: &[Arc<Event>], within_ms: u64) -> Answer {
        let share = if self.rng.random_bool(0.1) { 1.0 } else { 0.2 };
        let left: BTreeSet<EventId> =
            events.iter().map(|event| event.id).filter(|_| self.rng.random_bool(share)).collect();
        let taken = events.iter().map(|event| event.id).filter(|id| !left.contains(id)).collect();

        let named: Vec<EventId> = left.into_iter().collect();
        let (outcome, failed) = if self.rng.random_bool(0.5) {
            (Outcome::Delivered, self.named_twice(named))
        } else {
            let body = self.body_of_answer(&named);
            let kind = Some(&b"application/json"[..]);
            match failed_events(body.text.as_bytes(), body.is_whole, (body.coding, kind), events) {
                Ok(failed) => (Outcome::Delivered, failed),
                Err(_) => (Outcome::Retryable { after_ms: None }, Vec::new()),
            }
        };
        Answer { outcome, status: Some(200), failed, taken, within_ms, fault: None }
    }

    /// The queue keeps its head whatever it is given: the same one again and again, and what was
    /// not in the batch.
    fn named_twice(&mut self, mut named: Vec<EventId>) -> Vec<EventId> {
        if self.rng.random_bool(0.2) {
            let again = named.first().copied().unwrap_or(EventId { seq: 1, tag: 7 });
            let stranger = EventId { seq: u64::MAX, tag: 1 };
            named.extend(std::iter::repeat_n(again, 50).chain([stranger]));
        }
        named
    }

    fn body_of_answer(&mut self, named: &[EventId]) -> Body {
        let ids: Vec<String> = named.iter().map(ToString::to_string).collect();
        let list = json!({ "failed": ids });
        let whole = |text: String| Body { text, is_whole: true, coding: None };

        match self.rng.random_range(0..9) {
            0 | 1 => whole(list.to_string()),
            2 => whole(serde_json::to_string_pretty(&list).expect("it is written")),
            // Longer than what is read of other answers.
            3 => {
                let many: Vec<&String> = ids.iter().cycle().take(ids.len() * 40).collect();
                whole(json!({ "why": "x".repeat(20_000), "failed": many }).to_string())
            }
            4 => {
                let mut text = list.to_string();
                text.truncate(self.rng.random_range(0..text.len()));
                Body { text, is_whole: false, coding: None }
            }
            5 => {
                let objects: Vec<_> = ids.iter().map(|id| json!({ "id": id })).collect();
                whole(json!({ "failed": objects }).to_string())
            }
            6 => whole(json!({ "failed": ids.first() }).to_string()),
            7 => {
                let stranger = EventId { seq: u64::MAX, tag: 1 }.to_string();
                let all: Vec<&String> = ids.iter().chain([&stranger]).collect();
                whole(json!({ "failed": all }).to_string())
            }
            _ => Body { coding: Some(b"gzip"), ..whole(list.to_string()) },
        }
    }
}
