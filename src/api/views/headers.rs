//! Headers as JSON.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// Headers by name; values of a name that came several times are joined as RFC 9110, section 5.3,
/// does.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(transparent)]
pub struct HeadersView(
    #[cfg_attr(test, schemars(with = "std::collections::BTreeMap<String, String>"))]
    Map<String, Value>,
);

impl HeadersView {
    /// Adds a value to what the name has already.
    pub fn add(&mut self, name: &str, value: &str) {
        match self.0.get_mut(name) {
            Some(Value::String(text)) => {
                text.push_str(", ");
                text.push_str(value);
            }
            _ => self.set(name, value),
        }
    }

    /// Replaces what the name has.
    pub fn set(&mut self, name: &str, value: &str) {
        self.0.insert(name.to_owned(), Value::String(value.to_owned()));
    }

    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).and_then(Value::as_str)
    }

    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str().unwrap_or_default()))
    }
}
