//! What answers look like: written by `admin`, read by the ctl and by everybody else through
//! `openapi.json`.
//!
//! Times are RFC 3339 in UTC. What was measured has its unit in its name (`duration_ms`, `size`).
//!
//! A client and its daemon may be of different versions. Fields that are not known are passed over,
//! words that are not known are kept ([`Tolerant`]), and what an older daemon does not send yet has
//! a default, which the schema leaves out: this daemon always sends it.

mod apply;
mod delivery;
mod endpoint;
mod event;
mod explain;
mod headers;
mod history;
mod lease;
mod log;
mod reason_facts;
mod results;
mod settings;
mod source;
mod status;
mod tail;
mod tolerant;
mod version;

pub use apply::{ApplyAction, ApplyView, BootApplyView, ChangeView, ExportView, FieldChangeView};
pub use delivery::{
    AttemptView, DeliveryDetailView, DeliveryView, NextStep, OperatorActionView, RequestView,
    ResponseView,
};
pub use endpoint::{
    EndpointActivityView, EndpointCondition, EndpointLagView, EndpointTestView, EndpointView,
    HoldState,
};
pub use event::{EventDeliveryView, EventDetailView, EventSummary, EventView};
pub use explain::{ExplainView, ReasonView};
pub use headers::HeadersView;
pub use history::{HistoryRowView, HistoryView};
pub use lease::{LeaseView, LeasesView, SettledView};
pub use log::{
    AcknowledgedView, DamageView, LogHeadView, LogStatView, ProgressView, SegmentView, VerifyLine,
    VerifyView,
};
pub use reason_facts::ReasonFacts;
pub use results::{
    CancelView, DeletedView, DiscardView, EventSentView, GivenUpView, ImportView, LeftOutView,
    MoreLine, MoreView, ProblemLine, ProblemView, ReplayStartView, ReplayView, RetryView,
    TOTAL_HEADER,
};
pub use source::{
    CheckElementView, CheckResponseView, CheckView, RefusedRequestView, SecretView, SourceView,
};
pub use status::{
    CertificateView, ClockView, DeletedEndpointView, DeliveryCounts, LinkView, LogSpaceView,
    ShareView, StatusView, UnusableSourceView, WorstView,
};
pub use tail::TailView;
pub use tolerant::Tolerant;
pub use version::VersionView;
