//! The verdict on a request, and what a proven one holds.

use bytes::Bytes;

use crate::model::{FixedAnswer, Source};

/// An HTTP answer that the provider insists on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProviderAnswer {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl ProviderAnswer {
    /// A status without a body.
    #[must_use]
    pub fn empty(status: u16) -> Self {
        Self { status, headers: Vec::new(), body: Vec::new() }
    }

    /// A body of the given content type.
    #[must_use]
    pub fn with_body(status: u16, content_type: &str, body: impl Into<Vec<u8>>) -> Self {
        Self {
            status,
            headers: vec![("content-type".to_owned(), content_type.to_owned())],
            body: body.into(),
        }
    }

    /// What whoever may have done nothing wrong is answered: try again.
    #[must_use]
    pub fn try_again() -> Self {
        let after = ("retry-after".to_owned(), "30".to_owned());
        Self { headers: vec![after], ..Self::empty(503) }
    }

    /// The answer that a source's own settings ask for.
    #[must_use]
    pub fn of_settings(source: &Source) -> Option<Self> {
        let FixedAnswer { status, content_type, body } = source.answer.as_ref()?;
        Some(match body {
            None => Self::empty(*status),
            Some(body) => {
                let kind = content_type.as_deref().unwrap_or("text/plain; charset=utf-8");
                Self::with_body(*status, kind, body.as_str())
            }
        })
    }

    /// 200 with a JSON body.
    #[must_use]
    pub fn json(value: &serde_json::Value) -> Self {
        Self::with_body(200, "application/json", value.to_string())
    }
}

/// A request whose proof holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Proven {
    /// At most `limits::TYPE_LEN` characters.
    pub kind: Option<String>,
    /// At most `limits::DEDUPE_KEY_LEN` characters; a longer one is kept as its SHA-256.
    pub dedupe_key: Option<String>,
    /// What a repetition repeats, as a digest, where that is not the whole body: some providers
    /// count their attempts in it.
    pub content: Option<String>,
    /// The event's body, where it is only a part of what was posted.
    pub part: Option<BodyPart>,
    /// The part that the proof covers. Where it covers something, ids in headers that no
    /// provider documents are not trusted.
    pub signed: Option<Signed>,
    /// `None` is 202 with the event's id.
    pub answer: Option<ProviderAnswer>,
    /// Empty unless the source splits batches and the body holds several events.
    pub elements: Vec<SplitEvent>,
    /// To be done once the event is durable.
    pub follow_up: Option<FollowUp>,
}

/// The part of a request that its proof covers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Signed {
    /// The body alone, as far as repetitions are concerned: a time that is signed with it changes
    /// with every attempt.
    Body,
    /// This is the digest of all that is signed.
    Digest(String),
    /// As `Digest`; and the digest alone is enough to know a repetition, whatever id the body
    /// bears: what is signed does not hold all of the event together well enough. It is remembered
    /// for so long at least, which is as long as the signed time is accepted.
    Alone { digest: String, for_s: i64 },
}

/// A part of a body that is an event's body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BodyPart {
    pub body: Bytes,
    pub content_type: &'static str,
}

/// What a proven request asks for beside being kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FollowUp {
    /// GET this URL: it confirms the subscription to a topic that the operator named.
    Confirm { url: String, topic: String },
}

/// One event of a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SplitEvent {
    pub kind: Option<String>,
    pub dedupe_key: Option<String>,
    /// The element as its bytes stood in the batch.
    pub body: Bytes,
    pub content_type: String,
}

/// The verdict on a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The proof holds: log it; once that is durable, answer `answer` or 202.
    Proven(Proven),
    /// A handshake (challenge, ping, validation): answer this, log nothing.
    Handshake(ProviderAnswer),
    /// Not proven.
    Refused {
        /// For the operator, and precise: "the timestamp is 412 s old, at most 300 s are allowed".
        reason: String,
        /// A short stable word for a counter, one of [`REFUSAL_KINDS`].
        kind: &'static str,
        /// What the sender gets instead of a bare 401.
        answer: Option<ProviderAnswer>,
    },
}

/// The kinds under which [`Verdict::Refused`] is counted.
pub const REFUSAL_KINDS: &[&str] = &[
    "missing",
    "duplicate",
    "malformed",
    "stale",
    "mismatch",
    "unknown-key",
    "algorithm",
    "claims",
    "not-allowed",
    "settings",
    "no-keys",
];
