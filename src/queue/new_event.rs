//! An event that is not accepted yet, and the endpoints that it goes to.

use std::sync::Arc;

use bytes::Bytes;

use crate::model::{EndpointId, Fingerprints, Header, Source};

/// An event that is not accepted yet.
#[derive(Clone, Debug)]
pub struct NewEvent {
    /// The source as ingest saw it.
    pub source: Arc<Source>,
    pub kind: String,
    pub dedupe_key: Option<String>,
    /// The salted fingerprint of (source, dedupe key).
    pub dedupe: Option<u64>,
    /// Further fingerprints by which a duplicate is recognized.
    pub beside: Fingerprints,
    pub request_line: String,
    pub remote: String,
    pub headers: Vec<Header>,
    pub body: Bytes,
}

impl NewEvent {
    /// Bytes of its body and its headers: senders choose both.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let headers = self.headers.iter().map(|header| header.name.len() + header.value.len());
        self.body.len() + headers.sum::<usize>()
    }
}

/// An event with its fan-out, by the settings of the moment when it was matched (see `matcher`).
#[derive(Clone, Debug)]
pub struct Matched {
    pub event: NewEvent,
    pub fan_out: FanOut,
}

/// The endpoints that an event goes to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FanOut {
    pub wanted: Vec<EndpointId>,
    /// Those whose filters could not be evaluated.
    pub undecided: Vec<EndpointId>,
    /// A filter needed the body, and the body is not JSON.
    pub unreadable: bool,
    /// The keys at the JSON Pointers of the wanted endpoints, as far as steps were left to find
    /// them. The others are found when the log is read.
    pub keys: Vec<(String, u64)>,
}
