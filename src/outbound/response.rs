//! The response to a request, as far as it was read.

use bytes::Bytes;

use crate::model::{ResponseHead, limits};

use super::classify::ResponseSummary;

/// A response, or as much of it as came.
#[derive(Debug)]
pub struct ReceivedResponse {
    /// The part that the log keeps: the head, and the beginning of the body.
    pub head: ResponseHead,
    pub retry_after: Option<Bytes>,
    pub location: Option<Bytes>,
    /// `webhook-delivery`: how the receiver wants to be treated from now on.
    pub webhook_delivery: Option<Bytes>,
    /// The body as far as it was read: more than the log keeps.
    pub body: Vec<u8>,
    /// Whether the body was read to its end.
    pub is_whole: bool,
    /// `content-encoding` and `content-type`.
    pub coding: Option<Bytes>,
    pub content_type: Option<Bytes>,
}

impl ReceivedResponse {
    /// The parts that decide about the delivery.
    pub fn summary(&self) -> ResponseSummary<'_> {
        ResponseSummary {
            status: self.head.status,
            retry_after: self.retry_after.as_deref(),
            webhook_delivery: self.webhook_delivery.as_deref(),
        }
    }
}

/// How much of the body of a response is read.
#[derive(Clone, Copy, Debug)]
pub struct ReadLimits {
    /// Bytes of the body.
    pub bytes: usize,
    /// Bytes on the wire, with what the chunks of the body take.
    pub wire: usize,
}

impl ReadLimits {
    /// For the response to one event.
    pub const ONE: Self = Self { bytes: limits::RESPONSE_READ, wire: limits::RESPONSE_WIRE };
    /// For the response to a batch, which may list the events that failed.
    pub const BATCH: Self = Self { bytes: limits::BATCH_ANSWER, wire: limits::BATCH_ANSWER_WIRE };
}
