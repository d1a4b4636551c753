//! `delivery explain`: why a delivery waits, or how it ended, in sentences.

mod answer;
mod delivery;
mod describe;
mod ended;
mod endpoint;
mod explainer;
mod limits;
mod order;

pub use answer::show;
