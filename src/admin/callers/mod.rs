//! Who calls, what they may do, and how much of what all callers share each of them may have.

pub mod peer;
pub mod permits;
