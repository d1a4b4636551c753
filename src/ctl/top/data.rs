//! What `top` knows: the last answers of the daemon.

use std::collections::VecDeque;

use super::commands::TopAnswer;
use crate::api::views::{
    DeliveryDetailView, DeliveryView, EndpointView, HistoryView, SourceView, StatusView, TailView,
};
use crate::ctl::answer::Whole;

/// Dead letters that are looked at: the newest.
pub const ROWS: usize = 1000;
/// Lines of the tail that are kept.
const TAIL_LINES: usize = 1000;

/// See the module.
#[derive(Debug, Default)]
pub struct TopData {
    /// The time of the last look, and that of the last answer.
    pub now_ms: u64,
    pub answered_ms: u64,
    /// Of which lists there has been an answer.
    pub known: TopKnown,
    pub status: Option<Box<StatusView>>,
    pub history: Option<Box<HistoryView>>,
    pub endpoints: Vec<EndpointView>,
    pub sources: Vec<SourceView>,
    pub dead: Vec<DeliveryView>,
    pub waiting: Vec<DeliveryView>,
    /// Whether `waiting` has all of them.
    pub is_all: bool,
    pub delivery: Option<Box<Whole<DeliveryDetailView>>>,
    /// The newest last, with their numbers.
    pub tail: VecDeque<(u64, TailView)>,
    lines: u64,
}

/// See [`TopData`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TopKnown {
    pub endpoints: bool,
    pub sources: bool,
    pub dead: bool,
    pub waiting: bool,
}

impl TopData {
    /// How many dead letters there are, of all endpoints or of one, when only the newest of them
    /// are known.
    pub fn dead_in_all(&self, of: Option<&str>) -> Option<u64> {
        let all = match of {
            None => self.status.as_ref().map_or(0, |status| status.deliveries.dead),
            Some(name) => {
                let endpoint = self.endpoints.iter().find(|endpoint| endpoint.name == name);
                endpoint.and_then(|one| Some(one.activity.as_ref()?.dead)).unwrap_or(0)
            }
        };
        let known = self.dead.len() as u64;
        (self.known.dead && all > known && self.dead.len() >= ROWS).then_some(all)
    }

    /// Takes an answer in; gives back what is none of the data.
    pub fn take(&mut self, answer: TopAnswer) -> Option<TopAnswer> {
        match answer {
            TopAnswer::Status(status) => {
                self.answered_ms = self.now_ms;
                self.status = Some(status);
            }
            TopAnswer::History(history) => self.history = Some(history),
            TopAnswer::Endpoints(endpoints) => {
                (self.endpoints, self.known.endpoints) = (endpoints, true);
            }
            TopAnswer::Sources(sources) => (self.sources, self.known.sources) = (sources, true),
            TopAnswer::DeadLetters(dead) => (self.dead, self.known.dead) = (dead, true),
            TopAnswer::Waiting { deliveries, is_all } => {
                (self.waiting, self.is_all) = (deliveries, is_all);
                self.known.waiting = true;
            }
            TopAnswer::Delivery(delivery) => self.delivery = Some(delivery),

            TopAnswer::Tail(line) => {
                self.lines += 1;
                self.tail.push_back((self.lines, *line));
                if self.tail.len() > TAIL_LINES {
                    self.tail.pop_front();
                }
            }
            other => return Some(other),
        }
        None
    }
}
