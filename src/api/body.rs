//! Reading the body of a request: a JSON object, every key of which is known.

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::spec::{SpecError, refusal_of};

/// Reads an object whose fields may all be absent.
///
/// # Errors
/// Names the field that is unknown, or whose value is refused.
pub fn read<T: Default + Serialize + DeserializeOwned>(
    object: Map<String, Value>,
) -> Result<T, SpecError> {
    read_as(object, SpecError::field)
}

/// Reads fields that are options of the command line, too, and are named as such.
///
/// # Errors
/// As [`read`].
pub fn read_options<T: Default + Serialize + DeserializeOwned>(
    object: Map<String, Value>,
) -> Result<T, SpecError> {
    read_as(object, SpecError::of)
}

fn read_as<T: Default + Serialize + DeserializeOwned>(
    object: Map<String, Value>,
    refused_field: fn(&str, &str) -> SpecError,
) -> Result<T, SpecError> {
    let object: Map<String, Value> =
        object.into_iter().filter(|(_, value)| !value.is_null()).collect();
    let known = known_keys::<T>();
    if let Some(key) = object.keys().find(|key| !known.contains(key)) {
        let shown: String = key.chars().take(80).collect();
        let known = known.join(", ");
        return Err(SpecError::new(format!(
            "unknown field '{shown}': the fields here are {known}"
        )));
    }

    serde_json::from_value(Value::Object(object.clone())).map_err(|why| {
        let refused = object.into_iter().find_map(|(key, value)| refusal_of::<T>(&key, value));
        refused
            .map_or_else(|| SpecError::new(why.to_string()), |(key, why)| refused_field(&key, &why))
    })
}

fn known_keys<T: Default + Serialize>() -> Vec<String> {
    match serde_json::to_value(T::default()) {
        Ok(Value::Object(object)) => object.into_iter().map(|(key, _)| key).collect(),
        _ => Vec::new(),
    }
}
