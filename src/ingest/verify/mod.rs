//! The proof that a request comes from whom it says.
//!
//! Pure: no clock, no network, no randomness.

use bytes::Bytes;

use crate::model::{Header, Source};

/// The request as the sender signed it.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    pub method: &'a str,
    /// Absolute public URL including the query.
    pub url: &'a str,
    /// Names in lower case.
    pub headers: &'a [Header],
    pub body: &'a [u8],
}

/// An HTTP answer that the provider insists on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

/// What a proven request says of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Proven {
    pub kind: Option<String>,
    pub dedupe_key: Option<String>,
    /// `None`: 202 with the id.
    pub answer: Option<Answer>,
    /// Empty unless the source splits and the body holds several events.
    pub elements: Vec<Element>,
}

/// One event of a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Element {
    pub kind: Option<String>,
    pub dedupe_key: Option<String>,
    pub body: Bytes,
    pub content_type: String,
}

/// What came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    Proven(Proven),
    /// Answer this, log nothing.
    Handshake(Answer),
    /// The reason is for the operator; the sender only gets 401, or `answer`.
    Refused {
        reason: String,
        kind: &'static str,
        answer: Option<Answer>,
    },
}

pub const SCHEMES: &[&str] = &["none"];

/// Looks at the proof that the source's scheme asks for.
#[must_use]
pub fn verify(source: &Source, _request: &Request<'_>, _now_unix: i64) -> Verdict {
    match source.verify.as_str() {
        "none" => Verdict::Proven(Proven::default()),
        other => {
            Verdict::Refused { reason: format!("there is no scheme '{other}'"), kind: "unknown-scheme", answer: None }
        }
    }
}

/// Says what is wrong with a source's settings, and the mend.
///
/// # Errors
/// In words for the operator.
pub fn check_settings(source: &Source) -> Result<(), String> {
    if SCHEMES.contains(&source.verify.as_str()) { Ok(()) } else { Err(format!("no scheme '{}'", source.verify)) }
}
