//! The fold: the state, and what each record changes in it. The only code that changes state, live
//! and at a start.

pub(super) mod attempted;
pub(super) mod checkpoint_size;
pub(super) mod counting;
pub(super) mod fold;
pub(super) mod gaps;
pub(super) mod shares;
pub mod state;
