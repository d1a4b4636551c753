//! What should happen. Pure: no clock, no randomness of its own, no I/O.
//!
//! [`Queue::handle`] takes the time and a [`QueueRequest`] and gives a [`Decision`]: records to
//! remember, actions to release once they are durable, and an answer. Same state, same inputs, same
//! times, same seed: same answer. The clock is an argument; jitter and ids come from a seeded
//! generator, and what it drew stands in the records.
//!
//! Things: the [`State`], a fold of records, which has one [`EndpointQueue`] for each endpoint; the
//! newest events at hand (`recent`); the endpoints' filters (`matcher`, `filter`), which whoever
//! takes an event in asks before it comes here.
//!
//! Folders, one for a question. Those above know those below, and [`Queue`] stands between what is
//! done with it and what it is made of:
//!
//! | folder | question |
//! |---|---|
//! | `operating` | what does the operator ask for? |
//! | `answers`, `listing` | what is known? |
//! | `retention` | what becomes of old and of lost records? |
//! | `attempts`, `batch` | what is attempted, and what follows? |
//! | `waiting` | what becomes of what waits? |
//! | `turn_taking` | whose turn is it? |
//! | `folding` | what does a record change? |
//! | `endpoint` | what does one endpoint do right now? |
//! | `remembered` | what is remembered of it? |
//! | `stream` | where do its deliveries stand in the log? |
//! | `filter` | which events does it want? |
//!
//! An event comes in by `accept`. `attempts::run` starts what is due: round robin over the
//! endpoints that have something to do, inside their windows, so that a dead or slow endpoint does
//! not slow the others.
//!
//! Invariants: what is remembered changes only by `State::apply`; nothing is attempted after its
//! end; attempts in flight are at most `limits::IN_FLIGHT`, of which endpoints on probation take
//! half, and `limits::IN_FLIGHT_FIRST` first ones to endpoints of which nothing is known;
//! `limits::PREFETCH` deliveries of an endpoint are read ahead. Refused: whatever the operator or
//! ingest asks for that cannot be done, as a [`Refusal`]. Fatal: a record that the state does not
//! take, and an endpoint that is not there within a step: programmers' errors.

mod accept;
mod action;
mod answers;
mod attempts;
mod batch;
mod clock;
mod decision;
mod endpoint;
mod engine;
#[cfg(not(fuzzing))]
mod filter;
#[cfg(fuzzing)]
pub mod filter;
mod folding;
mod import;
pub mod input;
mod link;
mod listing;
pub mod matcher;
mod new_event;
mod notices;
mod notify;
mod operating;
mod remembered;
mod reports;
mod request;
mod retention;
mod settings;
mod start;
mod stream;
mod subscription;
#[cfg(test)]
pub(crate) mod testing;
mod turn_taking;
mod waiting;

pub use accept::Accept;
pub use action::{
    Action, AttemptOrder, Death, HealthEvent, HealthReport, Maintenance, ReadOrder, StreamOrder,
};
pub use answers::ask::{
    AliveQuery, DeadLetterSeqsQuery, DeliveriesQuery, EndedReplaysQuery, EndpointsQuery,
    EventsQuery, ExplainQuery, IdleQuery, ImportedQuery, LivesQuery, OldestDeadLetterSeqsQuery,
    ReplaysQuery, RetryingQuery, StatusQuery, UnsettledQuery,
};
pub use answers::backlog::{Backlog, BacklogQuery, EndpointBacklog};
pub use answers::explanation::{EndpointActivity, Explanation, WaitReason};
pub use answers::snapshot::{
    DeliverySnapshot, EndpointSnapshot, EventSnapshot, RetrySnapshot, Status, WorstEndpoints,
};
pub use answers::worst::WorstQuery;
pub use batch::BatchSize;
pub use decision::{Decision, Draft, Refusal};
pub use endpoint::EndpointQueue;
pub use engine::Queue;
pub use folding::state;
pub use folding::state::{State, StateError};
pub use input::{
    Accepted, AliveRange, ImportedDead, ImportedEvent, Input, Loaded, Revive, ScannedEvent,
    ScannedLeft, StreamRead,
};
pub use listing::{
    Candidates, CandidatesQuery, CountQuery, DeadOfQuery, GoneQuery, GoneRecords,
    LastDeliveryQuery, Orphans, OrphansQuery, RelocatedQuery,
};
pub use new_event::{Matched, NewEvent};
pub use notices::OWN_SOURCE;
pub use operating::apply::{ApplySettings, ExpectedSettings, SettingsApplied};
pub use operating::commands::{
    AcknowledgeDamage, CancelDeliveries, CreateEndpoint, CreateSource, DeleteEndpoint,
    DeleteSource, DeliveriesChanged, DiscardDeadLetters, HoldEndpoint, ImportEvents,
    ReleaseEndpoint, RetryDeliveries, StartReplay, StopReplay, UpdateEndpoint, UpdateSource,
    WithSubscription,
};
pub use operating::left_out;
pub use operating::left_out::{CancelCheckQuery, RetryCheckQuery};
pub use remembered::acknowledged::AcknowledgedDamage;
pub use request::{Growth, Query, QueueRequest};
pub use retention::losses::SettleLoss;
pub use retention::retire::{Relocate, RetireSegment};
pub use retention::unsettled::{Loss, StreamWaits, Unsettled};
pub use stream::kept::KeptRead;
pub use stream::order::Keys;
pub use stream::relocation::{RelocatedEvent, RelocationSlice};
pub use stream::stream_entry::StreamEntry;
