//! The admin API: HTTP/1.1 with JSON over a Unix socket, for the operator, the ctl and whoever has
//! `curl`.
//!
//! Everything the operator can ask or order stands in one table, [`serve::routes::ROUTES`], with
//! what a caller must be to do it. Callers are known by SO_PEERCRED alone (see [`callers::peer`]).
//!
//! From below: [`http`] is what requests and answers are, [`callers`] who sends them, [`context`]
//! what every handler works with, [`apply`] plans what files change, [`scan`] reading the log,
//! [`resources`] the handlers, [`serve`] the socket, its connections and the table.
//!
//! Limits: `limits::ADMIN_CONNECTIONS` at a time, of which no user takes all (see
//! [`crate::permits`]), one more is answered 503 and closed; `limits::ADMIN_BODY` bytes of a body
//! (two such at a time; 1 MiB where only settings are due); `limits::ADMIN_TIMEOUT_MS` for a head,
//! for a body, and for a client to take what it asked for.
//!
//! Invariants:
//! * This module sees the scheduler's handle and the read-only [`LogSource`], nothing else. What it
//!   needs of other modules (checking a source's settings, testing an endpoint) comes as functions
//!   in [`Adapters`].
//! * Requests and answers are types of [`crate::api`].
//! * Lists read the log and stream: no list is ever in memory, no index is kept. A scan stops
//!   within one record of its client going away.
//! * A secret leaves once, in the answer to the request that generated it.
//! * Every change, and every refused attempt at one, leaves a line in the process log under the
//!   target `audit`.
//!
//! Operations: [`bind`] makes the socket, [`Admin::serve`] answers on it until it is stopped.
//! Refused: what is malformed (400), not there (404), not allowed (403), impossible (409), or too
//! much (413, 503). Nothing here is fatal to the daemon, but a socket that cannot be made is for
//! its start.

mod adapters;
mod apply;
mod callers;
mod context;
mod http;
mod log_source;
#[cfg(test)]
mod memory_log;
#[cfg(test)]
mod openapi;
mod resources;
mod scan;
mod serve;

#[cfg(test)]
mod tests;

pub use adapters::{
    Adapters, CapturedRequest, EndpointTest, HistoryAsk, RefusalCount, Refused, ShowHistory,
};
pub use apply::boot::BootApply;
pub use apply::check_entries;
pub use context::{Admin, AdminInfo, CallerContext};
pub use log_source::LogSource;
pub use resources::apply::apply_at_start;
pub use serve::socket::{AdminError, SocketAccess, bind, check_free};
