//! The thread: decide, commit, release.
pub mod handle;
pub use handle::{Directory, Door, Envelope, Handle, Health, TailLine};
