//! The answer to `hookboxctl delivery explain`: why a delivery waits, and how active its endpoint
//! is.

use crate::model::{
    BatchId, CatchUpMode, DeliveryId, DeliveryState, HoldReason, Now, Rate, Seq, WallMs,
};

/// The state of a delivery, and why it waits. `reasons` has the strongest reason first, and is
/// empty when the delivery has ended.
#[derive(Clone, Debug, PartialEq)]
pub struct Explanation {
    pub delivery: DeliveryId,
    pub state: DeliveryState,
    /// Attempts that count.
    pub attempts: u32,
    /// The record of the last one, as far as the state knows it.
    pub last: Option<Seq>,
    pub reasons: Vec<WaitReason>,
}

/// A reason why a delivery waits. Times are by the wall clock.
#[derive(Clone, Debug, PartialEq)]
pub enum WaitReason {
    /// An attempt is in flight, for it alone or for its batch.
    UnderWay { number: u32, batch: Option<BatchId>, members: usize },
    /// Its endpoint is on hold.
    Hold { reason: HoldReason, since: WallMs },
    /// Its lane is parked. `itself`: it is the head of the lane.
    Parked { head: DeliveryId, itself: bool, attempts: u32, last: Seq },
    /// The link is down.
    Offline { since: WallMs, probe_at: WallMs },
    /// The wall clock is suspect, and signatures contain the time.
    Clock { until: WallMs },
    /// The breaker of its endpoint is open: only probes go out.
    Breaker { since: WallMs, probe_at: WallMs, failures: u32 },
    /// The receiver asked for a pause (`Retry-After`).
    Paused { until: WallMs },
    /// Another delivery of its lane has to end first.
    Behind { head: DeliveryId, under_way: bool, attempts: u32, due_at: Option<WallMs> },
    /// It failed, and waits for its next attempt.
    Retry { number: u32, due_at: WallMs, most: Option<u32>, gives_up_in_ms: u64 },
    /// It waits with a batch.
    InBatch { batch: BatchId, members: usize, number: u32, due_at: Option<WallMs> },
    /// No consumer takes deliveries of its pull endpoint now.
    NoConsumer,
    /// The rate limit of its endpoint.
    Rate { rate: Rate, next_at: WallMs },
    /// The pace of catching up, of its endpoint or of all endpoints together.
    CatchingUp { mode: CatchUpMode, next_at: WallMs },
    /// The concurrency window of its endpoint is full.
    Window { in_flight: usize, width: usize, most: u32 },
    /// So many deliveries wait for a retry that no first attempts are made.
    Retries { waiting: usize, most: usize },
    /// Its source has its share of the endpoint's retries: no first attempts of it are made.
    SourceRetries { waiting: usize },
    /// All slots for attempts are taken, or all slots for endpoints on probation.
    Slots { in_flight: usize, most: usize, on_probation: bool },
    /// Its endpoint has its share of the slots.
    Share { own: usize, left: usize },
    /// Its batch is still open.
    Gathering { max_events: u32, closes_at: WallMs },
    /// Other deliveries of its endpoint have their first attempts before it.
    InLine { before: usize },
    /// It has not been read from the log yet.
    OnDisk { before_at_most: u64 },
    /// Nothing: it is attempted at once.
    Turn,
}

/// What an endpoint is doing now. Times are by the wall clock.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct EndpointActivity {
    /// The concurrency window: attempts that may be in flight at a time.
    pub width: usize,
    pub failures_in_row: u32,
    /// Since when the breaker is open, and when the next probe goes out.
    pub breaker: Option<(WallMs, WallMs)>,
    /// It waits for the link.
    pub away: bool,
    pub paused_until: Option<WallMs>,
    /// When its rate limit allows the next attempt.
    pub next_token_at: Option<WallMs>,
    /// Lanes that are not empty, and how many of them are parked.
    pub lanes: usize,
    pub parked: usize,
    pub batches: usize,
    pub catching_up: Option<CatchUpMode>,
    pub succeeded: u64,
    pub failed: u64,
    pub failing_ms: u64,
    /// The record of the oldest delivery that waits, or one before it.
    pub oldest: Option<Seq>,
    /// How long the daemon has run since the oldest delivery at hand was accepted.
    pub oldest_age_ms: Option<u64>,
    /// When that was, by the wall clock, as far as it is known.
    pub oldest_waiting_at: Option<WallMs>,
}

/// A time of the monotonic clock by the wall clock.
pub(in crate::queue) fn on_the_wall(now: Now, mono_ms: u64) -> WallMs {
    match mono_ms.checked_sub(now.mono_ms) {
        Some(ahead) => now.wall_ms.saturating_add(ahead),
        None => now.wall_ms.saturating_sub(now.mono_ms - mono_ms),
    }
}
