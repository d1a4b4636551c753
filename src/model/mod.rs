//! The nouns: plain data that every room speaks of. Knows nothing of the other rooms.
//!
//! One word per concept: a [`Source`] is a named way in, an [`Event`] one accepted webhook, an
//! [`Endpoint`] a named way out, a delivery ([`DeliveryId`]) the duty to bring one event to one endpoint, an
//! attempt one request made for it, and an [`Outcome`] what that attempt came to.
//!
//! Invariants: an event is immutable; ids never change and are never reused; every size and count has its
//! bound in [`limits`].

pub mod backoff;
pub mod delivery;
pub mod endpoint;
pub mod event;
pub mod id;
pub mod lease;
pub mod limits;
pub mod secret;
pub mod size;
pub mod source;
pub mod time;

pub use delivery::{AttemptReport, CommandEnd, DeliveryState, Fault, HoldReason, Outcome, RequestHead, ResponseHead};
pub use endpoint::{
    Batch, BatchFormat, CatchUp, CatchUpMode, Endpoint, Exec, HeadOfLine, Order, Pull, Rate, RetryPolicy, Shape, Via,
};
pub use event::{Event, Header};
pub use id::{BatchId, DeliveryId, EndpointId, EventId, IdError, Seq, SourceId};
pub use lease::{LeaseAsk, LeaseFault, Leased, Settlement};
pub use secret::{Secret, TimedSecret, says_secret};
pub use source::{Source, valid_name};
pub use time::{Now, WallMs};
