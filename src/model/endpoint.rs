//! An endpoint: a named way out.

use serde::{Deserialize, Serialize};

use super::{EndpointId, TimedSecret, WallMs};

/// When a failed delivery is tried again: `base · factor^n` up to `max`, each delay spread by ±`jitter`, until
/// `max_age` has passed since the delivery was made.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RetryPolicy {
    pub base_ms: u64,
    pub factor: f64,
    pub max_ms: u64,
    /// 0 to 1: a share of the delay, drawn evenly from both sides of it.
    pub jitter: f64,
    pub max_age_ms: u64,
    /// No limit when `None`.
    pub max_attempts: Option<u32>,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self {
            base_ms: 1000,
            factor: 2.0,
            max_ms: 3_600_000,
            jitter: 0.2,
            max_age_ms: 3 * 86_400_000,
            max_attempts: None,
        }
    }
}

/// At most `count` attempts in `per_ms`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rate {
    pub count: u32,
    pub per_ms: u64,
}

/// Whether an endpoint's deliveries wait for each other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Order {
    #[default]
    None,
    Strict,
}

/// A named way out, with filter, signing, retry policy and limits.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Endpoint {
    pub id: EndpointId,
    /// As a source's name.
    pub name: String,
    /// `http://…`, `https://…`, or `unix:/run/app.sock:/path`.
    pub url: String,
    /// Names of sources; all when empty.
    pub from: Vec<String>,
    /// Globs over the event type (`*` any run of characters, `?` one); all when empty.
    pub types: Vec<String>,
    /// An RFC 9535 filter expression over `{type, source, headers, body}`.
    pub filter: Option<String>,
    /// Standard Webhooks secrets, the newest first; all that are live sign.
    pub secrets: Vec<TimedSecret>,
    pub retry: RetryPolicy,
    /// One deadline over resolve, connect, headers and body.
    pub timeout_ms: u64,
    /// Attempts in flight at a time.
    pub concurrency: u32,
    pub rate: Option<Rate>,
    pub order: Order,
    pub allow_private: bool,
    /// Whether the sender's own headers go along; `None`: only for events from provider presets.
    pub forward_headers: Option<bool>,
    pub created_at: WallMs,
}

impl Endpoint {
    /// An endpoint with every setting at its default.
    #[must_use]
    pub fn new(name: impl Into<String>, url: impl Into<String>) -> Self {
        Self {
            id: 0,
            name: name.into(),
            url: url.into(),
            from: Vec::new(),
            types: Vec::new(),
            filter: None,
            secrets: Vec::new(),
            retry: RetryPolicy::default(),
            timeout_ms: super::limits::DEFAULT_TIMEOUT_MS,
            concurrency: super::limits::DEFAULT_CONCURRENCY,
            rate: None,
            order: Order::None,
            allow_private: false,
            forward_headers: None,
            created_at: 0,
        }
    }
}
