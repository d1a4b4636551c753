//! Old segments are dropped, and what follows from records that the log cannot give back.

pub(super) mod losses;
pub(super) mod retire;
pub(super) mod unsettled;
