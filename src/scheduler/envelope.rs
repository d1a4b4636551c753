//! A request on its way to the thread, with the place where its answer goes.

use std::fmt;
use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, oneshot};

use crate::log::BodyBlocks;
use crate::model::Now;
use crate::queue::{Decision, Growth, Input, Queue, QueueRequest, Refusal};

/// Where an answer arrives, once what it follows from is durable.
pub type AnswerReceiver<R> = oneshot::Receiver<Result<<R as QueueRequest>::Answer, Refusal>>;

/// A request of any kind. It is one allocation, whatever is in it, because the channel's slots
/// exist from the start.
#[derive(Debug)]
pub struct Envelope {
    pending: Box<dyn Pending>,
    /// The large body that comes with it.
    body: Option<Arc<BodyBlocks>>,
}

/// What the thread does with a request without knowing which it is.
trait Pending: fmt::Debug + Send {
    fn growth(&self) -> Growth<'_>;
    fn trim(&mut self);
    fn brings_events(&self, queue: &Queue, now: Now) -> bool;
    fn decide(self: Box<Self>, queue: &mut Queue, now: Now) -> (Decision, HeldAnswer);
    fn refuse(self: Box<Self>, refusal: Refusal);
    #[cfg(test)]
    fn holds(&self, request: std::any::TypeId) -> bool;
    #[cfg(test)]
    fn into_any(self: Box<Self>) -> Box<dyn std::any::Any>;
}

/// A request whose answer somebody waits for, or nobody.
#[derive(Debug)]
struct PendingRequest<R: QueueRequest> {
    request: R,
    sender: Option<oneshot::Sender<Result<R::Answer, Refusal>>>,
    /// Given back when the request has been dealt with.
    permit: Option<OwnedSemaphorePermit>,
}

/// An answer that leaves once the records that it follows from are durable. Dropped, it is never
/// sent.
pub struct HeldAnswer(Option<Box<dyn FnOnce() + Send>>);

impl Envelope {
    /// Something that nobody waits for the answer of.
    #[must_use]
    pub fn report(input: Input) -> Self {
        Self::of(PendingRequest { request: input, sender: None, permit: None })
    }

    /// A request, and where its answer arrives.
    #[must_use]
    pub fn ask<R: QueueRequest>(
        request: R,
        permit: Option<OwnedSemaphorePermit>,
    ) -> (Self, AnswerReceiver<R>) {
        let (sender, receiver) = oneshot::channel();
        let asked = PendingRequest { request, sender: Some(sender), permit };
        (Self::of(asked), receiver)
    }

    fn of<R: QueueRequest>(pending: PendingRequest<R>) -> Self {
        Self { pending: Box::new(pending), body: None }
    }

    /// The same with the large body that comes with it.
    pub(super) fn with_body(self, body: Option<Arc<BodyBlocks>>) -> Self {
        Self { body, ..self }
    }

    pub(super) fn body(&self) -> Option<&Arc<BodyBlocks>> {
        self.body.as_ref()
    }

    pub(super) fn growth(&self) -> Growth<'_> {
        self.pending.growth()
    }

    pub(super) fn trim(&mut self) {
        self.pending.trim();
    }

    /// See [`QueueRequest::brings_events`].
    pub(super) fn brings_events(&self, queue: &Queue, now: Now) -> bool {
        self.pending.brings_events(queue, now)
    }

    pub(super) fn decide(self, queue: &mut Queue, now: Now) -> (Decision, HeldAnswer) {
        self.pending.decide(queue, now)
    }

    pub(super) fn refuse(self, refusal: Refusal) {
        self.pending.refuse(refusal);
    }

    /// Answers it, if it is a request of this type. For schedulers that a test scripts.
    ///
    /// # Errors
    /// The envelope, when it holds another request.
    #[cfg(test)]
    pub fn answer<R: QueueRequest>(
        self,
        answer: impl FnOnce(R) -> Result<R::Answer, Refusal>,
    ) -> Result<(), Self> {
        if !self.pending.holds(std::any::TypeId::of::<R>()) {
            return Err(self);
        }
        let asked =
            self.pending.into_any().downcast::<PendingRequest<R>>().expect("it holds this request");
        let PendingRequest { request, sender, permit } = *asked;
        let answer = answer(request);
        drop(permit);
        if let Some(sender) = sender {
            let _ = sender.send(answer);
        }
        Ok(())
    }
}

impl<R: QueueRequest> Pending for PendingRequest<R> {
    fn growth(&self) -> Growth<'_> {
        self.request.growth()
    }

    fn trim(&mut self) {
        self.request.trim();
    }

    fn brings_events(&self, queue: &Queue, now: Now) -> bool {
        self.request.brings_events(queue, now)
    }

    fn decide(self: Box<Self>, queue: &mut Queue, now: Now) -> (Decision, HeldAnswer) {
        let Self { request, sender, permit } = *self;
        let Decision { records, actions, answer } = queue.handle(now, request);

        let held = sender.map(|sender| -> Box<dyn FnOnce() + Send> {
            Box::new(move || {
                // Nobody waits any more when the client has gone; what was remembered stays so.
                let _ = sender.send(answer);
                drop(permit);
            })
        });
        (Decision { records, actions, answer: Ok(()) }, HeldAnswer(held))
    }

    fn refuse(self: Box<Self>, refusal: Refusal) {
        if let Some(sender) = self.sender {
            let _ = sender.send(Err(refusal));
        }
    }

    #[cfg(test)]
    fn holds(&self, request: std::any::TypeId) -> bool {
        request == std::any::TypeId::of::<R>()
    }

    #[cfg(test)]
    fn into_any(self: Box<Self>) -> Box<dyn std::any::Any> {
        self
    }
}

impl HeldAnswer {
    pub fn send(self) {
        if let Some(send) = self.0 {
            send();
        }
    }
}

impl fmt::Debug for HeldAnswer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("HeldAnswer").field(&self.0.is_some()).finish()
    }
}
