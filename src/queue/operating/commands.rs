//! What the operator may ask for, each with what it is answered.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::model::{DeliveryId, Endpoint, Now, Seq, Source, limits};
use crate::queue::Queue;
use crate::queue::decision::{Draft, Refusal};
use crate::queue::input::{ImportedEvent, Revive};
use crate::queue::request::{Growth, QueueRequest};
use crate::queue::subscription::Subscription;
use crate::record::{Record, Replay, ReplayFilter};

/// Makes a source; its `id` and `created_at` are filled in.
#[derive(Clone, Debug)]
pub struct CreateSource(pub Box<Source>);

impl QueueRequest for CreateSource {
    type Answer = Arc<Source>;

    fn decide(
        self,
        queue: &mut Queue,
        now: Now,
        draft: &mut Draft,
    ) -> Result<Arc<Source>, Refusal> {
        queue.create_source(now, *self.0, draft)
    }

    fn growth(&self) -> Growth<'_> {
        Growth::Settings
    }
}

/// Replaces the source that has this one's name.
#[derive(Clone, Debug)]
pub struct UpdateSource(pub Box<Source>);

impl QueueRequest for UpdateSource {
    type Answer = Arc<Source>;

    fn decide(self, queue: &mut Queue, _: Now, draft: &mut Draft) -> Result<Arc<Source>, Refusal> {
        queue.update_source(*self.0, draft)
    }

    fn growth(&self) -> Growth<'_> {
        Growth::Settings
    }
}

#[derive(Clone, Debug)]
pub struct DeleteSource {
    pub name: String,
}

impl QueueRequest for DeleteSource {
    type Answer = ();

    fn decide(self, queue: &mut Queue, _: Now, draft: &mut Draft) -> Result<(), Refusal> {
        queue.delete_source(&self.name, draft)
    }
}

/// Makes an endpoint; its `id` and `created_at` are filled in.
#[derive(Clone, Debug)]
pub struct CreateEndpoint(pub Box<Endpoint>);

impl SetEndpoint for CreateEndpoint {
    fn set(
        self,
        queue: &mut Queue,
        now: Now,
        compiled: Option<Arc<Subscription>>,
        draft: &mut Draft,
    ) -> Result<Arc<Endpoint>, Refusal> {
        queue.create_endpoint(now, *self.0, compiled, draft)
    }
}

impl QueueRequest for CreateEndpoint {
    type Answer = Arc<Endpoint>;

    fn decide(
        self,
        queue: &mut Queue,
        now: Now,
        draft: &mut Draft,
    ) -> Result<Arc<Endpoint>, Refusal> {
        self.set(queue, now, None, draft)
    }

    fn growth(&self) -> Growth<'_> {
        Growth::Settings
    }
}

/// Replaces the settings of the endpoint that has this one's name.
#[derive(Clone, Debug)]
pub struct UpdateEndpoint(pub Box<Endpoint>);

impl SetEndpoint for UpdateEndpoint {
    fn set(
        self,
        queue: &mut Queue,
        now: Now,
        compiled: Option<Arc<Subscription>>,
        draft: &mut Draft,
    ) -> Result<Arc<Endpoint>, Refusal> {
        queue.update_endpoint(now, *self.0, compiled, draft)
    }
}

impl QueueRequest for UpdateEndpoint {
    type Answer = Arc<Endpoint>;

    fn decide(
        self,
        queue: &mut Queue,
        now: Now,
        draft: &mut Draft,
    ) -> Result<Arc<Endpoint>, Refusal> {
        self.set(queue, now, None, draft)
    }

    fn growth(&self) -> Growth<'_> {
        Growth::Settings
    }
}

/// A request that sets an endpoint.
pub trait SetEndpoint: QueueRequest<Answer = Arc<Endpoint>> {
    /// Decides it. Without a subscription that was `compiled` elsewhere, and fits, it is compiled
    /// on this thread.
    ///
    /// # Errors
    /// When it cannot be done. Nothing changed then.
    fn set(
        self,
        queue: &mut Queue,
        now: Now,
        compiled: Option<Arc<Subscription>>,
        draft: &mut Draft,
    ) -> Result<Arc<Endpoint>, Refusal>;
}

/// A request that sets an endpoint, with what that endpoint subscribes to, which was compiled
/// elsewhere: compiling costs what the operator's filter costs.
#[derive(Clone, Debug)]
pub struct WithSubscription<R> {
    pub subscription: Arc<Subscription>,
    pub request: R,
}

impl<R: SetEndpoint> QueueRequest for WithSubscription<R> {
    type Answer = Arc<Endpoint>;

    fn decide(
        self,
        queue: &mut Queue,
        now: Now,
        draft: &mut Draft,
    ) -> Result<Arc<Endpoint>, Refusal> {
        self.request.set(queue, now, Some(self.subscription), draft)
    }

    fn growth(&self) -> Growth<'_> {
        self.request.growth()
    }
}

/// Deletes an endpoint. Answers how many endpoints were deleted.
#[derive(Clone, Debug)]
pub struct DeleteEndpoint {
    pub name: String,
}

impl QueueRequest for DeleteEndpoint {
    type Answer = usize;

    fn decide(self, queue: &mut Queue, now: Now, draft: &mut Draft) -> Result<usize, Refusal> {
        queue.delete_endpoint(now, &self.name, draft)
    }
}

#[derive(Clone, Debug)]
pub struct HoldEndpoint {
    pub name: String,
}

impl QueueRequest for HoldEndpoint {
    type Answer = ();

    fn decide(self, queue: &mut Queue, now: Now, draft: &mut Draft) -> Result<(), Refusal> {
        queue.hold(now, &self.name, draft)
    }
}

#[derive(Clone, Debug)]
pub struct ReleaseEndpoint {
    pub name: String,
}

impl QueueRequest for ReleaseEndpoint {
    type Answer = ();

    fn decide(self, queue: &mut Queue, now: Now, draft: &mut Draft) -> Result<(), Refusal> {
        queue.release(now, &self.name, draft)
    }
}

/// What came of a command about several deliveries.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DeliveriesChanged {
    pub count: usize,
    /// How many were left out, by the reason.
    pub left_out: BTreeMap<&'static str, usize>,
    /// Dead letters that were relocated after they had been read: to be read again.
    pub moved: Vec<DeliveryId>,
}

/// Ends deliveries that have not ended.
#[derive(Clone, Debug)]
pub struct CancelDeliveries {
    pub deliveries: Vec<DeliveryId>,
}

impl QueueRequest for CancelDeliveries {
    type Answer = DeliveriesChanged;

    fn decide(
        self,
        queue: &mut Queue,
        now: Now,
        draft: &mut Draft,
    ) -> Result<DeliveriesChanged, Refusal> {
        queue.cancel(now, &self.deliveries, draft)
    }
}

/// Attempts deliveries again that wait, are dead or were cancelled, at most `limits::SLICE` at a
/// time.
#[derive(Clone, Debug)]
pub struct RetryDeliveries {
    pub deliveries: Vec<Revive>,
}

impl QueueRequest for RetryDeliveries {
    type Answer = DeliveriesChanged;

    fn decide(
        self,
        queue: &mut Queue,
        now: Now,
        draft: &mut Draft,
    ) -> Result<DeliveriesChanged, Refusal> {
        queue.retry(now, &self.deliveries, draft)
    }

    fn growth(&self) -> Growth<'_> {
        Growth::Settings
    }
}

/// Discards dead letters.
#[derive(Clone, Debug)]
pub struct DiscardDeadLetters {
    pub deliveries: Vec<Revive>,
}

impl QueueRequest for DiscardDeadLetters {
    type Answer = DeliveriesChanged;

    fn decide(
        self,
        queue: &mut Queue,
        now: Now,
        draft: &mut Draft,
    ) -> Result<DeliveriesChanged, Refusal> {
        queue.discard(now, &self.deliveries, draft)
    }
}

/// Takes in events that were accepted before, at most `limits::SLICE` at a time. Answers how many
/// were new.
#[derive(Clone, Debug)]
pub struct ImportEvents {
    pub events: Vec<ImportedEvent>,
}

impl QueueRequest for ImportEvents {
    type Answer = usize;

    fn decide(self, queue: &mut Queue, now: Now, draft: &mut Draft) -> Result<usize, Refusal> {
        Ok(queue.import(now, self.events, draft))
    }

    fn growth(&self) -> Growth<'_> {
        let bytes = self.events.iter().map(|imported| imported.event.bytes()).sum();
        Growth::Backlog { bytes }
    }
}

/// Registers a replay; `next` and `end` are what the caller saw of the log.
#[derive(Clone, Debug)]
pub struct StartReplay {
    pub filter: ReplayFilter,
    pub rate: Option<u32>,
    pub next: Seq,
    pub end: Seq,
    /// The user of the socket's group who asks for it; `None` for root and the daemon's own user.
    pub member: Option<u32>,
}

impl QueueRequest for StartReplay {
    type Answer = Replay;

    fn decide(self, queue: &mut Queue, now: Now, draft: &mut Draft) -> Result<Replay, Refusal> {
        queue.start_replay(now, self, draft)
    }

    fn growth(&self) -> Growth<'_> {
        Growth::Backlog { bytes: 0 }
    }
}

/// Ends a replay under way: what it has queued stays queued. Answers how far it had come.
#[derive(Clone, Debug)]
pub struct StopReplay {
    pub id: u64,
}

impl QueueRequest for StopReplay {
    type Answer = Replay;

    fn decide(self, queue: &mut Queue, now: Now, draft: &mut Draft) -> Result<Replay, Refusal> {
        queue.stop_replay(now, self.id, draft)
    }
}

/// Acknowledges damage of these records, from the first to the last of each range. Answers how many
/// of the ranges had not been acknowledged before.
#[derive(Clone, Debug)]
pub struct AcknowledgeDamage {
    pub ranges: Vec<(Seq, Seq)>,
}

impl QueueRequest for AcknowledgeDamage {
    type Answer = usize;

    fn decide(self, queue: &mut Queue, now: Now, draft: &mut Draft) -> Result<usize, Refusal> {
        let (known, next_seq) = (&queue.state.acknowledged, queue.state.next_seq);
        let is_new = |(first, last): &(Seq, Seq)| known.covers(*first, *last).is_none();
        // What is still to be written cannot have been looked at.
        let exists = |(first, last): &(Seq, Seq)| first <= last && *last < next_seq;
        let ranges: Vec<_> = self.ranges.into_iter().filter(exists).filter(is_new).collect();

        let count = ranges.len();
        if known.len() + count > limits::ACKNOWLEDGED_DAMAGE {
            let (what, limit) = ("acknowledged ranges of damage", limits::ACKNOWLEDGED_DAMAGE);
            return Err(Refusal::TooMany { what, limit });
        }
        if count > 0 {
            queue.remember(Record::DamageAcknowledged { ranges, at: now.wall_ms }, draft);
        }
        Ok(count)
    }
}
