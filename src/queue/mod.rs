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
//! Operations, one file each: `accept`, `finish`, `operator`, `ask`, `replay`, `retire`, and `run`,
//! which starts what is due: round robin over the endpoints that have something to do, inside their
//! windows, so that a dead or slow endpoint does not slow the others.
//!
//! Invariants: what is remembered changes only by `State::apply`; nothing is attempted after its
//! end; attempts in flight are at most `limits::IN_FLIGHT`, of which endpoints on probation take
//! half, and `limits::IN_FLIGHT_FIRST` first ones to endpoints of which nothing is known;
//! `limits::PREFETCH` deliveries of an endpoint are read ahead. Refused: whatever the operator or
//! ingest asks for that cannot be done, as a [`Refusal`]. Fatal: a record that the state does not
//! take, and an endpoint that is not there within a step: programmers' errors.

mod accept;
mod acknowledged;
mod action;
mod activity;
mod age;
mod aging;
mod apply;
mod ask;
mod attempt_retry;
mod attempted;
mod away;
mod backlog;
mod batch;
mod breaker;
mod bucket;
mod catchup;
mod checkpoint_size;
mod clock;
mod commands;
mod counted_seqs;
mod counting;
mod dead_letters;
mod decision;
mod dedupe;
mod endpoint;
mod endpoint_settings;
mod endpoint_state;
mod engine;
mod explain;
mod explanation;
#[cfg(not(fuzzing))]
mod filter;
#[cfg(fuzzing)]
pub mod filter;
mod finish;
mod fold;
mod gaps;
mod import;
pub mod input;
mod kept;
mod lag;
mod lanes;
mod latest;
pub mod left_out;
mod link;
mod listing;
mod loaded;
mod losses;
pub mod matcher;
mod meanwhile;
mod moved;
mod new_event;
mod notices;
mod notify;
mod operator;
mod order;
mod pace;
mod position_records;
mod prefetching;
mod probing;
mod receiver_health;
mod recent;
mod relocation;
mod replay;
mod reports;
mod request;
mod resumed;
mod resumed_waits;
mod retire;
mod run;
mod run_times;
mod schedule;
mod settings;
mod shared_pace;
mod shares;
mod slot_counts;
mod slots;
mod snapshot;
mod start;
pub mod state;
mod stream_entry;
mod stream_positions;
mod subscription;
#[cfg(test)]
pub(crate) mod testing;
mod totals;
mod turns;
mod unsettled;
mod wait_queue;
mod waiting;
mod worst;

pub use accept::Accept;
pub use acknowledged::AcknowledgedDamage;
pub use action::{
    Action, AttemptOrder, HealthEvent, HealthReport, Maintenance, ReadOrder, StreamOrder,
};
pub use apply::{ApplySettings, ExpectedSettings, SettingsApplied};
pub use ask::{
    AliveQuery, DeadLetterSeqsQuery, DeliveriesQuery, EndedReplaysQuery, EndpointsQuery,
    EventsQuery, ExplainQuery, IdleQuery, ImportedQuery, LivesQuery, OldestDeadLetterSeqsQuery,
    ReplaysQuery, RetryingQuery, StatusQuery, UnsettledQuery,
};
pub use backlog::{Backlog, BacklogQuery, EndpointBacklog};
pub use batch::BatchSize;
pub use commands::{
    AcknowledgeDamage, CancelDeliveries, CreateEndpoint, CreateSource, DeleteEndpoint,
    DeleteSource, DeliveriesChanged, DiscardDeadLetters, HoldEndpoint, ImportEvents,
    ReleaseEndpoint, RetryDeliveries, StartReplay, StopReplay, UpdateEndpoint, UpdateSource,
    WithSubscription,
};
pub use decision::{Decision, Draft, Refusal};
pub use endpoint::EndpointQueue;
pub use engine::Queue;
pub use explanation::{EndpointActivity, Explanation, WaitReason};
pub use input::{
    Accepted, AliveRange, ImportedDead, ImportedEvent, Input, Loaded, Revive, ScannedEvent,
    ScannedLeft, StreamRead,
};
pub use kept::KeptRead;
pub use left_out::{CancelCheckQuery, RetryCheckQuery};
pub use listing::{
    Candidates, CandidatesQuery, CountQuery, DeadOfQuery, GoneQuery, GoneRecords,
    LastDeliveryQuery, Orphans, OrphansQuery, RelocatedQuery,
};
pub use losses::SettleLoss;
pub use new_event::{Matched, NewEvent};
pub use notices::OWN_SOURCE;
pub use order::Keys;
pub use relocation::{RelocatedEvent, RelocationSlice};
pub use request::{Growth, Query, QueueRequest};
pub use retire::{Relocate, RetireSegment};
pub use snapshot::{
    DeliverySnapshot, EndpointSnapshot, EventSnapshot, RetrySnapshot, Status, WorstEndpoints,
};
pub use state::{State, StateError};
pub use stream_entry::StreamEntry;
pub use unsettled::{Loss, StreamWaits, Unsettled};
pub use worst::WorstQuery;
