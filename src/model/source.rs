//! A source: a named inbound endpoint.

use std::collections::BTreeMap;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use super::{Rate, SourceId, TimedSecret, WallMs, limits};

/// A named inbound endpoint: a URL path, who may post there, and which proof is required.
///
/// Positional in the log: new fields come last, with `#[serde(default)]`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Source {
    pub id: SourceId,
    /// 1 to 64 characters of `a-z A-Z 0-9 . _ -`, see [`valid_name`].
    pub name: String,
    /// When set, the path is `/in/{token}` and `/in/{name}` does not exist.
    pub token: Option<String>,
    /// The scheme of proof: `none`, `github`, `standard-webhooks`, `stripe`, …
    pub verify: String,
    /// The newest first; all that are live are tried.
    pub secrets: Vec<TimedSecret>,
    /// PEM, base64 SPKI, hex or `whpk_…`, as the provider publishes it.
    pub public_key: Option<String>,
    /// The scheme's other settings (`--set KEY=VALUE`).
    pub params: BTreeMap<String, serde_json::Value>,
    /// The URL under which the provider posts, for schemes that sign it.
    pub public_url: Option<String>,
    /// Who may post; everybody when this and `allow_lists` are empty.
    pub allow: Vec<IpNet>,
    /// Bytes.
    pub max_body: u64,
    pub dedupe_window_ms: u64,
    /// Where the event's type stands: a header's name, or a JSON Pointer (RFC 6901) into the body.
    pub type_header: Option<String>,
    pub type_field: Option<String>,
    /// Where the dedupe key stands, likewise.
    pub id_header: Option<String>,
    pub id_field: Option<String>,
    /// One event for each element of a batch.
    #[serde(default)]
    pub split: bool,
    /// A temporary source (`bin`) is gone after this time.
    #[serde(default)]
    pub expires_at: Option<WallMs>,
    pub created_at: WallMs,
    /// Named allow-lists (`@github`, without the `@`); who stands in one of them may post, too.
    #[serde(default)]
    pub allow_lists: Vec<String>,
    /// How often it may be posted to.
    #[serde(default)]
    pub rate: Option<Rate>,
    /// It takes nothing in before its proofs name their recipient. Sources of logs that were
    /// written before this was asked go on as they were.
    #[serde(default)]
    pub recipient_required: bool,
    /// The set of files that it was applied from, under the name that the operator gave the set.
    #[serde(default)]
    pub applied_set: Option<String>,
    /// What its senders are answered in place of 202 and of what the scheme has.
    #[serde(default)]
    pub answer: Option<FixedAnswer>,
    /// The form field whose value is an event's body, where a form is posted.
    #[serde(default)]
    pub body_field: Option<String>,
    /// How many refused requests are kept for a look at them; none are when it is 0.
    #[serde(default)]
    pub keep_refused: u32,
}

/// The answer to every event of a source whose senders insist on one.
///
/// Positional in the log: new fields come last, with `#[serde(default)]`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FixedAnswer {
    /// 200 to 299.
    pub status: u16,
    pub content_type: Option<String>,
    pub body: Option<String>,
}

/// The schemes that are provider presets: what their senders put into headers and query goes along
/// to endpoints by default. Each other scheme is for home-made senders.
pub const PROVIDER_SCHEMES: &[&str] = &[
    "braintree",
    "circleci",
    "cloudevents",
    "dialogflow",
    "discord",
    "github",
    "gitlab",
    "intercom",
    "jwt",
    "mailchimp",
    "mandrill",
    "okta",
    "paddle",
    "paypal",
    "pubsub",
    "rfc9421",
    "sendgrid",
    "shopify",
    "slack",
    "sns",
    "stripe",
    "svix",
    "travis",
    "twilio",
];

impl Source {
    /// A source with every setting at its default.
    #[must_use]
    pub fn new(name: impl Into<String>, verify: impl Into<String>) -> Self {
        Self {
            id: 0,
            name: name.into(),
            token: None,
            verify: verify.into(),
            secrets: Vec::new(),
            public_key: None,
            params: BTreeMap::new(),
            public_url: None,

            allow: Vec::new(),
            max_body: limits::DEFAULT_MAX_BODY,
            dedupe_window_ms: limits::DEFAULT_DEDUPE_WINDOW_MS,
            type_header: None,
            type_field: None,
            id_header: None,
            id_field: None,
            split: false,
            expires_at: None,
            created_at: 0,
            allow_lists: Vec::new(),
            rate: None,
            recipient_required: false,
            applied_set: None,
            answer: None,
            body_field: None,
            keep_refused: 0,
        }
    }

    /// The path under the ingress where it is posted to.
    #[must_use]
    pub fn path(&self) -> String {
        format!("/in/{}", self.token.as_deref().unwrap_or(&self.name))
    }

    /// Whether its events come from a provider preset rather than from home-made senders. A scheme
    /// that this version does not know is none.
    #[must_use]
    pub fn is_provider(&self) -> bool {
        PROVIDER_SCHEMES.contains(&self.verify.as_str())
    }
}

/// Whether `name` can name a source or an endpoint: 1 to 64 of `a-z A-Z 0-9 . _ -`, beginning with
/// a letter or a digit.
#[must_use]
pub fn valid_name(name: &str) -> bool {
    let starts_well = name.bytes().next().is_some_and(|b| b.is_ascii_alphanumeric());
    let fits = name.len() <= limits::NAME_LEN;
    let plain = name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'));
    starts_well && fits && plain
}

/// Refuses what cannot name a source, an endpoint or a set of files.
///
/// # Errors
/// The sentence that says what a name is made of.
pub fn check_name(name: &str) -> Result<(), String> {
    if valid_name(name) {
        return Ok(());
    }
    let shown: String = name.chars().take(80).collect();
    Err(format!(
        "'{shown}' cannot be a name: use 1 to {} of a-z A-Z 0-9 . _ -, beginning with a letter or \
         a digit",
        limits::NAME_LEN
    ))
}
