//! What the model wants done, and what comes of it: plain values, so that it can be tried without a
//! daemon.

use crate::api::views::{
    DeliveryDetailView, DeliveryView, EndpointView, HistoryView, SourceView, StatusView, TailView,
};
use crate::ctl::answer::Whole;

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TopCommand {
    /// Ask the daemon all of this, once.
    Refresh(Vec<TopQuery>),
    /// Count what an action would do.
    Count(TopAction),
    Perform(TopAction),
    /// Follow the tail from now on.
    Follow,
    Quit,
}

/// What the daemon is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TopQuery {
    Status,
    History,
    Endpoints,
    /// Those with which something is wrong.
    TroubledEndpoints,
    Sources,
    /// Of all endpoints, or of this one.
    DeadLetters(Option<String>),
    /// The deliveries that wait, for the shape of the backlog.
    Waiting,
    Delivery(String),
}

/// What the operator does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TopAction {
    Hold(Vec<String>),
    Release(Vec<String>),
    /// All that waits for an endpoint.
    RetryWaiting(String),
    /// All dead letters of an endpoint.
    DiscardOf(String),
    RetryDead(Vec<String>),
    DiscardDead(Vec<String>),
    Retry(String),
    Cancel(String),
}

/// What the daemon answered.
#[derive(Debug)]
pub enum TopAnswer {
    Status(Box<StatusView>),
    History(Box<HistoryView>),
    Endpoints(Vec<EndpointView>),
    Sources(Vec<SourceView>),
    DeadLetters(Vec<DeliveryView>),
    /// The oldest of them may be missing.
    Waiting {
        deliveries: Vec<DeliveryView>,
        is_all: bool,
    },
    Delivery(Box<Whole<DeliveryDetailView>>),
    Tail(Box<TailView>),
    /// Everything of a refresh has been answered, or not.
    Refreshed,
    Counted(TopAction, usize),
    Done(String),
    /// An action was refused, or failed.
    Failed(String),
    /// A refresh failed; what is shown stays.
    Away(String),
}
