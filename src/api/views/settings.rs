//! Settings as a view shows them.

use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};

use crate::api::Spec;
use crate::api::spec::refusal_of;

/// Reads the settings out of the fields of a view. What a request would be refused for is left out:
/// a later daemon may know more settings, more words and wider ranges than its client.
pub(super) fn known<'de, S: Spec, D: Deserializer<'de>>(deserializer: D) -> Result<S, D::Error> {
    let mut fields = Map::<String, Value>::deserialize(deserializer)?;
    fields.retain(|key, _| S::KEYS.contains(&key.as_str()));
    if let Ok(settings) = serde_json::from_value(Value::Object(fields.clone())) {
        return Ok(settings);
    }

    fields.retain(|key, value| refusal_of::<S>(key, value).is_none());
    Ok(serde_json::from_value(Value::Object(fields)).unwrap_or_default())
}
