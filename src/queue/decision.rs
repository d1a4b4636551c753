//! A decision: what to remember, what to do then, and what to answer.

use super::action::Action;
use crate::model::limits;
use crate::record::Record;

/// One decision. Its actions and its answer leave once its records are durable.
#[derive(Clone, Debug)]
pub struct Decision<A = ()> {
    pub records: Vec<Record>,
    pub actions: Vec<Action>,
    pub answer: Result<A, Refusal>,
}

/// A decision being made.
#[derive(Debug, Default)]
pub struct Draft {
    pub(super) records: Vec<Record>,
    pub(super) actions: Vec<Action>,
}

impl Draft {
    /// The decision, with its answer.
    pub(super) fn decided<A>(self, answer: Result<A, Refusal>) -> Decision<A> {
        Decision { records: self.records, actions: self.actions, answer }
    }
}

/// The command that lists things of this kind.
fn list_command(what: &str) -> String {
    match what {
        "replay" => "replay --list".to_owned(),
        _ => format!("{what} list"),
    }
}

/// Why a request was not done. What the queue learned from it is remembered nevertheless: that an
/// attempt ended, that a record holds no dead letter any more.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    #[error("there is no {what} '{name}': see `hookboxctl {}`", list_command(what))]
    NotFound { what: &'static str, name: String },
    #[error(
        "{what} '{name}' exists already: choose another name, or use `hookboxctl {what} update \
         {name}`"
    )]
    Exists { what: &'static str, name: String },
    /// The request asks for what can never be.
    #[error("{0}")]
    Invalid(String),
    /// It cannot be done as things are.
    #[error("{0}")]
    Impossible(String),
    #[error("at most {limit} {what} are possible")]
    TooMany { what: &'static str, limit: usize },
    #[error(
        "the bin '{name}' is full ({} events or {} bytes): delete it, or wait until its time is \
         over",
        limits::BIN_EVENTS,
        limits::BIN_BYTES
    )]
    BinFull { name: String },
    /// What became of an attempt counts no more.
    #[error(
        "the delivery was cancelled, or its endpoint deleted, while it was under way: this \
         changes nothing any more"
    )]
    Ended,
    #[error("the daemon is too busy: try again in a moment")]
    Busy,
    #[error("there is no disk space left: {0}")]
    NoDiskSpace(String),
    #[error("the daemon is stopping")]
    Stopping,
}
