//! The ingest room.
pub mod verify;
