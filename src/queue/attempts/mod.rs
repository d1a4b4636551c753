//! What is attempted, and what follows: endpoints get turns and slots, attempts start and end, and
//! show how a receiver and the link are. Batches have a folder of their own.

pub(super) mod attempt_retry;
pub(super) mod away;
pub(super) mod finish;
pub(super) mod loaded;
pub(super) mod pace;
pub(super) mod probing;
pub(super) mod receiver_health;
pub(super) mod run;
pub(super) mod slots;
