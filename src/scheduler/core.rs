//! One step: decide, commit, release.

use crate::log::{Committed, Log, LogError};
use crate::model::{Now, WallMs};
use crate::queue::{Action, Input, Queue, Reply};
use crate::record::Record;

/// Where records are remembered. The log is one; the simulation has another, which can crash and fail.
pub trait Store {
    /// Proof that records are durable. Only a commit makes one.
    type Token;
    type Error;

    /// Makes records durable, all or none as far as a crash can tell.
    ///
    /// # Errors
    /// When it is not known whether they are durable. The caller ends the process.
    fn commit(&mut self, records: &[Record]) -> Result<Self::Token, Self::Error>;

    /// Whether it is time to begin a new segment.
    fn wants_roll(&self, wall_ms: WallMs) -> bool;

    /// Begins a new segment with the state written down in front.
    ///
    /// # Errors
    /// As for a commit.
    fn roll(&mut self, checkpoint: &[u8], wall_ms: WallMs) -> Result<(), Self::Error>;
}

impl Store for Log {
    type Token = Committed;
    type Error = LogError;

    fn commit(&mut self, records: &[Record]) -> Result<Committed, LogError> {
        Log::commit(self, records)
    }

    fn wants_roll(&self, wall_ms: WallMs) -> bool {
        Log::wants_roll(self, wall_ms)
    }

    fn roll(&mut self, checkpoint: &[u8], wall_ms: WallMs) -> Result<(), LogError> {
        Log::roll(self, checkpoint, wall_ms)
    }
}

/// A queue and its store.
#[derive(Debug)]
pub struct Core<S: Store> {
    pub queue: Queue,
    pub store: S,
}

/// What a step decided, not remembered yet.
struct Prepared {
    records: Vec<Record>,
    actions: Vec<Action>,
    replies: Vec<Reply>,
}

/// What may leave, because all that it follows from is durable.
#[derive(Debug, Default)]
pub struct Released {
    pub actions: Vec<Action>,
    /// One for each input, in their order.
    pub replies: Vec<Reply>,
    /// What was remembered, and the number of the first of it; for those who watch.
    pub records: Vec<Record>,
    pub first: u64,
}

impl Prepared {
    /// Lets everything go. The token proves that the records are durable.
    fn release<T>(self, _proof: &T, first: u64) -> Released {
        Released { actions: self.actions, replies: self.replies, records: self.records, first }
    }

    /// Lets everything go when there was nothing to remember.
    fn release_unchanged(self, first: u64) -> Result<Released, Self> {
        if self.records.is_empty() {
            Ok(Released { actions: self.actions, replies: self.replies, records: Vec::new(), first })
        } else {
            Err(self)
        }
    }
}

impl<S: Store> Core<S> {
    /// Decides on all inputs, starts what is due when `run` is set, remembers, and releases.
    ///
    /// # Errors
    /// The store's. Nothing was released then, and the process must end.
    pub fn step(&mut self, now: Now, inputs: Vec<Input>, run: bool) -> Result<Released, S::Error> {
        let first = self.queue.state().next_seq;
        let mut prepared = Prepared { records: Vec::new(), actions: Vec::new(), replies: Vec::new() };
        for input in inputs {
            let decision = self.queue.handle(now, input);
            prepared.records.extend(decision.records);
            prepared.actions.extend(decision.actions);
            prepared.replies.push(decision.reply);
        }
        if run {
            let decision = self.queue.run(now);
            prepared.records.extend(decision.records);
            prepared.actions.extend(decision.actions);
        }
        let prepared = match prepared.release_unchanged(first) {
            Ok(released) => return Ok(released),
            Err(prepared) => prepared,
        };
        let token = self.store.commit(&prepared.records)?;
        let released = prepared.release(&token, first);
        if self.store.wants_roll(now.wall_ms) {
            self.store.roll(&self.queue.state().checkpoint(), now.wall_ms)?;
        }
        Ok(released)
    }
}
