//! What `top` knows: the last answers of the daemon.

use std::collections::VecDeque;

use super::commands::TopAnswer;
use crate::api::views::{
    DeliveryDetailView, DeliveryView, EndpointView, HistoryView, SourceView, StatusView, TailView,
};
use crate::ctl::answer::Whole;

/// Lines of the tail that are kept.
const TAIL_LINES: usize = 1000;

/// See the module.
#[derive(Debug, Default)]
pub struct TopData {
    /// The time of the last answer.
    pub now_ms: u64,
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

impl TopData {
    /// Takes an answer in; gives back what is none of the data.
    pub fn take(&mut self, answer: TopAnswer) -> Option<TopAnswer> {
        match answer {
            TopAnswer::Status(status) => self.status = Some(status),
            TopAnswer::History(history) => self.history = Some(history),
            TopAnswer::Endpoints(endpoints) => self.endpoints = endpoints,
            TopAnswer::Sources(sources) => self.sources = sources,
            TopAnswer::DeadLetters(dead) => self.dead = dead,
            TopAnswer::Waiting { deliveries, is_all } => {
                (self.waiting, self.is_all) = (deliveries, is_all);
            }
            TopAnswer::Delivery(delivery) => self.delivery = Some(delivery),

            TopAnswer::Tail(line) => {
                self.lines += 1;
                self.tail.push_back((self.lines, line));
                if self.tail.len() > TAIL_LINES {
                    self.tail.pop_front();
                }
            }
            other => return Some(other),
        }
        None
    }
}
