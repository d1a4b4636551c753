//! Reading the body of a request: a JSON object, every key of which is known.

use std::fmt;

use serde::de::value::MapDeserializer;
use serde::de::{DeserializeOwned, DeserializeSeed, Error, IgnoredAny, MapAccess, Visitor};
use serde::{Deserializer, Serialize};
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use super::spec::{SpecError, refusal_of};
use crate::model::form_error::form_error;

/// Reads the text of an object whose fields may all be absent; no text at all is an empty one.
/// Nothing is made of it but the type: a tree of values would take a hundred times its bytes.
///
/// # Errors
/// Names the field that is unknown, or whose value is refused.
pub fn read<T: Default + Serialize + DeserializeOwned>(text: &[u8]) -> Result<T, SpecError> {
    if text.iter().all(u8::is_ascii_whitespace) {
        return Ok(T::default());
    }

    let known = known_keys::<T>();
    let mut reader = serde_json::Deserializer::from_slice(text);
    let fields = FieldsOf(&known).deserialize(&mut reader).and_then(|fields| {
        reader.end()?;
        Ok(fields)
    });
    let malformed = |why| SpecError::new(format!("the body is not as asked for: {why}"));
    let fields = fields.map_err(malformed)?;
    if let Some(key) = &fields.unknown {
        return Err(unknown_field(key, &known));
    }

    let given = || fields.given.iter().map(|(key, value)| (key.as_str(), *value));
    let alone = |field| T::deserialize(MapDeserializer::new(std::iter::once(field))).err();
    T::deserialize(MapDeserializer::new(given())).map_err(|why| {
        match given().find_map(|field| Some((field.0, alone(field)?))) {
            Some((key, why)) => SpecError::field(key, &form_error(&without_place(&why))),
            None => SpecError::new(without_place(&why)),
        }
    })
}

/// Whether a text has more values than so many, the keys of objects not counted. For JSON that is
/// to become a tree, and for lines of it.
#[must_use]
pub fn has_more_values(text: &[u8], most: usize) -> bool {
    let (mut values, mut is_in_string, mut is_escaped) = (1, false, false);
    for byte in text {
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' if is_in_string => is_escaped = true,
            b'"' => is_in_string = !is_in_string,
            // Each value but the first stands behind one of these.
            b',' | b'[' | b'{' if !is_in_string => values += 1,
            _ => {}
        }
        if values > most {
            return true;
        }
    }
    false
}

/// The words of an error of JSON. Its place is one within the value, which nobody knows of.
fn without_place(error: &serde_json::Error) -> String {
    let words = error.to_string();
    words.rsplit_once(" at line ").map_or(&*words, |(words, _)| words).to_owned()
}

/// The fields of an object as they stand in its text, each once: the last of a name counts. One
/// that is null is as good as absent.
struct BodyFields<'t> {
    given: Vec<(String, &'t RawValue)>,
    /// The first one that is not known.
    unknown: Option<String>,
}

/// Reads the fields of an object of which these are known.
struct FieldsOf<'k>(&'k [String]);

impl<'t> DeserializeSeed<'t> for FieldsOf<'_> {
    type Value = BodyFields<'t>;

    fn deserialize<D: Deserializer<'t>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'t> Visitor<'t> for FieldsOf<'_> {
    type Value = BodyFields<'t>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'t>>(self, mut object: A) -> Result<Self::Value, A::Error> {
        let mut fields = BodyFields { given: Vec::new(), unknown: None };
        let mut seen: Vec<String> = Vec::new();
        while let Some(key) = object.next_key::<String>()? {
            if !self.0.contains(&key) {
                fields.unknown.get_or_insert(key);
                object.next_value::<IgnoredAny>()?;
                continue;
            }
            if seen.contains(&key) {
                return Err(A::Error::custom(format!("'{key}' is given twice")));
            }
            seen.push(key.clone());
            let value = object.next_value::<&RawValue>()?;
            if value.get() != "null" {
                fields.given.push((key, value));
            }
        }
        Ok(fields)
    }
}

/// Reads fields that are options of the command line, too, and are named as such.
///
/// # Errors
/// As [`read`].
pub fn read_options<T: Default + Serialize + DeserializeOwned>(
    object: Map<String, Value>,
) -> Result<T, SpecError> {
    let object: Map<String, Value> =
        object.into_iter().filter(|(_, value)| !value.is_null()).collect();
    let known = known_keys::<T>();
    if let Some(key) = object.keys().find(|key| !known.contains(key)) {
        return Err(unknown_field(key, &known));
    }

    T::deserialize(&object).map_err(|why| {
        let refused = object.iter().find_map(|(key, value)| refusal_of::<T>(key, value));
        refused.unwrap_or_else(|| SpecError::new(why.to_string()))
    })
}

fn unknown_field(key: &str, known: &[String]) -> SpecError {
    let shown: String = key.chars().take(80).collect();
    let known = known.join(", ");
    SpecError::new(format!("unknown field '{shown}': the fields here are {known}"))
}

fn known_keys<T: Default + Serialize>() -> Vec<String> {
    match serde_json::to_value(T::default()) {
        Ok(Value::Object(object)) => object.into_iter().map(|(key, _)| key).collect(),
        _ => Vec::new(),
    }
}
