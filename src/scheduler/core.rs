//! One step: decide, commit, release.

use super::envelope::{Envelope, HeldAnswer};
use crate::log::{Committed, Log, LogError};
use crate::model::{Now, Seq, WallMs};
use crate::queue::{Action, Queue};
use crate::record::Record;

/// Where records are remembered. The log is one; the simulation has another, which can crash and
/// fail.
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

    /// Begins a new segment with the state written down in front. A store may write a large state
    /// down together with the next commits; as long as that is not done, a crash takes it back.
    ///
    /// # Errors
    /// As for a commit.
    fn roll(&mut self, checkpoint: Vec<u8>, wall_ms: WallMs) -> Result<(), Self::Error>;
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

    fn roll(&mut self, checkpoint: Vec<u8>, wall_ms: WallMs) -> Result<(), LogError> {
        Log::roll(self, checkpoint, wall_ms)
    }
}

/// A queue and its store.
#[derive(Debug)]
pub struct Core<S: Store> {
    pub queue: Queue,
    pub store: S,
}

/// What a step decided. It has to be remembered before the next step is decided.
#[must_use]
#[derive(Debug)]
pub struct Decided {
    first: Seq,
    records: Vec<Record>,
    actions: Vec<Action>,
    answers: Vec<HeldAnswer>,
}

/// What may leave, because all that it follows from is durable.
#[derive(Debug, Default)]
pub struct Released {
    /// What was remembered, and the number of the first of it; for those who watch.
    pub first: Seq,
    pub records: Vec<Record>,
    pub actions: Vec<Action>,
    /// One for each request, in their order.
    pub answers: Vec<HeldAnswer>,
}

/// A commit that failed, with the answers that were waiting for it.
///
/// Whoever waits for one of them gets none: the answers live until the process has ended,
/// because one that is dropped would tell its caller that the request was not done.
#[derive(Debug)]
pub struct FailedCommit<E> {
    pub error: E,
    _unanswered: Vec<HeldAnswer>,
}

impl Decided {
    /// Whether there is anything to remember.
    pub fn has_records(&self) -> bool {
        !self.records.is_empty()
    }

    /// Lets everything go. The token proves that the records are durable.
    fn release<T>(self, _proof: &T) -> Released {
        let Self { first, records, actions, answers } = self;
        Released { first, records, actions, answers }
    }

    /// Lets everything go when there was nothing to remember.
    fn release_unchanged(self) -> Result<Released, Self> {
        if self.has_records() {
            return Err(self);
        }
        let Self { first, records, actions, answers } = self;
        Ok(Released { first, records, actions, answers })
    }
}

impl<S: Store> Core<S> {
    /// Decides on all requests, starts what is due when `run` is set, remembers, and releases.
    ///
    /// # Errors
    /// The store's. Nothing was released then, and the process must end.
    pub fn step(
        &mut self,
        now: Now,
        requests: Vec<Envelope>,
        run: bool,
    ) -> Result<Released, FailedCommit<S::Error>> {
        let decided = self.decide(now, requests, run);
        self.remember(decided)
    }

    /// The first half of a step: what is decided on all requests, and on what is due when `run` is
    /// set. Nothing of it may leave.
    pub fn decide(&mut self, now: Now, requests: Vec<Envelope>, run: bool) -> Decided {
        let first = self.queue.state().next_seq;
        let (mut records, mut actions, mut answers) = (Vec::new(), Vec::new(), Vec::new());

        for request in requests {
            let (decision, answer) = request.decide(&mut self.queue, now);
            records.extend(decision.records);
            actions.extend(decision.actions);
            answers.push(answer);
        }

        if run {
            let decision = self.queue.run(now);
            records.extend(decision.records);
            actions.extend(decision.actions);
        }
        Decided { first, records, actions, answers }
    }

    /// The second half: remembers what was decided, and releases it.
    ///
    /// # Errors
    /// The store's. Nothing was released then, and the process must end.
    pub fn remember(&mut self, decided: Decided) -> Result<Released, FailedCommit<S::Error>> {
        let decided = match decided.release_unchanged() {
            Ok(released) => return Ok(released),
            Err(decided) => decided,
        };

        let token = match self.store.commit(&decided.records) {
            Ok(token) => token,
            Err(error) => return Err(FailedCommit { error, _unanswered: decided.answers }),
        };
        Ok(decided.release(&token))
    }

    /// Begins a new segment when it is time. For after a step, once what it released has left.
    ///
    /// # Errors
    /// The store's. The process must end.
    pub fn roll_when_due(&mut self, wall_ms: WallMs) -> Result<(), S::Error> {
        match self.checkpoint_when_due(wall_ms) {
            Some(checkpoint) => self.store.roll(checkpoint, wall_ms),
            None => Ok(()),
        }
    }

    /// The state with which a new segment is to begin, when it is time for one.
    pub(super) fn checkpoint_when_due(&self, wall_ms: WallMs) -> Option<Vec<u8>> {
        self.store.wants_roll(wall_ms).then(|| self.queue.state().checkpoint())
    }
}

impl Released {
    /// Sends the answers to whoever waits for them.
    pub fn send_answers(&mut self) {
        self.answers.drain(..).for_each(HeldAnswer::send);
    }
}
