//! Requests in a step of the simulation, and what their answers show.

use hookbox::model::limits::FILTER_STEPS;
use hookbox::queue::matcher::Steps;
use hookbox::queue::{
    Accept, Input, NewEvent, Queue, QueueRequest, Refusal, Relocate, RetireSegment,
};
use hookbox::scheduler::{AnswerReceiver, Envelope, RetirementStep};
use tokio::sync::oneshot::Receiver;

/// A request, and whether somebody looks at its answer.
pub struct Sent {
    pub envelope: Envelope,
    pub watched: Watched,
}

pub enum Watched {
    Nothing,
    Accepted(AnswerReceiver<Accept>),
    Relocated(AnswerReceiver<Relocate>),
    Retired(AnswerReceiver<RetireSegment>),
}

impl Sent {
    pub fn report(input: Input) -> Self {
        Self { envelope: Envelope::report(input), watched: Watched::Nothing }
    }

    /// Something that the operator asks for, whatever the answer is.
    pub fn command<R: QueueRequest>(request: R) -> Self {
        Self { envelope: Envelope::ask(request, None).0, watched: Watched::Nothing }
    }

    pub fn accept(request: Accept) -> Self {
        let (envelope, answer) = Envelope::ask(request, None);
        Self { envelope, watched: Watched::Accepted(answer) }
    }

    pub fn retire(step: RetirementStep) -> Self {
        match step {
            RetirementStep::Relocate(slice) => {
                let (envelope, answer) = Envelope::ask(slice, None);
                Self { envelope, watched: Watched::Relocated(answer) }
            }
            RetirementStep::Drop(segment) => {
                let (envelope, answer) = Envelope::ask(segment, None);
                Self { envelope, watched: Watched::Retired(answer) }
            }
        }
    }

    pub fn is_retirement(&self) -> bool {
        matches!(self.watched, Watched::Relocated(_) | Watched::Retired(_))
    }
}

/// What a step has answered.
pub fn answer<A>(mut answer: Receiver<Result<A, Refusal>>) -> Result<A, Refusal> {
    answer.try_recv().expect("the step has answered")
}

/// An event as ingest hands it over.
pub fn matched(queue: &Queue, event: NewEvent) -> Accept {
    Accept(vec![queue.matcher().matched(event, &mut Steps::new(FILTER_STEPS))])
}
