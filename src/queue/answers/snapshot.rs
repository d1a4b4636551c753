//! What the queue knows, as it is shown: counts over everything, an endpoint, a delivery, an event.

use std::sync::Arc;

use super::explanation::EndpointActivity;
use crate::model::share::ShareTally;
use crate::model::{DeliveryId, DeliveryState, Endpoint, EventId, HoldReason, Seq, WallMs};
use crate::queue::remembered::acknowledged::AcknowledgedDamage;

/// Counts over everything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Status {
    pub events: u64,
    pub duplicates: u64,
    /// Deliveries that have not ended, of endpoints that are not on hold: those in flight as well.
    pub pending: u64,
    /// Attempts in flight; that of a batch is one.
    pub in_flight: u64,
    pub delivered: u64,
    pub dead: u64,
    /// Those of them whose endpoints were deleted, and the names of these endpoints, those with
    /// most of them first; only some are named.
    pub dead_of_deleted: u64,
    pub deleted_with_dead: Vec<(String, u64)>,
    pub held: u64,
    pub cancelled: u64,
    pub attempts: u64,
    pub failed_attempts: u64,
    /// Deliveries that wait for a retry (part of `pending`), none that is in flight.
    pub retrying: u64,
    pub sources: usize,
    pub endpoints: usize,
    pub replays: usize,
    pub dedupe_keys: usize,
    /// Events that had the dedupe key of an earlier one, and another content.
    pub dedupe_conflicts: u64,
    pub next_seq: Seq,
    /// Records before this one were dropped by retention.
    pub first_seq: Seq,
    /// Deliveries that ended because the log could not give them back.
    pub lost: u64,
    /// Sources that hold more than their share of the log, which are refused first when disk space
    /// is scarce.
    pub over_share: Vec<String>,
    /// Bytes of the settings of all sources and endpoints.
    pub settings_bytes: u64,
    /// The link is down: since when, and when the next probe goes out.
    pub offline: Option<(WallMs, WallMs)>,
    /// Endpoints that wait for the link.
    pub away: usize,
    /// The wall clock cannot be believed, and until when signed deliveries wait for it.
    pub clock_suspect: bool,
    pub clock_until: Option<WallMs>,
    pub breakers_open: usize,
    pub parked_lanes: usize,
    /// Endpoints that work off a backlog.
    pub catching_up: usize,
    /// Deliveries that consumers hold.
    pub leased: usize,
    /// Who found a share of what is decided by the queue full.
    pub full: ShareTally,
    /// Damage of the log that the operator has acknowledged.
    pub acknowledged: AcknowledgedDamage,
}

/// An endpoint and its condition.
#[derive(Clone, Debug)]
pub struct EndpointSnapshot {
    pub endpoint: Arc<Endpoint>,
    pub hold: Option<(HoldReason, WallMs)>,
    /// Not ended: waiting, in flight or held.
    pub waiting: u64,
    /// Attempts in flight; that of a batch is one.
    pub in_flight: u64,
    /// Deliveries that wait for a retry, none that is in flight.
    pub retrying: u64,
    pub delivered: u64,
    pub dead: u64,
    pub last_error: Option<String>,
    /// The record of the attempt that ended so; 0 where it is not known.
    pub last_failure: Seq,
    pub last_success_at: Option<WallMs>,
    /// Events of which its filter could not tell whether it holds, and the last of them.
    pub undecided: u64,
    pub undecided_last: Option<EventId>,
    /// Since when its oldest delivery has been older than its `warn_after`.
    pub lagging_since: Option<WallMs>,
    /// Since when something has been wrong with it, as far as that is known.
    pub troubled_since: Option<WallMs>,
    pub flow: EndpointActivity,
}

/// The endpoints that need somebody most.
#[derive(Clone, Debug, Default)]
pub struct WorstEndpoints {
    /// The worst first, each with the head of a lane that waits for the operator.
    pub endpoints: Vec<(EndpointSnapshot, Option<DeliveryId>)>,
    /// All with which something is wrong, and those of them that need somebody.
    pub troubled: usize,
    pub urgent: usize,
}

/// Where a delivery stands.
#[derive(Clone, Debug)]
pub struct DeliverySnapshot {
    pub delivery: DeliveryId,
    pub state: DeliveryState,
    /// What the state knows without reading the log: attempts so far, next one due, the last
    /// attempt's record.
    pub retry: Option<RetrySnapshot>,
    /// When the open batch of its endpoint closes, which it may join.
    pub batch_closes_at: Option<WallMs>,
}

/// A delivery that waits for a retry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetrySnapshot {
    pub attempts: u32,
    pub due_at: WallMs,
    pub last: Seq,
    pub event: Seq,
}

/// What the state knows of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EventSnapshot {
    pub seq: Seq,
    pub duplicates: u32,
    /// The record that holds it: its own, or where it was relocated to.
    pub stands_at: Seq,
}
