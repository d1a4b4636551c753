//! `exec:` targets: a command takes the delivery.
//!
//! Limits: off unless `[exec] allow` names the command ([`allow`]), and nobody else can change it
//! ([`crate::trust`]); `limits::COMMANDS` at a time over all endpoints; the endpoint's timeout over
//! all of it; no new privileges; its memory, files, processes and processor time are bounded; of
//! its output the last `limits::OUTPUT_READ` bytes are looked at and `limits::OUTPUT_KEPT` kept.
//!
//! Each command has a supervisor, a process between it and the daemon ([`supervise`]), which sets
//! its bounds and ends all that it started: when it has ended, when its time is up, and when the
//! daemon is gone, however that came. When the supervisor itself was killed, the daemon does that,
//! and when all of them were killed, the next daemon ([`leftovers`]).
//!
//! It gets the body on stdin, `HOOKBOX_*`, `PATH` and `LANG` in its environment
//! ([`environment`]), the folder `/`, and nothing else of the daemon's. How it may end
//! ([`result`]): exit 0 is done, 75 (`EX_TEMPFAIL`) try again, 100 a dead letter now, anything else
//! try again. Processes that it leaves behind end with it.
//!
//! A command that is not allowed is tried again by policy, not given up: the list can change. One
//! that fails for want of something that the service manager's sandbox takes away is reported with
//! the directive that gives it back ([`sandbox`]).

pub mod account;
pub mod allow;
pub mod environment;
pub mod leftovers;
pub mod mark;
pub mod processes;
pub mod program;
pub mod result;
pub mod runner;
pub mod running;
pub mod sandbox;
pub mod spawn;
pub mod supervise;
pub mod transport;
