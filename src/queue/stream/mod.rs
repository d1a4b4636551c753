//! The stream of an endpoint: where its deliveries stand in the log, in which order, and where what
//! was relocated stands now.

pub(super) mod kept;
pub(super) mod lanes;
pub(super) mod moved;
pub(super) mod order;
pub(super) mod position_records;
pub(super) mod recent;
pub(super) mod relocation;
pub(super) mod stream_entry;
