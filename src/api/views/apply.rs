//! What applying a set of files changes, and what a daemon has as such a set.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::Tolerant;
use crate::api::values::{SecretText, Time};

/// What was changed, or would be.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct ApplyView {
    pub dry_run: bool,
    pub changes: Vec<ChangeView>,
    /// Sources and endpoints of the set that are as it says.
    pub unchanged: usize,
    /// Deliveries that were cancelled with deleted endpoints, or would be.
    pub cancelled: usize,
}

/// One source or endpoint that changes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct ChangeView {
    /// source or endpoint.
    pub kind: String,
    pub name: String,
    pub action: Tolerant<ApplyAction>,
    /// The name that it had before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous_name: Option<String>,
    pub fields: Vec<FieldChangeView>,
    /// A secret that was just generated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret: Option<SecretText>,
    /// What its operator should know of this change.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
}

/// What becomes of a source or an endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum ApplyAction {
    Create,
    Change,
    /// It has another name from now on, and perhaps other settings, too.
    Rename,
    Delete,
}

/// A setting that changes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct FieldChangeView {
    pub field: String,
    /// What it is now; null when it is not set.
    pub from: Value,
    /// What it becomes; null when it is reset.
    pub to: Value,
    /// What changes in it is a secret, and not shown.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub secret: bool,
}

/// Sources and endpoints as a file has them: settings that are not at their defaults, by names.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct ExportView {
    #[cfg_attr(test, schemars(with = "crate::api::apply::SchemaOfSources"))]
    pub source: Map<String, Value>,
    #[cfg_attr(test, schemars(with = "crate::api::apply::SchemaOfEndpoints"))]
    pub endpoint: Map<String, Value>,
}

/// The files that are applied when the daemon starts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct BootApplyView {
    pub files: Vec<String>,
    pub at: Time,
    /// What they changed at the start.
    pub changed: usize,
    /// Why they were not applied: nothing of them was then.
    pub error: Option<String>,
    /// What is different by now from what the files say, or of their set and in no file any more:
    /// `endpoint app (rate)`.
    pub drift: Vec<String>,
}
