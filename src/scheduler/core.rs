//! One step: decide, commit, release.

use super::envelope::{Envelope, HeldAnswer};
use crate::log::{Committed, Log, LogError, WrittenCommit};
use crate::model::{Now, Seq, WallMs};
use crate::queue::{Action, Queue};
use crate::record::Record;

/// Where records are remembered. The log is one; the simulation has another, which can crash and
/// fail.
pub trait Store {
    /// Records that were written, and are not durable yet.
    type Written;
    /// Proof that records are durable. Only a commit makes one.
    type Token;
    type Error;

    /// The first half of a commit: writes records behind those that were written before. A crash
    /// leaves all or none of them, and none without those before them.
    ///
    /// # Errors
    /// When it is not known what was written. The caller ends the process.
    fn write(&mut self, records: &[Record]) -> Result<Self::Written, Self::Error>;

    /// The second half: makes them durable. Called in the order in which they were written; the
    /// next records may be written meanwhile.
    ///
    /// # Errors
    /// When it is not known whether they are durable. The caller ends the process.
    fn make_durable(written: Self::Written) -> Result<Self::Token, Self::Error>;

    /// Both halves, where nothing is to be done meanwhile.
    ///
    /// # Errors
    /// When it is not known whether the records are durable.
    fn commit(&mut self, records: &[Record]) -> Result<Self::Token, Self::Error> {
        let written = self.write(records)?;
        Self::make_durable(written)
    }

    /// Whether it is time to begin a new segment.
    fn wants_roll(&self, wall_ms: WallMs) -> bool;

    /// Begins a new segment with the state written down in front. All that was written is durable.
    ///
    /// # Errors
    /// As for a commit.
    fn roll(&mut self, checkpoint: &[u8], wall_ms: WallMs) -> Result<(), Self::Error>;
}

impl Store for Log {
    type Written = WrittenCommit;
    type Token = Committed;
    type Error = LogError;

    fn write(&mut self, records: &[Record]) -> Result<WrittenCommit, LogError> {
        Log::write(self, records)
    }

    fn make_durable(written: WrittenCommit) -> Result<Committed, LogError> {
        written.make_durable()
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

/// What a step decided. It has to be written before the next step is decided.
#[must_use]
#[derive(Debug)]
pub struct Decided {
    first: Seq,
    records: Vec<Record>,
    actions: Vec<Action>,
    answers: Vec<HeldAnswer>,
}

/// A step that was written. Nothing of it may leave before it is durable.
#[must_use]
#[derive(Debug)]
pub struct WrittenStep<S: Store> {
    decided: Decided,
    /// `None` when there was nothing to remember.
    written: Option<S::Written>,
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
/// Whoever waits for one of them hears nothing more: the answers live until the process has ended,
/// because one that is dropped would tell its caller that the request was not done.
#[derive(Debug)]
pub struct FailedCommit<E> {
    pub error: E,
    _unanswered: Vec<HeldAnswer>,
}

impl Decided {
    /// Lets everything go. The token proves that the records are durable.
    fn release<T>(self, _proof: &T) -> Released {
        let Self { first, records, actions, answers } = self;
        Released { first, records, actions, answers }
    }

    /// The records to remember.
    #[must_use]
    pub fn records(&self) -> &[Record] {
        &self.records
    }

    /// What is to be done once they are durable.
    #[must_use]
    pub fn actions(&self) -> &[Action] {
        &self.actions
    }
}

impl<S: Store> WrittenStep<S> {
    /// Makes the step durable, and lets everything go.
    ///
    /// # Errors
    /// The store's. Nothing was released then, and the process must end.
    pub fn release(self) -> Result<Released, FailedCommit<S::Error>> {
        let Self { decided, written } = self;
        let Some(written) = written else { return Ok(decided.release(&NothingToRemember)) };

        match S::make_durable(written) {
            Ok(token) => Ok(decided.release(&token)),
            Err(error) => Err(FailedCommit { error, _unanswered: decided.answers }),
        }
    }
}

/// Stands for the proof of a step without records.
struct NothingToRemember;

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
        self.remember(now, decided)
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

    /// The second half: remembers what was decided, and releases it. No other step may be on its
    /// way.
    ///
    /// # Errors
    /// The store's. Nothing was released then, and the process must end.
    pub fn remember(
        &mut self,
        now: Now,
        decided: Decided,
    ) -> Result<Released, FailedCommit<S::Error>> {
        let released = self.write(decided)?.release()?;
        self.roll_if_due(now, released)
    }

    /// Writes what was decided. The next step may be decided then, and written; the steps are
    /// released in their order.
    ///
    /// # Errors
    /// The store's. Nothing was released then, and the process must end.
    pub fn write(&mut self, decided: Decided) -> Result<WrittenStep<S>, FailedCommit<S::Error>> {
        if decided.records.is_empty() {
            return Ok(WrittenStep { decided, written: None });
        }
        match self.store.write(&decided.records) {
            Ok(written) => Ok(WrittenStep { decided, written: Some(written) }),
            Err(error) => Err(FailedCommit { error, _unanswered: decided.answers }),
        }
    }

    /// Begins a new segment when it is time, with the state as it is after the last step, which is
    /// the one that was released.
    ///
    /// # Errors
    /// The store's. The process must end.
    pub fn roll_if_due(
        &mut self,
        now: Now,
        released: Released,
    ) -> Result<Released, FailedCommit<S::Error>> {
        if !released.records.is_empty()
            && self.store.wants_roll(now.wall_ms)
            && let Err(error) = self.store.roll(&self.queue.state().checkpoint(), now.wall_ms)
        {
            return Err(FailedCommit { error, _unanswered: released.answers });
        }
        Ok(released)
    }
}

impl Released {
    /// The last record that was remembered with it.
    #[must_use]
    pub fn last(&self) -> Option<Seq> {
        (!self.records.is_empty()).then(|| self.first + self.records.len() as Seq - 1)
    }

    /// Sends the answers to whoever waits for them.
    pub fn send_answers(&mut self) {
        self.answers.drain(..).for_each(HeldAnswer::send);
    }
}
