//! Values of views that a later daemon may know more forms of.

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// A value whose later forms are shown as they came and not refused: a client may be older than its
/// daemon. It is written as the value alone is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Tolerant<T> {
    Known(T),
    Unknown(Value),
}

impl<T> From<T> for Tolerant<T> {
    fn from(value: T) -> Self {
        Self::Known(value)
    }
}

/// A word as it is, anything else as JSON.
impl<T: Serialize> fmt::Display for Tolerant<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match serde_json::to_value(self).map_err(|_| fmt::Error)? {
            Value::String(word) => f.write_str(&word),
            other => other.fmt(f),
        }
    }
}

/// The schema of the value alone: what this daemon sends is always known.
#[cfg(test)]
impl<T: schemars::JsonSchema> schemars::JsonSchema for Tolerant<T> {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        T::schema_name()
    }

    fn schema_id() -> std::borrow::Cow<'static, str> {
        T::schema_id()
    }

    fn inline_schema() -> bool {
        T::inline_schema()
    }

    fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        T::json_schema(generator)
    }
}
