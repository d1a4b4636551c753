//! What waits: it is read ahead from the streams, grows old, lags, is worked off after an outage,
//! and is superseded.

pub(super) mod aging;
pub(super) mod catchup;
pub(super) mod lag;
pub(super) mod latest;
pub(super) mod prefetching;
pub(super) mod resumed;
