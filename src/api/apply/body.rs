//! The request that applies a set.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::api::text::SetName;

/// Sources and endpoints to be made as they are here, in one step: all of it, or nothing.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(default)]
pub struct ApplyBody {
    /// Sources by their names. A setting that is left out has its default; a secret that is left
    /// out stays as it is
    #[cfg_attr(test, schemars(with = "SchemaOfSources"))]
    pub source: Map<String, Value>,
    /// Endpoints by their names, likewise
    #[cfg_attr(test, schemars(with = "SchemaOfEndpoints"))]
    pub endpoint: Map<String, Value>,
    /// The name of the set, which what is applied has from then on
    pub set: Option<SetName>,
    /// Delete what has the name of the set and is not here
    pub prune: bool,
    /// Cancel the deliveries that wait for endpoints which are deleted, and take over what belongs
    /// to another set
    pub force: bool,
    /// Only show what would change
    pub dry_run: bool,
}

/// The sources of a set, by name.
#[cfg(test)]
pub type SchemaOfSources = std::collections::BTreeMap<String, AppliedSource>;
/// The endpoints of a set, by name.
#[cfg(test)]
pub type SchemaOfEndpoints = std::collections::BTreeMap<String, AppliedEndpoint>;

/// A source of a set.
#[cfg(test)]
#[derive(schemars::JsonSchema)]
#[expect(dead_code, reason = "only its schema is used")]
pub struct AppliedSource {
    /// The name that it had before: it is renamed, where there is one of that name
    previous_name: Option<String>,
    #[schemars(flatten)]
    settings: crate::api::SourceSpec,
}

/// An endpoint of a set.
#[cfg(test)]
#[derive(schemars::JsonSchema)]
#[expect(dead_code, reason = "only its schema is used")]
pub struct AppliedEndpoint {
    /// The name that it had before: it is renamed with its deliveries, where there is one of that
    /// name
    previous_name: Option<String>,
    #[schemars(flatten)]
    settings: crate::api::EndpointSpec,
}
