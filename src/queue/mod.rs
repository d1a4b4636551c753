//! What should happen. Pure: no clock, no randomness of its own, no I/O.
pub mod input;
pub use input::{
    Accepted, Action, AliveRange, CarriedEvent, Command, Decision, DeliveryView, EndpointView, EventView, Input,
    NewEvent, Query, Refusal, Reply, RetryView, Revive, ScannedEvent, Status, StreamEntry,
};
