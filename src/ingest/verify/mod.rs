//! The verify room: is this request what its provider says it sent? One file per scheme, each with the same
//! functions in the same order: `check` (are the settings complete), `verify` (handshake, then what is signed, by
//! which key, when), `describe` (which type, which dedupe key, which answer).
//!
//! Invariants:
//! * Pure. No clock (`now_unix` is an argument), no network, no randomness, no panic on any input.
//! * What is signed is verified over the bytes as they came, before anything is parsed out of them.
//! * Secrets and MACs are compared in constant time, see [`crypto`].
//! * A header that carries a proof stands exactly once; twice is refused, for nobody can say which one counts.
//! * All live secrets of a source are tried. A handshake is answered without a proof only where the provider
//!   signs none (HEAD of Intercom and Mandrill, OPTIONS of CloudEvents and bins), and nothing is logged for it.
//! * Strictness where nothing else is said: hex in lower case, base64 with its padding, as the official SDKs
//!   compare them. Each file says where its SDKs disagree and what was chosen.
//!
//! Refused, as data: everything that does not add up ([`Verdict::Refused`], whose `reason` is for the operator
//! only). Nothing here is fatal, and nothing is retried: the sender does that.

mod apikey;
mod batch;
mod bin;
mod braintree;
mod certificate;
mod circleci;
mod cloudevents;
mod crypto;
mod dialogflow;
mod discord;
mod facts;
mod form;
mod github;
mod gitlab;
mod hmac;
mod intercom;
mod jws;
mod jwt;
mod keys;
mod mailchimp;
mod mandrill;
mod mtls;
mod none;
mod okta;
mod paddle;
mod params;
mod paypal;
mod pick;
mod pubsub;
mod request;
mod rfc9421;
mod sendgrid;
mod settings;
mod shopify;
mod signature_base;
mod slack;
mod sns;
mod standard_webhooks;
mod stripe;
mod structured;
mod svix;
mod travis;
mod twilio;

#[cfg(test)]
mod tests;

use bytes::Bytes;

use crate::model::{Header, Source, limits};

pub use certificate::ClientCert;
pub use facts::{ANY_METHOD, Need, SchemeFacts};
pub use jwt::JWKS_URL;

/// The request as the sender signed it.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    pub method: &'a str,
    /// The absolute public URL with its query, byte for byte.
    pub url: &'a str,
    /// Names in lower case.
    pub headers: &'a [Header],
    pub body: &'a [u8],
    /// The certificate that the client showed in the TLS handshake, proven there.
    pub client: Option<&'a ClientCert>,
}

/// An HTTP answer that the provider insists on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Answer {
    /// A status without a body.
    #[must_use]
    pub fn empty(status: u16) -> Self {
        Self { status, headers: Vec::new(), body: Vec::new() }
    }

    /// A body of the given content type.
    #[must_use]
    pub fn with_body(status: u16, content_type: &str, body: impl Into<Vec<u8>>) -> Self {
        Self { status, headers: vec![("content-type".to_owned(), content_type.to_owned())], body: body.into() }
    }

    /// 200 with a JSON body.
    #[must_use]
    pub fn json(value: &serde_json::Value) -> Self {
        Self::with_body(200, "application/json", value.to_string())
    }
}

/// What is known of a request whose proof holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Proven {
    /// At most [`limits::TYPE_LEN`] characters.
    pub kind: Option<String>,
    /// At most [`limits::DEDUPE_KEY_LEN`] characters; a longer one is kept as its SHA-256.
    pub dedupe_key: Option<String>,
    /// `None` is 202 with the event's id.
    pub answer: Option<Answer>,
    /// Empty unless the source splits batches and the body holds several events.
    pub elements: Vec<Element>,
    /// What has to be done once it is durable.
    pub follow_up: Option<FollowUp>,
}

/// What a proven request asks for beyond being kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FollowUp {
    /// GET this URL: it confirms the subscription to a topic that the operator named.
    Confirm { url: String, topic: String },
}

/// One event of a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Element {
    pub kind: Option<String>,
    pub dedupe_key: Option<String>,
    /// The element as its bytes stood in the batch.
    pub body: Bytes,
    pub content_type: String,
}

/// What became of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The proof holds: log it; once that is durable, answer `answer` or 202.
    Proven(Proven),
    /// A handshake (challenge, ping, validation): answer this, log nothing.
    Handshake(Answer),
    /// Not proven.
    Refused {
        /// For the operator, and precise: "the timestamp is 412 s old, at most 300 s are allowed".
        reason: String,
        /// A short stable word for a counter, one of [`REFUSAL_KINDS`].
        kind: &'static str,
        /// What the sender gets instead of a bare 401.
        answer: Option<Answer>,
    },
}

/// The words that [`Verdict::Refused`] counts under.
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

/// Characters of a reason.
const REASON_LEN: usize = 400;

/// Every scheme, as help, README and [`check_settings`] tell it.
pub const TABLE: &[SchemeFacts] = &[
    stripe::FACTS,
    braintree::FACTS,
    sendgrid::FACTS,
    mailchimp::FACTS,
    mandrill::FACTS,
    travis::FACTS,
    circleci::FACTS,
    dialogflow::FACTS,
    intercom::FACTS,
    github::FACTS,
    okta::FACTS,
    jwt::FACTS,
    apikey::FACTS,
    bin::FACTS,
    slack::FACTS,
    shopify::FACTS,
    twilio::FACTS,
    gitlab::FACTS,
    paypal::FACTS,
    paddle::FACTS,
    discord::FACTS,
    standard_webhooks::FACTS,
    svix::FACTS,
    cloudevents::FACTS,
    rfc9421::FACTS,
    pubsub::FACTS,
    sns::FACTS,
    hmac::FACTS,
    mtls::FACTS,
    none::FACTS,
];

/// The schemes' names, for help and errors.
pub const SCHEMES: &[&str] = &names();

const fn names() -> [&'static str; TABLE.len()] {
    let mut names = [""; TABLE.len()];
    let mut at = 0;
    while at < TABLE.len() {
        names[at] = TABLE[at].name;
        at += 1;
    }
    names
}

/// The scheme of that name.
#[must_use]
pub fn scheme(name: &str) -> Option<&'static SchemeFacts> {
    TABLE.iter().find(|facts| facts.name == name)
}

/// The methods that a source of this scheme answers, as `Allow` lists them. A scheme that does not exist in this version
/// is asked by POST, and refuses that with a reason.
#[must_use]
pub fn methods(name: &str) -> &'static str {
    scheme(name).map_or("POST", |facts| facts.methods)
}

/// Whether a source of this scheme answers `method`.
#[must_use]
pub fn answers(name: &str, method: &str) -> bool {
    scheme(name).map_or(method == "POST", |facts| facts.answers(method))
}

/// Verifies `request` as `source.verify` says, at `now_unix` (seconds).
#[must_use]
pub fn verify(source: &Source, request: &Request<'_>, now_unix: i64) -> Verdict {
    let Some(facts) = scheme(&source.verify) else {
        let reason = format!("the source's scheme {:?} does not exist in this version", source.verify);
        return Refusal::new("settings", reason).into();
    };
    match (facts.verify)(source, request, now_unix) {
        Ok(Verdict::Proven(proven)) => Verdict::Proven(bounded(proven)),
        Ok(verdict) => verdict,
        Err(refusal) => refusal.into(),
    }
}

/// What is wrong with a source's settings, and the mend.
///
/// # Errors
/// One sentence for the operator.
pub fn check_settings(source: &Source) -> Result<(), String> {
    settings::check(source)
}

/// Whether a key set (RFC 7517) holds a key that can verify a signature.
///
/// # Errors
/// One sentence for the operator.
pub fn check_key_set(value: &serde_json::Value) -> Result<(), String> {
    jws::key_set(value).map(|_| ()).map_err(|_| "the answer is no key set with a key that can verify".to_owned())
}

/// Why a request is refused; every step of a verification may end in one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    kind: &'static str,
    reason: String,
    answer: Option<Answer>,
}

pub(super) type Outcome = Result<Verdict, Refusal>;

impl Refusal {
    fn new(kind: &'static str, reason: impl Into<String>) -> Self {
        Self { kind, reason: reason.into(), answer: None }
    }

    /// Something the proof needs is not there.
    fn missing(reason: impl Into<String>) -> Self {
        Self::new("missing", reason)
    }

    /// It is there twice.
    fn duplicate(reason: impl Into<String>) -> Self {
        Self::new("duplicate", reason)
    }

    /// It cannot be read.
    fn malformed(reason: impl Into<String>) -> Self {
        Self::new("malformed", reason)
    }

    /// Its time is over, or has not come.
    fn stale(reason: impl Into<String>) -> Self {
        Self::new("stale", reason)
    }

    /// It is there and well formed, and does not prove the request.
    fn mismatch(reason: impl Into<String>) -> Self {
        Self::new("mismatch", reason)
    }

    /// The issuer's keys are not here yet: the sender is to try again.
    fn no_keys(reason: impl Into<String>) -> Self {
        let answer =
            Answer { status: 503, headers: vec![("retry-after".to_owned(), "30".to_owned())], body: Vec::new() };
        Self { answer: Some(answer), ..Self::new("no-keys", reason) }
    }

    /// The source lacks something; the operator has to act.
    fn settings(reason: impl Into<String>) -> Self {
        Self::new("settings", reason)
    }
}

impl From<Refusal> for Verdict {
    fn from(refusal: Refusal) -> Self {
        // Reasons quote the request, and a request may be long.
        let reason = match refusal.reason.char_indices().nth(REASON_LEN) {
            Some((end, _)) => format!("{}…", &refusal.reason[..end]),
            None => refusal.reason,
        };
        Self::Refused { reason, kind: refusal.kind, answer: refusal.answer }
    }
}

/// Keeps types and dedupe keys within their limits, and out of them what no list can show.
fn bounded(mut proven: Proven) -> Proven {
    proven.kind = proven.kind.and_then(bounded_kind);
    proven.dedupe_key = proven.dedupe_key.and_then(bounded_key);
    for element in &mut proven.elements {
        element.kind = element.kind.take().and_then(bounded_kind);
        element.dedupe_key = element.dedupe_key.take().and_then(bounded_key);
    }
    proven
}

fn bounded_kind(kind: String) -> Option<String> {
    let fits = !kind.is_empty() && kind.chars().count() <= limits::TYPE_LEN && !kind.contains(char::is_control);
    fits.then_some(kind)
}

fn bounded_key(key: String) -> Option<String> {
    match key.chars().count() {
        0 => None,
        1..=limits::DEDUPE_KEY_LEN => Some(key),
        _ => Some(crypto::fingerprint(key.as_bytes())),
    }
}
