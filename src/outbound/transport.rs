//! The interface of all kinds of targets.
//!
//! A target is one implementation of [`Transport`], in a file or folder of its own: `http`, `exec`,
//! `pull`. The one place that chooses between them is `prepared::transport`.

use std::sync::Arc;

use hyper::Uri;
use rustls::ClientConfig;

use crate::model::{AttemptReport, DeliveryId, Endpoint, Header, Now};

use super::boxed::Boxed;
use super::failure::EndpointRefusal;
use super::message::Message;
use super::redact::Redactor;
use super::response::{ReadLimits, ReceivedResponse};
use super::sign::SigningKey;

/// How deliveries of one endpoint leave. Made anew whenever the endpoint or the operator's policy
/// changes.
pub trait Transport: Send + Sync {
    /// Checks what depends on this machine: files, users, permissions.
    ///
    /// # Errors
    /// One line that says what is wrong and what to do.
    fn check(&self) -> Result<(), EndpointRefusal> {
        Ok(())
    }

    /// The path and query of the endpoint's URL, where requests have one.
    fn base_path(&self) -> Option<&Uri> {
        None
    }

    /// Adds what must not be shown in any report.
    fn add_secrets(&self, _redactor: &mut Redactor) {}

    /// Makes one attempt, within the endpoint's timeout. Never fails: whatever happens is in the
    /// report.
    fn send<'a>(&'a self, attempt: Attempt<'a>) -> Boxed<'a, SentAttempt>;

    /// The request that [`send`](Self::send) would send.
    ///
    /// # Errors
    /// Why nothing would be sent.
    fn preview(&self, attempt: &Attempt<'_>) -> Result<RequestPreview, String>;

    /// What it has read of the endpoint's own certificate files, if that is something.
    fn loaded_tls(&self) -> Option<Arc<ClientConfig>> {
        None
    }

    /// Goes on with what an earlier one has read of them, for as long as they cannot be used.
    fn keep_tls(&self, _loaded: Arc<ClientConfig>) {}

    /// Closes connections that have been idle for too long at this time of the monotonic clock.
    fn close_idle(&self, _mono_ms: u64) {}
}

/// One attempt that is to be made.
pub struct Attempt<'a> {
    pub endpoint: &'a Endpoint,
    /// `None` where it is not the attempt of one delivery: of a batch, or a test.
    pub delivery: Option<DeliveryId>,
    pub number: u32,
    pub message: Message,
    pub keys: &'a [SigningKey],
    pub started: Now,
    /// How much of a response is read.
    pub read_limits: ReadLimits,
}

/// An attempt that was made.
pub struct SentAttempt {
    pub report: AttemptReport,
    /// The response, as far as it was read, if there was one.
    pub response: Option<ReceivedResponse>,
}

/// The head of a request that is not sent; its secrets are redacted.
pub struct RequestPreview {
    pub method: String,
    pub url: String,
    pub headers: Vec<Header>,
}
