//! Parsers that are private to this module, for the fuzzer. Compiled for it alone.

use std::sync::Arc;

use bytes::Bytes;

use super::batch::response::{BatchAnswer, read_batch_answer};
use super::response::ReceivedResponse;
use crate::model::{Event, EventId, ResponseHead};

/// Which events of a batch its receiver did not take.
///
/// # Errors
/// When the response cannot be relied on: then all go out again.
pub fn failed(
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
