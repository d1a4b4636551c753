//! What the queue answers to questions. Nothing in here changes anything.

pub(super) mod activity;
pub(super) mod ask;
pub(super) mod backlog;
pub(super) mod explain;
pub(super) mod explanation;
pub(super) mod snapshot;
pub(super) mod worst;
