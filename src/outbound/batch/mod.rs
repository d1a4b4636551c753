//! Batches: several events in one request.

mod failures_elsewhere;
pub mod request;
pub mod response;
#[cfg(test)]
mod testing;

use std::sync::Arc;

use bytes::Bytes;

use self::response::{BatchAnswer, read_batch_answer};
use super::response::ReceivedResponse;
use crate::model::{Event, EventId, ResponseHead};

/// Which events of a batch its receiver did not take, by the body of a 2xx response and its
/// `content-encoding` and `content-type`. Attempts do the same with what they have received; this
/// is for the simulation and the fuzzer.
///
/// # Errors
/// When the response cannot be relied on, and why: then all go out again.
pub fn failed_events(
    body: &[u8],
    is_whole: bool,
    (coding, content_type): (Option<&[u8]>, Option<&[u8]>),
    events: &[Arc<Event>],
) -> Result<Vec<EventId>, String> {
    let response = ReceivedResponse {
        head: ResponseHead { status: 200, headers: Vec::new(), body: Bytes::new() },
        retry_after: None,
        location: None,
        webhook_delivery: None,
        body: body.to_vec(),
        is_whole,
        coding: coding.map(Bytes::copy_from_slice),
        content_type: content_type.map(Bytes::copy_from_slice),
    };

    match read_batch_answer(&response, events) {
        BatchAnswer::Failed(ids) => Ok(ids),
        BatchAnswer::Unclear(why) => Err(why),
    }
}
