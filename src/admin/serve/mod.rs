//! The socket, its connections, and the table of what can be asked.

pub mod answer;
mod body;
mod dispatch;
mod impatient;
pub mod routes;
mod server;
pub mod socket;
