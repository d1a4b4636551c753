//! The bodies of requests that are not specs. A field that is absent, or null, has its default.

use serde::{Deserialize, Serialize};

use super::given::{GivenHeaders, VerbatimJson};
use super::text::Line;
use super::values::{Int, SecretText, Span, Text, YEAR_MS};
use crate::model::{DeliveryFilter, DeliveryId, EventFilter, Rate, limits};

/// A new secret; the old ones are valid for a while longer.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(default)]
pub struct RotateBody {
    /// The new secret; without it one is generated
    pub secret: Option<SecretText>,
    /// Generate a secret and show it once
    pub generate_secret: Option<bool>,
    /// End the old secrets at once; with the newest secret once more it only ends an overlap
    pub now: bool,
    /// How long the old secrets are valid [default: 24h]
    pub overlap: Option<Span<0, YEAR_MS>>,
}

/// A request that somebody kept, to see what would happen to it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(default)]
pub struct CheckBody {
    pub method: Option<String>,
    pub url: Option<String>,
    /// Texts, or lists of texts for a header that came several times
    #[cfg_attr(test, schemars(with = "serde_json::Map<String, serde_json::Value>"))]
    pub headers: GivenHeaders,
    pub body_base64: String,
    /// Unix seconds; now when it is not given
    pub at: Option<i64>,
}

/// An event that is sent in without the proof that its source requires.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(default)]
pub struct SendEventBody {
    pub source: Option<Line>,
    #[serde(rename = "type")]
    pub event_type: Option<Line>,
    /// The dedupe key
    pub id: Option<Line>,
    /// The body: a text as it is, any other value as JSON
    #[cfg_attr(test, schemars(with = "Option<serde_json::Value>"))]
    pub data: Option<VerbatimJson>,
    /// The body in base64
    pub data_base64: Option<String>,
    pub content_type: Option<Line>,
    /// Further headers
    #[cfg_attr(test, schemars(with = "std::collections::BTreeMap<String, String>"))]
    pub headers: GivenHeaders,
}

/// An event that a source refused, and that whoever had it has given up: nobody sends it again.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(default)]
pub struct GivenUpBody {
    /// Where it can be found, for a person to look at
    pub from: Option<Line>,
    pub reason: Option<Line>,
}

/// The event that an endpoint is tested with: one of the log, a given one, or a generated one.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(default)]
pub struct TestEndpointBody {
    /// An event of the log
    pub event: Option<Line>,
    /// The body: a text as it is, any other value as JSON
    #[cfg_attr(test, schemars(with = "Option<serde_json::Value>"))]
    pub data: Option<VerbatimJson>,
    /// The body in base64
    pub data_base64: Option<String>,
    #[serde(rename = "type")]
    pub event_type: Option<Line>,
    pub source: Option<Line>,
    pub content_type: Option<Line>,
    /// Only show what would be sent
    pub dry_run: bool,
}

/// Deliveries by id.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(default)]
pub struct IdsBody {
    pub ids: Option<Vec<Text<DeliveryId>>>,
    /// Only count, and say what would be left out
    pub dry_run: bool,
}

/// Dead letters by id, by filter, or all.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(default)]
pub struct DeadLettersBody {
    pub ids: Option<Vec<Text<DeliveryId>>>,
    #[serde(flatten)]
    pub filter: DeliveryFilter,
    /// All there are
    pub all: bool,
    /// Only count
    pub dry_run: bool,
}

/// The events to deliver again.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(default)]
pub struct ReplayBody {
    #[serde(flatten)]
    pub filter: EventFilter,
    /// Send them to this endpoint instead of where they went before
    pub to: Option<Line>,
    /// New deliveries per second
    #[cfg_attr(test, schemars(with = "Option<super::schema::WrittenRate>"))]
    pub rate: Option<Text<Rate>>,
    /// Every event there is
    pub all: bool,
    /// Only count
    pub dry_run: bool,
}

/// What a consumer asks for.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(default)]
pub struct LeaseBody {
    /// At most this many deliveries [default: 1]
    pub max: Option<Int<1, { LEASE_MAX }>>,
    /// How long to wait for the first delivery [default: 0s]
    pub wait: Option<Span<0, { limits::LEASE_WAIT_MS }>>,
    /// How long the deliveries are leased [default: the endpoint's]
    pub lease: Option<Span<1, { limits::LEASE_MS }>>,
}

const LEASE_MAX: u32 = 256;
const _: () = assert!(LEASE_MAX as usize == limits::LEASE_MAX);

/// A leased delivery was not processed.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(default)]
pub struct RejectBody {
    /// Not again before this time has passed
    pub after: Option<Span<0, { limits::RETRY_AFTER_MAX_MS }>>,
    /// Never again: it becomes a dead letter
    pub dead: bool,
    pub reason: Option<Line>,
}

/// A lease runs longer, from now.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(default)]
pub struct ExtendBody {
    pub lease: Option<Span<1, { limits::LEASE_MS }>>,
}

/// The damage of the log that is acknowledged.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(default)]
pub struct AcknowledgeBody {
    /// Only that of these segments, each by its first record [default: all that is known]
    pub segments: Option<Vec<u64>>,
}

/// No fields.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(default)]
pub struct EmptyBody {}
