//! The nouns: plain data that every module uses. It knows no other module.
//!
//! One word per concept: a [`Source`] is a named inbound endpoint, an [`Event`] one accepted
//! webhook, an [`Endpoint`] a named outbound destination, a delivery ([`DeliveryId`]) one event to
//! be delivered to one endpoint, an attempt one request made for it, and an [`Outcome`] the
//! classified result of an attempt.
//!
//! Invariants: an event is immutable; ids never change and are never reused; every size and count
//! has its bound in [`limits`].

pub mod as_text;
pub mod backoff;
pub mod delivery;
pub mod endpoint;
pub mod event;
pub mod filter;
pub mod form_error;
pub mod glob;
pub mod histogram;
pub mod hop_headers;
pub mod host;
pub mod id;
pub mod json;
pub mod lease;
mod limit_relations;
pub mod limits;
mod network;
pub mod query;
mod release;
pub mod safe_text;
pub mod secret;
pub mod share;
pub mod similar;
pub mod size;
pub mod source;
pub mod target;
pub mod target_url;
pub mod time;
pub mod trace_context;
pub mod url_text;

pub use delivery::{
    AttemptFault, AttemptReport, CommandEnd, DeliveryState, HoldReason, Outcome, RequestHead,
    ResponseHead,
};
pub use endpoint::{
    Batch, BatchFormat, CatchUp, CatchUpMode, ConnectSettings, Endpoint, ExecSettings, HeadOfLine,
    Order, PullSettings, Rate, RequestTemplate, RetryPolicy,
};
pub use event::{Event, Fingerprints, HOPS, Header, exact_text, hops_of, is_digest};
pub use filter::{DeliveryFilter, EventFilter, EventTraits};
pub use hop_headers::{canonical_header_name, is_hop_header};
pub use id::{BatchId, DeliveryId, EndpointId, EventId, IdError, Seq, SourceId};
pub use lease::{LeaseError, LeaseRequest, LeasedDelivery, Settlement};
pub use network::parse_network;
pub use release::{COMMIT, VERSION, version_and_commit};
pub use secret::{REDACTED, Secret, TimedSecret, is_credential_name, is_secret_name};
pub use source::{FixedAnswer, PROVIDER_SCHEMES, Source, check_name, valid_name};
pub use target::{HttpTarget, Locality, Target, TargetError, UnixTarget};
pub use target_url::TargetUrl;
pub use time::{Clock, Now, WallMs};
pub use trace_context::TraceContext;
