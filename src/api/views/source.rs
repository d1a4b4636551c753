//! A source as it is shown, and what would happen to a request to it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{HeadersView, settings};
use crate::api::SourceSpec;
use crate::api::values::Time;

/// A source, with all its settings but the secrets.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct SourceView {
    pub name: String,
    /// The path that its senders post to.
    pub path: String,
    /// The URL that its senders post to, as far as it is known here; over a Unix socket
    /// `unix:/path/of/socket:/in/NAME`.
    pub url: String,
    /// Why every request is refused: a list, a secret or a key is missing that its settings name.
    /// It is there only where that is so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unusable: Option<String>,
    /// Its settings; `secret` only where it was just generated.
    #[serde(flatten, deserialize_with = "settings::known")]
    pub settings: SourceSpec,
    /// One entry for each live secret.
    pub secrets: Vec<SecretView>,
    /// When a temporary source is deleted.
    pub expires_at: Option<Time>,
    pub created_at: Time,
    /// The set of files that it was applied from.
    pub applied_set: Option<String>,
    /// What its operator should know of its settings.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
    /// Events whose JSON body was to be looked into and could not be read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unreadable_bodies: Option<u64>,
    /// Refused requests since the start, by reason.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refused: Option<BTreeMap<String, u64>>,
    /// Why the last refused request was refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_refusal: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_refused_at: Option<Time>,
}

/// That there is a secret; never what it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct SecretView {
    /// When it stops being accepted; null for the current one.
    pub expires_at: Option<Time>,
}

/// A request that a source refused for its proof, and that it keeps.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct RefusedRequestView {
    /// Counts the requests that were kept since the start, of all sources.
    pub number: u64,
    pub at: Time,
    /// A short stable word for the reason.
    pub kind: String,
    pub reason: String,
    /// The address it came from.
    pub remote: String,
    pub method: String,
    /// `…` stands in the place of secrets.
    pub url: String,
    /// Those that an event would have; credentials have no value.
    pub headers: HeadersView,
    /// Bytes of the whole body.
    pub size: u64,
    /// The body, or its first 64 KiB.
    pub body_base64: String,
}

/// What would happen to a request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct CheckView {
    /// Whether it would be answered as its sender wishes; so is a handshake.
    pub accepted: bool,
    pub reason: String,
    /// A short stable word for the reason of a refusal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// What the operator should know of the source's settings.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub warnings: Option<Vec<String>>,
    #[serde(rename = "type")]
    pub event_type: Option<String>,
    pub dedupe_key: Option<String>,
    pub response: CheckResponseView,
    /// Settings of the source that this says nothing of, because they are about who sends, and how
    /// often.
    #[serde(default)]
    pub not_checked: Vec<String>,
    /// The events that a batch would make.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub elements: Option<Vec<CheckElementView>>,
}

/// The answer that the sender would get. Of an event that would be accepted only its status, where
/// the source and its scheme give no answer of their own: the real one has the id that it gets.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct CheckResponseView {
    pub status: u16,
    pub headers: HeadersView,
    pub body_base64: String,
}

/// One event of a batch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct CheckElementView {
    #[serde(rename = "type")]
    pub event_type: Option<String>,
    pub dedupe_key: Option<String>,
}
