//! What is remembered of sources, endpoints and deliveries: the values that the state holds. How
//! records change them stands in `folding`.

pub(super) mod acknowledged;
pub(super) mod age;
pub(super) mod counted_seqs;
pub(super) mod dedupe;
pub(super) mod endpoint_state;
pub(super) mod meanwhile;
pub(super) mod retries;
pub(super) mod run_times;
pub(super) mod stream_positions;
pub(super) mod totals;
pub(super) mod waiting;
