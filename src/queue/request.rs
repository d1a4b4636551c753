//! What can be asked of the queue: each request is a type of its own, which knows the type of its
//! answer.
//!
//! Commands stand in `commands`, questions in `ask`. What nobody waits for is an [`Input`].

use std::fmt;

use super::decision::{Decision, Draft, Refusal};
use super::engine::Queue;
use super::input::Input;
use crate::model::{Now, Source};

/// Something that is asked of the queue.
pub trait QueueRequest: fmt::Debug + Send + 'static {
    type Answer: fmt::Debug + Send + 'static;

    /// Decides it.
    ///
    /// # Errors
    /// When it cannot be done. Nothing changed then.
    fn decide(
        self,
        queue: &mut Queue,
        now: Now,
        draft: &mut Draft,
    ) -> Result<Self::Answer, Refusal>;

    /// What it adds to the log, by which a disk that is nearly full refuses it.
    fn growth(&self) -> Growth<'_> {
        Growth::None
    }

    /// Leaves out what can be done without while the disk is nearly full.
    fn trim(&mut self) {}

    /// Whether the events that come with it will be remembered, as far as can be said before it is
    /// decided: only then is their body written ahead.
    fn brings_events(&self, _queue: &Queue, _now: Now) -> bool {
        false
    }
}

/// What a request adds to the log.
#[derive(Clone, Copy, Debug)]
pub enum Growth<'a> {
    /// Nothing to speak of, or it ends something: it is never refused.
    None,
    /// Settings, or further attempts.
    Settings,
    /// Deliveries or events in large numbers, with about so many bytes of events.
    Backlog { bytes: usize },
    /// Events of one source, with about so many bytes.
    Events { source: Option<&'a Source>, bytes: usize },
}

/// A question about the state. It changes nothing.
pub trait Query: fmt::Debug + Send + 'static {
    type Answer: fmt::Debug + Send + 'static;

    fn answer(&self, queue: &Queue, now: Now) -> Self::Answer;
}

impl<Q: Query> QueueRequest for Q {
    type Answer = Q::Answer;

    fn decide(self, queue: &mut Queue, now: Now, _: &mut Draft) -> Result<Q::Answer, Refusal> {
        Ok(self.answer(queue, now))
    }
}

impl Queue {
    /// Decides what follows from a request at `now`.
    pub fn handle<R: QueueRequest>(&mut self, now: Now, request: R) -> Decision<R::Answer> {
        let mut draft = Draft::default();
        self.tick(now);
        let answer = request.decide(self, now, &mut draft);
        draft.decided(answer)
    }

    /// Answers a question about the state.
    #[must_use]
    pub fn ask<Q: Query>(&self, now: Now, query: &Q) -> Q::Answer {
        query.answer(self, now)
    }
}

impl QueueRequest for Input {
    type Answer = ();

    fn decide(self, queue: &mut Queue, now: Now, draft: &mut Draft) -> Result<(), Refusal> {
        match self {
            Self::Finished { delivery, report } => {
                if !queue.finished(now, delivery, report, draft) {
                    return Err(Refusal::Ended);
                }
            }
            Self::BatchFinished { endpoint, batch, report, failed } => {
                queue.batch_finished(now, endpoint, batch, report, &failed, draft);
            }

            Self::Loaded { delivery, event } => queue.loaded(now, delivery, event, draft),
            Self::BatchLoaded { endpoint, batch, events } => {
                queue.batch_loaded(now, endpoint, batch, events, draft);
            }
            Self::Refilled { endpoint, read, keys } => {
                queue.refilled(now, endpoint, read, keys, draft);
            }
            Self::AgesRead { endpoint, read } => {
                queue.ages_read(now, endpoint, read, draft);
            }
            Self::Scanned { replay, from, events, next } => {
                queue.scanned(now, replay, from, &events, next, draft);
            }
            Self::LeftScanned { replay, events } => {
                queue.left_scanned(now, replay, &events, draft);
            }

            Self::Wanted { endpoint, total } => {
                // Consumers come and go; their endpoint may have been deleted meanwhile.
                if let Some(found) = queue.state.find_mut(endpoint) {
                    found.set_leases_wanted(total);
                    queue.wake(endpoint);
                }
            }
            Self::Announce { kind, data } => queue.announce(now, &kind, data, draft),
        }
        Ok(())
    }

    fn trim(&mut self) {
        if let Self::Finished { report, .. } | Self::BatchFinished { report, .. } = self {
            report.trim();
        }
    }
}
