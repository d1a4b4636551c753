//! What can be asked for and changed: a file, or a folder, for each kind of thing.

pub mod apply;
pub mod check_request;
pub mod damage;
pub mod deliveries;
mod endpoint_health;
pub mod endpoints;
pub mod events;
pub mod explain;
pub mod given_up;
pub mod history;
pub mod imports;
pub mod leases;
pub mod log;
pub mod metrics;
mod names;
mod redaction;
pub mod replays;
mod secrets;
mod shares;
pub mod sources;
pub mod status;
pub mod tail;
mod test_endpoint;
pub mod version;
mod worst;
