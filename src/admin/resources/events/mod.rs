//! Events: listed (newest first, out of the log), shown, sent in.

pub mod content;
mod list;
mod send;
mod show;
mod summary;

pub use list::list;
pub use send::send;
pub use show::show;
