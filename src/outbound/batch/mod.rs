//! Batches: several events in one request.

pub mod request;
pub mod response;
#[cfg(test)]
mod testing;
